"""A demonstration on generated data: make scenes, train, evaluate, report."""
