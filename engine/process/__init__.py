"""What a process stands on: its streams and environment, time, loops that last, moves of files."""
