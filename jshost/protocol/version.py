"""The version of jshost. Runs in: every process.

Both ends of a wire compare it: what they say to each other may change from version to version.
"""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "0.1.0"
