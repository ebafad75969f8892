"""Our own callers. Runs in: a row's driver."""

from collections.abc import Awaitable, Iterator
from typing import Any

__all__ = ["EmbeddedCaller", "JshostCaller"]


class _Functions:
    """Calls through one `Function` for each name."""

    def __init__(self, make: Any) -> None:
        self._make = make
        self._functions: dict[str, Any] = {}

    def call(self, function: str, /, **data: object) -> object:
        """Call the kept Function."""
        return self._function(function).call(**data)

    def acall(self, function: str, /, **data: object) -> Awaitable[object]:
        """Call it from a task."""
        called: Awaitable[object] = self._function(function).acall(**data)
        return called

    def map(self, function: str, /, calls: list[dict[str, object]]) -> list[object]:
        """Call it many times in one request."""
        results: list[object] = self._function(function).map(calls)
        return results

    def stream(self, function: str, /, **data: object) -> Iterator[object]:
        """Iterate over what it yields."""
        stream: Iterator[object] = self._function(function).stream(**data)
        return stream

    def _function(self, name: str) -> Any:
        function = self._functions.get(name)
        if function is None:
            function = self._functions[name] = self._make(name)
        return function


class JshostCaller(_Functions):
    """A served host."""

    def __init__(self, root_url: str) -> None:
        import jshost

        jshost.settings.configure(ROOT_URL=root_url)
        super().__init__(jshost.Function)


class EmbeddedCaller(_Functions):
    """A host inside of this program."""

    def __init__(self, config: str) -> None:
        import jshost

        self._host = jshost.embedded(config)
        super().__init__(self._host.function)

    def worker_pid(self) -> int:
        """The process id of the worker that has a call, or of any."""
        workers = sorted(self._host.workers, key=lambda worker: -worker["calls"])
        return int(workers[0]["pid"])
