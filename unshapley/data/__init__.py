"""From source files to rows: tables, encoding, splits, the digits data set, planted faults."""
