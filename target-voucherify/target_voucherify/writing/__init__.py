"""Requests that write: in bulk, one by one, not at all; and deletions."""
