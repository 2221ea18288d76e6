"""Set-up: what is installed and why. The first six files need nothing but Python."""
