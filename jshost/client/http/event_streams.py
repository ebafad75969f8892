"""Responses of ``text/event-stream`` as the values that they carry. Runs in: callers."""

from __future__ import annotations

import base64
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
    """Reads what events say."""

    def __init__(self, name: str, managed: Managed) -> None:
        self._name = name
        self._managed = managed
        self._parser = EventParser()

    def _take(self, data: bytes) -> list[Chunk | Answer]:
        """What the events say that `data` completes; others than we know are passed over."""
        if not data:
            raise ConnectionError(f"{self._name}: the stream ended before the function did.")
        items: list[Chunk | Answer] = []
        try:
            for event, text in self._parser.feed(data):
                if event == "chunk":
                    items.append((values.JSON_TYPE, text))
                elif (item := self._read_event(event, text)) is not None:
                    items.append(item)
        except ValueError as error:
            raise UnexpectedResponse(
                f"{self._name}: the stream is not a jshost host's: {error}"
            ) from error
        return items

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

    def read(self) -> list[Chunk | Answer]:
        items: list[Chunk | Answer] = []
        while not items:
            items = self._take(self._response.read())
        if isinstance(items[-1], Answer) and self._response.read():
            self._response.close()  # else its end has come, and the connection is kept
        return items

    def close(self) -> None:
        self._response.close()


class AsyncEventStream(_Events):
    """As `EventStream`, for the task that reads it."""

    def __init__(self, name: str, response: AsyncOpenResponse, managed: Managed) -> None:
        super().__init__(name, managed)
        self._response = response

    async def read(self) -> list[Chunk | Answer]:
        items: list[Chunk | Answer] = []
        while not items:
            items = self._take(await self._response.read())
        if isinstance(items[-1], Answer) and await self._response.read():
            await self._response.close()
        return items

    async def close(self) -> None:
        await self._response.close()
