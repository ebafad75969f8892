"""The host process: HTTP in front of pools of workers. Runs in: host."""
