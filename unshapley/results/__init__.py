"""The outputs of a valuation: tables, manifest and report are written, read and verified here."""
