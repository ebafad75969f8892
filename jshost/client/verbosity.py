"""The levels of the setting VERBOSITY. Runs in: callers.

What a level includes, the higher ones include too.
"""

from __future__ import annotations

import enum

__all__ = [
    "CONNECT",
    "DISCONNECT",
    "FUNCTION_CALL",
    "PROCESS_START",
    "PROCESS_STOP",
    "SILENT",
    "VERBOSE",
    "Verbosity",
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
