"""For the tests of programs that call functions. Runs in: callers.

`override_function` answers in a function's place, and `run_host` starts a real host;
`jshost.testing_pytest` has a pytest fixture for it.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import inspect
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self, TypeVar

from jshost import wire
from jshost.conf import settings
from jshost.exceptions import ProcessError, RemoteError
from jshost.function import NOT_GIVEN, Function
from jshost.host import JSHost
from jshost.http1 import Response
from jshost.multipart import Part, decode_parts, encode_parts

__all__ = ["TestHost", "override_function", "run_host"]

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 15.0

T = TypeVar("T")


class override_function:
    """Answer in the place of a function, whoever calls it and on whichever host.

    A context manager and a decorator, for functions, ``async def`` functions, and classes, whose
    test methods it decorates. It covers `call`, `acall`, `send_request`, `stream`, `astream`,
    `map`, `amap` and `jshost.batch`; arguments and results are encoded and decoded as on the way
    to a real host, so what cannot be carried fails here, too. No host has to run.

    Args:
        name: the function's name.
        returns: what it returns; a list is also what it sends to a caller that streams.
        raises: an exception, or the class of one, that a call raises. A `FunctionError` counts as
            the function's own failure: it comes as the caller's `exception_cls`.
        calls: a callable that is called with the arguments, and whose result is the result; it may
            be ``async``, and a generator or async generator for a function that streams.

    Attributes:
        calls: the arguments of each call so far, a dict each, as the function would have got them.

    Example:
        >>> with override_function("render", returns="<p>") as render:
        ...     assert Function("render").call(component="App") == "<p>"
        >>> render.calls
        [{'component': 'App'}]
    """

    def __init__(
        self,
        name: str,
        *,
        returns: Any = NOT_GIVEN,
        raises: BaseException | type[BaseException] | None = None,
        calls: Callable[..., Any] | None = None,
    ) -> None:
        if not isinstance(name, str) or not name:
            raise TypeError(f"override_function needs the name of a function, not {name!r}")
        if (returns is not NOT_GIVEN) + (raises is not None) + (calls is not None) > 1:
            raise TypeError(
                f"override_function({name!r}): give one of returns=, raises= and calls="
            )
        if calls is not None and not callable(calls):
            raise TypeError(f"override_function({name!r}): calls= must be callable, not {calls!r}")
        self.name = name
        self.calls: list[dict[str, Any]] = []
        self._returns = None if returns is NOT_GIVEN else returns
        self._raises = raises
        self._callable = calls
        self._host = _OverridingHost(self)

    def __repr__(self) -> str:
        return f"<override_function {self.name}>"

    def __enter__(self) -> Self:
        _overrides.add(self, self._host)
        return self

    def __exit__(self, *error: object) -> None:
        _overrides.remove(self)

    def __call__(self, decorated: T) -> T:
        if isinstance(decorated, type):
            for name in dir(decorated):
                method = getattr(decorated, name)
                if name.startswith("test") and inspect.isfunction(method):
                    setattr(decorated, name, self(method))
            return decorated
        return self._decorate(decorated)  # type: ignore[arg-type, return-value]

    def _decorate(self, function: Callable[..., Any]) -> Callable[..., Any]:
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def with_override(*args: Any, **kwargs: Any) -> Any:
                self.calls.clear()
                with self:
                    return await function(*args, **kwargs)
        else:

            @functools.wraps(function)
            def with_override(*args: Any, **kwargs: Any) -> Any:
                self.calls.clear()
                with self:
                    return function(*args, **kwargs)

        return with_override

    def answer(self, content_type: str, body: bytes) -> Any:
        """The result for a call's body, or what stands for it: an awaitable, a generator.

        Raises: what `raises` or the callable do.
        """
        arguments = wire.decode_call(content_type, body)
        self.calls.append(arguments)
        if self._raises is not None:
            raise self._raises
        return self._callable(**arguments) if self._callable is not None else self._returns


class _Overrides:
    """Which functions are overridden now; where any is, `Function.get_host` is ours."""

    def __init__(self) -> None:
        self._active: list[tuple[override_function, JSHost]] = []
        self._lock = threading.Lock()
        self._get_host: Callable[[Function], JSHost] = Function.get_host

    def add(self, override: override_function, host: JSHost) -> None:
        with self._lock:
            if not self._active:
                Function.get_host = self._make_get_host()  # type: ignore[assignment, method-assign]
            self._active.append((override, host))

    def remove(self, override: override_function) -> None:
        with self._lock:
            for index in reversed(range(len(self._active))):
                if self._active[index][0] is override:
                    del self._active[index]
                    break
            if not self._active:
                Function.get_host = self._get_host  # type: ignore[assignment, method-assign]

    def _make_get_host(self) -> Callable[[Function], JSHost]:
        original = self._get_host = Function.get_host
        active = self._active

        def get_host(function: Function) -> JSHost:
            for override, host in reversed(active):
                if override.name == function.name:
                    return host
            return original(function)

        return get_host


_overrides = _Overrides()


class _OverridingHost(JSHost):
    """A host without a process, that serves one overridden function."""

    def __init__(self, override: override_function) -> None:
        super().__init__(root_url="http://overridden.invalid")
        self._override = override

    def request(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes,
        timeout_s: float | None,
    ) -> Response:
        return self._answer(target, headers, body, _finished)

    async def arequest(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes,
        timeout_s: float | None,
    ) -> Response:
        import asyncio

        if not target.startswith("/batch?"):
            result = self._override.answer  # an async callable runs on the caller's loop
            try:
                value = await _afinished(result(headers["Content-Type"], body))
            except RemoteError as error:
                return _failure(error)
            return _success(value)
        return await asyncio.to_thread(self.request, method, target, headers, body, timeout_s)

    def _answer(
        self, target: str, headers: Mapping[str, str], body: bytes, finished: Callable[[Any], Any]
    ) -> Response:
        content_type = headers["Content-Type"]
        if target.startswith("/batch?"):
            parts = [self._part(part, finished) for part in decode_parts(content_type, body)]
            answer_type, content = encode_parts(parts)
            return Response(200, {"content-type": answer_type}, content)
        try:
            return _success(finished(self._override.answer(content_type, body)))
        except RemoteError as error:
            return _failure(error)

    def _part(self, call: Part, finished: Callable[[Any], Any]) -> Part:
        try:
            value = finished(self._override.answer(call.content_type, call.data))
        except RemoteError as error:
            response = _failure(error)
            return Part("error", "application/json", response.content)
        response = _success(value)
        return Part("result", response.content_type, response.content)

    def stream(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes,
        timeout_s: float | None,
    ) -> Any:
        try:
            values = self._override.answer(headers["Content-Type"], body)
        except RemoteError as error:
            return _failure(error)
        if inspect.isasyncgen(values) or inspect.isawaitable(values):
            values = _finished(values)
        if isinstance(values, list) or inspect.isgenerator(values):
            return _Sent(iter(values))
        return _success(values)

    async def astream(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes,
        timeout_s: float | None,
    ) -> Any:
        try:
            values = self._override.answer(headers["Content-Type"], body)
            if inspect.isawaitable(values):
                values = await values
        except RemoteError as error:
            return _failure(error)
        if isinstance(values, list) or inspect.isgenerator(values):
            values = _as_async(iter(values))
        return _AsyncSent(values) if inspect.isasyncgen(values) else _success(values)


class _Sent:
    """What a generator sends, as an open response with events."""

    status_code = 200
    headers: Mapping[str, str] = {"content-type": "text/event-stream"}

    def __init__(self, values: Iterator[Any]) -> None:
        self._values: Iterator[Any] | None = values

    def read(self) -> bytes:
        if self._values is None:
            return b""
        try:
            return _event("chunk", next(self._values))
        except StopIteration as end:
            self._values = None
            return _event("result", end.value)
        except RemoteError as error:
            self._values = None
            return _error_event(error)

    def close(self) -> None:
        values, self._values = self._values, None
        if inspect.isgenerator(values):
            values.close()


class _AsyncSent:
    """As `_Sent`, for a loop."""

    status_code = 200
    headers = _Sent.headers

    def __init__(self, values: Any) -> None:
        self._values = values

    async def read(self) -> bytes:
        if self._values is None:
            return b""
        try:
            return _event("chunk", await anext(self._values))
        except StopAsyncIteration:
            self._values = None
            return _event("result", None)
        except RemoteError as error:
            self._values = None
            return _error_event(error)

    async def close(self) -> None:
        values, self._values = self._values, None
        if values is not None:
            await values.aclose()


def _event(kind: str, value: Any) -> bytes:
    form, data = wire.encode_result(value, force_json=True, what=f"{kind} of an override")
    if form == wire.BYTES:
        return b"event: %s-bytes\ndata: %s\n\n" % (kind.encode(), base64.b64encode(data))
    if form == wire.MULTIPART and kind == "result":
        return b"event: result-multipart\ndata: %s\n\n" % base64.b64encode(data)
    if form == wire.MULTIPART:
        raise TypeError("a streamed value may be bytes, but not hold bytes inside")
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), data)


def _error_event(error: RemoteError) -> bytes:
    return b"event: error\ndata: %s\n\n" % json.dumps(error.envelope()).encode()


async def _as_async(values: Iterator[Any]) -> AsyncIterator[Any]:
    try:
        for value in values:
            yield value
    finally:
        if inspect.isgenerator(values):
            values.close()


async def _afinished(value: Any) -> Any:
    """What a call without streaming gets: an awaited result, or the list of what was sent."""
    if inspect.isasyncgen(value):
        return [each async for each in value]
    if inspect.isawaitable(value):
        return await value
    return _collected(value) if inspect.isgenerator(value) else value


def _finished(value: Any) -> Any:
    if inspect.isasyncgen(value) or inspect.isawaitable(value):
        import asyncio
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(1) as thread:  # the caller's may have a loop that runs
            return thread.submit(asyncio.run, _afinished(value)).result()
    return _collected(value) if inspect.isgenerator(value) else value


def _collected(generator: Any) -> Any:
    """The generator's result where it has one, else the list of what it sent, as hosts have it."""
    values = []
    while True:
        try:
            values.append(next(generator))
        except StopIteration as end:
            return values if end.value is None else end.value


