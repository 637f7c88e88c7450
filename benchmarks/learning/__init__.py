"""Whether every family of the zoo learns: one narrowed model each, trained from scratch."""
