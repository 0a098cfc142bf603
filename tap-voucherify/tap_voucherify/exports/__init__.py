"""Exports: a whole list as one CSV file, created, polled, downloaded and read."""
