"""Results, streams and batches on their way from a pool to a connection."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support.fake_service import FakePool, FakeResponder

from jshost.exceptions import FunctionError
from jshost.pool.batch import Batch
from jshost.pool.registry import Route
from jshost.protocol.frames import FrameError
from jshost.server.http.exchanges import (
    CREDIT_BYTES,
    BatchExchange,
    CallExchange,
    StreamExchange,
)
from jshost.server.http.responses import LAST_CHUNK


class Turn:
    """What is to run in the next turn of the loop."""

    def __init__(self) -> None:
        self._soon: list[Callable[[], None]] = []

    def __call__(self, run: Callable[[], None]) -> None:
        self._soon.append(run)

    def run(self) -> None:
        soon, self._soon = self._soon, []
        for each in soon:
            each()


def call(responder: FakeResponder, pool: FakePool) -> CallExchange:
    exchange = CallExchange(responder, pool)  # type: ignore[arg-type]
    exchange.pending = pool.call("f", b"{}", None, "id-1", exchange)
    return exchange


def stream(
    responder: FakeResponder, pool: FakePool, turn: Turn, chunked: bool = True
) -> StreamExchange:
    exchange = StreamExchange(responder, pool, "id-1", chunked, turn)  # type: ignore[arg-type]
    exchange.pending = pool.call("f", b"{}", None, "id-1", exchange, None, True)
    return exchange


def test_a_call_has_one_answer() -> None:
    responder, error = FakeResponder(), FunctionError("no")
    call(responder, FakePool()).on_result(b"j1")
    call(responder, FakePool()).on_error(error)
    assert (responder.results, responder.errors) == ([b"j1"], [error])
    with pytest.raises(FrameError):
        call(responder, FakePool()).on_chunk(b"j1")


def test_a_call_that_is_abandoned_is_cancelled_once() -> None:
    pool, responder = FakePool(), FakeResponder()
    exchange = call(responder, pool)
    exchange.abandon()
    assert [pending.name for pending in pool.cancelled] == ["f"]
    answered = call(responder, pool)
    answered.on_result(b"j1")
    answered.abandon()
    assert len(pool.cancelled) == 1


def test_values_of_one_read_are_one_chunk() -> None:
    responder, turn = FakeResponder(), Turn()
    exchange = stream(responder, FakePool(), turn)
    exchange.on_chunk(b"j1")
    exchange.on_chunk(b"j2")
    assert responder.written == []
    turn.run()
    head, chunk = responder.written
    assert head.startswith(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream")
    assert chunk.count(b"event: chunk") == 2
    exchange.on_chunk(b"j3")
    exchange.on_result(b"j4")
    turn.run()
    assert responder.written[-1] == LAST_CHUNK
    assert b"event: result" in responder.written[-2]
    assert responder.finished == [200]


def test_an_old_client_gets_the_values_without_chunks() -> None:
    responder, turn = FakeResponder(), Turn()
    exchange = stream(responder, FakePool(), turn, chunked=False)
    exchange.on_result(b"j1")
    head, body = responder.written
    assert b"\r\nconnection: close\r\n" in head
    assert body.startswith(b"event: result")


def test_an_error_before_the_first_value_is_a_status() -> None:
    responder, turn = FakeResponder(), Turn()
    early, error = stream(responder, FakePool(), turn), FunctionError("no")
    early.on_error(error)
    assert (responder.errors, responder.written) == ([error], [])
    late = stream(responder, FakePool(), turn)
    late.on_chunk(b"j1")
    late.on_error(error)
    assert responder.errors == [error]
    assert b"event: error" in b"".join(responder.written)
    assert responder.finished == [200]


def test_the_worker_gets_credit_only_while_the_client_reads() -> None:
    responder, pool, turn = FakeResponder(), FakePool(), Turn()
    exchange = stream(responder, pool, turn)
    responder.is_full = True
    exchange.on_chunk(b"j" + b"1" * CREDIT_BYTES)
    turn.run()
    assert pool.credits == []
    responder.is_full = False
    exchange.resume()
    assert len(pool.credits) == 1
    assert pool.credits[0] > CREDIT_BYTES
    exchange.on_chunk(b"j1")
    turn.run()
    assert len(pool.credits) == 1, "a small value is not worth a frame"


def test_a_batch_is_one_response() -> None:
    responder, pool = FakeResponder(), FakePool()
    routes: dict[str, Any] = {"f": Route("f", pool, None)}  # type: ignore[arg-type]
    runs = [("f", "application/json", [b"{}", b"{}"])]
    BatchExchange(
        responder,
        "id-1",
        lambda tell: Batch(runs, routes.__getitem__, "id-1", None, "", tell),
    )
    first, second = pool.begun
    second.caller.on_result(b"j2")
    assert responder.responses == []
    first.caller.on_error(FunctionError("no", name="f"))
    [(status, headers, body)] = responder.responses
    assert status == 200
    assert headers[b"content-type"].startswith(b"multipart/form-data; boundary=")
    assert int(headers[b"content-length"]) == len(body)
    assert b"2" in body


def test_a_batch_that_is_abandoned_cancels_its_calls() -> None:
    responder, pool = FakeResponder(), FakePool()
    routes: dict[str, Any] = {"f": Route("f", pool, None)}  # type: ignore[arg-type]
    exchange = BatchExchange(
        responder,
        "id-1",
        lambda tell: Batch(
            [("f", "application/json", [b"{}"] * 3)], routes.__getitem__, "", None, "", tell
        ),
    )
    exchange.abandon()
    assert len(pool.cancelled) == 3
