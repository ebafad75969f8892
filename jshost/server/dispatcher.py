"""Gives calls and batches of calls to the pools that have the functions. Runs in: host."""

from __future__ import annotations

import asyncio

from jshost.exceptions import RequestError, from_envelope
from jshost.pool.batch import Batch
from jshost.pool.statistics import Statistics
from jshost.protocol.multipart import decode_runs
from jshost.server.http.access_control import AccessControl
from jshost.server.http.caching import CacheScope, CachingSender
from jshost.server.http.exchanges import BatchExchange, CallExchange, StreamExchange
from jshost.server.http.handler import Exchange, Responder
from jshost.server.http.known_heads import KnownHeads
from jshost.server.http.request import IncomingRequest, KnownCall, check_hash, data_of
from jshost.server.service import Service

__all__ = ["Dispatcher", "method_refusal"]


class Dispatcher:
    """Gives each call to the pool of its function.

    Args:
        statistics: counts the calls.

    Attributes:
        known_heads: the heads of calls that were admitted before, under the current options.
    """

    def __init__(self, statistics: Statistics) -> None:
        self._statistics = statistics
        self._soon = asyncio.get_running_loop().call_soon
        self.known_heads = KnownHeads()

    def use(self, service: Service, access: AccessControl, scope: CacheScope) -> None:
        """Give calls to this service from now on."""
        self._service = service
        self._registry = service.registry
        self._access = access
        self._scope = scope
        self.known_heads = KnownHeads()
        for pool in self._registry.pools:
            pool.calls.statistics = self._statistics

    def check(self, request: IncomingRequest, name: str | None) -> None:
        """Make the checks that need no body; `name` None is a batch.

        Raises:
            RemoteError: the method is not allowed there, or there is no such function.
        """
        method = request.head.method
        if method == "POST" and name is None:
            return
        is_cacheable = name is not None and name in self._registry.route(name).pool.max_ages
        if method != "POST" and not (is_cacheable and method in ("GET", "HEAD")):
            raise method_refusal(method, "GET, HEAD, POST" if is_cacheable else "POST", name)

    async def refresh(self, request: IncomingRequest, name: str | None) -> None:
        """With --reload: wait until the workers run the files as they are now.

        Raises:
            RemoteError: the code does not load, or the call is refused.
        """
        assert self._service.reloader is not None
        await self._service.reloader.fresh()
        if self._registry.problem:
            message = self._registry.problem
            raise from_envelope({"code": "load_failed", "message": message}, name=name)
        self.check(request, name)

    def begin(
        self, request: IncomingRequest, name: str | None, connection: Responder
    ) -> Exchange | None:
        """Begin the request's call of a function, or its batch of calls (`name` None).

        Raises:
            RemoteError: it is refused.
        """
        if request.call is not None:
            return self.begin_call(request, request.call, connection)
        headers = request.headers
        content_type: str | None = None
        is_addressed = request.head.method != "POST"
        if is_addressed:
            request.body = data_of(request.head.query)
        elif request.body or headers.content_type:
            content_type = headers.arguments_type()
        if request.head.query:
            is_addressed |= check_hash(request.head.query, request.body)
        timeout_s = headers.timeout_s()
        if name is None:
            return self._begin_batch(request, content_type, timeout_s, connection)
        limit = self._registry.options.request_data_limit
        wants_stream = headers.wants_stream and request.head.method != "HEAD"
        call = KnownCall(name, content_type, timeout_s, limit, wants_stream, is_addressed)
        self._access.check(request)  # again: the options may have changed since `App.admit`
        self.known_heads.learn(request, call)
        return self.begin_call(request, call, connection)

    def begin_call(
        self, request: IncomingRequest, call: KnownCall, connection: Responder
    ) -> Exchange | None:
        """Begin a call whose head is checked."""
        name, content_type, timeout_s, _, wants_stream, is_addressed = call
        registry = self._registry
        route = registry.routes.get(name) or registry.route(name)
        pool, request_id = route.pool, request.request_id
        exchange: CallExchange | StreamExchange
        if wants_stream:
            exchange = StreamExchange(connection, pool, request_id, request.keep_alive, self._soon)
        elif is_addressed and name in pool.max_ages:
            sender = CachingSender(connection, request, pool, pool.max_ages[name], self._scope)
            if sender.send_unchanged():
                self._statistics[name].others["not_modified"] += 1
                return None
            exchange = CallExchange(sender, pool)
        else:
            exchange = CallExchange(connection, pool)
        exchange.pending = pool.call(
            name,
            request.body,
            route.limit_s(timeout_s),
            request_id,
            exchange,
            content_type,
            wants_stream,
            request.headers.traceparent,
        )
        return exchange

    def _begin_batch(
        self,
        request: IncomingRequest,
        content_type: str | None,
        timeout_s: float | None,
        connection: Responder,
    ) -> Exchange:
        headers = request.headers
        try:
            kind = content_type or headers.content_type.decode("latin-1")
            runs = decode_runs(kind, request.body)
        except ValueError as error:
            message = (
                f"A batch is multipart/form-data, one part for each call, named by its function: "
                f"{error}"
            )
            raise from_envelope({"code": "bad_request", "message": message}) from error
        route, request_id, traceparent = (
            self._registry.route,
            request.request_id,
            headers.traceparent,
        )
        return BatchExchange(
            connection,
            request_id,
            lambda tell: Batch(runs, route, request_id, timeout_s, traceparent, tell),
        )


def method_refusal(method: str, allowed: str, name: str | None = None) -> RequestError:
    """The error for a method that is not among those allowed ("GET, HEAD")."""
    message = f"Use {allowed.replace(', ', ' or ')}, not {method}"
    error = RequestError(message, code="method_not_allowed", name=name)
    error.allow = allowed
    return error
