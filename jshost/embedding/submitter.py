"""Submits calls to pools, and waits for their answers. Runs in: programs that embed a host."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from jshost.client.host import Answer, AnswerRun, BatchAnswer
from jshost.embedding.engine import Engine
from jshost.embedding.reactor import Waiter
from jshost.embedding.request_ids import ids_in, request_ids
from jshost.embedding.waiters import (
    KNOWN_TYPES,
    AsyncCallWaiter,
    AsyncReader,
    AsyncStreamWaiter,
    CallWaiter,
    StreamWaiter,
)
from jshost.exceptions import RemoteError, from_envelope
from jshost.pool.batch import Batch
from jshost.protocol import values

if TYPE_CHECKING:
    from jshost.client.host import AnswerStream, AsyncAnswerStream, BatchRequest, CallRequest
    from jshost.pool.registry import Route

__all__ = ["Submitter"]


class Submitter:
    """Submits calls to an engine's workers; its methods are those of `jshost.client.host.Host`.

    `call` and `acall` are twins, as are `stream` and `astream`: they share `_begin`, and a common
    flow around it would cost a tiny call two Python calls of 44.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._ids = request_ids()

    def call(self, request: CallRequest) -> Answer:
        """Have a function called; an error is an answer, too."""
        engine = self.engine
        reactor = engine.reactor
        answer: CallWaiter | None = None
        try:
            with reactor.lock:
                reactor.refresh()
                registry, name = engine.registry, request.name
                route = registry.routes.get(name) or registry.route(name)
                answer = CallWaiter(engine, route.pool)
                self._begin(route, request, answer)
                reactor.enter(answer)
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
        engine = self.engine
        watch = engine.watch()
        try:
            with engine.reactor.lock:
                engine.reactor.refresh()
                registry, name = engine.registry, request.name
                route = registry.routes.get(name) or registry.route(name)
                answer = AsyncCallWaiter(engine, route.pool, watch)
                self._begin(route, request, answer)
                watch.settle_soon()
        except RemoteError as error:
            return Answer.of_error(error)
        await answer.arrive()
        return answer.answer()

    def batch(self, request: BatchRequest) -> BatchAnswer:
        """Have the calls of a batch made."""
        engine = self.engine
        waiter, reactor = Waiter(), engine.reactor
        calls = self._batch(request, lambda: reactor.done(waiter))

        def begin() -> None:
            reactor.refresh()
            calls.start()

        try:
            reactor.wait_after(waiter, begin)
        except BaseException:
            engine.cancel_batch(calls)
            raise
        return _answered(engine, calls)

    async def abatch(self, request: BatchRequest) -> BatchAnswer:
        """As `batch`, from any asyncio loop."""
        engine = self.engine
        watch = engine.watch()
        future = watch.loop.create_future()
        calls = self._batch(request, lambda: watch.set_result(future))
        try:
            with engine.reactor as reactor:
                reactor.refresh()
                calls.start()
            await future
        except BaseException:
            engine.cancel_batch(calls)
            raise
        return _answered(engine, calls)

    def _batch(self, batch: BatchRequest, tell: Callable[[], None]) -> Batch:
        request_id, traceparent = ids_in(batch.headers)
        request_id = request_id or next(self._ids)
        return Batch(
            batch.runs, self.engine.registry.route, request_id, batch.timeout_s, traceparent, tell
        )

    def _begin(
        self,
        route: Route,
        request: CallRequest,
        answer: CallWaiter | StreamWaiter | AsyncStreamWaiter,
        stream: bool = False,
    ) -> None:
        """Under the lock: hand a call to its pool. Raises: RemoteError: it is refused."""
        halted = self.engine.registry.halted
        if halted:
            raise from_envelope({"code": "worker_died", "message": halted}, name=route.name)
        name, body, content_type, timeout_s, headers = request
        request_id, traceparent = ids_in(headers) if headers else ("", "")
        answer.pending = route.pool.call(
            name,
            body,
            timeout_s if route.timeout_s is None else route.limit_s(timeout_s),
            request_id or next(self._ids),
            answer,
            None if content_type == values.JSON_TYPE else content_type,
            stream,
            traceparent,
        )

    def stream(self, request: CallRequest) -> AnswerStream | Answer:
        """Have a function called that streams, and wait for the first that it sends."""
        engine = self.engine
        reactor = engine.reactor
        answer: StreamWaiter | None = None
        try:
            with reactor.lock:
                reactor.refresh()
                registry, name = engine.registry, request.name
                route = registry.routes.get(name) or registry.route(name)
                answer = StreamWaiter(engine, route.pool, reactor.done)
                self._begin(route, request, answer, stream=True)
                reactor.enter(answer)
            reactor.wait(answer)
        except RemoteError as error:
            reactor.released()
            return Answer.of_error(error)
        except BaseException:  # whatever interrupts it cancels the call
            if answer is not None:
                reactor.leave(answer)
                answer.leave()
            raise
        if answer.refusal is None:
            return answer
        engine.care()
        return answer.refusal

    async def astream(self, request: CallRequest) -> AsyncAnswerStream | Answer:
        engine = self.engine
        watch = engine.watch()
        try:
            with engine.reactor as reactor:
                reactor.refresh()
                registry, name = engine.registry, request.name
                route = registry.routes.get(name) or registry.route(name)
                answer = AsyncStreamWaiter(engine, route.pool, watch)
                self._begin(route, request, answer, stream=True)
        except RemoteError as error:
            return Answer.of_error(error)
        reader = AsyncReader(answer)
        await answer.arrive()
        if answer.refusal is None:
            return reader
        engine.care()
        return answer.refusal


def _answered(engine: Engine, batch: Batch) -> BatchAnswer:
    """The answers of a batch; equal kinds that follow each other are one run."""
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
        engine.care()
    return BatchAnswer(runs)
