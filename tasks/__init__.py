"""Prefect tasks, one in each file. A task is retried, cached, timed and logged as a unit."""
