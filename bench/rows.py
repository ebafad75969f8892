"""The table of rows: how each is hosted and called. Runs in: bench/run.py."""

import json
import os
import sys
import sysconfig
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from endpoints import Endpoint, free_port, free_socket
from processes import BENCH
from programs import (
    FUNCTIONS,
    HOSTS,
    PAIR,
    first_bridge,
    first_embedded,
    first_http_client,
    first_js_host,
    first_jshost,
    first_mini_racer,
    first_pair,
    first_pythonmonkey,
    first_raw,
)

__all__ = [
    "BARE_PROGRAMS",
    "FLOOR",
    "IMPORTS",
    "PAIR_FLOOR",
    "PEER_PYTHON",
    "PROJECT_PYTHON",
    "ROWS",
    "Import",
    "Row",
    "jshost_host",
]

FLOOR, PAIR_FLOOR = "floor", "floor-pair"
"""The rows that others are compared with: hosts, and what a program runs itself."""

PROJECT_PYTHON = sys.executable
PEER_PYTHON = str(BENCH / ".venv" / "bin" / "python")

# Fresh programs run in the peers' environment, jshost's too: an editable installation, which the
# project's own has, adds a hook that costs every start of Python there about as much as Python.
WITH_JSHOST = {"PYTHONPATH": f"{BENCH.parent}{os.pathsep}{sysconfig.get_paths()['purelib']}"}


ANY = frozenset({"threads", "sleep", "burn"})


@dataclass(frozen=True)
class Row:
    """One way for Python to call a function that another process keeps loaded.

    ``host`` makes the host's command from an endpoint, or is None when the client starts its own.
    ``arguments`` are the caller's, and ``first`` a fresh program's text, each from an endpoint.
    ``workers`` are the numbers of workers that the CPU-burning load is measured with.
    ``can`` is what it can do besides calls one after another, from one thread: "threads", "sleep"
    (many at once that wait), "burn" (its functions have Node's clock of CPU time), "async",
    "batch", "stream", "stream_async", "kill" (its client says which process to kill), "in_flight"
    (many at once, from a Node program).
    """

    key: str
    name: str
    python: str
    caller: str
    arguments: Callable[[Endpoint], dict[str, object]]
    first: Callable[[Endpoint], str]
    host: Callable[[Endpoint], list[str]] | None = None
    over_unix_socket: bool = False
    ready_path: str = "/ready"
    workers: tuple[int, ...] = (1,)
    can: frozenset[str] = ANY
    extra_environment: Mapping[str, str] = field(default_factory=dict)
    first_environment: Mapping[str, str] = field(default_factory=dict)

    def endpoint(self, folder: Path, name: str) -> Endpoint:
        """Return where a new host of this row can listen; a socket's file is in ``folder``."""
        return free_socket(folder, name) if self.over_unix_socket else free_port()

    def environment(self, endpoint: Endpoint, workers: int = 1) -> dict[str, str]:
        """Return what this row's host and clients are told by environment."""
        told = {"BENCH_PORT": str(endpoint.port), "BENCH_WORKERS": str(workers)}
        return {**told, **self.extra_environment}

    def driver(self, endpoint: Endpoint) -> list[str]:
        """Return the command of this row's driver."""
        arguments = json.dumps(self.arguments(endpoint))
        return [self.python, str(BENCH / "driver.py"), self.caller, arguments]

    def first_call(self, endpoint: Endpoint) -> list[str]:
        """Return the command of a fresh program that prints one result."""
        return [PEER_PYTHON, "-c", self.first(endpoint)]


@dataclass(frozen=True)
class Import:
    """A statement whose cost over a bare interpreter is measured."""

    statement: str
    environment: Mapping[str, str] = field(default_factory=dict)


def _bare_server(endpoint: Endpoint) -> list[str]:
    return ["node", str(HOSTS / "bare_server.cjs"), endpoint.path or str(endpoint.port)]


def _js_host(_: Endpoint) -> list[str]:
    binary = BENCH / "node_modules" / "js-host" / "bin" / "js-host.js"
    return ["node", str(binary), str(HOSTS / "peer.config.js")]


def jshost_host(config: str) -> Callable[[Endpoint], list[str]]:
    """Return what makes the command of a jshost host that serves a file of hosts/."""

    def host(endpoint: Endpoint) -> list[str]:
        where = ["--uds", endpoint.path] if endpoint.path else ["-p", str(endpoint.port)]
        return [PROJECT_PYTHON, "-m", "jshost", "serve", str(HOSTS / config), *where]

    return host


