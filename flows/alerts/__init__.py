"""Who is told when something needs a person: events of a run, automations that pass them on."""
