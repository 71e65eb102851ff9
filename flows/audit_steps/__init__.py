"""The steps of the audit flow, one file each; `run` is what they share."""
