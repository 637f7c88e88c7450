"""Our operators beside the straightforward formulations of the same results, in turns."""
