"""Benchmarks of models and loaders, measured as in MMDetection's model zoo."""