def _success(value: Any) -> Response:
    form, data = wire.encode_result(value)
    content_type = {
        wire.TEXT: "text/plain; charset=utf-8",
        wire.BYTES: "application/octet-stream",
        wire.JSON: "application/json",
    }.get(form)
    if content_type is None:
        boundary = data[2 : data.index(b"\r\n")].decode()
        content_type = f"multipart/form-data; boundary={boundary}"
    return Response(200, {"content-type": content_type}, data)


def _failure(error: RemoteError) -> Response:
    body = json.dumps(error.envelope()).encode()
    return Response(error.status, {"content-type": "application/json"}, body)


# A real host


class TestHost(JSHost):
    """A real host that runs for a test.

    Attributes:
        pid: its process id.
        status: what it said of itself when it listened: ``{type: "Host", config: {...}, ...}``.
    """

    __test__ = False  # pytest looks at what is called Test...

    def __init__(self, url: str, status: dict[str, Any], log: Path) -> None:
        super().__init__(root_url=url)
        self.pid: int = status["pid"]
        self.status = status
        self._log = log

    def log_text(self) -> str:
        """What the host has logged, with all that its functions printed."""
        return self._log.read_text(errors="replace")


@contextlib.contextmanager
def run_host(config: str | os.PathLike[str] | None = None, *flags: str) -> Iterator[TestHost]:
    """Run a real host on a free port, and have all calls go to it, until the end of a ``with``.

    It is known to this program only: neither does a host that runs already get its calls, nor do
    other programs find this one.

    Args:
        config: the config file; None: the settings' CONFIG_FILE.
        flags: options of ``jshost serve``: ``"--workers", "2"``.

    Raises:
        ConfigError: there is no config file.
        ProcessError: the host does not start; the text is its log.

    Example:
        >>> with run_host("host.config.js"):
        ...     assert Function("double").call(number=2) == 4
    """
    path = Path(config).resolve() if config is not None else settings.config_path()
    folder = Path(tempfile.mkdtemp(prefix="jshost-test-"))  # short: unix sockets are in there
    try:
        with _running(path, folder, flags) as host:
            with settings.override(ROOT_URL=host.get_url(), USE_MANAGER=False):
                yield host
            host.disconnect()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _running(config: Path, folder: Path, flags: tuple[str, ...]) -> Iterator[TestHost]:
    log = folder / "host.log"
    command = [sys.executable, "-m", "jshost", "serve", str(config), "-p", "0", "--json", *flags]
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(folder)}
    if settings.PATH_TO_NODE:
        environment["JSHOST_PATH_TO_NODE"] = settings.PATH_TO_NODE
    if "DJANGO_SETTINGS_MODULE" in environment:  # it is to be found as it was found here
        environment["PYTHONPATH"] = os.pathsep.join(folder for folder in sys.path if folder)
    with log.open("w") as stderr:
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
    assert process.stdout is not None
    killer = threading.Timer(START_TIMEOUT_S, process.kill)
    killer.start()
    try:
        line = process.stdout.readline()
        killer.cancel()
        if not line:
            process.wait(STOP_TIMEOUT_S)
            raise ProcessError(f"the host of {config} does not start: {log.read_text().strip()}")
        status = json.loads(line)
        yield TestHost(f"http://127.0.0.1:{status['config']['port']}", status, log)
    finally:
        killer.cancel()
        _end(process)


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(STOP_TIMEOUT_S)
    finally:
        assert process.stdout is not None
        process.stdout.close()
