"""One function per V2 type: from its dictionary to our configuration. ``tables.py`` lists them."""
