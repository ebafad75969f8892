"""Checks of Django projects. Runs in: callers."""
