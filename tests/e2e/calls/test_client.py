"""`Function` as programs use it: threads, forks, restarts, limits, large values and errors."""

from __future__ import annotations

import builtins
import json
import logging
import pickle
import socket
import subprocess
import sys
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
from support.hosts import RunningHost, StartHost, wait_until

from jshost import verbosity
from jshost.conf import settings
from jshost.discovery.records import HostRecord
from jshost.exceptions import (
    ConnectionError,
    FunctionError,
    FunctionNotFound,
    FunctionTimeout,
)
from jshost.function import Function
from jshost.host import JSHost
from jshost.protocol import values

CONFIG = {
    "host.config.py": """
import time
import jshost
include = ["host.config.js"]

class OutOfStock(Exception):
    pass

def fail(kind="ValueError", text="no"):
    raise {"ValueError": ValueError, "OutOfStock": OutOfStock}[kind](text)

def wait_for_abort():
    while not jshost.current_call().signal.aborted:
        time.sleep(0.002)

functions = {
    "echo": lambda value: value, "fail": fail, "wait_for_abort": wait_for_abort,
    "limit": lambda: jshost.current_call().timeout_s, "arguments": lambda **given: given,
}
""",
    "host.config.js": "exports.functions = {echo_js: ({value}) => value};",
}
THREADS, CALLS_EACH = 32, 50


def test_many_threads_get_their_own_answers(shared_host: RunningHost) -> None:
    echo = shared_host.function("echo")
    start = threading.Barrier(THREADS)

    def calls(thread: int) -> bool:
        start.wait(10)
        return all(echo.call(value=[thread, i]) == [thread, i] for i in range(CALLS_EACH))

    with ThreadPoolExecutor(THREADS) as threads:
        assert all(threads.map(calls, range(THREADS)))


def test_connections_are_kept(shared_host: RunningHost) -> None:
    port = int(shared_host.url.rpartition(":")[2])

    def own_ports() -> set[int]:
        found = psutil.Process().net_connections("tcp4")
        ours = [each for each in found if each.raddr and each.raddr.port == port]
        return {each.laddr.port for each in ours if each.status == psutil.CONN_ESTABLISHED}

    before = own_ports()
    host = shared_host.host
    functions = [Function(name, host) for name in ("echo", "echo_js")]
    functions[0].call(value=0)
    (kept,) = own_ports() - before
    for number in range(20):
        assert functions[number % 2].call(value=number) == number
        assert functions[0].send_request(wrong=1).status_code == 422
    assert own_ports() - before == {kept}
    host.disconnect()
    wait_until(lambda: own_ports() == before, 2, "end of the connection")
    assert functions[0].call(value=1) == 1


FORK = """
import multiprocessing, os, sys
from jshost.conf import settings
from jshost.function import Function

settings.configure(ROOT_URL=sys.argv[1])
echo = Function("echo")

def calls(number):
    return all(echo.call(value=[number, i]) == [number, i] for i in range(50))

assert calls(-1)
children = []
for number in range(4):
    child = os.fork()
    if child == 0:
        os._exit(0 if calls(number) else 1)
    children.append(child)
assert calls(-2)
codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
with multiprocessing.get_context("fork").Pool(4) as pool:
    pooled = pool.map(calls, range(8))
assert calls(-3)
print(codes, all(pooled), len(pooled))
"""


def test_forked_children_do_not_share_connections(shared_host: RunningHost) -> None:
    done = run_script(FORK, shared_host.url)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[0, 0, 0, 0] True 8\n", "")


FORK_IN_BETWEEN = """
import os, signal, sys, threading
from jshost.function import Function
from jshost.host import JSHost
looking, found = threading.Event(), threading.Event()
host = JSHost(root_url=sys.argv[1])
locate = host._locator.locate
def locate_slowly():
    if threading.current_thread() is not threading.main_thread():
        looking.set()
        found.wait(20)
    return locate()
host._locator.locate = locate_slowly
echo = Function("echo", host)
other = threading.Thread(target=echo.call, kwargs={"value": 1})
other.start()
assert looking.wait(20), "nobody looks for the host where this test waits for it"
child = os.fork()
if child == 0:
    signal.alarm(5)
    os._exit(0 if echo.call(value=2) == 2 else 1)
code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
found.set()
other.join()
sys.exit(code)
"""


