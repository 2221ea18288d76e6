"""Whether a size may run: measurements, prediction, budget, verdict."""
