"""A host without a process, that answers for one overridden function. Runs in: callers."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import Any

from jshost.client.host import (
    Answer,
    AnswerRun,
    BatchAnswer,
    BatchRequest,
    CallRequest,
    Chunk,
)
from jshost.exceptions import RemoteError, from_envelope
from jshost.protocol import values

__all__ = ["OverridingHost"]

STREAM_RESULT = "result of an override"


class OverridingHost:
    """A host without a process, that serves one overridden function.

    Args:
        result: gives the result for a call's content type and body, or what stands for it: an
            awaitable, a generator.
    """

    def __init__(self, result: Callable[[str, bytes], Any]) -> None:
        self._result = result

    def __repr__(self) -> str:
        return "<OverridingHost>"

    def call(self, request: CallRequest) -> Answer:
        try:
            return _success(_finished(self._result(request.content_type, request.body)))
        except RemoteError as error:
            return _failure(error)

    async def acall(self, request: CallRequest) -> Answer:
        try:  # an async callable runs on the caller's loop
            return _success(await _afinished(self._result(request.content_type, request.body)))
        except RemoteError as error:
            return _failure(error)

    def batch(self, request: BatchRequest) -> BatchAnswer:
        runs = []
        for name, content_type, bodies in request.runs:
            for body in bodies:
                answer = self.call(CallRequest(name, body, content_type))
                if isinstance(answer.error, RemoteError):
                    runs.append(AnswerRun("", (), (answer.error,)))
                else:
                    runs.append(AnswerRun(answer.content_type, (answer.content,)))
        return BatchAnswer(runs)

    async def abatch(self, request: BatchRequest) -> BatchAnswer:
        import asyncio

        return await asyncio.to_thread(self.batch, request)

    def stream(self, request: CallRequest) -> _Sent | Answer:
        try:
            sent = self._result(request.content_type, request.body)
        except RemoteError as error:
            return _failure(error)
        if inspect.isasyncgen(sent) or inspect.isawaitable(sent):
            sent = _finished(sent)
        if isinstance(sent, list) or inspect.isgenerator(sent):
            return _Sent(iter(sent))
        return _success(sent)

    async def astream(self, request: CallRequest) -> _AsyncSent | Answer:
        try:
            sent = self._result(request.content_type, request.body)
            if inspect.isawaitable(sent):
                sent = await sent
        except RemoteError as error:
            return _failure(error)
        if isinstance(sent, list) or inspect.isgenerator(sent):
            return _AsyncSent(_as_async(iter(sent)))
        return _AsyncSent(sent) if inspect.isasyncgen(sent) else _success(sent)


class _Sent:
    """What a generator sends; a `host.AnswerStream`."""

    def __init__(self, sent: Iterator[Any]) -> None:
        self._values = sent

    def read(self) -> list[Chunk | Answer]:
        try:
            return [_chunk(next(self._values))]
        except StopIteration as end:
            return [_success(end.value, STREAM_RESULT)]
        except RemoteError as error:
            return [_failure(error)]

    def close(self) -> None:
        if inspect.isgenerator(self._values):
            self._values.close()


class _AsyncSent:
    """As `_Sent`, for a loop."""

    def __init__(self, sent: Any) -> None:
        self._values = sent

    async def read(self) -> list[Chunk | Answer]:
        try:
            return [_chunk(await anext(self._values))]
        except StopAsyncIteration:
            return [_success(None, STREAM_RESULT)]
        except RemoteError as error:
            return [_failure(error)]

    async def close(self) -> None:
        await self._values.aclose()


def _chunk(value: Any) -> Chunk:
    form, data = values.encode_result(value, force_json=True, what="chunk of an override")
    if form == values.MULTIPART:
        raise TypeError("a streamed value may be bytes, but not hold bytes inside")
    return values.content_type_of(form), data


async def _as_async(sent: Iterator[Any]) -> AsyncGenerator[Any, None]:
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


def _success(value: Any, what: str = "result") -> Answer:
    form, data = values.encode_result(value, what=what)
    return Answer(values.content_type_of(form + data), data)


def _failure(error: RemoteError) -> Answer:
    """An error of its own for each call, as hosts give it: the test may raise one many times."""
    return Answer.of_error(from_envelope(error.envelope()))
