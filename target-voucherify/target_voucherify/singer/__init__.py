"""Reading Singer messages, and routing their records to sinks."""
