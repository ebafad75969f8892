"""The sockets that a host listens on. Runs in: host."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import socket
from collections.abc import Sequence
from pathlib import Path

from jshost.discovery.records import socket_path
from jshost.exceptions import ConfigError
from jshost.platform.syn_filter import drop_new_connections
from jshost.pool.options import HostOptions

__all__ = ["Listeners"]

logger = logging.getLogger("jshost.host")

BACKLOG = 2048
MAX_SOCKET_PATH_BYTES = 103
"""What every system takes for the path of a unix socket (sun_path holds 104 to 108)."""


class Listeners:
    """The sockets of a host, closed at the end of the context; unix sockets' files are removed.

    By default a TCP socket, and, for callers of the same user on this machine, a unix socket in
    the runtime directory. With the option `uds` that one only.

    Args:
        inherited: sockets that listen already, and go on when we end: they take the place of the
            option's address.

    Attributes:
        sockets: what to accept connections on.
        own: those of them that nobody has after us: who waits there to be accepted is reset when
            they are closed.
        url: the root URL for callers.
        port: the TCP port, or 0 where there is none.

    Raises:
        ConfigError: an address cannot be had.
    """

    def __init__(
        self, config_file: Path, options: HostOptions, inherited: Sequence[socket.socket] = ()
    ) -> None:
        self._paths: list[Path] = []
        self.own: list[socket.socket] = []
        if inherited:
            self.url, self.port = _url_of(inherited[0])
        elif options.uds is not None:
            path = Path(options.uds).absolute()
            self.own = [_listen_unix(path)]
            self._paths.append(path)
            self.url, self.port = f"unix://{path}", 0
        else:
            self.own = [_listen_tcp(options.address, options.port)]
            self.url, self.port = _url_of(self.own[0])
        if self.port:
            self._listen_for_this_machine(config_file)
        self.sockets = [*inherited, *self.own]

    def _listen_for_this_machine(self, config_file: Path) -> None:
        try:
            path = socket_path(str(config_file), os.getpid())
            if len(os.fsencode(path)) <= MAX_SOCKET_PATH_BYTES:
                self.own.append(_listen_unix(path))
                self._paths.append(path)
        except (ConfigError, OSError) as error:
            logger.debug("no unix socket for callers on this machine: %s", error)

    def __enter__(self) -> Listeners:
        return self

    def __exit__(self, *error: object) -> None:
        self.unlink()
        for listener in self.sockets:
            listener.close()

    def unlink(self) -> None:
        """Remove the unix sockets' files, before they are closed: another host may listen there
        while this one ends its calls, and its file is not ours."""
        while self._paths:
            with contextlib.suppress(OSError):
                self._paths.pop().unlink()

    def turn_away(self) -> None:
        """Let nobody else connect to our own sockets, before the last ones are accepted.

        A connection that is made between the last accept and the close is reset, and its caller
        does not know whether it was heard. So TCP connections that are only being asked for now are
        not made: their askers ask again in a second, and are told then that nobody listens.
        """
        self.unlink()
        for listener in self.own:
            drop_new_connections(listener)


def _url_of(listener: socket.socket) -> tuple[str, int]:
    """The root URL of whoever listens there, and its TCP port or 0."""
    if listener.family == socket.AF_UNIX:
        return f"unix://{listener.getsockname()}", 0
    address, port = listener.getsockname()[:2]
    return f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}", port


def _listen_unix(path: Path) -> socket.socket:
    if len(os.fsencode(path)) > MAX_SOCKET_PATH_BYTES:
        raise ConfigError(
            f"{path}: the path of a unix socket can have {MAX_SOCKET_PATH_BYTES} bytes, not more. "
            "Choose a shorter one with --uds."
        )
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if path.is_socket() and not _is_listened_to(path):
            path.unlink()  # left by a host that was killed
        listener.bind(str(path))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise ConfigError(
                f"{path}: another program listens there, or it is no socket. Stop that one, or "
                "choose another path with --uds."
            ) from error
        raise ConfigError(
            f"{path}: cannot listen there: {error.strerror}. Choose another path with --uds."
        ) from error
    listener.setblocking(False)
    return listener


def _is_listened_to(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            return False
        except BlockingIOError:  # so many wait there to be accepted that it takes no more
            return True
    return True


def _listen_tcp(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    # With the protocol named, asyncio sets TCP_NODELAY on what it accepts.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise ConfigError(
                f"Port {port} on {address} is in use by another program (a host that already "
                f"runs? `jshost status` shows it). Stop that one, or choose another port with -p "
                "PORT (-p 0 picks a free one)."
            ) from error
        raise ConfigError(
            f"Cannot listen on {address}:{port}: {error.strerror}. Choose an address of this "
            "machine, and a port that you may use, with --address and -p."
        ) from error
    listener.setblocking(False)
    return listener
