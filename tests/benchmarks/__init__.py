"""Benchmarks of time, calls and memory, compared with alternatives."""
