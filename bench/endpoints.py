"""Where a row's host listens, and whether it does. Runs in: bench/run.py, bench/million.py."""

import http.client
import itertools
import socket
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Endpoint", "free_port", "free_socket", "is_ready"]

LOOPBACK = "127.0.0.1"
ANSWER_DEADLINE_S = 1.0


@dataclass(frozen=True)
class Endpoint:
    """A TCP port on this machine or, where it has a path, a unix socket."""

    port: int = 0
    path: str = ""

    @property
    def url(self) -> str:
        """The root URL, as jshost spells it."""
        return f"unix://{self.path}" if self.path else f"http://{LOOPBACK}:{self.port}"

    @property
    def arguments(self) -> dict[str, object]:
        """What a caller that opens its own sockets is given."""
        return {"path": self.path} if self.path else {"port": self.port}


def free_port() -> Endpoint:
    """Return a port that was free a moment ago."""
    with socket.create_server((LOOPBACK, 0)) as server:
        return Endpoint(port=server.getsockname()[1])


def free_socket(folder: Path, name: str) -> Endpoint:
    """Return the path of a unix socket in ``folder`` that nobody has made: Node leaves its own."""
    paths = (folder / f"{name}-{n}.sock" for n in itertools.count(1))
    return Endpoint(path=str(next(path for path in paths if not path.exists())))


def is_ready(endpoint: Endpoint, path: str) -> bool:
    """Ask the host itself, where it listens; nobody there is not an error."""
    connection = http.client.HTTPConnection(
        LOOPBACK, endpoint.port or None, timeout=ANSWER_DEADLINE_S
    )
    try:
        if endpoint.path:
            connection.sock = _unix_connection(endpoint.path)
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _unix_connection(path: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.settimeout(ANSWER_DEADLINE_S)
        connection.connect(path)
    except OSError:
        connection.close()
        raise
    return connection
