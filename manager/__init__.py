"""The daemon that starts hosts on demand and stops them when no client needs them.

Runs in: manager. Installed as `jshost_manager`.
"""
