"""Files of weights: reading them without executing anything, finding and fetching them."""
