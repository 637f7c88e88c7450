"""Heads that turn a fixed set of learned queries into objects."""
