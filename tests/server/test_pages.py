"""The pages of a host, through the exchange that answers with them."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import Any

import pytest
from support.fake_service import FakeResponder, request_of

from jshost.server.http.asgi import AsgiExchange
from jshost.server.pages import Pages, Readiness


class Owner:
    """A host with something to show."""

    def __init__(self) -> None:
        self.readiness = Readiness.READY
        self.refused: Counter[str] = Counter()

    def status(self) -> dict[str, Any]:
        return {"type": "Host"}

    async def metrics_text(self) -> tuple[bytes, str]:
        return b"jshost_calls_total 1\n", "text/plain; version=1.0.0"

    def count_refused(self, code: str) -> None:
        self.refused[code] += 1


def get(
    target: bytes, owner: Owner, method: str = "GET", **headers: bytes
) -> tuple[int, dict[bytes, bytes], bytes]:
    async def main() -> tuple[int, dict[bytes, bytes], bytes]:
        responder, request = FakeResponder(), request_of(method, target, **headers)
        request.request_id = "id-1"
        AsgiExchange(Pages(owner).application, request, responder)
        async with asyncio.timeout(10):
            while not responder.responses:
                await asyncio.sleep(0)
        [answer] = responder.responses
        return answer

    return asyncio.run(main())


def test_the_status() -> None:
    status, headers, body = get(b"/status", Owner())
    assert (status, json.loads(body)) == (200, {"type": "Host"})
    assert headers[b"cache-control"] == b"no-store"
    assert headers[b"x-request-id"] == b"id-1"
    assert headers[b"x-content-type-options"] == b"nosniff"


@pytest.mark.parametrize("readiness", Readiness)
def test_whether_it_takes_calls(readiness: Readiness) -> None:
    owner = Owner()
    owner.readiness = readiness
    status, headers, body = get(b"/ready", owner)
    assert body.decode() == f"{readiness.value}\n"
    assert status == (200 if readiness is Readiness.READY else 503)
    assert (b"retry-after" in headers) == (status == 503)
    assert get(b"/health", owner)[0] == 200, "it is alive all the same"


def test_metrics_have_one_spelling() -> None:
    """Proxies block the page by its path."""
    status, headers, body = get(b"/metrics", Owner())
    assert (status, body) == (200, b"jshost_calls_total 1\n")
    assert headers[b"content-type"] == b"text/plain; version=1.0.0"
    assert get(b"/%6detrics", Owner())[0] == 404


def test_other_paths_and_methods() -> None:
    owner = Owner()
    status, _, body = get(b"/nowhere", owner)
    assert (status, body.startswith(b"Not found. There are ")) == (404, True)
    status, headers, body = get(b"/status", owner, "DELETE", accept=b"application/json")
    assert (status, headers[b"allow"]) == (405, b"GET, HEAD")
    assert json.loads(body)["code"] == "method_not_allowed"
    assert owner.refused == {"not_found": 1, "method_not_allowed": 1}


def test_a_page_that_fails_is_an_error() -> None:
    async def fail(*_: object) -> None:
        raise RuntimeError("no")

    async def main() -> FakeResponder:
        responder = FakeResponder()
        AsgiExchange(fail, request_of("GET", b"/status"), responder)
        while not responder.errors:
            await asyncio.sleep(0)
        return responder

    assert "a bug in the host: no" in str(asyncio.run(main()).errors[0])
