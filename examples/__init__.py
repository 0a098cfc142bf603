"""Schedulers that run the jobs of `meltano.yml`, tried against the sandbox."""
