"""How much jshost says about what it does. Runs in: callers.

The setting VERBOSITY is one of these levels; what a level includes, the higher ones include too.
Messages go to the logger "jshost.activity", and to stderr where logging is not set up.
"""

from __future__ import annotations

import enum
import sys

__all__ = [
    "CONNECT",
    "DISCONNECT",
    "FUNCTION_CALL",
    "PROCESS_START",
    "PROCESS_STOP",
    "SILENT",
    "VERBOSE",
    "Verbosity",
    "report",
]


class Verbosity(enum.IntEnum):
    SILENT = 0
    CONNECT = 1
    PROCESS_START = 2
    DISCONNECT = 3
    PROCESS_STOP = 4
    FUNCTION_CALL = 5
    VERBOSE = 6


SILENT = Verbosity.SILENT
CONNECT = Verbosity.CONNECT
PROCESS_START = Verbosity.PROCESS_START
DISCONNECT = Verbosity.DISCONNECT
PROCESS_STOP = Verbosity.PROCESS_STOP
FUNCTION_CALL = Verbosity.FUNCTION_CALL
VERBOSE = Verbosity.VERBOSE


def report(level: Verbosity, message: str, *args: object) -> None:
    """Say `message` if the setting VERBOSITY includes `level`."""
    from jshost.conf import settings

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
