"""The steps of the valuation flow that need a project or Prefect; `run` is what they share."""
