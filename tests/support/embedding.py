"""Fixtures by which the tests of calls run against embedded hosts: import them beside the tests.

A module that imports these and the tests of another runs those without a server. What is about
HTTP is skipped.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import psutil
import pytest
from support.hosts import _long_lived

import jshost
from jshost.embedding.host import EmbeddedHost
from jshost.function import Function

__all__ = ["EmbeddedRunning", "serve", "shared_host"]


class EmbeddedRunning:
    """An embedded host as `conftest.RunningHost` would have it."""

    def __init__(self, host: EmbeddedHost) -> None:
        self.host = host

    def function(self, name: str, **options: Any) -> Function:
        return self.host.function(name, **options)

    def worker_pids(self) -> list[int]:
        return [worker["pid"] for worker in self.host.workers]

    def wait_for_log(self, text: str, timeout_s: float = 5.0) -> NoReturn:
        pytest.skip("about a host's log")

    def log_text(self) -> NoReturn:
        pytest.skip("about a host's log")

    def __getattr__(self, name: str) -> NoReturn:
        if name in ("url", "pid", "process", "status", "stop", "log"):
            pytest.skip(f"about a served host: {name}")
        raise AttributeError(name)


def _options(flags: tuple[str, ...]) -> dict[str, str]:
    if "--reload" in flags or len(flags) % 2:
        pytest.skip("about a served host's flags")
    return {
        name.removeprefix("--").replace("-", "_"): value
        for name, value in zip(flags[::2], flags[1::2], strict=True)
    }


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., EmbeddedRunning]]:
    """As `conftest.serve`, with embedded hosts."""
    hosts: list[EmbeddedHost] = []

    def start(name: str, text: str | None = None, *flags: str, **options: Any) -> EmbeddedRunning:
        config = tmp_path / name
        if text is not None:
            config.parent.mkdir(parents=True, exist_ok=True)
            config.write_text(text)
        if options:
            pytest.skip("about a served host's process")
        host = jshost.embedded(config, **_options(flags))
        hosts.append(host)
        assert host.functions
        return EmbeddedRunning(host)

    yield start
    for host in hosts:
        host.close()


@pytest.fixture(scope="module")
def shared_host(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[EmbeddedRunning]:
    """As `conftest.shared_host`, with an embedded host."""
    folder = tmp_path_factory.mktemp("shared")
    for name, text in request.module.CONFIG.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    first = next(iter(request.module.CONFIG))
    flags = getattr(request.module, "FLAGS", ())
    with jshost.embedded(folder / first, **_options(tuple(flags))) as host:
        running = EmbeddedRunning(host)
        pids = set(running.worker_pids())
        _long_lived.update(pids)
        yield running
        _long_lived.update(running.worker_pids())
    _long_lived.difference_update(pids)
    end = time.monotonic() + 3
    while any(map(psutil.pid_exists, pids)) and time.monotonic() < end:
        time.sleep(0.01)
