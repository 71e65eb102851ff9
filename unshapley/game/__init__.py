"""The game: who plays, what is measured, and measuring it."""
