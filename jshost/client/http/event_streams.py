"""Responses of ``text/event-stream`` as the values that they carry. Runs in: callers."""

from __future__ import annotations

import base64
from collections import deque
from typing import TYPE_CHECKING

from jshost.client.host import Answer, Chunk
from jshost.client.http.served import Managed, envelope_of, error_of
from jshost.exceptions import ConnectionError, UnexpectedResponse
from jshost.protocol import values
from jshost.protocol.events import EventParser

if TYPE_CHECKING:
    from jshost.client.http.transport import AsyncOpenResponse, OpenResponse

__all__ = ["AsyncEventStream", "EventStream", "is_event_stream"]

EVENT_STREAM = "text/event-stream"


def is_event_stream(answer: OpenResponse | AsyncOpenResponse) -> bool:
    return answer.headers.get("content-type", "").startswith(EVENT_STREAM)


class _Events:
    """What has come of a stream of events, and has not been read."""

    def __init__(self, name: str, managed: Managed) -> None:
        self._name = name
        self._managed = managed
        self._parser = EventParser()
        self._waiting: deque[tuple[str, bytes]] = deque()

    def _take(self, data: bytes) -> None:
        if not data:
            raise ConnectionError(f"{self._name}: the stream ended before the function did.")
        self._waiting.extend(self._parser.feed(data))

    def _next(self) -> Chunk | Answer | None:
        """What the next event says; None: nothing that this version knows."""
        event, data = self._waiting.popleft()
        if event == "chunk":
            return values.JSON_TYPE, data
        try:
            return self._read_event(event, data)
        except ValueError as error:
            raise UnexpectedResponse(
                f"{self._name}: the stream is not a jshost host's: {error}"
            ) from error

    def _read_event(self, event: str, data: bytes) -> Chunk | Answer | None:
        match event:
            case "chunk-bytes":
                return values.BYTES_TYPE, base64.b64decode(data)
            case "result":
                return Answer(values.JSON_TYPE, data)
            case "result-bytes":
                return Answer(values.BYTES_TYPE, base64.b64decode(data))
            case "result-multipart":
                body = base64.b64decode(data)
                return Answer(values.content_type_of(values.MULTIPART + body), body)
            case "error":
                return Answer("", b"", error_of(self._name, envelope_of(data), self._managed))
        return None


class EventStream(_Events):
    """A stream of events for the thread that reads it; a `host.AnswerStream`."""

    def __init__(self, name: str, response: OpenResponse, managed: Managed) -> None:
        super().__init__(name, managed)
        self._response = response

    def read(self) -> Chunk | Answer:
        while True:
            while not self._waiting:
                self._take(self._response.read())
            item = self._next()
            if isinstance(item, Answer):
                self._end()
            if item is not None:
                return item

    def _end(self) -> None:
        """The connection can be kept, once the end of the response has come."""
        if self._response.read():
            self._response.close()

    def close(self) -> None:
        self._response.close()


class AsyncEventStream(_Events):
    """As `EventStream`, for the task that reads it."""

    def __init__(self, name: str, response: AsyncOpenResponse, managed: Managed) -> None:
        super().__init__(name, managed)
        self._response = response

    async def read(self) -> Chunk | Answer:
        while True:
            while not self._waiting:
                self._take(await self._response.read())
            item = self._next()
            if isinstance(item, Answer):
                await self._end()
            if item is not None:
                return item

    async def _end(self) -> None:
        if await self._response.read():
            await self._response.close()

    async def close(self) -> None:
        await self._response.close()
