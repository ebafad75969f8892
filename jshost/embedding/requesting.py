"""Handing calls to pools, and waiting for answers. Runs in: programs that embed a host."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from jshost.client.host import Answer, AnswerRun, BatchAnswer
from jshost.embedding.answers import (
    KNOWN_TYPES,
    AsyncCallWaiter,
    AsyncReader,
    AsyncStreamWaiter,
    CallWaiter,
    StreamWaiter,
)
from jshost.embedding.reactor import Waiter
from jshost.embedding.requests import ids_in, request_ids
from jshost.embedding.runtime import Runtime
from jshost.exceptions import RemoteError, from_envelope
from jshost.pool.batch import Batch
from jshost.protocol import values

if TYPE_CHECKING:
    from jshost.client.host import AnswerStream, AsyncAnswerStream, BatchRequest, CallRequest
    from jshost.pool.registry import Route

__all__ = ["RequestTaker"]


class RequestTaker:
    """The calling side of `EmbeddedHost`."""

    def __init__(self) -> None:
        self._runtime: Runtime | None = None
        """The workers of this process, once there are any."""
        self._ids = request_ids()

    def _loaded(self) -> Runtime:
        """The workers, once they have loaded. Raises: ConfigError: they do not."""
        raise NotImplementedError

    async def _aloaded(self) -> Runtime:
        raise NotImplementedError

    def call(self, request: CallRequest) -> Answer:
        """Have a function called; an error is an answer, too."""
        runtime = self._runtime
        if runtime is None or not runtime.is_loaded:
            runtime = self._loaded()
        reactor = runtime.reactor
        answer: CallWaiter | None = None
        try:
            with reactor.lock:
                reactor.refresh()
                route = runtime.pools.route(request.name)
                answer = CallWaiter(runtime, route.pool)
                self._begin(runtime, route, request, answer)
                reactor.enter(answer)
                reactor.settle()
            reactor.released()
            reactor.wait(answer)
        except RemoteError as error:
            reactor.released()
            return Answer.of_error(error)
        except BaseException:  # whatever interrupts it cancels the call
            if answer is not None:
                answer.leave()
            raise
        return answer.answer()

    async def acall(self, request: CallRequest) -> Answer:
        """As `call`, from any asyncio loop."""
        runtime = self._runtime
        if runtime is None or not runtime.is_loaded:
            runtime = await self._aloaded()
        watch = runtime.watch()
        try:
            with runtime.reactor.lock:
                runtime.reactor.refresh()
                route = runtime.pools.route(request.name)
                answer = AsyncCallWaiter(runtime, route.pool, watch)
                self._begin(runtime, route, request, answer)
                watch.settle_soon()
        except RemoteError as error:
            return Answer.of_error(error)
        await answer.arrive()
        return answer.answer()

    def batch(self, request: BatchRequest) -> BatchAnswer:
        """Have the calls of a batch made."""
        runtime = self._loaded()
        waiter, reactor = Waiter(), runtime.reactor
        calls = self._batch(runtime, request, lambda: reactor.done(waiter))

        def begin() -> None:
            reactor.refresh()
            calls.start()

        try:
            reactor.wait_after(waiter, begin)
        except BaseException:
            runtime.cancel_batch(calls)
            raise
        return _answered(runtime, calls)

    async def abatch(self, request: BatchRequest) -> BatchAnswer:
        """As `batch`, from any asyncio loop."""
        runtime = await self._aloaded()
        watch = runtime.watch()
        future = watch.loop.create_future()
        calls = self._batch(runtime, request, lambda: watch.set_result(future))
        try:
            with runtime.reactor as reactor:
                reactor.refresh()
                calls.start()
            await future
        except BaseException:
            runtime.cancel_batch(calls)
            raise
        return _answered(runtime, calls)

    def _batch(self, runtime: Runtime, batch: BatchRequest, tell: Callable[[], None]) -> Batch:
        request_id, traceparent = ids_in(batch.headers)
        request_id = request_id or next(self._ids)
        return Batch(
            batch.runs, runtime.pools.route, request_id, batch.timeout_s, traceparent, tell
        )

    def _begin(
        self,
        runtime: Runtime,
        route: Route,
        request: CallRequest,
        answer: CallWaiter | StreamWaiter | AsyncStreamWaiter,
        stream: bool = False,
    ) -> None:
        """Under the lock: hand a call to its pool. Raises: RemoteError: it is refused."""
        halted = runtime.pools.halted
        if halted:
            raise from_envelope({"code": "worker_died", "message": halted}, name=route.name)
        name, body, content_type, timeout_s, headers = request
        request_id, traceparent = ids_in(headers) if headers else ("", "")
        answer.pending = route.pool.call(
            name,
            body,
            route.limit_s(timeout_s),
            request_id or next(self._ids),
            answer,
            None if content_type == values.JSON_TYPE else content_type,
            stream,
            traceparent,
        )

    def stream(self, request: CallRequest) -> AnswerStream | Answer:
        runtime = self._loaded()
        try:
            with runtime.reactor.lock:
                runtime.reactor.refresh()
                route = runtime.pools.route(request.name)
                answer = StreamWaiter(runtime, route.pool)
                self._begin(runtime, route, request, answer, stream=True)
                runtime.reactor.settle()
        except RemoteError as error:
            return Answer.of_error(error)
        answer.wait()
        return answer.refusal() or answer

    async def astream(self, request: CallRequest) -> AsyncAnswerStream | Answer:
        runtime = await self._aloaded()
        watch = runtime.watch()
        try:
            with runtime.reactor as reactor:
                reactor.refresh()
                route = runtime.pools.route(request.name)
                answer = AsyncStreamWaiter(runtime, route.pool, watch)
                self._begin(runtime, route, request, answer, stream=True)
        except RemoteError as error:
            return Answer.of_error(error)
        reader = AsyncReader(answer)
        await answer.arrive()
        return answer.refusal() or reader


def _answered(runtime: Runtime, batch: Batch) -> BatchAnswer:
    """The answers of a batch, with what is alike in runs."""
    runs: list[AnswerRun] = []
    last = ""
    contents: list[bytes] = []
    errors: list[RemoteError] = []
    for answer in batch.answers:
        if isinstance(answer, bytes):
            kind = KNOWN_TYPES.get(answer[:1]) or values.content_type_of(answer)
            if kind != last:
                last, contents = kind, []
                runs.append(AnswerRun(kind, contents))
            contents.append(answer[1:])
        else:
            if last or not errors:
                last, errors = "", []
                runs.append(AnswerRun("", (), errors))
            errors.append(answer.with_traceback(None))
    if errors:
        runtime.care()
    return BatchAnswer(runs)
