"""Driving the workers that run functions, whoever owns them; knows nothing of HTTP."""
