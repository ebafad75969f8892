"""HTTP connections of a host. Runs in: host."""
