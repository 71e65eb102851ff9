"""The steps of the refresh flow."""
