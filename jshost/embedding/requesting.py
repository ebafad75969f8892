"""An embedded host's answers to requests. Runs in: programs that embed a host.

They are the requests that `JSHost` takes, so that a `Function` need not know which it calls; here
nothing is sent, but handed to a pool.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from jshost.client.http.messages import Request, Response, batch_response
from jshost.embedding.answers import (
    Answer,
    AsyncAnswer,
    AsyncReader,
    AsyncStreamAnswer,
    StreamAnswer,
    error_response,
)
from jshost.embedding.reactor import Waiter
from jshost.embedding.requests import (
    RequestedBatch,
    RequestedCall,
    function_name,
    ids_in,
    request_ids,
)
from jshost.embedding.runtime import Runtime
from jshost.exceptions import RemoteError, from_envelope
from jshost.pool.batch import Batch
from jshost.protocol import values

if TYPE_CHECKING:
    from jshost.client.call import PreparedBatch, PreparedCall
    from jshost.pool.registry import Route
    from jshost.protocol.multipart import Run

__all__ = ["RequestTaker"]

BATCH_PATH = "/batch"


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

    def send_call(self, call: PreparedCall) -> Response:
        """Have a function called; an error is a response, too."""
        runtime = self._runtime
        if runtime is None or not runtime.is_loaded:
            runtime = self._loaded()
        reactor = runtime.reactor
        answer: Answer | None = None
        try:
            with reactor.lock:
                reactor.refresh()
                route = runtime.pools.route(call.name)
                answer = Answer(runtime, route.pool)
                self._begin(runtime, route, call, answer)
                reactor.enter(answer)
                reactor.settle()
            reactor.released()
            reactor.wait(answer)
        except RemoteError as error:
            reactor.released()
            return error_response(error)
        except BaseException:  # whatever interrupts it cancels the call
            if answer is not None:
                answer.leave()
            raise
        return answer.response()

    async def asend_call(self, call: PreparedCall) -> Response:
        """As `send_call`, from any asyncio loop."""
        runtime = self._runtime
        if runtime is None or not runtime.is_loaded:
            runtime = await self._aloaded()
        watch = runtime.watch()
        try:
            with runtime.reactor.lock:
                runtime.reactor.refresh()
                route = runtime.pools.route(call.name)
                answer = AsyncAnswer(runtime, route.pool, watch)
                self._begin(runtime, route, call, answer)
                watch.settle_soon()
        except RemoteError as error:
            return error_response(error)
        await answer.arrive()
        return answer.response()

    def send_batch(self, batch: PreparedBatch) -> list[Run]:
        """Have the calls of a batch made; their answers are the parts of a served host's answer."""
        runtime = self._loaded()
        waiter, reactor = Waiter(), runtime.reactor
        calls = self._batch(runtime, batch, lambda: reactor.done(waiter))

        def begin() -> None:
            reactor.refresh()
            calls.start()

        try:
            reactor.wait_after(waiter, begin)
        except BaseException:
            runtime.cancel_batch(calls)
            raise
        return _runs(runtime, calls)

    async def asend_batch(self, batch: PreparedBatch) -> list[Run]:
        """As `send_batch`, from any asyncio loop."""
        runtime = await self._aloaded()
        watch = runtime.watch()
        future = watch.loop.create_future()
        calls = self._batch(runtime, batch, lambda: watch.set_result(future))
        try:
            with runtime.reactor as reactor:
                reactor.refresh()
                calls.start()
            await future
        except BaseException:
            runtime.cancel_batch(calls)
            raise
        return _runs(runtime, calls)

    def _batch(self, runtime: Runtime, batch: PreparedBatch, tell: Callable[[], None]) -> Batch:
        request_id, traceparent = ids_in(batch.headers)
        request_id = request_id or next(self._ids)
        return Batch(
            batch.runs, runtime.pools.route, request_id, batch.timeout_s, traceparent, tell
        )

    def _begin(
        self,
        runtime: Runtime,
        route: Route,
        call: PreparedCall,
        answer: Answer | StreamAnswer | AsyncStreamAnswer,
        stream: bool = False,
    ) -> None:
        """Under the lock: hand a call to its pool. Raises: RemoteError: it is refused."""
        halted = runtime.pools.halted
        if halted:
            raise from_envelope({"code": "worker_died", "message": halted}, name=route.name)
        headers, content_type = call.headers, call.content_type
        request_id, traceparent = ids_in(headers) if headers else ("", "")
        answer.pending = route.pool.call(
            route.name,
            call.body,
            route.limit_s(call.timeout_s),
            request_id or next(self._ids),
            answer,
            None if content_type == values.JSON_TYPE else content_type,
            stream,
            traceparent,
        )

    # What else a `JSHost` is asked for

    def request(self, request: Request) -> Response:
        _, target, headers, body, _ = request
        if function_name(target) is not None:
            return self.send_call(RequestedCall(target, headers, body))
        if target.partition("?")[0] != BATCH_PATH:
            return _not_found(target)
        try:
            return batch_response(self.send_batch(RequestedBatch(headers, body)))
        except RemoteError as error:
            return error_response(error)

    async def arequest(self, request: Request) -> Response:
        _, target, headers, body, _ = request
        if function_name(target) is not None:
            return await self.asend_call(RequestedCall(target, headers, body))
        if target.partition("?")[0] != BATCH_PATH:
            return _not_found(target)
        try:
            return batch_response(await self.asend_batch(RequestedBatch(headers, body)))
        except RemoteError as error:
            return error_response(error)

    def stream(self, request: Request) -> StreamAnswer | Response:
        runtime = self._loaded()
        call = RequestedCall(request.target, request.headers, request.body)
        try:
            with runtime.reactor.lock:
                runtime.reactor.refresh()
                route = runtime.pools.route(call.name)
                answer = StreamAnswer(runtime, route.pool)
                self._begin(runtime, route, call, answer, stream=True)
                runtime.reactor.settle()
        except RemoteError as error:
            return error_response(error)
        answer.wait()
        return answer.refusal() or answer

    async def astream(self, request: Request) -> AsyncReader | Response:
        runtime = await self._aloaded()
        call = RequestedCall(request.target, request.headers, request.body)
        watch = runtime.watch()
        try:
            with runtime.reactor as reactor:
                reactor.refresh()
                route = runtime.pools.route(call.name)
                answer = AsyncStreamAnswer(runtime, route.pool, watch)
                self._begin(runtime, route, call, answer, stream=True)
        except RemoteError as error:
            return error_response(error)
        reader = AsyncReader(answer)
        await answer.arrive()
        return answer.refusal() or reader


def _runs(runtime: Runtime, batch: Batch) -> list[Run]:
    if any(isinstance(answer, RemoteError) for answer in batch.answers):
        runtime.care()
    return values.answer_runs(batch.answers)


def _not_found(target: str) -> Response:
    message = f"Not found. An embedded host has functions only, not {target}"
    return error_response(from_envelope({"code": "not_found", "message": message}))
