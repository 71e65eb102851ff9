"""What is done with a published valuation."""
