"""From Python: tables and a model in, a result out; no files, no Prefect."""
