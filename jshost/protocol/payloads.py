"""The payloads of frames: what they must hold, and what they say.

Runs in: host, programs that embed. A worker runs its users' code, which can write to any
descriptor. The checks here raise `frames.FrameError`; then the worker is not trusted any more.
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
"""How a RESULT's payload begins where the rest needs no check."""
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
    """Raises: FrameError: a RESULT's payload is in none of the four forms."""
    try:
        values.content_type_of(payload).encode("latin-1")
    except (IndexError, ValueError):
        raise frames.FrameError(f"not a RESULT: {payload[:20]!r}") from None


def check_chunk(payload: bytes) -> None:
    """Raises: FrameError: a CHUNK's payload is neither JSON in one line nor bytes."""
    form = payload[:1]
    if form not in CHUNK_FORMS or (form == values.JSON and b"\n" in payload):
        raise frames.FrameError(f"not a CHUNK: {payload[:20]!r}")


def object_of(payload: bytes) -> dict[str, Any]:
    """A payload that is a JSON object."""
    try:
        value = json.loads(payload)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise frames.FrameError(f"a JSON object was expected, not {payload[:20]!r}")
    return value


def failure_of(payload: bytes) -> dict[str, Any]:
    """An ERROR without a call: why the config file does not load."""
    failure = object_of(payload)
    texts = {name: str(failure.get(name) or "") for name in ("message", "stack")}
    return {**texts, "files": _strings(failure.get("files", []))}


def update_of(payload: bytes) -> dict[str, Any]:
    """A later READY: which files the worker has read by now."""
    return {"files": _strings(object_of(payload).get("files"))}


def _strings(value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise frames.FrameError(f"a list of strings was expected, not {str(value)[:200]}")
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
        raise frames.FrameError(f"not a READY: {payload[:200]!r}")
    return {**ready, "functions": _strings(ready["functions"]), "files": _strings(ready["files"])}
