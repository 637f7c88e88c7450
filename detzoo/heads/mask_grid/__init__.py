"""Heads that predict one mask per cell of a grid over the image."""
