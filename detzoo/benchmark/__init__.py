"""How fast models and loaders are, and how large: measured as the model zoo measured them."""
