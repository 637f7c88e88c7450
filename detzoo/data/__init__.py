"""Data sets, transforms and the loader."""
