"""A share: its life, its visitors, the page that they get, and the way to it."""
