"""The sockets that a host listens on: its own, and those that it was handed."""

from __future__ import annotations

import contextlib
import socket
import sys
from pathlib import Path

import pytest

from jshost.exceptions import ConfigError
from jshost.pool.options import HostOptions
from jshost.server.http.listeners import Listeners

CONFIG = Path("/srv/app/host.config.py")
OPTIONS = HostOptions(port=0)


def test_it_listens_on_tcp_and_for_callers_on_this_machine(own_runtime_folder: Path) -> None:
    with Listeners(CONFIG, OPTIONS) as listeners:
        tcp, unix = listeners.sockets
        assert listeners.own == listeners.sockets
        assert listeners.url == f"http://127.0.0.1:{listeners.port}"
        assert tcp.getsockname() == ("127.0.0.1", listeners.port)
        path = Path(unix.getsockname())
        assert own_runtime_folder in path.parents
        for family, address in [(socket.AF_INET, tcp.getsockname()), (socket.AF_UNIX, str(path))]:
            with socket.socket(family) as caller:
                caller.connect(address)
    assert not path.exists()


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_an_inherited_socket_takes_the_place_of_the_address(family: socket.AddressFamily) -> None:
    local = "::1" if family == socket.AF_INET6 else "127.0.0.1"
    name = f"[{local}]" if family == socket.AF_INET6 else local
    with socket.socket(family) as given:
        given.bind((local, 0))
        given.listen()
        port = given.getsockname()[1]
        with Listeners(CONFIG, HostOptions(address="192.0.2.1"), [given]) as listeners:
            assert (listeners.url, listeners.port) == (f"http://{name}:{port}", port)
            assert listeners.sockets[0] is given
            assert given not in listeners.own


def test_the_file_of_an_inherited_unix_socket_is_left_to_its_owner(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as given:
        given.bind(str(tmp_path / "host.sock"))
        given.listen()
        with Listeners(CONFIG, OPTIONS, [given]) as listeners:
            assert (listeners.url, listeners.port) == (f"unix://{tmp_path}/host.sock", 0)
            assert (listeners.sockets, listeners.own) == ([given], [])
            listeners.turn_away()
    assert (tmp_path / "host.sock").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux drops packets for a socket")
def test_who_is_turned_away_never_was_connected() -> None:
    with Listeners(CONFIG, OPTIONS) as listeners:
        listener = listeners.own[0]
        with socket.create_connection(listener.getsockname(), 5) as early:
            listeners.turn_away()
            with pytest.raises(TimeoutError):
                socket.create_connection(listener.getsockname(), 0.1)
            accepted, _ = listener.accept()
            with accepted:
                early.sendall(b"heard")
                accepted.settimeout(5)
                assert accepted.recv(16) == b"heard"
            with pytest.raises(BlockingIOError):
                listener.accept()


def test_a_path_where_more_wait_than_its_owner_accepts_is_in_use(tmp_path: Path) -> None:
    path = tmp_path / "host.sock"
    with contextlib.ExitStack() as opened, socket.socket(socket.AF_UNIX) as busy:
        busy.bind(str(path))
        busy.listen(0)
        with contextlib.suppress(BlockingIOError):
            for _ in range(100):
                caller = opened.enter_context(socket.socket(socket.AF_UNIX))
                caller.setblocking(False)
                caller.connect(str(path))
        with pytest.raises(ConfigError, match="another program listens there"):
            Listeners(CONFIG, HostOptions(uds=str(path)))
    assert path.is_socket()
