"""How much jshost says about what it does. Runs in: callers.

The setting VERBOSITY is one of these levels; what a level includes, the higher ones include too.
Messages go to the logger "jshost.activity", and to stderr where logging is not set up.
"""

from __future__ import annotations

from jshost.client.activity import report
from jshost.client.verbosity import (
    CONNECT,
    DISCONNECT,
    FUNCTION_CALL,
    PROCESS_START,
    PROCESS_STOP,
    SILENT,
    VERBOSE,
    Verbosity,
)

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
