"""Hosts and the manager as they are found on this machine. Runs in: callers, host, manager."""
