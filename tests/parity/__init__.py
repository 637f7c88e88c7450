"""Comparison with the numbers that MMDetection 2.28.2 computes: ``python -m tests.parity``."""
