"""Which config file the settings name, and CONNECT_ONCE_CONFIGURED."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.tiny_server import Connection, TinyServer

from jshost.conf import CONFIG_FILE_NAMES, settings
from jshost.exceptions import ConfigError, ConnectionError, UnexpectedResponse


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is the working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("first", range(len(CONFIG_FILE_NAMES)))
def test_the_first_config_file_that_exists_is_the_default(folder: Path, first: int) -> None:
    for name in CONFIG_FILE_NAMES[first:]:
        (folder / name).touch()
    assert settings.config_path() == folder / CONFIG_FILE_NAMES[first]


def test_the_order_of_the_config_files() -> None:
    endings = [name.removeprefix("host.config") for name in CONFIG_FILE_NAMES]
    assert endings == [".py", ".js", ".mjs", ".cjs"]


def test_a_folder_of_that_name_is_no_config_file(folder: Path) -> None:
    (folder / "host.config.py").mkdir()
    (folder / "host.config.js").touch()
    assert settings.config_path() == folder / "host.config.js"


def test_the_source_root_is_where_it_is_looked_for(folder: Path) -> None:
    (folder / "site").mkdir()
    (folder / "site" / "host.config.js").touch()
    settings.configure(SOURCE_ROOT="site")
    assert settings.config_path() == folder / "site" / "host.config.js"


def test_a_config_file_is_relative_to_the_source_root(folder: Path) -> None:
    settings.configure(SOURCE_ROOT=folder / "site", CONFIG_FILE="../js/my.config.js")
    assert settings.config_path() == folder / "js" / "my.config.js"
    settings.configure(CONFIG_FILE=folder / "absolute.js")
    assert settings.config_path() == folder / "absolute.js"


def test_without_a_config_file_the_error_says_where_it_looked(folder: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        settings.config_path()
    assert str(folder) in str(caught.value)
    assert all(name in str(caught.value) for name in CONFIG_FILE_NAMES)
    assert "jshost init" in str(caught.value)


# CONNECT_ONCE_CONFIGURED


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that is taken, so that nobody else gets it, and refuses connections."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def test_connecting_at_once_raises_when_nobody_answers(closed_port: int) -> None:
    with pytest.raises(ConnectionError, match=f"127.0.0.1:{closed_port}"):
        settings.configure(ROOT_URL=f"http://127.0.0.1:{closed_port}", CONNECT_ONCE_CONFIGURED=True)


def test_connecting_at_once_raises_when_no_host_serves_the_config_file(folder: Path) -> None:
    (folder / "host.config.js").touch()
    with pytest.raises(ConnectionError, match=rf"{folder}/host.config.js.*jshost serve"):
        settings.configure(CONNECT_ONCE_CONFIGURED=True)


def test_connecting_at_once_raises_when_a_stranger_answers() -> None:
    def script(connection: Connection) -> None:
        while connection.read_request():
            connection.answer(200, b"<h1>It works!</h1>", {"Content-Type": "text/html"})

    with TinyServer(script) as server, pytest.raises(UnexpectedResponse, match="It works!"):
        settings.configure(ROOT_URL=server.url, CONNECT_ONCE_CONFIGURED=True)


def test_connecting_at_once_asks_the_host_for_its_status() -> None:
    def script(connection: Connection) -> None:
        while connection.read_request():
            connection.answer(200, b'{"type": "Host", "pid": 1}')

    with TinyServer(script) as server:
        settings.configure(ROOT_URL=server.url, CONNECT_ONCE_CONFIGURED=True)
        settings.reset()
    assert [request.target for request in server.requests] == ["/status"]
