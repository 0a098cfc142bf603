"""What became of each record, and which STATE may be emitted because of it."""
