"""The Python worker: loads a config file and runs its functions. Runs in: Python workers."""
