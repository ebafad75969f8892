"""The rows of Node programs that call Python functions. Runs in: bench/run.py.

Their drivers are node/driver.mjs with a caller of node/callers.mjs.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass

from endpoints import Endpoint
from processes import BENCH
from rows import PEER_PYTHON, Row, jshost_host

__all__ = ["HTTP", "NODE_ROWS", "OWN", "SHELL", "NodeRow"]

SHELL, OWN, HTTP = "node-python-shell", "node-jshost", "node-jshost-http"
NODE = BENCH / "node"
REPLIES_TO_3 = 'exec node "$@" 3>&1 1>&2'
IN_FLIGHT = frozenset({"in_flight", "sleep", "burn"})


@dataclass(frozen=True)
class NodeRow(Row):
    """One way for Node to call a Python function."""

    def driver(self, endpoint: Endpoint) -> list[str]:
        """Return the command of this row's driver."""
        program = ["sh", "-c", REPLIES_TO_3, "sh", str(NODE / "driver.mjs")]
        return [*program, self.caller, json.dumps(self.arguments(endpoint))]

    def first_call(self, endpoint: Endpoint) -> list[str]:
        """Return the command of a fresh program that prints one result."""
        return ["node", str(NODE / "first.mjs"), self.caller, json.dumps(self.arguments(endpoint))]


def _row(
    key: str,
    name: str,
    caller: str,
    can: frozenset[str] = IN_FLIGHT,
    workers: tuple[int, ...] = (1,),
    arguments: Callable[[Endpoint], dict[str, object]] = lambda _: {"python": PEER_PYTHON},
    host: Callable[[Endpoint], list[str]] | None = None,
) -> NodeRow:
    return NodeRow(
        key=key,
        name=name,
        python="",
        caller=caller,
        arguments=arguments,
        first=lambda _: "",
        host=host,
        workers=workers,
        can=can,
    )


NODE_ROWS = (
    _row("node-floor", "floor: socket pair, bare Python", "pair"),
    _row(SHELL, "python-shell", "python-shell", can=IN_FLIGHT | {"stream"}),
    _row("node-python-bridge", "python-bridge", "python-bridge"),
    _row("node-pythonia", "pythonia (JSPyBridge)", "pythonia"),
    _row(
        OWN,
        "**jshost, a Python of its own**",
        "own",
        can=IN_FLIGHT | {"stream", "stream_async"},
        workers=(1, 2),
    ),
    _row(
        HTTP,
        "**jshost, a host over HTTP**",
        "http",
        can=IN_FLIGHT | {"stream", "stream_async"},
        workers=(1, 2),
        arguments=lambda endpoint: {"root_url": endpoint.url},
        host=jshost_host("host.config.py"),
    ),
)
