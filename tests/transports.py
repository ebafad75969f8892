"""What the tests of both transports share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from jshost.transport import HttpxTransport, PlainTransport, Transport

__all__ = ["TIMEOUT_S", "Connect", "post", "to"]

TIMEOUT_S = 10.0

Connect = Callable[[str], Transport]


@pytest.fixture(params=[PlainTransport, HttpxTransport])
def to(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Connect]:
    """Make a transport to a root URL; closed at the test's end."""
    for name in ("HTTP_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    made: list[Any] = []

    def make(root_url: str) -> Transport:
        made.append(request.param(root_url))
        transport: Transport = made[-1]
        return transport

    yield make
    for transport in made:
        transport.close()


def post(transport: Transport, body: bytes = b"{}", timeout_s: float | None = TIMEOUT_S) -> bytes:
    return transport.request("POST", "/function/f", {}, body, timeout_s).content
