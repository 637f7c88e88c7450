"""Detectors for other runtimes."""
