"""How connections are kept, noticed to be stale, shared by threads, and left alone by a fork."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.hosts import wait_until
from support.tiny_server import Connection, TinyServer, echo
from support.transports import TIMEOUT_S, Connect, post, to

from jshost.client.http.async_plain_transport import AsyncPlainTransport
from jshost.client.http.connection import WARM_S
from jshost.client.http.http_request import HttpRequest
from jshost.client.http.kept_connections import MAX_IDLE
from jshost.client.http.plain_transport import PlainTransport
from jshost.platform.unread import can_look, nothing_came

pytestmark = pytest.mark.real

__all__ = ["to"]  # a fixture

# Kept


class Sandboxed(socket.socket):
    """A TCP socket where the system is not all of Linux."""

    def getsockopt(self, *wanted: object) -> int:  # type: ignore[override]
        raise OSError(errno.ENOPROTOOPT, "Protocol not available")


def test_only_sockets_that_can_tell_are_asked_whether_something_came() -> None:
    with socket.socket() as tcp, socket.socket(socket.AF_UNIX) as unix, Sandboxed() as sandboxed:
        assert can_look(tcp) == (sys.platform == "linux")
        assert not can_look(unix)
        assert not can_look(sandboxed)


def test_a_connection_is_kept(to: Connect) -> None:
    with TinyServer(echo) as server:
        transport = to(server.url)
        assert [post(transport, b"%d" % n) for n in range(5)] == [b"%d" % n for n in range(5)]
    assert server.connections == 1


def test_a_connection_that_the_server_will_close_is_not_kept(to: Connect) -> None:
    def script(connection: Connection) -> None:
        connection.read_request()
        connection.answer(200, b"%d" % connection.number, {"Connection": "close"})
        connection.wait_for_end()

    with TinyServer(script) as server:
        transport = to(server.url)
        assert [post(transport), post(transport)] == [b"1", b"2"]


def test_close_closes_what_was_kept_and_the_next_request_opens_anew(to: Connect) -> None:
    ended = threading.Semaphore(0)

    def script(connection: Connection) -> None:
        echo(connection)
        ended.release()

    with TinyServer(script) as server:
        transport = to(server.url)
        post(transport)
        transport.close()
        assert ended.acquire(timeout=TIMEOUT_S)
        assert post(transport, b"again") == b"again"
    assert [request.connection for request in server.requests] == [1, 2]


def test_a_transport_that_is_forgotten_closes_its_connections() -> None:
    ended = threading.Semaphore(0)

    def script(connection: Connection) -> None:
        echo(connection)
        ended.release()

    with TinyServer(script) as server:
        transport = PlainTransport(server.url)
        post(transport)
        del transport
        assert ended.acquire(timeout=TIMEOUT_S)


def test_no_more_connections_are_kept_than_the_limit(to: Connect) -> None:
    """And there may be as many at once as there are callers."""
    callers = MAX_IDLE + 56
    together = threading.Barrier(callers)
    ended = threading.Semaphore(0)

    def script(connection: Connection) -> None:
        connection.read_request()
        together.wait(TIMEOUT_S)
        connection.answer(200, b"ok")
        connection.wait_for_end()
        ended.release()

    with TinyServer(script) as server, ThreadPoolExecutor(callers) as threads:
        transport = to(server.url)
        assert set(threads.map(lambda _: post(transport), range(callers))) == {b"ok"}
        for _ in range(callers - MAX_IDLE):
            assert ended.acquire(timeout=TIMEOUT_S), "more are kept than the limit"
        assert not ended.acquire(blocking=False), "fewer are kept than the limit"
        transport.close()
        for _ in range(MAX_IDLE):
            assert ended.acquire(timeout=TIMEOUT_S)
    assert server.connections == callers


# Noticed to be stale


@pytest.mark.parametrize("last_words", [b"", b"HTTP/1.1 408 Request Timeout\r\n\r\n"])
def test_a_connection_that_the_server_closed_meanwhile_is_not_used(
    to: Connect, last_words: bytes
) -> None:
    """Servers close what is idle; a request on it would be lost."""
    idle, closed = threading.Event(), threading.Event()

    def script(connection: Connection) -> None:
        connection.read_request()
        connection.answer(200, b"%d" % connection.number)
        if connection.number == 1:
            assert idle.wait(TIMEOUT_S)
            connection.send(last_words)
            connection.socket.shutdown(socket.SHUT_WR)
            closed.set()
        connection.wait_for_end()

    with TinyServer(script) as server:
        transport = to(server.url)
        assert post(transport) == b"1"
        idle.set()
        assert closed.wait(TIMEOUT_S)
        time.sleep(WARM_S)
        assert post(transport) == b"2"
    assert [request.connection for request in server.requests] == [1, 2]


def test_a_connection_that_the_server_closed_at_once_is_not_used(to: Connect) -> None:
    """As a host does that stops."""
    closed = threading.Event()

    def script(connection: Connection) -> None:
        connection.read_request()
        connection.answer(200, b"%d" % connection.number)
        if connection.number == 1:
            connection.socket.close()
            closed.set()
        else:
            connection.wait_for_end()

    with TinyServer(script) as server:
        transport = to(server.url)
        assert post(transport) == b"1"
        assert closed.wait(TIMEOUT_S)
        assert post(transport) == b"2"
    assert [request.connection for request in server.requests] == [1, 2]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what a socket holds")
def test_an_end_that_came_with_the_answer_is_seen() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    with listener, socket.create_connection(listener.getsockname()) as ours:
        theirs, _ = listener.accept()
        with theirs:
            assert nothing_came(ours)
            theirs.sendall(b"answer")
            assert not nothing_came(ours)
        assert ours.recv(16) == b"answer"
        assert not nothing_came(ours)


def test_of_several_stale_connections_none_is_used(to: Connect) -> None:
    together = threading.Barrier(3)
    idle = threading.Event()
    closed = threading.Semaphore(0)

    def script(connection: Connection) -> None:
        connection.read_request()
        if connection.number <= 3:
            together.wait(TIMEOUT_S)
        connection.answer(200, b"ok")
        if connection.number <= 3:
            assert idle.wait(TIMEOUT_S)
            connection.socket.shutdown(socket.SHUT_WR)
            closed.release()
        connection.wait_for_end()

    with TinyServer(script) as server, ThreadPoolExecutor(3) as threads:
        transport = to(server.url)
        assert list(threads.map(lambda _: post(transport), range(3))) == [b"ok"] * 3
        idle.set()
        for _ in range(3):
            assert closed.acquire(timeout=TIMEOUT_S)
        time.sleep(WARM_S)
        assert post(transport) == b"ok"
    assert server.connections == 4
    assert len(server.requests) == 4


# Shared by threads


def test_threads_get_their_own_answers(to: Connect) -> None:
    threads, calls = 32, 30

    def work(thread: int) -> list[bytes]:
        return [post(transport, b"%d-%d" % (thread, call)) for call in range(calls)]

    with TinyServer(echo) as server, ThreadPoolExecutor(threads) as pool:
        transport = to(server.url)
        for thread, answers in enumerate(pool.map(work, range(threads))):
            assert answers == [b"%d-%d" % (thread, call) for call in range(calls)]
    assert len(server.requests) == threads * calls
    if "httpx" not in os.environ["PYTEST_CURRENT_TEST"]:  # its pool may open some in vain
        assert server.connections <= threads


def test_threads_may_come_and_go(to: Connect) -> None:
    with TinyServer(echo) as server:
        transport = to(server.url)
        found = []
        for number in range(20):
            body = b"%d" % number
            thread = threading.Thread(target=lambda b=body: found.append(post(transport, b)))
            thread.start()
            thread.join()
    assert found == [b"%d" % number for number in range(20)]
    assert server.connections == 1, "the next thread uses what the last one left"


# Left alone by a fork

FORK = """
import json, os, sys
from jshost.client.http.http_request import HttpRequest
from jshost.client.http.plain_transport import PlainTransport
from jshost.client.http.httpx_transport import HttpxTransport
cls, url = sys.argv[1:]
there = globals()[cls](url)

