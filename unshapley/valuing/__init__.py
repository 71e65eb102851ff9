"""The steps of a valuation, whether this process carries them out or the tasks of a flow do."""
