"""A request to a host, and its answer, however they travel. Runs in: callers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from jshost.client.host import DeadlinePassed
from jshost.client.response import Response

__all__ = [
    "DeadlinePassed",
    "FrozenHeaders",
    "Request",
    "Response",
]


class FrozenHeaders(dict[str, str]):
    """Headers that nobody changes any more, so that their bytes can be kept."""


class Request(NamedTuple):
    """A request to a host.

    Attributes:
        target: path and query, percent-escaped, beginning with "/".
        headers: by name; nobody changes them.
        timeout_s: seconds that all of it may take, or None.
    """

    method: str
    target: str
    headers: Mapping[str, str] = {}
    body: bytes = b""
    timeout_s: float | None = None
