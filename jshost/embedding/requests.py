"""What a request to an embedded host says, read as a served one reads it.

Runs in: programs that embed a host.

Streams and batches are asked for by the requests that `JSHost` sends, though nothing is sent here:
so that what makes them need not know what kind of host it calls.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Mapping
from urllib.parse import unquote

from jshost.exceptions import from_envelope
from jshost.protocol import values
from jshost.protocol.multipart import decode_runs

__all__ = ["RequestedBatch", "RequestedCall", "function_name", "ids_in", "request_ids"]

FUNCTION_PREFIX = "/function/"


class RequestedCall:
    """A request as the call that it is; a `function_calls.PreparedCall`.

    Attributes:
        name: the function's; "" where the request names none.
        body, content_type: the arguments.
        timeout_s: how long it may take, or None.
        headers: all of them, by lower-case names.
    """

    def __init__(self, target: str, headers: Mapping[str, str], body: bytes) -> None:
        self.name = function_name(target) or ""
        self.body = body
        self.headers = {name.lower(): value for name, value in headers.items()}
        self.content_type = self.headers.get("content-type", values.JSON_TYPE)
        timeout = self.headers.get("jshost-timeout")
        self.timeout_s = float(timeout) if timeout is not None else None


class RequestedBatch:
    """A request as the batch that it is; a `function_calls.PreparedBatch`.

    Raises:
        RequestError: the body is not multipart/form-data.
    """

    def __init__(self, headers: Mapping[str, str], body: bytes) -> None:
        request = RequestedCall("", headers, body)
        self.headers = request.headers
        self.timeout_s = request.timeout_s
        try:
            self.runs = decode_runs(request.content_type, body)
        except ValueError as error:
            message = f"A batch is multipart/form-data, one part for each call: {error}"
            raise from_envelope({"code": "bad_request", "message": message}) from error


def function_name(target: str) -> str | None:
    """The function that a request's path names, or None: it names none."""
    path, _, _ = target.partition("?")
    if not path.startswith(FUNCTION_PREFIX):
        return None
    return unquote(path[len(FUNCTION_PREFIX) :])


def ids_in(headers: Mapping[str, str]) -> tuple[str, str]:
    """The request's id, and the caller's trace context; "" where there is none."""
    lowered = {name.lower(): value for name, value in headers.items()}
    return lowered.get("x-request-id", ""), lowered.get("traceparent", "")


def request_ids() -> Iterator[str]:
    """Ids for requests whose caller gave none."""
    written = f"{os.urandom(4).hex()}-{{:x}}".format
    return map(written, itertools.count(1))  # a generator is for one thread at a time
