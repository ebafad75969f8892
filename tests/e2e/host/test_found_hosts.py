"""A running host is found by its config file, and what is none is told apart."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import stat
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil
import pytest
from support.hosts import RunningHost, StartHost, wait_until

from jshost.conf import settings
from jshost.discovery import records
from jshost.exceptions import ConnectionError, JSHostError, UnexpectedResponse
from jshost.function import Function
from jshost.host import JSHost

CONFIG = "import os\nfunctions = {'pid': lambda: os.getppid()}"


def record_files() -> list[Path]:
    """The records; a host's socket comes and goes with its record."""
    files = sorted(records.runtime_folder().iterdir())
    found = [file for file in files if file.suffix == ".json"]
    sockets = {file for file in files if file.suffix == ".sock"}
    assert sockets <= {record.with_suffix(".sock") for record in found}
    assert set(files) == {*found, *sockets}
    return found


@pytest.fixture
def host(serve: StartHost) -> RunningHost:
    return serve("host.config.py", CONFIG)


def test_found_from_the_folder_of_the_config(
    host: RunningHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert Function("pid").call() == host.pid


@pytest.mark.parametrize("way", ["SOURCE_ROOT", "CONFIG_FILE", "both", "environment", "symlink"])
def test_found_from_anywhere(
    host: RunningHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "link").symlink_to(tmp_path)
    monkeypatch.chdir(elsewhere)
    if way == "environment":
        monkeypatch.setenv("JSHOST_CONFIG_FILE", str(tmp_path / "host.config.py"))
        settings.reset()
    else:
        ways: dict[str, dict[str, object]] = {
            "SOURCE_ROOT": {"SOURCE_ROOT": tmp_path},
            "CONFIG_FILE": {"CONFIG_FILE": "../host.config.py"},
            "both": {"SOURCE_ROOT": tmp_path, "CONFIG_FILE": "elsewhere/../host.config.py"},
            "symlink": {"CONFIG_FILE": elsewhere / "link" / "host.config.py"},
        }
        settings.configure(**ways[way])
    assert Function("pid").call() == host.pid


def test_a_host_of_another_config_is_not_taken(host: RunningHost, tmp_path: Path) -> None:
    (tmp_path / "other.py").write_text(CONFIG)
    with pytest.raises(ConnectionError, match="No running host serves") as caught:
        Function("pid", JSHost(tmp_path / "other.py")).call()
    assert str(tmp_path / "other.py") in str(caught.value)
    assert "jshost serve" in str(caught.value)
    assert "ROOT_URL" in str(caught.value)


def test_root_url_wins(host: RunningHost, serve: StartHost, tmp_path: Path) -> None:
    other = serve("other.py", CONFIG)
    settings.configure(CONFIG_FILE=tmp_path / "host.config.py", ROOT_URL=other.url)
    assert Function("pid").call() == other.pid


def test_config_files_are_tried_in_order(
    serve: StartHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A .js beside a .py is the .py's to include; alone it is found itself."""
    monkeypatch.chdir(tmp_path)
    javascript = serve("host.config.js", "exports.functions = {pid: () => process.ppid}")
    assert Function("pid").call() == javascript.pid
    python = serve("host.config.py", CONFIG)
    settings.reset()
    assert Function("pid").call() == python.pid


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_record_goes_with_the_host(host: RunningHost, tmp_path: Path, number: int) -> None:
    (record,) = record_files()
    assert json.loads(record.read_text())["url"] == host.url
    assert host.stop(number) == 0
    assert record_files() == []
    with pytest.raises(ConnectionError, match="No running host serves"):
        JSHost(tmp_path / "host.config.py").connect()


def test_the_record_of_a_killed_host_is_ignored_and_removed(
    host: RunningHost, tmp_path: Path
) -> None:
    host.stop(signal.SIGKILL)
    assert len(record_files()) == 1
    with pytest.raises(ConnectionError, match="No running host serves"):
        JSHost(tmp_path / "host.config.py").connect()
    assert record_files() == []


def test_another_process_of_the_same_number_is_no_host(host: RunningHost, tmp_path: Path) -> None:
    """The numbers of dead processes are given again: here, to this test."""
    (record,) = record_files()
    host.stop(signal.SIGKILL)
    found = json.loads(record.read_text())
    assert found["pid"] == host.pid
    record.write_text(json.dumps({**found, "pid": os.getpid()}))
    with pytest.raises(ConnectionError, match="No running host serves"):
        JSHost(tmp_path / "host.config.py").connect()
    assert record_files() == []


def test_records_that_make_no_sense_are_removed(host: RunningHost, tmp_path: Path) -> None:
    (record,) = record_files()
    whole = json.loads(record.read_text())
    wrong = ["", "{", "[]", '{"pid": 1}', json.dumps({**whole, "pid": "x"}), "\xff"]
    for number, text in enumerate(wrong):
        name = re.sub(r"\d+(?=\.json)", str(900_000_000 + number), record.name)
        record.with_name(name).write_text(text, encoding="latin-1")
    assert Function("pid", JSHost(tmp_path / "host.config.py")).call() == host.pid
    assert record_files() == [record]


def test_of_two_hosts_the_newest_is_called(serve: StartHost, tmp_path: Path) -> None:
    older = serve("host.config.py", CONFIG)
    pid = Function("pid", JSHost(tmp_path / "host.config.py"))
    assert pid.call() == older.pid
    newer = serve("host.config.py")
    assert Function("pid", JSHost(tmp_path / "host.config.py")).call() == newer.pid
    older.stop()
    assert pid.call() == newer.pid, "whoever used the older one goes on with the other"
    assert [record.pid for record in records.all_hosts()] == [newer.pid]


def test_nobody_else_can_read_the_records(host: RunningHost) -> None:
    folder = records.runtime_folder()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    folder.chmod(0o755)
    assert stat.S_IMODE(records.runtime_folder().stat().st_mode) == 0o700


def test_the_folder_is_private_whatever_the_umask(
    serve: StartHost, tmp_path: Path, own_runtime_folder: Path
) -> None:
    serve("host.config.py", CONFIG, preexec_fn=lambda: os.umask(0))
    (folder,) = own_runtime_folder.iterdir()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make a folder somebody else's")
def test_a_folder_of_somebody_else_is_not_used(own_runtime_folder: Path, serve: StartHost) -> None:
    """The host serves all the same: production need not have a runtime directory."""
    folder = own_runtime_folder / "jshost"
    folder.mkdir()
    os.chown(folder, 12345, 12345)
    host = serve("host.config.py", CONFIG)
    log = host.wait_for_log("found by ROOT_URL only")
    assert f"{folder}: the runtime directory belongs to user 12345" in log
    assert "XDG_RUNTIME_DIR" in log
    assert not list(folder.iterdir())
    assert host.host.is_running()


def test_a_killed_host_takes_its_workers_along(host: RunningHost) -> None:
    workers = [psutil.Process(pid) for pid in host.worker_pids()]
    assert workers
    host.stop(signal.SIGKILL)
    wait_until(lambda: not any(map(runs, workers)), 5, "end of the workers")


def runs(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class Foreign(BaseHTTPRequestHandler):
    """Another program's server, which answers everything with a page."""

    status = 200

    def do_POST(self) -> None:
        body = b"<h1>hello</h1>"
        self.send_response(self.status)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST

    def log_message(self, format: str, *args: Any) -> None: ...


@contextmanager
def foreign(status: int = 200) -> Iterator[str]:
    handler = type("Handler", (Foreign,), {"status": status})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("status", [200, 404, 500, 503])
def test_another_programs_server_is_told_apart(status: int) -> None:
    with foreign(status) as url:
        host = JSHost(root_url=url)
        error = ConnectionError if status == 503 else UnexpectedResponse  # perhaps a proxy's
        with pytest.raises(error, match=r"^f: .*not .* jshost host"):
            Function("f", host).call()
        with pytest.raises(UnexpectedResponse, match=url):
            host.connect()
        assert not host.is_running()


@pytest.mark.parametrize("answer", [b"SSH-2.0-OpenSSH_9.2\r\n", b"", b"HTTP/1.1 200 OK\r\n\r"])
def test_what_is_no_http_is_told_apart(answer: bytes) -> None:
    def answer_one(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(1) as threads:
        served = threads.submit(answer_one, server)
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(JSHostError, match=url) as caught:
            Function("f", JSHost(root_url=url)).call()
        served.result(5)
    assert isinstance(caught.value, UnexpectedResponse if answer[:3] == b"SSH" else ConnectionError)


def test_connect_once_configured(host: RunningHost) -> None:
    settings.configure(ROOT_URL="http://127.0.0.1:1")  # nobody is asked
    with pytest.raises(ConnectionError, match="jshost serve"):
        settings.configure(CONNECT_ONCE_CONFIGURED=True)
    settings.configure(ROOT_URL=host.url)
    assert Function("pid").call() == host.pid
    with foreign() as url, pytest.raises(UnexpectedResponse, match="not as a jshost host"):
        settings.configure(ROOT_URL=url)
