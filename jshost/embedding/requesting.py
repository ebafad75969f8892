"""An embedded host's answers to requests. Runs in: programs that embed a host.

They are the requests that `JSHost` takes, so that a `Function` need not know which it calls; here
nothing is sent, but handed to a pool.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from jshost import wire
from jshost.embedding.answers import (
    Answer,
    AsyncAnswer,
    AsyncReader,
    AsyncStreamAnswer,
    StreamAnswer,
    error_response,
)
from jshost.embedding.requests import RequestedCall, function_name, ids_in, request_ids
from jshost.embedding.runtime import Runtime
from jshost.exceptions import RemoteError, from_envelope
from jshost.multipart import decode_runs
from jshost.response import Response
from jshost.workers.batch import Batch
from jshost.workers.reactor import Waiter

if TYPE_CHECKING:
    from jshost.embedding.loops import LoopWatch
    from jshost.function_calls import PreparedCall
    from jshost.workers.pools import Route

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
            None if content_type == wire.JSON_TYPE else content_type,
            stream,
            traceparent,
        )

    # What else a `JSHost` is asked for

    def request(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes,
        timeout_s: float | None,
    ) -> Response:
        if function_name(target) is not None:
            return self.send_call(RequestedCall(target, headers, body))
        return self._other_request(self._loaded(), target, headers, body)

    async def arequest(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes,
        timeout_s: float | None,
    ) -> Response:
        if function_name(target) is not None:
            return await self.asend_call(RequestedCall(target, headers, body))
        runtime = await self._aloaded()
        return await self._other_arequest(runtime, runtime.watch(), target, headers, body)

    def stream(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes,
        timeout_s: float | None,
    ) -> StreamAnswer | Response:
        runtime = self._loaded()
        call = RequestedCall(target, headers, body)
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

    async def astream(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes,
        timeout_s: float | None,
    ) -> AsyncReader | Response:
        runtime = await self._aloaded()
        call = RequestedCall(target, headers, body)
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

    # What is no call: a batch, and where there is nothing

    def _other_request(
        self, runtime: Runtime, target: str, headers: Mapping[str, str], body: bytes
    ) -> Response:
        if target.partition("?")[0] != BATCH_PATH:
            return _not_found(target)
        waiter, reactor = Waiter(), runtime.reactor
        try:
            batch = self._batch(runtime, headers, body, lambda: reactor.done(waiter))
        except RemoteError as error:
            return error_response(error)
        try:
            with reactor.lock:
                reactor.refresh()
                batch.start()
                if not waiter.is_done:
                    reactor.enter(waiter)
                reactor.settle()
            reactor.released()
            reactor.wait(waiter)
        except BaseException:
            reactor.leave(waiter)
            batch.cancel(runtime.cancel_call)
            raise
        return _batch_response(runtime, batch)

    async def _other_arequest(
        self,
        runtime: Runtime,
        watch: LoopWatch,
        target: str,
        headers: Mapping[str, str],
        body: bytes,
    ) -> Response:
        if target.partition("?")[0] != BATCH_PATH:
            return _not_found(target)
        future = watch.loop.create_future()
        try:
            batch = self._batch(runtime, headers, body, lambda: watch.set_result(future))
        except RemoteError as error:
            return error_response(error)
        try:
            with runtime.reactor as reactor:
                reactor.refresh()
                batch.start()
            await future
        except BaseException:
            batch.cancel(runtime.cancel_call)
            raise
        return _batch_response(runtime, batch)

    def _batch(
        self,
        runtime: Runtime,
        headers: Mapping[str, str],
        body: bytes,
        tell: Callable[[], None],
    ) -> Batch:
        request = RequestedCall("", headers, body)
        request_id, traceparent = ids_in(headers)
        try:
            runs = decode_runs(request.content_type, body)
        except ValueError as error:
            message = f"A batch is multipart/form-data, one part for each call: {error}"
            raise from_envelope({"code": "bad_request", "message": message}) from error
        request_id = request_id or next(self._ids)
        return Batch(runs, runtime.pools.route, request_id, request.timeout_s, traceparent, tell)


def _batch_response(runtime: Runtime, batch: Batch) -> Response:
    if any(isinstance(answer, RemoteError) for answer in batch.answers):
        runtime.care()
    content_type, body = wire.encode_answers(batch.answers)
    return Response(200, {"content-type": content_type}, body)


def _not_found(target: str) -> Response:
    message = f"Not found. An embedded host has functions only, not {target}"
    return error_response(from_envelope({"code": "not_found", "message": message}))
