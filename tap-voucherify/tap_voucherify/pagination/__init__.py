"""Reads lists whole while they change: by time, by page number, by cursor. Knows no HTTP."""
