"""How a request is answered, on a service without workers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from support.fake_service import (
    FakePool,
    FakeReloader,
    FakeResponder,
    FakeService,
    request_of,
)

from jshost.exceptions import FunctionError, FunctionNotFound, RemoteError, RequestError
from jshost.protocol.multipart import encode_runs
from jshost.server.app import App
from jshost.server.http.asgi import AsgiExchange
from jshost.server.http.exchanges import BatchExchange, CallExchange, StreamExchange
from jshost.server.http.request import IncomingRequest

TIMEOUT_S = 10


def in_loop(test: Callable[[], Any]) -> Callable[[], None]:
    """Run a test inside of a loop, which an `App` needs."""

    def run() -> None:
        async def main() -> None:
            async with asyncio.timeout(TIMEOUT_S):
                await test()

        asyncio.run(main())

    run.__name__ = test.__name__
    return run


class Host:
    """An app with the functions f, and c, which is cacheable for a minute."""

    def __init__(self, reloader: FakeReloader | None = None, token: str = "", **options: Any):
        self.pool = FakePool(c=60)
        self.service = FakeService.of(self.pool, "f", "c", **options)
        self.service.reloader = reloader
        self.app = App(self.service, "1.2.3", token)  # type: ignore[arg-type]
        self.responder = FakeResponder()

    def ask(self, request: IncomingRequest) -> Any:
        """The exchange for a request that is admitted."""
        self.app.admit(request)
        return self.app.begin(request, self.responder)

    def refusal(self, request: IncomingRequest) -> RemoteError:
        with pytest.raises(RemoteError) as caught:
            self.ask(request)
        return caught.value


@in_loop
async def test_a_call_goes_to_the_pool_of_its_function() -> None:
    host = Host()
    request = request_of(
        body=b'{"a": 1}', hashed=True, jshost_timeout=b"2", traceparent=b"00-1", x_request_id=b"me"
    )
    assert host.app.admit(request) == 10 * 1024**2
    assert isinstance(host.app.begin(request, host.responder), CallExchange)
    [call] = host.pool.begun
    assert (call.pending.name, call.body, call.content_type) == ("f", b'{"a": 1}', None)
    assert (call.pending.timeout_s, call.pending.request_id) == (2.0, "me")
    assert (call.stream, call.traceparent) == (False, "00-1")
    call.caller.on_result(b"j1")
    assert host.responder.results == [b"j1"]


@in_loop
async def test_each_call_has_an_id_of_its_own() -> None:
    host = Host()
    for _ in range(3):
        host.ask(request_of())
    assert len({call.pending.request_id for call in host.pool.begun}) == 3


@in_loop
async def test_a_head_that_was_admitted_is_recognized() -> None:
    host = Host()
    request = request_of(body=b"{}", hashed=True, content_length=b"2")
    lines = [b"POST " + request.head.target + b" HTTP/1.1"]
    lines += [b"%s: %s" % pair for pair in sorted(request.head.raw_headers, reverse=True)]
    lines.append(lines.pop(lines.index(b"content-length: 2")))  # as clients send it
    request.head.raw_headers.sort(key=lambda pair: lines.index(b"%s: %s" % pair))
    request.head_bytes = b"\r\n".join(lines)
    host.ask(request)
    data = request.head_bytes + b"\r\n\r\n{}"
    again = host.app.recognize(data)
    assert again is not None
    assert isinstance(host.app.begin(again, host.responder), CallExchange)
    assert [call.body for call in host.pool.begun] == [b"{}", b"{}"]
    host.app.use(host.service)  # type: ignore[arg-type]
    assert host.app.recognize(data) is None, "the options may differ"


@in_loop
async def test_what_is_refused_before_the_body() -> None:
    host = Host()
    error = host.refusal(request_of(target=b"/function/unknown"))
    assert isinstance(error, FunctionNotFound)
    error = host.refusal(request_of("GET"))
    assert isinstance(error, RequestError)
    assert (error.code, error.allow) == ("method_not_allowed", "POST")
    error = host.refusal(request_of("PUT", b"/function/c"))
    assert isinstance(error, RequestError)
    assert error.allow == "GET, HEAD, POST"
    assert host.refusal(request_of("GET", b"/batch")).code == "method_not_allowed"
    assert host.refusal(request_of(host=b"evil.example")).code == "host_not_allowed"
    assert Host(token="secret").refusal(request_of()).code == "unauthorized"
    assert host.pool.begun == []


@in_loop
async def test_what_is_refused_with_the_body() -> None:
    host = Host()
    for request, code in (
        (request_of(target=b"/function/f?hash=" + b"0" * 40, body=b"{}"), "wrong_hash"),
        (request_of(body=b"{}", content_type=b"text/csv"), "not_json"),
        (request_of(jshost_timeout=b"soon"), "bad_request"),
        (request_of("GET", b"/function/c?data=1&data=2"), "bad_request"),
        (request_of(target=b"/batch", body=b"{}"), "bad_request"),
    ):
        assert host.refusal(request).code == code
    assert host.pool.begun == []


@in_loop
async def test_a_stream_and_a_batch() -> None:
    host = Host()
    exchange = host.ask(request_of(accept=b"text/event-stream"))
    assert isinstance(exchange, StreamExchange)
    assert host.pool.begun[0].stream
    content_type, body = encode_runs([("f", "application/json", [b"{}", b"{}"])])
    batch = request_of(target=b"/batch", body=body, content_type=content_type.encode())
    assert isinstance(host.ask(batch), BatchExchange)
    assert len(host.pool.begun) == 3


@in_loop
async def test_a_cacheable_function_is_called_by_get() -> None:
    host = Host()
    host.ask(request_of("GET", b"/function/c?data=%7B%22a%22:1%7D"))
    [call] = host.pool.begun
    assert call.body == b'{"a":1}'
    call.caller.on_result(b"j1")
    [(status, headers, _)] = host.responder.responses
    assert status == 200
    again = request_of("GET", b"/function/c?data=%7B%22a%22:1%7D", if_none_match=headers[b"etag"])
    assert host.ask(again) is None
    assert host.responder.responses[1][0] == 304
    assert len(host.pool.begun) == 1
    assert host.app.metrics.statistics["c"].others == {"not_modified": 1}


@in_loop
async def test_a_preflight_is_answered_at_once() -> None:
    host = Host(allowed_origins=("https://a.example",))
    host.ask(request_of("OPTIONS", origin=b"https://a.example"))
    [(status, headers, body)] = host.responder.responses
    assert (status, body) == (204, b"")
    assert headers[b"access-control-allow-methods"] == b"GET, HEAD, POST"
    assert host.pool.begun == []


@in_loop
async def test_while_it_drains_calls_run_and_answers_are_the_last_ones() -> None:
    host = Host()
    host.app.draining = True
    request = request_of()
    host.ask(request)
    assert not request.keep_alive
    assert len(host.pool.begun) == 1


@in_loop
async def test_with_reload_a_call_waits_for_its_code() -> None:
    reloader = FakeReloader()
    host = Host(reloader)
    host.ask(request_of())
    assert host.pool.begun == []
    while not host.pool.begun:
        await asyncio.sleep(0)
    assert reloader.waits == 1
    host.service.registry.problem = "it does not load"
    host.ask(request_of())
    while not host.responder.errors:
        await asyncio.sleep(0)
    host.service.registry.problem = ""
    host.ask(request_of(target=b"/function/unknown"))
    while len(host.responder.errors) < 2:
        await asyncio.sleep(0)
    assert [error.code for error in host.responder.errors] == ["load_failed", "unknown_function"]
    assert (len(host.pool.begun), reloader.waits) == (1, 3)


@in_loop
async def test_a_call_that_is_abandoned_while_it_waits_never_runs() -> None:
    host = Host(FakeReloader())
    host.ask(request_of()).abandon()
    for _ in range(5):
        await asyncio.sleep(0)
    assert (host.pool.begun, host.responder.errors) == ([], [])


@in_loop
async def test_other_paths_are_pages() -> None:
    host = Host()
    assert host.app.admit(request_of("GET", b"/status")) == 64 * 1024
    assert isinstance(host.ask(request_of("GET", b"/status")), AsgiExchange)
    while not host.responder.responses:
        await asyncio.sleep(0)
    [(status, _, body)] = host.responder.responses
    assert status == 200
    assert b'"version":"1.2.3"' in body


@in_loop
async def test_errors_get_their_id_and_are_counted() -> None:
    host = Host()
    for _ in range(2):
        error = host.app.redact(host.refusal(request_of("GET")), "id-1")
        assert error.request_id == "id-1"
    assert host.app.metrics.refused == {"method_not_allowed": 2}
    host.app.count_refusal(408)
    assert host.app.metrics.refused["request_late"] == 1
    failed = FunctionError("the password is x", name="f")
    assert host.app.redact(failed, "id-2") is failed
    hidden = Host(expose_errors=False).app.redact(failed, "id-3")
    assert hidden.message == "internal error id-3"
