"""The steps of the valuation flow, a file each, in the order of the flow."""
