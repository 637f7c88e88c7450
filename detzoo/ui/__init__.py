"""A local web page on which models are tried."""
