"""The table of rows: how each is hosted and called. Runs in: bench/run.py."""

import json
import os
import sys
import sysconfig
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from processes import BENCH

__all__ = ["IMPORTS", "PEER_PYTHON", "PROJECT_PYTHON", "ROWS", "Import", "Row"]

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

    ``host`` makes the host's command from a port, or is None when the client starts its own.
    ``arguments`` are the caller's, and ``first`` a fresh program's text, each from a port.
    ``workers`` are the numbers of workers that the CPU-burning load is measured with.
    """

    key: str
    name: str
    python: str
    caller: str
    arguments: Callable[[int], dict[str, object]]
    first: Callable[[int], str]
    host: Callable[[int], list[str]] | None = None
    ready_path: str = "/ready"
    workers: tuple[int, ...] = (1,)
    extra_environment: Mapping[str, str] = field(default_factory=dict)
    first_environment: Mapping[str, str] = field(default_factory=dict)

    def environment(self, port: int, workers: int = 1) -> dict[str, str]:
        """Return what this row's host and clients are told by environment."""
        told = {"BENCH_PORT": str(port), "BENCH_WORKERS": str(workers)}
        return {**told, **self.extra_environment}

    def driver(self, port: int) -> list[str]:
        """Return the command of this row's driver."""
        arguments = json.dumps(self.arguments(port))
        return [self.python, str(BENCH / "driver.py"), self.caller, arguments]

    def first_call(self, port: int) -> list[str]:
        """Return the command of a fresh program that prints one result."""
        return [PEER_PYTHON, "-c", self.first(port)]


@dataclass(frozen=True)
class Import:
    """A statement whose cost over a bare interpreter is measured."""

    statement: str
    environment: Mapping[str, str] = field(default_factory=dict)


def _bare_server(port: int) -> list[str]:
    return ["node", str(HOSTS / "bare_server.cjs"), str(port)]


def _js_host(_: int) -> list[str]:
    binary = BENCH / "node_modules" / "js-host" / "bin" / "js-host.js"
    return ["node", str(binary), str(HOSTS / "peer.config.js")]


def _jshost(config: Path) -> Callable[[int], list[str]]:
    def host(port: int) -> list[str]:
        return [PROJECT_PYTHON, "-m", "jshost", "serve", str(config), "-p", str(port)]

    return host


def _port_only(port: int) -> dict[str, object]:
    return {"port": port}


def _first_raw(port: int) -> str:
    return f"""\
import json, socket
connection = socket.create_connection(("127.0.0.1", {port}))
body = json.dumps({{"x": 1}}).encode()
head = b"POST /function/tiny HTTP/1.1\\r\\nHost: 127.0.0.1\\r\\nContent-Length: "
connection.sendall(b"%b%d\\r\\n\\r\\n%b" % (head, len(body), body))
received = b""
while b"\\r\\n\\r\\n" not in received or received.endswith(b"\\r\\n\\r\\n"):
    received += connection.recv(65536)
print(json.loads(received.split(b"\\r\\n\\r\\n", 1)[1]), flush=True)
"""


def _first_http_client(port: int) -> str:
    return f"""\
import http.client, json
connection = http.client.HTTPConnection("127.0.0.1", {port})
connection.request("POST", "/function/tiny", json.dumps({{"x": 1}}).encode())
print(json.loads(connection.getresponse().read()), flush=True)
"""


def _first_bridge(_: int) -> str:
    return f"""\
from javascript import require
print(require({FUNCTIONS!r}).tiny({{"x": 1}}), flush=True)
"""


def _first_js_host(_: int) -> str:
    return f"""\
from js_host.conf import settings
settings.configure(SOURCE_ROOT={str(BENCH)!r}, CONFIG_FILE="hosts/peer.config.js", VERBOSITY=0)
from js_host.function import Function
print(Function("tiny").call(x=1), flush=True)
"""


def _first_jshost(port: int) -> str:
    return f"""\
from jshost.conf import settings
settings.configure(ROOT_URL="http://127.0.0.1:{port}")
from jshost.function import Function
print(Function("tiny").call(x=1), flush=True)
"""


ROWS = (
    Row(
        key="floor",
        name="floor: raw socket, bare Node",
        python=PROJECT_PYTHON,
        caller="raw",
        arguments=_port_only,
        first=_first_raw,
        host=_bare_server,
    ),
    Row(
        key="http.client",
        name="http.client, bare Node",
        python=PROJECT_PYTHON,
        caller="http.client",
        arguments=_port_only,
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
    Row(
        key="jshost-js",
        name="**jshost JS function**",
        python=PROJECT_PYTHON,
        caller="jshost",
        arguments=_port_only,
        first=_first_jshost,
        first_environment=WITH_JSHOST,
        host=_jshost(HOSTS / "host.config.js"),
        workers=(1, 2),
    ),
    Row(
        key="jshost-py",
        name="**jshost Python function**",
        python=PROJECT_PYTHON,
        caller="jshost",
        arguments=_port_only,
        first=_first_jshost,
        first_environment=WITH_JSHOST,
        host=_jshost(HOSTS / "host.config.py"),
        workers=(1, 2),
    ),
)

IMPORTS = (
    Import("import jshost", WITH_JSHOST),
    Import("from jshost.function import Function", WITH_JSHOST),
    Import("import http.client"),
    Import("import requests"),
)
