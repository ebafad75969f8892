"""The way to a served host. Runs in: callers."""
