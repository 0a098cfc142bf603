"""Every stream of the tap: the four kinds, and those that are more than a declaration."""
