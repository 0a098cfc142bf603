"""Singer messages in and states out: the input, and what is replaced in the SDK."""