def test_a_fork_while_another_thread_looks_for_the_host(shared_host: RunningHost) -> None:
    """The lock that it holds stays locked in the child, where that thread does not exist."""
    assert run_script(FORK_IN_BETWEEN, shared_host.url).returncode == 0


def run_script(text: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", text, *arguments],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


def test_the_host_comes_back_on_its_port(serve: StartHost, tmp_path: Path) -> None:
    first = serve("host.config.py", "import os\nfunctions = {'pid': os.getppid}")
    pid = first.function("pid")
    assert pid.call() == first.pid
    first.stop()
    with pytest.raises(ConnectionError, match="Start one with: jshost serve") as caught:
        pid.call()
    assert first.url in str(caught.value)
    assert isinstance(caught.value, builtins.ConnectionError)
    again = serve("host.config.py", None, "-p", first.url.rpartition(":")[2])
    assert pid.call() == again.pid


def test_the_host_comes_back_elsewhere(serve: StartHost, tmp_path: Path) -> None:
    first = serve("host.config.py", "import os\nfunctions = {'pid': os.getppid}")
    settings.configure(SOURCE_ROOT=tmp_path)
    pid = Function("pid")
    assert pid.call() == first.pid
    second = serve("host.config.py")
    assert second.url != first.url
    first.stop()
    assert pid.call() == second.pid


ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 4\r\n\r\nnull"


def test_a_call_that_may_have_run_is_not_repeated(tmp_path: Path) -> None:
    """The host, here a double of it, dies after it took the second call."""

    def answer_once() -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(ANSWER)
            connection.recv(65536)

    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(1) as threads:
        answered = threads.submit(answer_once)
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        config, this = tmp_path / "host.config.py", psutil.Process()
        HostRecord(str(config), url, this.pid, this.create_time(), "0").write()
        order = Function("order", JSHost(config), timeout=2)
        assert order.call() is None
        with pytest.raises(ConnectionError, match="may have run"):
            order.call()
        answered.result(5)
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()


@pytest.mark.parametrize(
    ("timeouts", "expected"), [({}, 10.0), ({"timeout": 2.5}, 2.5), ({"timeout": None}, None)]
)
def test_the_limit_travels_with_the_call(
    shared_host: RunningHost, timeouts: dict[str, Any], expected: float | None
) -> None:
    assert shared_host.function("limit", **timeouts).call() == expected


def test_the_setting_is_the_limit_of_functions_without_one(shared_host: RunningHost) -> None:
    settings.configure(FUNCTION_TIMEOUT=3)
    assert shared_host.function("limit").call() == 3
    settings.configure(FUNCTION_TIMEOUT=None)
    assert shared_host.function("limit").call() is None


def test_a_timeout_names_function_limit_and_time(shared_host: RunningHost) -> None:
    with pytest.raises(TimeoutError, match=r"^wait_for_abort: .*0\.1 s \(0\.\d+ s spent") as caught:
        shared_host.function("wait_for_abort", timeout=0.1).call()
    assert isinstance(caught.value, FunctionTimeout)
    assert caught.value.name == "wait_for_abort"


def test_a_host_that_does_not_answer_is_not_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(FunctionTimeout, match=r"^slow: .*0\.2 s \(0\.\d+ s spent\)"):
            Function("slow", JSHost(root_url=url), timeout=0.2).call()


@pytest.mark.parametrize("timeout", [0, -1, "2"])
def test_a_limit_that_makes_no_sense_is_refused_at_once(timeout: Any) -> None:
    with pytest.raises((ValueError, TypeError), match="timeout"):
        Function("f", timeout=timeout)


@pytest.mark.parametrize("name", ["echo", "echo_js"])
@pytest.mark.parametrize("size", [1_000, 100_000, 5_000_000])
def test_large_values_come_back_whole(shared_host: RunningHost, name: str, size: int) -> None:
    part = '0123456789é😀\t"\\'
    text = part * (size // len(json.dumps(part)))
    function = shared_host.function(name)
    assert function.call(value=text) == text
    assert function.call(value={"items": [text]}) == {"items": [text]}


def test_send_request_gives_the_response(shared_host: RunningHost) -> None:
    response = shared_host.function("echo").send_request(value={"a": 1})
    assert (response.status_code, response.json(), response.text) == (200, {"a": 1}, '{"a": 1}')
    assert response.headers["content-type"] == "application/json"
    failed = shared_host.function("fail").send_request()
    assert failed.status_code == 500
    assert failed.json()["name"] == "ValueError"


def test_return_text(shared_host: RunningHost) -> None:
    settings.configure(RETURN_TEXT=True)
    echo = shared_host.function("echo")
    assert [echo.call(value=value) for value in (40, "40", None)] == ["40", "40", "null"]


class OutOfStock(Exception):
    pass


class RemoteOutOfStock(FunctionError):
    pass


@pytest.mark.parametrize("cls", [OutOfStock, RemoteOutOfStock])
def test_own_exception_classes(shared_host: RunningHost, cls: type[Exception]) -> None:
    function = shared_host.function("fail", exception_cls=cls)
    with pytest.raises(cls, match=r"^fail: OutOfStock: none left") as caught:
        function.call(kind="OutOfStock", text="none left")
    assert type(caught.value) is cls
    assert "host.config.py" in str(caught.value)
    gone = shared_host.function("gone", exception_cls=cls)
    with pytest.raises(FunctionNotFound):  # not the function's failure
        gone.call()


def test_a_traceback_shows_both_sides(shared_host: RunningHost) -> None:
    with pytest.raises(FunctionError) as caught:
        shared_host.function("fail").call(text="remote text")
    shown = "".join(traceback.format_exception(caught.value))
    assert "host.config.py" in shown.partition("FunctionError: fail: ValueError: remote text")[2]
    assert pickle.loads(pickle.dumps(caught.value)).stack == caught.value.stack


class SetEncoder(values.Encoder):
    def default(self, o: Any) -> Any:
        return sorted(o) if isinstance(o, set) else super().default(o)


def test_the_encoder_can_be_replaced(
    shared_host: RunningHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    function = shared_host.function("arguments")
    with pytest.raises(TypeError, match=r"argument a\.b\[1\]: a set has no JSON form"):
        function.call(a={"b": [0, {1}]})
    monkeypatch.setattr(Function, "encoder", SetEncoder)
    assert function.call(a={3, 1, 2}, path=Path("/x")) == {"a": [1, 2, 3], "path": "/x"}


def test_calls_are_reported_at_their_verbosity(
    shared_host: RunningHost, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "jshost.activity")
    shared_host.function("echo").call(value=1)
    assert caplog.messages == []
    settings.configure(VERBOSITY=verbosity.FUNCTION_CALL)
    shared_host.function("echo").call(value=1)
    (message,) = caplog.messages
    assert message.startswith("echo: 200, ")


def test_batches_and_streams_are_reported_too(
    shared_host: RunningHost, caplog: pytest.LogCaptureFixture
) -> None:
    settings.configure(VERBOSITY=verbosity.FUNCTION_CALL)
    caplog.set_level(logging.INFO, "jshost.activity")
    echo = shared_host.function("echo")
    assert echo.map([{"value": 1}, {"value": 2}]) == [1, 2]
    assert list(echo.stream(value=3)) == []
    with pytest.raises(FunctionTimeout):
        shared_host.function("wait_for_abort", timeout=0.05).call()
    lost = Function("echo", JSHost(root_url="http://127.0.0.1:9"))
    assert isinstance(lost.map([{}])[0], ConnectionError)
    said = [message.partition(",")[0] for message in caplog.messages if ": " in message]
    assert said == [
        "batch of 2 calls: 200",
        "echo: streamed",
        "wait_for_abort: 504",
        "batch of 1 calls: ConnectionError",
    ]


REPORT = """
import sys
from jshost.conf import settings
from jshost.function import Function
settings.configure(ROOT_URL=sys.argv[1], VERBOSITY="FUNCTION_CALL", CONNECT_ONCE_CONFIGURED=True)
Function("echo").call(value=1)
"""


def test_without_logging_reports_go_to_stderr(shared_host: RunningHost) -> None:
    done = run_script(REPORT, shared_host.url)
    connected, called = done.stderr.splitlines()
    assert (
        connected == f"jshost: connected to the host at {shared_host.url} (pid {shared_host.pid})"
    )
    assert called.startswith("jshost: echo: 200, ")
