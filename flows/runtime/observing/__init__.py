"""What others see of a run while it works: spans, metrics, lines of JSON, events, alerts."""
