"""The listening sockets of a host. Runs in: host."""

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

__all__ = ["BACKLOG", "Listeners"]

logger = logging.getLogger("jshost.host")

BACKLOG = 2048
MAX_SOCKET_PATH_BYTES = 103
"""The longest path of a unix socket that every system takes (sun_path holds 104 to 108)."""


class Listeners:
    """The listening sockets of a host. Leaving the context closes them and removes their files.

    By default there is a TCP socket, and a unix socket in the runtime directory for callers of the
    same user on this machine. With the option `uds` there is that unix socket only.

    Args:
        inherited: listening sockets that stay open when we end; used in place of the option
            `address`.

    Attributes:
        sockets: where connections are accepted.
        own: those of them that close when we end; connections in their backlog are reset then.
        url: the root URL for callers.
        port: the TCP port, or 0 where there is none.

    Raises:
        ConfigError: an address cannot be listened on.
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
        """Remove the files of our unix sockets, before we close those: while this host drains,
        another one may create the same file, which is not ours to remove."""
        while self._paths:
            with contextlib.suppress(OSError):
                self._paths.pop().unlink()

    def turn_away(self) -> None:
        """Let no new connection into the backlog of our own sockets, before we empty it.

        A connection that completes between the last accept and the close is reset, and its client
        cannot know whether its request was read. So the system drops the first packet of new TCP
        connections: clients repeat it a second later, and find that the port is closed.
        """
        self.unlink()
        for listener in self.own:
            drop_new_connections(listener)


def _url_of(listener: socket.socket) -> tuple[str, int]:
    """The root URL of a listening socket, and its TCP port or 0."""
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
                f"{path}: another program listens there, or it is not a socket. Stop it, or "
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
        except BlockingIOError:  # its backlog is full
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
