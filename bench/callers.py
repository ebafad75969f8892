"""One way to call a function per row, behind one interface. Runs in: a row's driver.

Each caller may be used from many threads. A result is whatever the row's own client gives. What
some rows' clients can do besides is in `AsyncCaller`, `Batcher` and `Streamer`; see `rows.Row.can`.
"""

from collections.abc import Awaitable, Callable, Iterator
from typing import Protocol

from callers_jshost import EmbeddedCaller, JshostCaller
from callers_peers import (
    BridgeCaller,
    HttpClientCaller,
    JsHostCaller,
    MiniRacerCaller,
    PythonMonkeyCaller,
)
from callers_raw import PairCaller, RawCaller

__all__ = ["CALLERS", "AsyncCaller", "Batcher", "Caller", "Owner", "Streamer"]


class Caller(Protocol):
    """What the load generator calls through."""

    def call(self, function: str, /, **data: object) -> object:
        """Call ``function`` with ``data`` and return its result."""
        ...


class AsyncCaller(Protocol):
    """A caller for asyncio programs."""

    def acall(self, function: str, /, **data: object) -> Awaitable[object]:
        """As ``call``, on the running loop."""
        ...


class Batcher(Protocol):
    """A caller that can send many calls at once."""

    def map(self, function: str, /, calls: list[dict[str, object]]) -> list[object]:
        """Call ``function`` once for each of ``calls``; the results in order."""
        ...


class Streamer(Protocol):
    """A caller that gives a function's values as they come."""

    def stream(self, function: str, /, **data: object) -> Iterator[object]:
        """Call ``function`` and iterate over what it yields."""
        ...


class Owner(Caller, Protocol):
    """A caller whose functions run in a process that can be killed."""

    def worker_pid(self) -> int:
        """The process that runs the function that is called now."""
        ...


CALLERS: dict[str, Callable[..., Caller]] = {
    "raw": RawCaller,
    "http.client": HttpClientCaller,
    "jspybridge": BridgeCaller,
    "js-host": JsHostCaller,
    "jshost": JshostCaller,
    "pair": PairCaller,
    "jshost-embedded": EmbeddedCaller,
    "pythonmonkey": PythonMonkeyCaller,
    "mini-racer": MiniRacerCaller,
}
