"""Ray, which carries the calls between machines: it knows who is there, finds out who has gone, and
moves the bytes. Nothing outside this package knows it."""
