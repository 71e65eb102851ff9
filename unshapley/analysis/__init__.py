"""Applications of a published valuation: summary, payout, detection, curves, several seeds."""
