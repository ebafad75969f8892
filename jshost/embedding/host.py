"""A host inside of the program that calls it. Runs in: programs that embed a host."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Self

from jshost.embedding.engine import EXIT_S, Engine
from jshost.embedding.submitter import Submitter
from jshost.exceptions import ConfigError, ConnectionError

if TYPE_CHECKING:
    from jshost.client.function import Function
    from jshost.client.host import (
        Answer,
        AnswerStream,
        AsyncAnswerStream,
        BatchAnswer,
        BatchRequest,
        CallRequest,
    )
    from jshost.embedding.sources import Source
    from jshost.pool.process import WorkerProcess

__all__ = ["EmbeddedHost"]


class EmbeddedHost:
    """The functions of a config file, run by workers of this program; made by `jshost.embedded`.

    It starts its workers when it is made, and ends them with `close`, at the end of ``with``, or
    with the program. It may be used from any number of threads and asyncio loops at once; a forked
    child gets workers of its own.

    To a `Function` it is a host like any other; see `jshost.client.host.Host`.

    Example:
        >>> with jshost.embedded("host.config.js") as host:
        ...     host.hello_world(name="Foo")
        'Hello, Foo!'
    """

    def __init__(
        self, source: Source, options: Mapping[str, Any], first: WorkerProcess | None = None
    ) -> None:
        self._submitter: Submitter | None = None
        """To the workers of this process, once there are any."""
        self._source = source
        self._options = dict(options)
        self._lock = threading.Lock()
        self._is_closed = False
        self._functions: dict[str, Function] = {}
        _hosts.add(self)
        self._started(first)

    # What users see

    def function(self, name: str, **options: Any) -> Function:
        """A function by its name in the config file; the options are `jshost.Function`'s."""
        from jshost.client.function import Function

        return Function(name, self, **options)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """``host.render(component="App")``: call a function by its name."""
        if name.startswith("_"):
            raise AttributeError(name)
        known = self._functions.get(name)
        if known is None:
            if name not in self.functions:
                raise AttributeError(
                    f'{self._source.name}: there is no function "{name}". There are: '
                    f"{', '.join(self.functions) or 'none'}."
                )
            known = self._functions[name] = self.function(name)
        return known.call

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self.functions})

    @property
    def functions(self) -> list[str]:
        """The names of the functions, sorted. Raises: ConfigError: the config does not load."""
        return sorted(self._loaded().engine.registry.routes)

    @property
    def workers(self) -> list[dict[str, Any]]:
        """The workers there are now: ``{configFile, number, pid, state, calls}``."""
        engine = self._loaded().engine
        with engine.reactor as reactor:
            reactor.refresh()
            return engine.registry.workers()

    def __repr__(self) -> str:
        engine = self._submitter.engine if self._submitter is not None else None
        if self._is_closed:
            state = "closed"
        elif engine is None:
            state = "not started"
        elif engine.failure is not None:
            state = "does not load"
        elif not engine.is_loaded:
            state = "starting"
        else:
            pids = [str(worker["pid"]) for worker in engine.registry.workers()]
            names = ", ".join(sorted(engine.registry.routes)) or "none"
            state = f"functions: {names}; worker pids: {', '.join(pids) or 'none'}"
        return f"<EmbeddedHost {self._source.name}: {state}>"

    def get_config(self) -> dict[str, Any]:
        """The effective configuration: ``{functions, workers, configFile, pools, ...}``."""
        return self._loaded().engine.registry.describe()

    def get_status(self) -> dict[str, Any]:
        """What a served host says of itself: ``{type, version, config, pid, ready, workers}``."""
        from jshost.protocol.version import __version__

        engine = self._loaded().engine
        return {
            "type": "EmbeddedHost",
            "version": __version__,
            "config": engine.registry.describe(),
            "pid": os.getpid(),
            "ready": engine.registry.ready,
            "workers": self.workers,
        }

    request_status = get_status

    # What a `Function` asks for; see `jshost.client.host.Host`

    def call(self, request: CallRequest) -> Answer:
        submitter = self._submitter
        if submitter is None or not submitter.engine.is_loaded:
            submitter = self._loaded()
        return submitter.call(request)

    async def acall(self, request: CallRequest) -> Answer:
        submitter = self._submitter
        if submitter is None or not submitter.engine.is_loaded:
            submitter = await self._aloaded()
        return await submitter.acall(request)

    def stream(self, request: CallRequest) -> AnswerStream | Answer:
        submitter = self._submitter
        if submitter is None or not submitter.engine.is_loaded:
            submitter = self._loaded()
        return submitter.stream(request)

    async def astream(self, request: CallRequest) -> AsyncAnswerStream | Answer:
        return await (await self._aloaded()).astream(request)

    def batch(self, request: BatchRequest) -> BatchAnswer:
        return self._loaded().batch(request)

    async def abatch(self, request: BatchRequest) -> BatchAnswer:
        return await (await self._aloaded()).abatch(request)

    # Its life

    def close(self, timeout_s: float = EXIT_S) -> None:
        """End the workers; calls in flight have `timeout_s` seconds to finish."""
        with self._lock:
            self._is_closed = True
            submitter, self._submitter = self._submitter, None
        if submitter is not None:
            submitter.engine.close(timeout_s)

    async def aclose(self, timeout_s: float = EXIT_S) -> None:
        """As `close`, without blocking the loop."""
        import asyncio

        await asyncio.to_thread(self.close, timeout_s)

    def __enter__(self) -> Self:
        try:
            self._loaded()
        except BaseException:
            self.close(0)
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        try:
            await self._aloaded()
        except BaseException:
            self.close(0)
            raise
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.aclose()

    def _started(self, first: WorkerProcess | None = None) -> Submitter:
        """The way to the workers of this process."""
        with self._lock:
            if self._is_closed:
                raise ConnectionError(f"{self._source.name}: this embedded host is closed.")
            if self._submitter is None:
                source, options = self._source, self._options
                engine = Engine(lambda engine: source.registry(engine, options), first)
                self._submitter = Submitter(engine)
                weakref.finalize(self, engine.close_soon).atexit = False
            return self._submitter

    def _loaded(self) -> Submitter:
        """As `_started`, once they have loaded. Raises: ConfigError: they do not."""
        submitter = self._submitter or self._started()
        engine = submitter.engine
        if not engine.is_loaded:
            try:
                self._check(submitter, engine.load)
            except ConfigError:
                if not engine.was_interrupted:
                    raise
                return self._loaded()
        return submitter

    async def _aloaded(self) -> Submitter:
        submitter = self._submitter or self._started()
        engine = submitter.engine
        if not engine.is_loaded:
            watch = engine.watch()
            future = watch.loop.create_future()
            with engine.reactor:
                engine.when_loaded(lambda: watch.set_result(future))
            await future
            self._check(submitter, engine.raise_failure)
        return submitter

    def _check(self, submitter: Submitter, load: Callable[[], None]) -> None:
        """After a failed load the next call tries again: the config may have been mended."""
        try:
            load()
        except ConfigError:
            with self._lock:
                if self._submitter is submitter:
                    self._submitter = None
            submitter.engine.close(0)
            raise

    def after_fork(self) -> None:
        """In a forked child: the workers are the parent's."""
        self._lock = threading.Lock()
        self._submitter = None


_hosts: weakref.WeakSet[EmbeddedHost] = weakref.WeakSet()


def _after_fork() -> None:
    for host in list(_hosts):
        host.after_fork()


os.register_at_fork(after_in_child=_after_fork)
