"""What is good about this machine, what isn't, and the report for an issue."""
