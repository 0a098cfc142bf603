"""Exports: a whole list as one CSV file, ordered, awaited and read."""