def post(body):
    request = HttpRequest("POST", "/", body=body.encode(), timeout_s=10)
    return there.request(request).content.decode()

before = post("before")
reading, writing = os.pipe()
pid = os.fork()
if pid == 0:
    os.write(writing, json.dumps([post(f"child {n}") for n in range(20)]).encode())
    os._exit(0)
os.close(writing)
parent = [post(f"parent {n}") for n in range(20)]
with os.fdopen(reading, "rb") as pipe:
    child = json.loads(pipe.read())
os.waitpid(pid, 0)
print(json.dumps({"before": before, "parent": parent, "child": child, "after": post("after")}))
"""


@pytest.mark.parametrize("cls", ["PlainTransport", "HttpxTransport"])
def test_after_a_fork_both_processes_go_on(cls: str) -> None:
    """As a pre-forking web server does after it has called a function at its start."""
    with TinyServer(echo) as server:
        done = subprocess.run(
            [sys.executable, "-c", FORK, cls, server.url],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == {
        "before": "before",
        "parent": [f"parent {number}" for number in range(20)],
        "child": [f"child {number}" for number in range(20)],
        "after": "after",
    }
    used = {request.body.split()[0]: request.connection for request in server.requests}
    assert used[b"before"] == used[b"parent"] == used[b"after"]
    assert used[b"child"] != used[b"parent"]
    assert server.connections == 2


def test_a_request_in_another_thread_survives_a_fork() -> None:
    """The child closes its copies of connections, and touches nothing else."""
    code = """
import os, sys, threading, warnings
warnings.simplefilter("ignore")  # about a fork beside threads: that is what is tested
from jshost.client.http.http_request import HttpRequest
from jshost.client.http.plain_transport import PlainTransport
there = PlainTransport(sys.argv[1])
found = []
def ask(body):
    return there.request(HttpRequest("POST", "/", body=body, timeout_s=10)).content
