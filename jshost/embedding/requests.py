"""What a request to an embedded host says, read as a served one reads it.

Runs in: programs that embed a host.

Requests are those that `JSHost` sends, though nothing is sent here: so that a `Function` need not
know what kind of host it calls.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import unquote

from jshost import wire
from jshost.response import FrozenHeaders

__all__ = ["Meta", "MetaReader", "function_name"]

FUNCTION_PREFIX = "/function/"
MAX_KNOWN = 256


class Meta(NamedTuple):
    """What the headers say."""

    timeout_s: float | None
    content_type: str | None
    """The body's, where it is not JSON."""
    request_id: str
    traceparent: str


class MetaReader:
    """Reads headers; those that calls share are read once."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Mapping[str, str], Meta]] = {}
        self._ids = (f"{prefix}{n:x}" for prefix in [f"{os.urandom(4).hex()}-"] for n in _numbers())

    def read(self, headers: Mapping[str, str]) -> Meta:
        known = self._known.get(id(headers))
        if known is not None and known[0] is headers:
            return known[1]
        lowered = {name.lower(): value for name, value in headers.items()}
        timeout = lowered.get("jshost-timeout")
        content_type = lowered.get("content-type")
        meta = Meta(
            float(timeout) if timeout is not None else None,
            None if content_type in (None, wire.JSON_TYPE) else content_type,
            lowered.get("x-request-id", ""),
            lowered.get("traceparent", ""),
        )
        if isinstance(headers, FrozenHeaders) and len(self._known) < MAX_KNOWN:
            self._known[id(headers)] = headers, meta
        return meta

    def next_id(self) -> str:
        """A request's id, where its caller gave none."""
        return next(self._ids)


def _numbers() -> itertools.count[int]:
    return itertools.count(1)


_names: dict[str, str] = {}


def function_name(target: str) -> str | None:
    """The function that a request's path names, or None: it names none."""
    path, _, _ = target.partition("?")
    name = _names.get(path)
    if name is None and path.startswith(FUNCTION_PREFIX):
        name = unquote(path[len(FUNCTION_PREFIX) :])
        if len(_names) < MAX_KNOWN:
            _names[path] = name
    return name
