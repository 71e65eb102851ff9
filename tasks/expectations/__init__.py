"""Expectation suites, and checks of tables with Great Expectations."""
