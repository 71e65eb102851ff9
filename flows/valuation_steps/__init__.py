"""The steps of the valuation flow, one file each; `run` and `chunks` are what they share."""
