"""What frames from a worker must hold. Runs in: host (and whoever owns a pool).

A worker runs its users' code, which can write to any descriptor. One whose frames hold something
else is not believed any more: all of these raise `frames.FrameError`.
"""

from __future__ import annotations

import json
from typing import Any

from jshost.protocol import frames, values

__all__ = [
    "SIMPLE_FORMS",
    "check_chunk",
    "check_result",
    "failure_of",
    "log_of",
    "ready_of",
    "update_of",
]

SIMPLE_FORMS = frozenset((values.JSON, values.TEXT, values.BYTES))
"""What a RESULT's payload begins with that needs no look at the rest."""
CHUNK_FORMS = (values.JSON, values.BYTES)
READY_TYPES = {
    "language": str,
    "version": str,
    "functions": list,
    "options": dict,
    "files": list,
    "cacheable": dict,
    "fingerprint": str,
}


def check_result(payload: bytes) -> None:
    """Whether a RESULT's payload is in one of the four forms."""
    try:
        values.content_type_of(payload).encode("latin-1")
    except (IndexError, ValueError):
        raise frames.FrameError(f"no RESULT begins like this: {payload[:20]!r}") from None


def check_chunk(payload: bytes) -> None:
    """Whether a CHUNK's payload is JSON in one line, or bytes."""
    form = payload[:1]
    if form not in CHUNK_FORMS or (form == values.JSON and b"\n" in payload):
        raise frames.FrameError(f"this is no CHUNK: {payload[:20]!r}")


def object_of(payload: bytes) -> dict[str, Any]:
    """A payload that is a JSON object."""
    try:
        value = json.loads(payload)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise frames.FrameError(f"a JSON object was to come, not {payload[:20]!r}")
    return value


def failure_of(payload: bytes) -> dict[str, Any]:
    """What an ERROR that is about no call says of a config file that does not load."""
    failure = object_of(payload)
    texts = {name: str(failure.get(name) or "") for name in ("message", "stack")}
    return {**texts, "files": _strings(failure.get("files", []))}


def update_of(payload: bytes) -> dict[str, Any]:
    """What another READY says: which files have been read meanwhile."""
    return {"files": _strings(object_of(payload).get("files"))}


def _strings(value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise frames.FrameError(f"a list of strings was to come, not {str(value)[:200]}")
    return value


def log_of(payload: bytes) -> dict[str, str]:
    """A LOG's payload, its values as strings."""
    entry = object_of(payload)
    names = ("level", "message", "function", "requestId")
    return {name: str(entry.get(name) or "") for name in names}


def ready_of(payload: bytes) -> dict[str, Any]:
    """A READY's payload."""
    ready = object_of(payload)
    ready = {"cacheable": {}, "fingerprint": "", **ready}
    fits = all(isinstance(ready.get(name), cls) for name, cls in READY_TYPES.items())
    if not fits or not all(isinstance(age, int) for age in ready["cacheable"].values()):
        raise frames.FrameError(f"this is no READY: {payload[:200]!r}")
    return {**ready, "functions": _strings(ready["functions"]), "files": _strings(ready["files"])}
