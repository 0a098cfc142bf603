"""Reward events: which customers may have some, and what an activity means."""
