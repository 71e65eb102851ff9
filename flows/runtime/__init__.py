"""What flows run on: Prefect's settings, locks, runners, progress."""
