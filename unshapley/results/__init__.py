"""The valuation: its tables, manifest and report, published and read again."""
