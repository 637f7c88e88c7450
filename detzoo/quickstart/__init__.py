"""The quickstart on generated data: generate scenes, train, evaluate, report."""
