"""Weight files: finding, downloading, and reading them without executing anything."""
