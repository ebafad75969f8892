"""Decisions about workers and calls: no I/O, no clock. Runs in: host, programs that embed."""
