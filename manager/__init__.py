"""The daemon that starts hosts when they are needed and stops them when they are not.

Runs in: manager. Installed as `jshost_manager`.
"""
