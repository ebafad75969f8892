"""https, and http through proxies, by httpx. Runs in: callers."""

from __future__ import annotations

import asyncio
import ssl
import threading
import time
import weakref
from collections.abc import AsyncGenerator, Mapping

import httpx

from jshost.client.host import DeadlinePassed
from jshost.client.http.forks import call_after_fork
from jshost.client.http.http1 import bearer
from jshost.client.http.http_request import HttpRequest
from jshost.client.http.kept_connections import MAX_IDLE
from jshost.client.http.transport import (
    AsyncOpenResponse,
    OpenResponse,
    aread_whole,
    read_whole,
)
from jshost.client.response import Response
from jshost.exceptions import ConnectionError, UnexpectedResponse

__all__ = ["AsyncHttpxTransport", "HttpxTransport"]

LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=MAX_IDLE)


def _translated(root_url: str, error: Exception) -> Exception:
    """httpx's errors as our callers know them; the same ones as `errors` makes."""
    if isinstance(error, httpx.TimeoutException | TimeoutError):
        return DeadlinePassed()
    if isinstance(error, httpx.ConnectError):
        return _no_connection(root_url, error)
    if not isinstance(error, httpx.HTTPError):
        return error
    is_protocol = isinstance(error, httpx.RemoteProtocolError)
    if is_protocol and not any(word in str(error) for word in ("closed", "disconnected")):
        return UnexpectedResponse(f"{root_url}: {error}")
    return ConnectionError(
        f"{root_url}: the connection broke ({error}) before the answer was whole; "
        "the call may have run."
    )


def _no_connection(root_url: str, error: BaseException) -> ConnectionError:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return ConnectionError(
                f"The certificate of {root_url} is not trusted ({cause.verify_message}). Where it "
                "is your own, name its file, or its authority's, in the variable SSL_CERT_FILE."
            )
        cause = cause.__cause__ or cause.__context__
    return ConnectionError(f"No host answers at {root_url} ({error}).")


def _lower(headers: httpx.Headers) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


class _Target:
    """Where requests go, and what all of them say."""

    def __init__(self, root_url: str, token: str) -> None:
        self._root_url = root_url
        self._authorization = bearer(token)

    def build(
        self, client: httpx.Client | httpx.AsyncClient, request: HttpRequest
    ) -> httpx.Request:
        method, target, headers, body, timeout_s = request
        return client.build_request(
            method,
            self._root_url + target,
            content=body,
            headers={**self._authorization, **headers},
            timeout=timeout_s,
        )


class _Owned:
    """A client, closed once nothing refers to this: neither its transport, nor an answer that is
    still coming."""

    def __init__(self) -> None:
        self.client = httpx.Client(limits=LIMITS)
        self.closing = weakref.finalize(self, self.client.close)
        self.closing.atexit = False


class HttpxTransport:
    """A `Transport` for threads."""

    def __init__(self, root_url: str, token: str = "") -> None:
        self._root_url = root_url
        self._target = _Target(root_url, token)
        self._owned: _Owned | None = None
        self._lock = threading.Lock()
        call_after_fork(self)

    def request(self, request: HttpRequest) -> Response:
        return read_whole(self.stream(request))

    def stream(self, request: HttpRequest) -> OpenResponse:
        with self._lock:
            owned = self._owned = self._owned or _Owned()
        deadline = _deadline_of(request)
        built = self._target.build(owned.client, request)
        try:
            response = owned.client.send(built, stream=True)
        except Exception as error:
            raise _translated(self._root_url, error) from error
        return _OpenHttpx(self._root_url, response, deadline, owned)

    def close(self) -> None:
        self._owned = None

    def after_fork(self) -> None:
        """In a forked child: leave the parent's connections alone, and make our own."""
        owned, self._owned = self._owned, None
        if owned is not None:
            owned.closing.detach()  # another thread of the parent's may have held its lock
        self._lock = threading.Lock()


class _OpenHttpx:
    def __init__(
        self, root_url: str, response: httpx.Response, deadline: float | None, owned: _Owned
    ) -> None:
        self._owned = owned
        self.status_code = response.status_code
        self.headers: Mapping[str, str] = _lower(response.headers)
        self._root_url = root_url
        self._response = response
        self._bytes = response.iter_bytes()
        self._deadline = deadline

    def read(self) -> bytes:
        try:
            _check(self._deadline)
            return next(self._bytes, b"")
        except Exception as error:
            self.close()
            raise _translated(self._root_url, error) from error

    def close(self) -> None:
        self._response.close()


class AsyncHttpxTransport:
    """An `AsyncTransport`, for the loop that it is first used on."""

    def __init__(self, root_url: str, token: str = "") -> None:
        self._root_url = root_url
        self._target = _Target(root_url, token)
        self._client: httpx.AsyncClient | None = None
        self._closing: AsyncGenerator[None, None] | None = None

    async def request(self, request: HttpRequest) -> Response:
        return await aread_whole(await self.stream(request))

    async def stream(self, request: HttpRequest) -> AsyncOpenResponse:
        if self._client is None:
            self._client = httpx.AsyncClient(limits=LIMITS)
            self._closing = _closing(self._client)
            await anext(self._closing)
        client, closing = self._client, self._closing
        deadline = _deadline_of(request)
        built = self._target.build(client, request)
        try:
            response = await client.send(built, stream=True)
        except Exception as error:
            raise _translated(self._root_url, error) from error
        return _AsyncOpenHttpx(self._root_url, response, deadline, closing)

    def close(self) -> None:
        self._client = self._closing = None  # the loop finishes the generator


async def _closing(client: httpx.AsyncClient) -> AsyncGenerator[None, None]:
    """Closes a client when nothing refers to this generator, and at the latest with its loop: that
    is what `asyncio.run` does with asynchronous generators before it ends."""
    try:
        yield
    finally:
        await client.aclose()


class _AsyncOpenHttpx:
    def __init__(
        self, root_url: str, response: httpx.Response, deadline: float | None, client: object
    ) -> None:
        self._client = client  # closed once nothing refers to it
        self.status_code = response.status_code
        self.headers: Mapping[str, str] = _lower(response.headers)
        self._root_url = root_url
        self._response = response
        self._bytes = response.aiter_bytes()
        self._deadline = deadline

    async def read(self) -> bytes:
        try:
            left = _check(self._deadline)
            async with asyncio.timeout(left):
                return await anext(self._bytes, b"")
        except BaseException as error:
            await self.close()
            if isinstance(error, Exception):
                raise _translated(self._root_url, error) from error
            raise

    async def close(self) -> None:
        await self._response.aclose()


def _deadline_of(request: HttpRequest) -> float | None:
    return None if request.timeout_s is None else time.monotonic() + request.timeout_s


def _check(deadline: float | None) -> float | None:
    """Seconds until the deadline: httpx limits each read, not their sum. Raises: TimeoutError."""
    if deadline is None:
        return None
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
