"""Which outcomes of a request let it be sent again."""

from __future__ import annotations

import json

import pytest

from jshost.client.http import retry
from jshost.client.http.retry import Next, Retry, next_step
from jshost.client.response import Response
from jshost.exceptions import ConnectionError


def answer(status: int, content: object) -> Response:
    return Response(status, {}, json.dumps(content).encode())


def failed(cause: OSError | None) -> ConnectionError:
    error = ConnectionError("no host")
    error.__cause__ = cause
    return error


LEAVING = answer(503, {"code": "draining"})


@pytest.mark.parametrize(
    ("outcome", "moves", "is_managed", "step"),
    [
        (answer(200, 1), True, True, Next.DELIVER),
        (LEAVING, True, True, Next.SEND_AGAIN),
        (LEAVING, True, False, Next.DELIVER),
        (answer(503, {"code": "queue_full"}), True, True, Next.DELIVER),
        (answer(503, ["draining"]), True, True, Next.DELIVER),
        (Response(503, {}, b"not JSON"), True, True, Next.DELIVER),
        (answer(500, {"code": "draining"}), True, True, Next.DELIVER),
        (failed(ConnectionRefusedError()), True, False, Next.SEND_AGAIN),
        (failed(FileNotFoundError()), True, False, Next.SEND_AGAIN),
        (failed(ConnectionRefusedError()), False, False, Next.DELIVER),
        (failed(BrokenPipeError()), True, False, Next.DELIVER_AND_FORGET),
        (failed(None), True, True, Next.DELIVER_AND_FORGET),
        (failed(BrokenPipeError()), False, False, Next.DELIVER),
    ],
)
def test_the_next_step(
    outcome: Response | ConnectionError, moves: bool, is_managed: bool, step: Next
) -> None:
    assert next_step(outcome, moves=moves, is_managed=is_managed) is step


def test_it_is_sent_again_for_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(retry.time, "monotonic", lambda: now)
    tries = Retry()
    refused = failed(ConnectionRefusedError())
    steps = []
    for now in (100.0, 100.5, 100.9, 101.0, 102.0):  # noqa: B007  the clock reads it
        steps.append(tries.next(refused, moves=True, is_managed=False))
    assert steps == [Next.SEND_AGAIN] * 3 + [Next.DELIVER] * 2
