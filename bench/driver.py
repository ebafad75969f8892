"""Make one row's calls, as told over a pipe of JSON lines. Runs in: the row's own interpreter.

Usage: ``python driver.py CALLER '{"port": 9009}'``. Then one line in, one line out::

    {"op": "throughput", "threads": 8, "seconds": 0.4}
    {"calls_per_s": 30125.2}

A load that fails answers ``{"error": "TypeName: text"}``. EOF on stdin ends the driver.
"""

import json
import os
import sys
from typing import Any

from callers import CALLERS, Caller
from load import LOADS

__all__: list[str] = []


def main() -> None:
    """Build the caller, say so, then answer one line per load until EOF."""
    # The pipe gets a descriptor of its own: clients print, and JSPyBridge's Node inherits stdout.
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    caller: Caller | None = None
    try:
        caller = CALLERS[sys.argv[1]](**json.loads(sys.argv[2]))
        reply: dict[str, Any] = {"ready": True}
    except Exception as error:  # noqa: BLE001 - the parent reports the row as failed
        reply = _failure(error)
    _write(replies, reply)
    if caller is None:
        return
    for line in sys.stdin:
        command = json.loads(line)
        try:
            reply = dict(LOADS[command.pop("op")](caller, **command))
        except Exception as error:  # noqa: BLE001 - the same: a failure is a row's result
            reply = _failure(error)
        _write(replies, reply)


def _failure(error: Exception) -> dict[str, str]:
    text = " ".join(str(error).split())
    return {"error": f"{type(error).__name__}: {text[:200]}"}


def _write(replies: Any, reply: dict[str, Any]) -> None:
    replies.write(json.dumps(reply) + "\n")
    replies.flush()


if __name__ == "__main__":
    main()
