"""Calls to a served host as HTTP requests, and its responses as answers. Runs in: callers."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from jshost.client.host import Answer, AnswerRun, BatchAnswer, BatchRequest, CallRequest
from jshost.client.http.http_request import FrozenHeaders, HttpRequest
from jshost.exceptions import (
    JSHostError,
    ProcessError,
    RemoteError,
    UnexpectedResponse,
    from_envelope,
    from_stranger,
)
from jshost.protocol import values

if TYPE_CHECKING:
    from jshost.client.response import Response
    from jshost.protocol.multipart import Run

__all__ = [
    "STREAMED_ANSWERS",
    "Managed",
    "envelope_of",
    "error_of",
    "read_answer",
    "read_batch_answer",
    "write_batch",
    "write_call",
]

HOST_ANSWERS_FIRST_S = 0.25
"""How much longer than the call's deadline we listen: the host's 504 says more than our clock."""
JSON_ANSWERS = "application/json, */*"
STREAMED_ANSWERS = "text/event-stream, application/json"
Managed = Mapping[str, Any] | None
BATCH_ANSWERS = "multipart/form-data, application/json"


# Requests


def write_call(call: CallRequest, accept: str = JSON_ANSWERS) -> HttpRequest:
    """The request that has a function called."""
    name, body, content_type, timeout_s, added = call
    headers: Mapping[str, str] = _known_headers(timeout_s, accept)
    if added or content_type != values.JSON_TYPE:
        headers = {**headers, "Content-Type": content_type, **added}
    return HttpRequest(
        "POST",
        _target(name) + values.body_hash(body),
        headers,
        body,
        None if timeout_s is None else timeout_s + HOST_ANSWERS_FIRST_S,
    )


def write_batch(batch: BatchRequest) -> HttpRequest:
    """The request that has many functions called."""
    from jshost.protocol.multipart import encode_runs

    content_type, body = encode_runs(batch.runs)
    headers = {**_known_headers(batch.timeout_s, BATCH_ANSWERS), "Content-Type": content_type}
    timeout_s = batch.timeout_s
    return HttpRequest(
        "POST",
        f"/batch?hash={values.body_hash(body)}",
        {**headers, **batch.headers},
        body,
        None if timeout_s is None else timeout_s + HOST_ANSWERS_FIRST_S,
    )


@functools.lru_cache(maxsize=1024)
def _target(name: str) -> str:
    return f"/function/{quote(name, safe='')}?hash="


@functools.lru_cache(maxsize=64)
def _known_headers(timeout_s: float | None, accept: str) -> FrozenHeaders:
    headers = FrozenHeaders({"Content-Type": values.JSON_TYPE, "Accept": accept})
    if timeout_s is not None:
        headers["JSHost-Timeout"] = repr(float(timeout_s))  # numpy's has a repr of its own
    return headers


# Answers


def read_answer(name: str, response: Response, managed: Managed) -> Answer:
    """What a response says of a call.

    Args:
        name: the function's.
        managed: what the manager said of the host, where it started it.
    """
    if response.status_code == 200:
        return Answer(response.content_type, response.content, None, response)
    return Answer("", b"", _refusal(name, response, managed), response)


def read_batch_answer(response: Response, managed: Managed) -> BatchAnswer:
    """What a response says of a batch."""
    from jshost.protocol.multipart import decode_runs

    if response.status_code != 200:
        return BatchAnswer([], _refusal("batch", response, managed), response)
    try:
        runs = [
            _read_run(run, managed) for run in decode_runs(response.content_type, response.content)
        ]
    except ValueError as error:
        problem = UnexpectedResponse(f"batch: the answer is not a jshost host's: {error}")
        problem.__cause__ = error
        return BatchAnswer([], problem, response)
    return BatchAnswer(runs, None, response)


def _read_run(run: Run, managed: Managed) -> AnswerRun:
    name, content_type, contents = run
    if name != "error":
        return AnswerRun(content_type, contents)
    return AnswerRun("", (), [error_of(None, envelope_of(data), managed) for data in contents])


def _refusal(name: str, response: Response, managed: Managed) -> JSHostError:
    try:
        envelope = envelope_of(response.content)
    except ValueError:
        envelope = {}
    if "code" not in envelope:
        return from_stranger(name, response.status_code, response.text)
    return error_of(name, envelope, managed)


def envelope_of(data: bytes) -> Mapping[str, object]:
    """The envelope that stands for an error. Raises: ValueError: it is none."""
    envelope = json.loads(data)
    if not isinstance(envelope, dict):
        raise ValueError(f"an error is an object, not {envelope!r}")
    return envelope


def error_of(name: str | None, envelope: Mapping[str, object], managed: Managed) -> RemoteError:
    """The error that an envelope stands for."""
    error = from_envelope(envelope, name=name)
    if managed is not None and isinstance(error, ProcessError):
        error.message += f"\nThe host's log: {managed['logfile']}"
    return error
