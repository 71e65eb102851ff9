"""Statistics of every provider's rows that let them be forgotten unread."""
