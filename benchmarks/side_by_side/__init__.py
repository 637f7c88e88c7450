"""One model in several toolboxes: the same weights, images, targets and settings, in turns."""
