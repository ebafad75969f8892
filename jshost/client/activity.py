"""Messages about what jshost does, as the setting VERBOSITY wants them. Runs in: callers.

They go to the logger "jshost.activity", and to stderr where logging is not set up.
"""

from __future__ import annotations

import sys

from jshost.client.settings import settings
from jshost.client.verbosity import Verbosity

__all__ = ["report"]


def report(level: Verbosity, message: str, *args: object) -> None:
    """Say `message` if the setting VERBOSITY includes `level`."""
    if level > settings.VERBOSITY:
        return
    import logging  # 7 ms that settings do not need

    logger = logging.getLogger("jshost.activity")
    if not logger.hasHandlers():
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("jshost: %(message)s"))
        logger.addHandler(handler)
    if logger.getEffectiveLevel() > logging.INFO:
        logger.setLevel(logging.INFO)
    logger.info(message, *args)
