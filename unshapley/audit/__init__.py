"""Repeat a recorded valuation: what is derived and measured again is held against the record."""
