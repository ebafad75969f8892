"""Answering in a function's place, for tests. Runs in: callers."""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable
from typing import Any, Self, TypeVar

from jshost.client.call import NOT_GIVEN
from jshost.client.function import Function
from jshost.client.host import Host
from jshost.protocol import results
from jshost.testing.overriding_host import OverridingHost

__all__ = ["override_function"]

T = TypeVar("T")


class override_function:
    """Answer in the place of a function, for all its callers and on any host.

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
        self._host = OverridingHost(self.answer)

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
        arguments = results.decode_call(content_type, body)
        self.calls.append(arguments)
        if self._raises is not None:
            raise self._raises
        return self._callable(**arguments) if self._callable is not None else self._returns


class _Overrides:
    """Which functions are overridden now; where any is, `Function.get_host` is ours."""

    def __init__(self) -> None:
        self._active: list[tuple[override_function, Host]] = []
        self._lock = threading.Lock()
        self._get_host: Callable[[Function], Host] = Function.get_host

    def add(self, override: override_function, host: Host) -> None:
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

    def _make_get_host(self) -> Callable[[Function], Host]:
        original = self._get_host = Function.get_host
        active = self._active

        def get_host(function: Function) -> Host:
            for override, host in reversed(active):
                if override.name == function.name:
                    return host
            return original(function)

        return get_host


_overrides = _Overrides()
