"""Functions without a server: a program that owns its workers itself.

Runs in: programs that embed a host.
"""
