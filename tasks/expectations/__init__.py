"""Great Expectations' room: suites, and tables checked against them."""
