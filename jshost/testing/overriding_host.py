"""A host without a process, that answers for one overridden function. Runs in: callers."""

from __future__ import annotations

import base64
import inspect
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any

from jshost.client.http.http1 import Response
from jshost.client.http.messages import Request
from jshost.exceptions import RemoteError
from jshost.host import JSHost
from jshost.protocol import values
from jshost.protocol.multipart import Part, decode_parts, encode_parts

__all__ = ["OverridingHost"]


class OverridingHost(JSHost):
    """A host without a process, that serves one overridden function."""

    def __init__(self, answer: Callable[[str, bytes], Any]) -> None:
        super().__init__(root_url="http://overridden.invalid")
        self._result = answer

    def request(self, request: Request) -> Response:
        return self._answer(request, _finished)

    async def arequest(self, request: Request) -> Response:
        import asyncio

        if not request.target.startswith("/batch?"):
            result = self._result  # an async callable runs on the caller's loop
            try:
                value = await _afinished(result(request.headers["Content-Type"], request.body))
            except RemoteError as error:
                return _failure(error)
            return _success(value)
        return await asyncio.to_thread(self.request, request)

    def _answer(self, request: Request, finished: Callable[[Any], Any]) -> Response:
        _, target, headers, body, _ = request
        content_type = headers["Content-Type"]
        if target.startswith("/batch?"):
            parts = [self._part(part, finished) for part in decode_parts(content_type, body)]
            answer_type, content = encode_parts(parts)
            return Response(200, {"content-type": answer_type}, content)
        try:
            return _success(finished(self._result(content_type, body)))
        except RemoteError as error:
            return _failure(error)

    def _part(self, call: Part, finished: Callable[[Any], Any]) -> Part:
        try:
            value = finished(self._result(call.content_type, call.data))
        except RemoteError as error:
            response = _failure(error)
            return Part("error", "application/json", response.content)
        response = _success(value)
        return Part("result", response.content_type, response.content)

    def stream(self, request: Request) -> Any:
        try:
            sent = self._result(request.headers["Content-Type"], request.body)
        except RemoteError as error:
            return _failure(error)
        if inspect.isasyncgen(sent) or inspect.isawaitable(sent):
            sent = _finished(sent)
        if isinstance(sent, list) or inspect.isgenerator(sent):
            return _Sent(iter(sent))
        return _success(sent)

    async def astream(self, request: Request) -> Any:
        try:
            sent = self._result(request.headers["Content-Type"], request.body)
            if inspect.isawaitable(sent):
                sent = await sent
        except RemoteError as error:
            return _failure(error)
        if isinstance(sent, list) or inspect.isgenerator(sent):
            sent = _as_async(iter(sent))
        return _AsyncSent(sent) if inspect.isasyncgen(sent) else _success(sent)


class _Sent:
    """What a generator sends, as an open response with events."""

    status_code = 200
    headers: Mapping[str, str] = {"content-type": "text/event-stream"}

    def __init__(self, sent: Iterator[Any]) -> None:
        self._values: Iterator[Any] | None = sent

    def read(self) -> bytes:
        if self._values is None:
            return b""
        try:
            return _event("chunk", next(self._values))
        except StopIteration as end:
            self._values = None
            return _event("result", end.value)
        except RemoteError as error:
            self._values = None
            return _error_event(error)

    def close(self) -> None:
        sent, self._values = self._values, None
        if inspect.isgenerator(sent):
            sent.close()


class _AsyncSent:
    """As `_Sent`, for a loop."""

    status_code = 200
    headers = _Sent.headers

    def __init__(self, sent: Any) -> None:
        self._values = sent

    async def read(self) -> bytes:
        if self._values is None:
            return b""
        try:
            return _event("chunk", await anext(self._values))
        except StopAsyncIteration:
            self._values = None
            return _event("result", None)
        except RemoteError as error:
            self._values = None
            return _error_event(error)

    async def close(self) -> None:
        sent, self._values = self._values, None
        if sent is not None:
            await sent.aclose()


def _event(kind: str, value: Any) -> bytes:
    form, data = values.encode_result(value, force_json=True, what=f"{kind} of an override")
    if form == values.BYTES:
        return b"event: %s-bytes\ndata: %s\n\n" % (kind.encode(), base64.b64encode(data))
    if form == values.MULTIPART and kind == "result":
        return b"event: result-multipart\ndata: %s\n\n" % base64.b64encode(data)
    if form == values.MULTIPART:
        raise TypeError("a streamed value may be bytes, but not hold bytes inside")
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), data)


def _error_event(error: RemoteError) -> bytes:
    return b"event: error\ndata: %s\n\n" % json.dumps(error.envelope()).encode()


async def _as_async(sent: Iterator[Any]) -> AsyncIterator[Any]:
    try:
        for value in sent:
            yield value
    finally:
        if inspect.isgenerator(sent):
            sent.close()


async def _afinished(value: Any) -> Any:
    """What a call without streaming gets: an awaited result, or the list of what was sent."""
    if inspect.isasyncgen(value):
        return [each async for each in value]
    if inspect.isawaitable(value):
        return await value
    return _collected(value) if inspect.isgenerator(value) else value


def _finished(value: Any) -> Any:
    if inspect.isasyncgen(value) or inspect.isawaitable(value):
        import asyncio
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(1) as thread:  # the caller's may have a loop that runs
            return thread.submit(asyncio.run, _afinished(value)).result()
    return _collected(value) if inspect.isgenerator(value) else value


def _collected(generator: Any) -> Any:
    """The generator's result where it has one, else the list of what it sent, as hosts have it."""
    sent = []
    while True:
        try:
            sent.append(next(generator))
        except StopIteration as end:
            return sent if end.value is None else end.value


def _success(value: Any) -> Response:
    form, data = values.encode_result(value)
    content_type = {
        values.TEXT: "text/plain; charset=utf-8",
        values.BYTES: "application/octet-stream",
        values.JSON: "application/json",
    }.get(form)
    if content_type is None:
        boundary = data[2 : data.index(b"\r\n")].decode()
        content_type = f"multipart/form-data; boundary={boundary}"
    return Response(200, {"content-type": content_type}, data)


def _failure(error: RemoteError) -> Response:
    body = json.dumps(error.envelope()).encode()
    return Response(error.status, {"content-type": "application/json"}, body)
