"""Making embedded hosts. Runs in: programs that embed a host."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from jshost.client.settings import settings
from jshost.embedding.sources import CODE, Source, read_source

if TYPE_CHECKING:
    from pathlib import Path

    from jshost.client.function import Function
    from jshost.embedding.host import EmbeddedHost

__all__ = ["default_host", "embedded", "javascript", "stand_in"]


def embedded(
    config: str | os.PathLike[str] | Mapping[str, str] | None = None, **options: Any
) -> EmbeddedHost:
    """A host inside of this program: no server, no port, nothing to start before.

    Args:
        config: a config file of either language; or functions by name, for Python
            ``'module:function'``, for JavaScript ``'npm:package'``, ``'npm:package:export'`` or
            ``'./file.js:export'``; None: the config file of the settings.
        options: options of config files, in their Python spelling, that win over the file's:
            ``workers=2``.

    Returns:
        The host, for ``with`` and ``async with``; without them, its workers end when it is closed,
        when nothing refers to it any more, or with the program.

    Raises:
        ConfigError: there is no such file, an option is wrong, or there is no Node. That a file
            does not load is raised by ``with``, or by the first call.

    Example:
        >>> with jshost.embedded("host.config.js", workers=2) as host:
        ...     host.render(component="App")
        ...     host.function("render", timeout=2).call(component="App")
        >>> with jshost.embedded({"slug": "npm:slugify"}) as host: ...
    """
    return _made(read_source(config), options)


def _made(source: Source, options: Mapping[str, Any]) -> EmbeddedHost:
    """The worker first: it takes longer to load than what is imported meanwhile."""
    first = source.spawn(options)
    try:
        from jshost.client import function  # noqa: F401  the first call needs it
        from jshost.embedding.host import EmbeddedHost

        return EmbeddedHost(source, options, first)
    except BaseException:
        first.discard()
        raise


def javascript(code: str, **options: Any) -> Function:
    """A function made of the body of a JavaScript function: it sees its arguments as ``data``, and
    ``require``, and may ``await``.

    All of them share one Node process, which is started for the first one that is called.

    Args:
        code: what stands between a function's braces.
        options: as for `jshost.Function`.

    Example:
        >>> add = jshost.javascript("return data.a + data.b")
        >>> add.call(a=1, b=2)
        3
    """
    from jshost.client.function import Function

    return Function(code, _shared(None), **options)


_hosts: dict[Path | None, EmbeddedHost] = {}
"""The hosts that live as long as the program: by config file; None: the one for code."""
_lock = threading.Lock()


def default_host() -> EmbeddedHost:
    """What `Function` calls where the setting EMBEDDED is on: one host for each config file."""
    return _shared(settings.config_path())


@contextlib.contextmanager
def stand_in(config: Path, host: EmbeddedHost) -> Iterator[None]:
    """Until the end of a ``with``, `default_host` is this host where the settings name `config`."""
    before = _hosts.get(config)
    _hosts[config] = host
    try:
        yield
    finally:
        if before is None:
            del _hosts[config]
        else:
            _hosts[config] = before


def _shared(key: Path | None) -> EmbeddedHost:
    """The host of a config file; None: the one for code."""
    with _lock:
        host = _hosts.get(key)
        if host is None:
            source = CODE if key is None else read_source(key)
            host = _hosts[key] = _made(source, {})
        return host


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)
