"""Heads that detect objects with a fixed set of queries."""
