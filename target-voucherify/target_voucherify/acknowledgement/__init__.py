"""What became of each record, and which STATE may pass because of it."""