def _sockets(endpoint: Endpoint) -> dict[str, object]:
    return endpoint.arguments


def _root_url(endpoint: Endpoint) -> dict[str, object]:
    return {"root_url": endpoint.url}


def _floor_row(key: str, name: str, over_unix_socket: bool = False) -> Row:
    return Row(
        key=key,
        name=name,
        python=PROJECT_PYTHON,
        caller="raw",
        arguments=_sockets,
        first=first_raw,
        host=_bare_server,
        over_unix_socket=over_unix_socket,
        can=ANY | {"async"},
    )


def _jshost_row(
    key: str,
    name: str,
    config: str,
    workers: tuple[int, ...] = (1, 2, 3),
    over_unix_socket: bool = False,
) -> Row:
    return Row(
        key=key,
        name=name,
        python=PROJECT_PYTHON,
        caller="jshost",
        arguments=_root_url,
        first=first_jshost,
        first_environment=WITH_JSHOST,
        host=jshost_host(config),
        over_unix_socket=over_unix_socket,
        workers=workers,
        can=ANY | {"async", "batch", "stream", "stream_async"},
    )


def _embedded_row(key: str, name: str, config: str) -> Row:
    path = str(HOSTS / config)
    return Row(
        key=key,
        name=name,
        python=PROJECT_PYTHON,
        caller="jshost-embedded",
        arguments=lambda _: {"config": path},
        first=lambda _: first_embedded(path),
        first_environment=WITH_JSHOST,
        can=frozenset({"threads", "sleep", "async", "batch", "kill", "stream", "stream_async"}),
    )


ROWS = (
    _floor_row(FLOOR, "floor: raw TCP socket, bare Node"),
    _floor_row("floor-uds", "floor: raw unix socket, bare Node", over_unix_socket=True),
    Row(
        key=PAIR_FLOOR,
        name="floor: socket pair, bare Node",
        python=PROJECT_PYTHON,
        caller="pair",
        arguments=lambda _: {"script": PAIR},
        first=first_pair,
        can=frozenset(),
    ),
    Row(
        key="http.client",
        name="http.client, bare Node",
        python=PROJECT_PYTHON,
        caller="http.client",
        arguments=_sockets,
        first=first_http_client,
        host=_bare_server,
    ),
    Row(
        key="jspybridge",
        name="JSPyBridge",
        python=PEER_PYTHON,
        caller="jspybridge",
        arguments=lambda _: {"functions_file": FUNCTIONS},
        first=first_bridge,
    ),
    Row(
        key="pythonmonkey",
        name="PythonMonkey, an engine inside",
        python=PEER_PYTHON,
        caller="pythonmonkey",
        arguments=lambda _: {"functions_file": FUNCTIONS},
        first=first_pythonmonkey,
        can=frozenset(),
    ),
    Row(
        key="mini-racer",
        name="mini-racer, an engine inside",
        python=PEER_PYTHON,
        caller="mini-racer",
        arguments=lambda _: {"functions_file": FUNCTIONS},
        first=first_mini_racer,
        can=frozenset({"threads", "sleep"}),
    ),
    Row(
        key="js-host",
        name="python-js-host + js-host",
        python=PEER_PYTHON,
        caller="js-host",
        arguments=lambda _: {"source_root": str(BENCH), "config_file": "hosts/peer.config.js"},
        first=first_js_host,
        host=_js_host,
        ready_path="/status",
        # It takes any warning on stderr for a failure, and its own packages cause one.
        extra_environment={"NODE_NO_WARNINGS": "1"},
    ),
    _jshost_row("jshost-js", "**jshost JS function**", "host.config.js"),
    _jshost_row(
        "jshost-js-uds",
        "**jshost JS function**, unix socket",
        "host.config.js",
        workers=(1,),
        over_unix_socket=True,
    ),
    _jshost_row("jshost-py", "**jshost Python function**", "host.config.py"),
    _embedded_row("jshost-embedded", "**jshost embedded JS function**", "host.config.js"),
    _embedded_row("jshost-embedded-py", "**jshost embedded Python function**", "host.config.py"),
)

BARE_PROGRAMS = {"node -e 0": ["node", "-e", "0"], "python -c pass": [PEER_PYTHON, "-c", "pass"]}
"""What starting costs with nothing to do."""
IMPORTS = (
    Import("import jshost", WITH_JSHOST),
    Import("from jshost.function import Function", WITH_JSHOST),
    Import("import http.client"),
    Import("import requests"),
)
