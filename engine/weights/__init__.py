"""A model's files: what they must be, where they come from, and whether they are here."""
