"""The command line: one file a command that is more than a few lines."""
