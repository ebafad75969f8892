"""A host inside of the program that calls it. Runs in: programs that embed a host."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Self

from jshost.embedding.requesting import RequestTaker
from jshost.embedding.runtime import EXIT_S, Runtime
from jshost.exceptions import ConfigError, ConnectionError

if TYPE_CHECKING:
    from jshost.client.function import Function
    from jshost.embedding.sources import Source
    from jshost.pool.process import WorkerProcess

__all__ = ["EmbeddedHost"]


class EmbeddedHost(RequestTaker):
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
        super().__init__()
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
        return sorted(self._loaded().pools.routes)

    @property
    def workers(self) -> list[dict[str, Any]]:
        """The workers there are now: ``{configFile, number, pid, state, calls}``."""
        runtime = self._loaded()
        with runtime.reactor as reactor:
            reactor.refresh()
            return runtime.pools.workers()

    def __repr__(self) -> str:
        runtime = self._runtime
        if self._is_closed:
            state = "closed"
        elif runtime is None:
            state = "not started"
        elif runtime.failure is not None:
            state = "does not load"
        elif not runtime.is_loaded:
            state = "starting"
        else:
            pids = [str(worker["pid"]) for worker in runtime.pools.workers()]
            names = ", ".join(sorted(runtime.pools.routes)) or "none"
            state = f"functions: {names}; worker pids: {', '.join(pids) or 'none'}"
        return f"<EmbeddedHost {self._source.name}: {state}>"

    def get_config(self) -> dict[str, Any]:
        """The effective configuration: ``{functions, workers, configFile, pools, ...}``."""
        return self._loaded().pools.describe()

    def get_status(self) -> dict[str, Any]:
        """What a served host says of itself: ``{type, version, config, pid, ready, workers}``."""
        from jshost.protocol.version import __version__

        runtime = self._loaded()
        return {
            "type": "EmbeddedHost",
            "version": __version__,
            "config": runtime.pools.describe(),
            "pid": os.getpid(),
            "ready": runtime.pools.ready,
            "workers": self.workers,
        }

    request_status = get_status

    # Its life

    def close(self, timeout_s: float = EXIT_S) -> None:
        """End the workers; calls in flight have `timeout_s` seconds to finish."""
        with self._lock:
            self._is_closed = True
            runtime, self._runtime = self._runtime, None
        if runtime is not None:
            runtime.close(timeout_s)

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

    def _started(self, first: WorkerProcess | None = None) -> Runtime:
        """The workers of this process."""
        with self._lock:
            if self._is_closed:
                raise ConnectionError(f"{self._source.name}: this embedded host is closed.")
            if self._runtime is None:
                source, options = self._source, self._options
                self._runtime = Runtime(lambda runtime: source.pools(runtime, options), first)
                weakref.finalize(self, self._runtime.close_soon).atexit = False
            return self._runtime

    def _loaded(self) -> Runtime:
        runtime = self._runtime or self._started()
        if not runtime.is_loaded:
            try:
                self._check(runtime, runtime.load)
            except ConfigError:
                if not runtime.was_interrupted:
                    raise
                return self._loaded()
        return runtime

    async def _aloaded(self) -> Runtime:
        runtime = self._runtime or self._started()
        if not runtime.is_loaded:
            watch = runtime.watch()
            future = watch.loop.create_future()
            with runtime.reactor:
                runtime.when_loaded(lambda: watch.set_result(future))
            await future
            self._check(runtime, runtime.raise_failure)
        return runtime

    def _check(self, runtime: Runtime, load: Callable[[], None]) -> None:
        """After a failed load the next call tries anew: the config may have been mended."""
        try:
            load()
        except ConfigError:
            with self._lock:
                if self._runtime is runtime:
                    self._runtime = None
            runtime.close(0)
            raise

    def after_fork(self) -> None:
        """In a forked child: the workers are the parent's."""
        self._lock = threading.Lock()
        self._runtime = None


_hosts: weakref.WeakSet[EmbeddedHost] = weakref.WeakSet()


def _after_fork() -> None:
    for host in list(_hosts):
        host.after_fork()


os.register_at_fork(after_in_child=_after_fork)
