"""Webhooks: received and stored by a program of its own, read by the tap."""
