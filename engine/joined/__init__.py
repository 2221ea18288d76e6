"""Lanes of other machines: what such a machine does for the one whose queue it works on, and how
that one sees and feeds it. Only ``cluster`` below knows what carries the calls (Ray)."""
