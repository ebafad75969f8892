"""For the tests of programs that call functions. Runs in: callers.

`override_function` answers in a function's place. `run_embedded` runs real functions in workers of
the test's process, `run_host` behind a server. `jshost.testing.pytest_plugin` has pytest fixtures
for these.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__all__ = ["TestHost", "override_function", "run_embedded", "run_host"]

if TYPE_CHECKING:
    from jshost.testing.hosts import TestHost, run_embedded, run_host
    from jshost.testing.overriding import override_function


def __getattr__(name: str) -> Any:
    """Import what is asked for: pytest loads the plugin, and so this package, in every run."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    home = "overriding" if name == "override_function" else "hosts"
    value = getattr(importlib.import_module(f"jshost.testing.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """What consoles complete, also before it is imported."""
    return sorted({*globals(), *__all__})
