"""The command ``jshost``. Runs in: command line."""
