"""A request to a host, however it travels. Runs in: callers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

__all__ = ["FrozenHeaders", "HttpRequest"]


class FrozenHeaders(dict[str, str]):
    """Headers that do not change any more, so that their bytes can be kept."""


class HttpRequest(NamedTuple):
    """A request to a host.

    Attributes:
        target: path and query, percent-escaped, beginning with "/".
        headers: by name; they do not change.
        timeout_s: seconds that all of it may take, or None.
    """

    method: str
    target: str
    headers: Mapping[str, str] = {}
    body: bytes = b""
    timeout_s: float | None = None
