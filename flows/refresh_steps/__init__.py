"""What only the refresh flow needs."""
