"""Values that a function sends as it goes. Runs in: callers.

`Stream` and `AsyncStream` give the values of a ``text/event-stream`` to ``for`` and ``async for``.
"""

from __future__ import annotations

import base64
import json
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol, Self

from jshost.client.http.messages import Response
from jshost.client.http.transport import aread_whole, read_whole
from jshost.exceptions import ConnectionError, UnexpectedResponse
from jshost.protocol import results
from jshost.protocol.events import EventParser

if TYPE_CHECKING:
    from jshost.client.http.transport import AsyncOpenResponse, OpenResponse

__all__ = ["AsyncStream", "Stream"]

MEDIA_TYPE = "text/event-stream"


class Owner(Protocol):
    """The call that a stream belongs to."""

    name: str

    def result_of(self, response: Response) -> Any:
        """The value of an answer that is no stream; raises what it says."""

    def error_of(self, envelope: Mapping[str, Any]) -> Exception:
        """The exception that an error event stands for."""

    def succeeded(self) -> None:
        """The stream has been read to its end."""

    def left(self, error: BaseException | None = None) -> None:
        """Its reader has had enough, or was cancelled; after its end this means nothing."""

    def failed(self, error: Exception) -> Exception:
        """The stream is over; returns the exception that its reader gets for `error`."""


class _Values:
    """The values of a stream that have come, and have not been read."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._parser = EventParser()
        self._waiting: deque[Any] = deque()
        self._error: Exception | None = None
        self._is_over = False
        self._has_result = False
        self._result: Any = None

    @property
    def result(self) -> Any:
        """What the function finally returned; None where it returned nothing.

        Raises:
            RuntimeError: the stream has not been read to its end.
        """
        if not self._has_result:
            raise RuntimeError(
                f"{self._owner.name}: the stream has no result yet; read it to its end first."
            )
        return self._result

    def _take(self, data: bytes) -> None:
        if not data:
            raise ConnectionError(f"{self._owner.name}: the stream ended before the function did.")
        try:
            for event, value in self._parser.feed(data):
                self._take_event(event, value)
        except ValueError as error:
            raise UnexpectedResponse(
                f"{self._owner.name}: the stream is not a jshost host's: {error}"
            ) from error

    def _take_event(self, event: str, value: bytes) -> None:
        if event == "chunk":
            self._waiting.append(results.decode_json(value))
        elif event == "chunk-bytes":
            self._waiting.append(base64.b64decode(value))
        elif event == "result":
            self._finish(results.decode_json(value))
        elif event == "result-bytes":
            self._finish(base64.b64decode(value))
        elif event == "result-multipart":
            body = base64.b64decode(value)
            boundary = body[2 : body.index(b"\r\n")].decode()
            self._finish(results.decode_result(f"multipart/form-data; boundary={boundary}", body))
        elif event == "error":
            envelope = json.loads(value)
            if not isinstance(envelope, dict):
                raise ValueError(f"an error is an object, not {envelope!r}")
            self._is_over = True
            self._error = self._owner.error_of(envelope)

    def _finish(self, result: Any) -> None:
        self._is_over = self._has_result = True
        self._result = result

    def _end(self) -> Exception | None:
        """The stream is over: what is raised behind the last value, once, where it failed."""
        error, self._error = self._error, None
        if error is not None:
            return self._owner.failed(error)
        self._owner.succeeded()
        return None


class Stream(_Values):
    """The values of one call, as they come.

    Leaving early, by `close`, the end of a ``with`` or because nobody refers to it any more, tells
    the function: its signal is aborted, its generator closed.

    Example:
        >>> with Function("tokens").stream(prompt="Hello") as stream:
        ...     for token in stream:
        ...         print(token, end="", flush=True)
        >>> stream.result
        {'tokens': 12}
    """

    def __init__(self, owner: Owner, answer: OpenResponse | Response) -> None:
        super().__init__(owner)
        self._answer: OpenResponse | None = None
        if not isinstance(answer, Response) and is_event_stream(answer.headers):
            self._answer = answer
            return
        if not isinstance(answer, Response):
            answer = read_whole(answer)
        self._finish(owner.result_of(answer))

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        while not self._waiting:
            answer = self._answer
            if self._is_over or answer is None:
                self._leave(answer)
                raise self._end() or StopIteration
            try:
                self._take(answer.read())
            except Exception as error:  # noqa: BLE001  raised again, as callers know it
                failure = self._owner.failed(error)
                self.close()
                raise failure from None
        return self._waiting.popleft()

    def close(self) -> None:
        """Read no more; the function is told."""
        self._is_over = True
        self._waiting.clear()
        answer, self._answer = self._answer, None
        if answer is not None:
            answer.close()
        self._owner.left()

    def _leave(self, answer: OpenResponse | None) -> None:
        """All was read: the connection can be kept, once the end of the response has come."""
        self._answer = None
        if answer is not None and answer.read():
            answer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_answer"):
            self.close()


class AsyncStream(_Values):
    """As `Stream`, for ``async for``; the call is made when the first value is asked for.

    Example:
        >>> async for token in Function("tokens").astream(prompt="Hello"):
        ...     await websocket.send(token)
    """

    def __init__(
        self, owner: Owner, begin: Callable[[], Awaitable[AsyncOpenResponse | Response]]
    ) -> None:
        super().__init__(owner)
        self._begin: Callable[[], Awaitable[AsyncOpenResponse | Response]] | None = begin
        self._answer: AsyncOpenResponse | None = None

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        while not self._waiting:
            try:
                if self._begin is not None:
                    await self._open()
                answer = self._answer
                if self._is_over or answer is None:
                    await self._leave(answer)
                    break
                self._take(await answer.read())
            except Exception as error:  # noqa: BLE001  raised again, as callers know it
                failure = self._owner.failed(error)
                await self.aclose()
                raise failure from None
            except BaseException as error:
                self._owner.left(error)
                await self.aclose()
                raise
        else:
            return self._waiting.popleft()
        raise self._end() or StopAsyncIteration

    async def _open(self) -> None:
        assert self._begin is not None
        begin, self._begin = self._begin, None
        answer = await begin()
        if not isinstance(answer, Response) and is_event_stream(answer.headers):
            self._answer = answer
            return
        if not isinstance(answer, Response):
            answer = await aread_whole(answer)
        self._finish(self._owner.result_of(answer))

    async def aclose(self) -> None:
        """Read no more; the function is told."""
        self._is_over = True
        self._waiting.clear()
        self._begin = None
        answer, self._answer = self._answer, None
        if answer is not None:
            await answer.close()
        self._owner.left()

    async def _leave(self, answer: AsyncOpenResponse | None) -> None:
        self._answer = None
        if answer is not None and await answer.read():
            await answer.close()

    def __del__(self) -> None:
        if hasattr(self, "_answer"):
            self._owner.left()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.aclose()


def is_event_stream(headers: Mapping[str, str]) -> bool:
    return headers.get("content-type", "").startswith(MEDIA_TYPE)
