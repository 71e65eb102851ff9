"""Names of the files that bind a valuation, and the version of their form.

Apart from what writes them, so that reading them needs neither torch nor pandas.
"""

from __future__ import annotations

MANIFEST = "manifest.json"
RUN = "run.json"
SCHEMA_VERSION = 1
"""Of the manifest."""
