"""From what is read to rows: tables, encoding, splits, embedded sets, planted faults."""