work = lambda: found.append(ask(b"slow"))
thread = threading.Thread(target=work)
thread.start()
assert ask(b"fork now") == b"fork now"
pid = os.fork()
if pid == 0:
    os._exit(0)
os.waitpid(pid, 0)
assert ask(b"forked") == b"forked"
thread.join()
print(found)
"""
    slow, forked = threading.Event(), threading.Event()

    def script(connection: Connection) -> None:
        while (request := connection.read_request()) is not None:
            if request.body == b"slow":
                slow.set()
                assert forked.wait(TIMEOUT_S)
            elif request.body == b"fork now":
                assert slow.wait(TIMEOUT_S)
            else:
                forked.set()
            connection.answer(200, request.body)

    with TinyServer(script) as server:
        done = subprocess.run(
            [sys.executable, "-c", code, server.url],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    assert (done.stdout, done.stderr) == ("[b'slow']\n", "")


HANG_UP = """
import asyncio, os, sys, threading, uvloop, warnings
warnings.simplefilter("ignore")
from jshost.client.http.http_request import HttpRequest
from jshost.client.host import DeadlinePassed
from jshost.client.http.plain_transport import PlainTransport
from jshost.client.http.async_plain_transport import AsyncPlainTransport
way, url = sys.argv[1:]
reading, writing = os.pipe()

def fork():
    if os.fork() == 0:  # lives until its parent closes the pipe
        os.close(writing)
        os.read(reading, 1)
        os._exit(0)

def in_threads():
    there = PlainTransport(url)
    def work():
        try:
            there.request(HttpRequest("POST", "/", body=b"slow", timeout_s=1.0))
        except DeadlinePassed:
            pass
    thread = threading.Thread(target=work)
    thread.start()
    there.request(HttpRequest("POST", "/", body=b"fork now", timeout_s=10))
    fork()
    thread.join()
    there.request(HttpRequest("POST", "/", body=b"hung up", timeout_s=10))

async def on_loop():
    there = AsyncPlainTransport(url)
    task = asyncio.create_task(there.request(HttpRequest("POST", "/", body=b"slow", timeout_s=10)))
    await asyncio.sleep(0)
    await there.request(HttpRequest("POST", "/", body=b"fork now", timeout_s=10))
    fork()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await there.request(HttpRequest("POST", "/", body=b"hung up", timeout_s=10))

if way == "threads":
    in_threads()
else:
    {"asyncio": asyncio.run, "uvloop": uvloop.run}[way](on_loop())
os.close(writing)
os.wait()
"""


@pytest.mark.parametrize("way", ["threads", "asyncio", "uvloop"])
def test_the_host_hears_of_a_caller_that_hangs_up_though_a_child_of_it_lives(way: str) -> None:
    slow, ended = threading.Event(), threading.Event()

    def script(connection: Connection) -> None:
        while (request := connection.read_request()) is not None:
            if request.body == b"slow":
                slow.set()
                connection.wait_for_end()
                ended.set()
                return
            if request.body == b"fork now":
                assert slow.wait(TIMEOUT_S)
            else:
                assert ended.wait(5)
            connection.answer(200, request.body)

    with TinyServer(script) as server:
        done = subprocess.run(
            [sys.executable, "-c", HANG_UP, way, server.url],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    assert (done.returncode, done.stderr) == (0, "")


def test_open_files_do_not_grow(to: Connect) -> None:
    """Each connection that breaks is closed."""

    def script(connection: Connection) -> None:
        connection.read_request()
        connection.answer(200, b"ok", {"Connection": "close"})

    with TinyServer(script) as server:
        transport = to(server.url)
        post(transport)
        wait_until(lambda: server.open == 0, TIMEOUT_S, "quiet server")
        before = len(list(Path("/proc/self/fd").iterdir()))
        for _ in range(20):
            post(transport)
        wait_until(lambda: server.open == 0, TIMEOUT_S, "quiet server")
        assert len(list(Path("/proc/self/fd").iterdir())) <= before


@pytest.mark.parametrize("kind", ["plain", "async plain"])
def test_a_connection_that_has_been_idle_for_long_is_not_used(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its host may be about to close it: the request would be lost on its way."""
    monkeypatch.setattr("jshost.client.http.connection.MAX_IDLE_S", 0.0)
    monkeypatch.setattr("jshost.client.http.async_connection.MAX_IDLE_S", -1.0)

    async def post_twice(root_url: str) -> None:
        transport = AsyncPlainTransport(root_url)
        for _ in range(2):
            await transport.request(HttpRequest("POST", "/", body=b"{}", timeout_s=TIMEOUT_S))
        transport.close()

    with TinyServer(echo) as server:
        if kind == "plain":
            transport = PlainTransport(server.url)
            post(transport)
            post(transport)
            transport.close()
        else:
            asyncio.run(post_twice(server.url))
    assert [request.connection for request in server.requests] == [1, 2]
