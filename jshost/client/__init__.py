"""A call, from its arguments to its result. Runs in: callers."""
