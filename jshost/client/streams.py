"""Values that a function sends as it goes, for ``for`` and ``async for``. Runs in: callers."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any, Self

from jshost.client.call import NOT_GIVEN
from jshost.client.host import Answer
from jshost.exceptions import UnexpectedResponse
from jshost.protocol import values
from jshost.protocol.results import decode_result, decode_results

if TYPE_CHECKING:
    from jshost.client.call import Call
    from jshost.client.host import AnswerStream, AsyncAnswerStream, Chunk

__all__ = ["AsyncStream", "Stream"]


class _Values:
    """The values of a stream that have come, and have not been read."""

    _call: Call
    _waiting: deque[Any]
    _ending: Answer | None = None
    """What comes behind them."""
    _result: Any = NOT_GIVEN

    @property
    def result(self) -> Any:
        """What the function finally returned; None where it returned nothing.

        Raises:
            RuntimeError: the stream has not been read to its end.
        """
        if self._result is NOT_GIVEN:
            raise RuntimeError(
                f"{self._call.name}: the stream has no result yet; read it to its end first."
            )
        return self._result

    def _take(self, items: list[Chunk | Answer]) -> None:
        """Keep what has come. Raises: UnexpectedResponse: it cannot be read."""
        if isinstance(last := items[-1], Answer):
            self._ending = last
            del items[-1]
        try:
            types, contents = zip(*items, strict=True) if items else ((), ())
            if types.count(values.JSON_TYPE) == len(types):
                self._waiting.extend(decode_results(values.JSON_TYPE, contents))
            else:
                self._waiting.extend(map(decode_result, types, contents))
        except ValueError as error:
            raise UnexpectedResponse(
                f"{self._call.name}: the stream is not a jshost host's: {error}"
            ) from error


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
        self._call = call
        self._waiting = deque()
        self._source: AnswerStream | None = None
        if isinstance(source, Answer):
            answers = [source]
            del source  # its error would refer to itself, by way of this frame
            self._result = call.result_of(answers.pop())
        else:
            self._source = source

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        while not self._waiting:
            source, ending = self._source, self._ending
            if source is None:
                raise StopIteration
            try:
                if ending is None:
                    self._take(source.read())
                else:
                    self._result = self._call.ending_of(ending)
                    self._source = None
            except Exception as error:  # noqa: BLE001  raised again, as callers know it
                failure = self._call.failed(error)
                self.close()
                try:
                    if failure is error:
                        raise
                    raise failure from None
                finally:
                    del failure  # which would refer to itself, by way of this frame
        return self._waiting.popleft()

    def close(self) -> None:
        """Read no more; the function is cancelled."""
        self._waiting.clear()
        source, self._source = self._source, None
        if source is not None:
            source.close()
        self._call.left()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_source", None) is not None:
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
        self._call = call
        self._waiting = deque()
        self._begin: Callable[[], Awaitable[AsyncAnswerStream | Answer]] | None = begin
        self._source: AsyncAnswerStream | None = None

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        try:
            if self._begin is not None:
                await self._open(self._begin)
            while not self._waiting and self._source is not None:
                source, ending = self._source, self._ending
                if ending is None:
                    self._take(await source.read())
                else:
                    self._result = self._call.ending_of(ending)
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
        if not self._waiting:
            raise StopAsyncIteration
        return self._waiting.popleft()

    async def _open(self, begin: Callable[[], Awaitable[AsyncAnswerStream | Answer]]) -> None:
        self._begin = None
        source = await begin()
        if isinstance(source, Answer):
            answers = [source]
            del source  # as in `Stream`
            self._result = self._call.result_of(answers.pop())
        else:
            self._source = source

    async def aclose(self) -> None:
        """Read no more; the function is cancelled."""
        self._waiting.clear()
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
