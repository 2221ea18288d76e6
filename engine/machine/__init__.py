"""What this computer is and holds: its facts, and the memory of its GPU and RAM."""
