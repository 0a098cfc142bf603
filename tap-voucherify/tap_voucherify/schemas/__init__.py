"""One JSON schema per stream, in a file named as the stream."""
