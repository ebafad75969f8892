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

__all__ = ["FLOOR", "IMPORTS", "PEER_PYTHON", "PROJECT_PYTHON", "ROWS", "Import", "Row"]

FLOOR = "floor"
"""The row that others are compared with."""

PROJECT_PYTHON = sys.executable
PEER_PYTHON = str(BENCH / ".venv" / "bin" / "python")
HOSTS = BENCH / "hosts"
FUNCTIONS = str(HOSTS / "functions.cjs")

# Fresh programs run in the peers' environment, jshost's too: an editable installation, which the
# project's own has, adds a hook that costs every start of Python there about as much as Python.
WITH_JSHOST = {"PYTHONPATH": f"{BENCH.parent}{os.pathsep}{sysconfig.get_paths()['purelib']}"}


@dataclass(frozen=True)
class Row:
    """One way for Python to call a function that another process keeps loaded.

    ``host`` makes the host's command from an endpoint, or is None when the client starts its own.
    ``arguments`` are the caller's, and ``first`` a fresh program's text, each from an endpoint.
    ``workers`` are the numbers of workers that the CPU-burning load is measured with.
    ``can`` is what its client can do besides single calls: "async", "batch", "stream".
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
    can: frozenset[str] = frozenset()
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


def _jshost(config: Path) -> Callable[[Endpoint], list[str]]:
    def host(endpoint: Endpoint) -> list[str]:
        where = ["--uds", endpoint.path] if endpoint.path else ["-p", str(endpoint.port)]
        return [PROJECT_PYTHON, "-m", "jshost", "serve", str(config), *where]

    return host


def _sockets(endpoint: Endpoint) -> dict[str, object]:
    return endpoint.arguments


def _root_url(endpoint: Endpoint) -> dict[str, object]:
    return {"root_url": endpoint.url}


def _first_raw(endpoint: Endpoint) -> str:
    where = repr(endpoint.path) if endpoint.path else f'("127.0.0.1", {endpoint.port})'
    family = "AF_UNIX" if endpoint.path else "AF_INET"
    return f"""\
import json, socket
connection = socket.socket(socket.{family})
connection.connect({where})
body = json.dumps({{"x": 1}}).encode()
head = b"POST /function/tiny HTTP/1.1\\r\\nHost: 127.0.0.1\\r\\nContent-Length: "
connection.sendall(b"%b%d\\r\\n\\r\\n%b" % (head, len(body), body))
received = b""
while b"\\r\\n\\r\\n" not in received or received.endswith(b"\\r\\n\\r\\n"):
    received += connection.recv(65536)
print(json.loads(received.split(b"\\r\\n\\r\\n", 1)[1]), flush=True)
"""


def _first_http_client(endpoint: Endpoint) -> str:
    return f"""\
import http.client, json
connection = http.client.HTTPConnection("127.0.0.1", {endpoint.port})
connection.request("POST", "/function/tiny", json.dumps({{"x": 1}}).encode())
print(json.loads(connection.getresponse().read()), flush=True)
"""


def _first_bridge(_: Endpoint) -> str:
    return f"""\
from javascript import require
print(require({FUNCTIONS!r}).tiny({{"x": 1}}), flush=True)
"""


def _first_js_host(_: Endpoint) -> str:
    return f"""\
from js_host.conf import settings
settings.configure(SOURCE_ROOT={str(BENCH)!r}, CONFIG_FILE="hosts/peer.config.js", VERBOSITY=0)
from js_host.function import Function
print(Function("tiny").call(x=1), flush=True)
"""


def _first_jshost(endpoint: Endpoint) -> str:
    return f"""\
import jshost
jshost.settings.configure(ROOT_URL={endpoint.url!r})
print(jshost.Function("tiny").call(x=1), flush=True)
"""


def _floor_row(key: str, name: str, over_unix_socket: bool = False) -> Row:
    return Row(
        key=key,
        name=name,
        python=PROJECT_PYTHON,
        caller="raw",
        arguments=_sockets,
        first=_first_raw,
        host=_bare_server,
        over_unix_socket=over_unix_socket,
        can=frozenset({"async"}),
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
        first=_first_jshost,
        first_environment=WITH_JSHOST,
        host=_jshost(HOSTS / config),
        over_unix_socket=over_unix_socket,
        workers=workers,
        can=frozenset({"async", "batch", "stream"}),
    )


ROWS = (
    _floor_row(FLOOR, "floor: raw TCP socket, bare Node"),
    _floor_row("floor-uds", "floor: raw unix socket, bare Node", over_unix_socket=True),
    Row(
        key="http.client",
        name="http.client, bare Node",
        python=PROJECT_PYTHON,
        caller="http.client",
        arguments=_sockets,
        first=_first_http_client,
        host=_bare_server,
    ),
    Row(
        key="jspybridge",
        name="JSPyBridge",
        python=PEER_PYTHON,
        caller="jspybridge",
        arguments=lambda _: {"functions_file": FUNCTIONS},
        first=_first_bridge,
    ),
    Row(
        key="js-host",
        name="python-js-host + js-host",
        python=PEER_PYTHON,
        caller="js-host",
        arguments=lambda _: {"source_root": str(BENCH), "config_file": "hosts/peer.config.js"},
        first=_first_js_host,
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
)

IMPORTS = (
    Import("import jshost", WITH_JSHOST),
    Import("from jshost.function import Function", WITH_JSHOST),
    Import("import http.client"),
    Import("import requests"),
)
