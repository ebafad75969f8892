"""Answers of hosts as HTTP shows them, and the choice of the default host."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from support.fake_host import FakeHost

from jshost.client.host import (
    Answer,
    AnswerRun,
    BatchAnswer,
    choose_default_host,
    default_host,
)
from jshost.client.response import Response
from jshost.exceptions import RemoteError, from_envelope
from jshost.function import Function, _host_of_the_settings
from jshost.protocol.multipart import decode_parts


def test_a_result_as_a_response() -> None:
    response = Answer("text/plain; charset=utf-8", "Größe".encode()).response()
    assert (response.status_code, response.text) == (200, "Größe")
    assert response.headers == {"content-type": "text/plain; charset=utf-8"}


@pytest.mark.parametrize(
    ("code", "status", "retry_after"),
    [("function_failed", 500, None), ("timeout", 504, None), ("queue_full", 503, "1")],
)
def test_an_error_as_a_response(code: str, status: int, retry_after: str | None) -> None:
    response = Answer.of_error(from_envelope({"code": code, "message": "no"})).response()
    assert response.status_code == status
    assert response.headers["content-type"] == "application/json"
    assert response.headers.get("retry-after") == retry_after
    assert {"code": code, "message": "no"}.items() <= response.json().items()


def test_an_answer_keeps_the_response_that_it_came_in() -> None:
    response = Response(200, {"x-request-id": "7-1"}, b"1")
    answer = Answer("application/json", b"1", None, response)
    assert answer.response() is response


def test_a_batch_as_a_response() -> None:
    runs = [
        AnswerRun("application/json", [b"1", b"2"]),
        AnswerRun("", (), [from_envelope({"code": "arguments", "message": "no"})]),
    ]
    response = BatchAnswer(runs).response()
    parts = decode_parts(response.content_type, response.content)
    assert [part.name for part in parts] == ["result", "result", "error"]
    assert [part.data for part in parts[:2]] == [b"1", b"2"]
    assert json.loads(parts[2].data)["code"] == "arguments"


def test_an_error_that_is_a_value_has_no_traceback() -> None:
    try:
        raise from_envelope({"code": "arguments"})
    except RemoteError as error:
        answer = Answer.of_error(error)
    assert answer.error is not None
    assert answer.error.__traceback__ is None


@pytest.fixture
def chosen() -> Iterator[FakeHost]:
    host = FakeHost(b"7")
    choose_default_host(lambda: host)
    yield host
    choose_default_host(_host_of_the_settings)


def test_functions_without_a_host_call_the_chosen_one(chosen: FakeHost) -> None:
    assert Function("f").call() == 7
    assert default_host() is chosen
