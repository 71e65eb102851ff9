"""Names of the files that describe a valuation, and the version of the manifest's format.

They have a module of their own, so that importing them loads neither torch nor pandas.
"""

from __future__ import annotations

MANIFEST = "manifest.json"
RUN = "run.json"
SIGNATURE = f"{MANIFEST}.sig"
SCHEMA_VERSION = 1
"""Version of the manifest's format."""
