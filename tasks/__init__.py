"""One Prefect task a file: the unit that is retried, cached, timed and logged."""
