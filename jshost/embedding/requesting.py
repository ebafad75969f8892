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
from jshost.embedding.requests import MetaReader, function_name
from jshost.embedding.runtime import Runtime
from jshost.exceptions import RemoteError, from_envelope
from jshost.multipart import decode_runs
from jshost.response import Response
from jshost.workers.batch import Batch
from jshost.workers.reactor import Waiter

if TYPE_CHECKING:
    from jshost.embedding.loops import LoopWatch
    from jshost.workers.pools import Route

__all__ = ["RequestTaker"]

BATCH_PATH = "/batch"


class RequestTaker:
    """The calling side of `EmbeddedHost`."""

    def __init__(self) -> None:
        self._runtime: Runtime | None = None
        """The workers of this process, once there are any."""
        self._meta = MetaReader()

    def _loaded(self) -> Runtime:
        """The workers, once they have loaded. Raises: ConfigError: they do not."""
        raise NotImplementedError

    async def _aloaded(self) -> Runtime:
        raise NotImplementedError

    def request(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes,
        timeout_s: float | None,
    ) -> Response:
        runtime = self._runtime
        if runtime is None or not runtime.is_loaded:
            runtime = self._loaded()
        name = function_name(target)
        if name is None:
            return self._other_request(runtime, target, headers, body)
        reactor = runtime.reactor
        try:
            with reactor.lock:
                reactor.refresh()
                route = runtime.pools.route(name)
                answer = Answer(runtime, route.pool)
                self._begin(runtime, route, headers, body, answer)
                reactor.enter(answer)
                reactor.settle()
        except RemoteError as error:
            reactor.released()
            return error_response(error)
        reactor.released()
        answer.wait()
        return answer.response()

    async def arequest(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes,
        timeout_s: float | None,
    ) -> Response:
        runtime = self._runtime
        if runtime is None or not runtime.is_loaded:
            runtime = await self._aloaded()
        name = function_name(target)
        watch = runtime.watch()
        if name is None:
            return await self._other_arequest(runtime, watch, target, headers, body)
        try:
            with runtime.reactor.lock:
                runtime.reactor.refresh()
                route = runtime.pools.route(name)
                answer = AsyncAnswer(runtime, route.pool, watch)
                self._begin(runtime, route, headers, body, answer)
                watch.settle_soon()
        except RemoteError as error:
            return error_response(error)
        await answer.arrive()
        return answer.response()

    def stream(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes,
        timeout_s: float | None,
    ) -> StreamAnswer | Response:
        runtime = self._loaded()
        name = function_name(target) or ""
        try:
            with runtime.reactor.lock:
                runtime.reactor.refresh()
                route = runtime.pools.route(name)
                answer = StreamAnswer(runtime, route.pool)
                self._begin(runtime, route, headers, body, answer, stream=True)
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
        name = function_name(target) or ""
        watch = runtime.watch()
        try:
            with runtime.reactor as reactor:
                reactor.refresh()
                route = runtime.pools.route(name)
                answer = AsyncStreamAnswer(runtime, route.pool, watch)
                self._begin(runtime, route, headers, body, answer, stream=True)
        except RemoteError as error:
            return error_response(error)
        reader = AsyncReader(answer)
        await answer.arrive()
        return answer.refusal() or reader

    def _begin(
        self,
        runtime: Runtime,
        route: Route,
        headers: Mapping[str, str],
        body: bytes,
        answer: Answer | StreamAnswer | AsyncStreamAnswer,
        stream: bool = False,
    ) -> None:
        """Under the lock: hand a call to its pool. Raises: RemoteError: it is refused."""
        meta = self._meta.read(headers)
        halted = runtime.pools.halted
        if halted:
            raise from_envelope({"code": "worker_died", "message": halted}, name=route.name)
        answer.pending = route.pool.call(
            route.name,
            body,
            route.limit_s(meta.timeout_s),
            meta.request_id or self._meta.next_id(),
            answer,
            content_type=meta.content_type,
            stream=stream,
            traceparent=meta.traceparent,
        )

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
            with runtime.reactor:
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
        meta = self._meta.read(headers)
        try:
            runs = decode_runs(meta.content_type or "", body)
        except ValueError as error:
            message = f"A batch is multipart/form-data, one part for each call: {error}"
            raise from_envelope({"code": "bad_request", "message": message}) from error
        request_id = meta.request_id or self._meta.next_id()
        route_of = runtime.pools.route
        return Batch(runs, route_of, request_id, meta.timeout_s, meta.traceparent, tell)


def _batch_response(runtime: Runtime, batch: Batch) -> Response:
    if any(isinstance(answer, RemoteError) for answer in batch.answers):
        runtime.care()
    content_type, body = wire.encode_answers(batch.answers)
    return Response(200, {"content-type": content_type}, body)


def _not_found(target: str) -> Response:
    message = f"Not found. An embedded host has functions only, not {target}"
    return error_response(from_envelope({"code": "not_found", "message": message}))
