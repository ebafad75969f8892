"""Persistent functions across Python and JavaScript. Runs in: every process.

Example:
    >>> from jshost import Function
    >>> Function("hello_world").call(name="Foo")
    'Hello, Foo!'
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__all__ = [
    "BaseController",
    "ConfigError",
    "ConnectionError",
    "Function",
    "FunctionError",
    "FunctionTimeout",
    "JSHost",
    "JSHostError",
    "ProcessError",
    "UnexpectedResponse",
    "abatch",
    "after_call",
    "batch",
    "before_call",
    "cacheable",
    "current_call",
    "embedded",
    "javascript",
    "settings",
]

if TYPE_CHECKING:
    from jshost.client.batch import abatch, batch
    from jshost.client.hooks import after_call, before_call
    from jshost.conf import settings
    from jshost.embedding.api import embedded, javascript
    from jshost.exceptions import (
        ConfigError,
        ConnectionError,
        FunctionError,
        FunctionTimeout,
        JSHostError,
        ProcessError,
        UnexpectedResponse,
    )
    from jshost.function import Function
    from jshost.host import JSHost
    from jshost.protocol.version import __version__ as __version__
    from jshost.worker.caching import cacheable
    from jshost.worker.context import current_call
    from jshost.worker.controllers import BaseController

_HOMES = {
    "__version__": "jshost.protocol.version",
    "BaseController": "jshost.worker.controllers",
    "Function": "jshost.function",
    "JSHost": "jshost.host",
    "abatch": "jshost.client.batch",
    "after_call": "jshost.client.hooks",
    "batch": "jshost.client.batch",
    "before_call": "jshost.client.hooks",
    "cacheable": "jshost.worker.caching",
    "current_call": "jshost.worker.context",
    "embedded": "jshost.embedding.api",
    "javascript": "jshost.embedding.api",
    "settings": "jshost.conf",
}
_MODULES = ("conf", "exceptions", "function", "host", "manager", "testing", "verbosity", "wire")
"""What users import, and may reach as an attribute whatever else they have imported."""


def __getattr__(name: str) -> Any:
    """Import what is asked for, and only that: a worker needs no client, a client no worker."""
    if name in _MODULES:
        import importlib

        return importlib.import_module(f"jshost.{name}")
    if name not in __all__ and name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(_HOMES.get(name, "jshost.exceptions")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """What consoles complete, also before it is imported."""
    return sorted({*globals(), *__all__, "__version__"})
