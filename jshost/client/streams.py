"""Values that a function sends as it goes, for ``for`` and ``async for``. Runs in: callers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any, Self

from jshost.client.host import Answer
from jshost.exceptions import UnexpectedResponse
from jshost.protocol import values
from jshost.protocol.results import decode_json, decode_result

if TYPE_CHECKING:
    from jshost.client.call import Call
    from jshost.client.host import AnswerStream, AsyncAnswerStream, Chunk

__all__ = ["AsyncStream", "Stream"]

_END: Any = object()


class _Values:
    """What both kinds of stream do with what their hosts give them."""

    def __init__(self, call: Call) -> None:
        self._call = call
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
                f"{self._call.name}: the stream has no result yet; read it to its end first."
            )
        return self._result

    def _take(self, item: Chunk | Answer) -> Any:
        """A chunk's value, or `_END`. Raises: the function's error; UnexpectedResponse."""
        if isinstance(item, Answer):
            self._finish(self._call.ending_of(item))
            self._call.succeeded()
            return _END
        content_type, content = item
        try:
            if content_type == values.JSON_TYPE:
                return decode_json(content)
            return decode_result(content_type, content)
        except ValueError as error:
            raise UnexpectedResponse(
                f"{self._call.name}: the stream is not a jshost host's: {error}"
            ) from error

    def _finish(self, result: Any) -> None:
        self._has_result = True
        self._result = result


class Stream(_Values):
    """The values of one call, as they come.

    Leaving early, by `close`, the end of a ``with`` or because nothing refers to it any more, tells
    the function: its signal is aborted, its generator closed.

    Example:
        >>> with Function("tokens").stream(prompt="Hello") as stream:
        ...     for token in stream:
        ...         print(token, end="", flush=True)
        >>> stream.result
        {'tokens': 12}
    """

    def __init__(self, call: Call, source: AnswerStream | Answer) -> None:
        super().__init__(call)
        self._source: AnswerStream | None = None
        if isinstance(source, Answer):
            self._finish(call.result_of(source))
        else:
            self._source = source

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if self._source is not None:
            try:
                value = self._take(self._source.read())
            except Exception as error:  # noqa: BLE001  raised again, as callers know it
                failure = self._call.failed(error)
                self.close()
                try:
                    if failure is error:
                        raise
                    raise failure from None
                finally:
                    del failure  # which would refer to itself, by way of this frame
            if value is not _END:
                return value
            self._source = None
        raise StopIteration

    def close(self) -> None:
        """Read no more; the function is told."""
        source, self._source = self._source, None
        if source is not None:
            source.close()
        self._call.left()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_source"):
            self.close()


class AsyncStream(_Values):
    """As `Stream`, for ``async for``; the call is made when the first value is asked for.

    Example:
        >>> async for token in Function("tokens").astream(prompt="Hello"):
        ...     await websocket.send(token)
    """

    def __init__(
        self, call: Call, begin: Callable[[], Awaitable[AsyncAnswerStream | Answer]]
    ) -> None:
        super().__init__(call)
        self._begin: Callable[[], Awaitable[AsyncAnswerStream | Answer]] | None = begin
        self._source: AsyncAnswerStream | None = None

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        try:
            if self._begin is not None:
                await self._open(self._begin)
            if self._source is not None:
                value = self._take(await self._source.read())
                if value is not _END:
                    return value
                self._source = None
        except Exception as error:  # noqa: BLE001  raised again, as callers know it
            failure = self._call.failed(error)
            await self.aclose()
            try:
                if failure is error:
                    raise
                raise failure from None
            finally:
                del failure
        except BaseException as error:
            self._call.left(error)
            await self.aclose()
            raise
        raise StopAsyncIteration

    async def _open(self, begin: Callable[[], Awaitable[AsyncAnswerStream | Answer]]) -> None:
        self._begin = None
        source = await begin()
        if isinstance(source, Answer):
            self._finish(self._call.result_of(source))
        else:
            self._source = source

    async def aclose(self) -> None:
        """Read no more; the function is told."""
        self._begin = None
        source, self._source = self._source, None
        if source is not None:
            await source.close()
        self._call.left()

    def __del__(self) -> None:
        if hasattr(self, "_source"):
            self._call.left()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.aclose()
