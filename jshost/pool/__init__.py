"""Owns workers, and sends calls to them. Runs in: host, programs that embed."""
