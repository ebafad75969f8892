"""A fallback answers when the host is down, full or too slow, and not for the function itself."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from support.hosts import RunningHost, StartHost, wait_until

from jshost.exceptions import (
    ArgumentsError,
    ConnectionError,
    FunctionError,
    FunctionNotFound,
    HostUnavailable,
    UnexpectedResponse,
)
from jshost.function import Function
from jshost.host import JSHost

CONFIG = {
    "host.config.js": """
exports.functions = {
  echo: ({value}) => value,
  fail: () => { throw new Error('broken'); },
  sleep({ms}, cb) {
    const timer = setTimeout(() => cb(null, 'late'), ms);
    this.signal.addEventListener('abort', () => { clearTimeout(timer); cb(this.signal.reason); });
  },
  die: () => process.exit(3),
};
"""
}
Way = Any


def by_thread(function: Function, **arguments: Any) -> Any:
    return function.call(**arguments)


def by_task(function: Function, **arguments: Any) -> Any:
    return asyncio.run(function.acall(**arguments))


both = pytest.mark.parametrize("way", [by_thread, by_task])


@pytest.fixture
def nowhere() -> str:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        return f"http://127.0.0.1:{unused.getsockname()[1]}"


@both
@pytest.mark.parametrize("value", [None, "", 0, {"a": []}])
def test_a_host_that_is_down(
    nowhere: str, way: Way, value: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged, and counted."""
    function = Function("render", JSHost(root_url=nowhere), fallback=value)
    with caplog.at_level(logging.WARNING, "jshost.function"):
        assert way(function, component="App") == value
    assert function.fallbacks == 1
    (message,) = caplog.messages
    assert message.startswith("render: the fallback answers, for: No host answers at")
    assert way(function) == value
    assert function.fallbacks == 2


@both
def test_no_host_serves_the_config_file(tmp_path: Path, way: Way) -> None:
    (tmp_path / "host.config.js").touch()
    host = JSHost(tmp_path / "host.config.js")
    assert way(Function("render", host, fallback="static")) == "static"


@both
def test_a_callable_is_given_the_arguments(nowhere: str, way: Way) -> None:
    function = Function("f", JSHost(root_url=nowhere), fallback=lambda **given: given)
    assert way(function, a=1, self=2) == {"a": 1, "self": 2}


def test_a_coroutine_function_is_awaited(nowhere: str) -> None:
    async def fallback(**given: Any) -> Any:
        await asyncio.sleep(0)
        return given

    assert by_task(Function("f", JSHost(root_url=nowhere), fallback=fallback), a=1) == {"a": 1}


@both
def test_a_function_that_is_too_slow(shared_host: RunningHost, way: Way) -> None:
    function = shared_host.function("sleep", timeout=0.2, fallback="in time")
    assert way(function, ms=30_000) == "in time"
    assert way(function.with_timeout(5), ms=1) == "late"
    assert function.fallbacks == 1


@both
def test_a_queue_that_is_full(serve: StartHost, way: Way) -> None:
    text = CONFIG["host.config.js"]
    host = serve("host.config.js", text, "--concurrency", "1", "--max-queue", "1")

    def occupy() -> None:
        while True:
            try:
                host.function("sleep").call(ms=1500)
            except HostUnavailable:
                continue  # the other thread's turn
            return

    busy = [threading.Thread(target=occupy) for _ in range(2)]
    for thread in busy:
        thread.start()

    def is_full() -> bool:
        try:
            host.function("echo", timeout=0.1).call(value=1)
        except HostUnavailable:
            return True
        except TimeoutError:
            return False
        return False

    wait_until(is_full, 10, "full queue")
    function = host.function("echo", fallback="not now")
    assert way(function, value=1) == "not now"
    for thread in busy:
        thread.join(10)
    assert way(function, value=1) == 1
    assert function.fallbacks == 1


@both
def test_a_worker_that_dies(serve: StartHost, way: Way) -> None:
    host = serve("host.config.js", CONFIG["host.config.js"])
    assert way(host.function("die", fallback="alive")) == "alive"


@both
def test_not_for_what_the_function_or_its_caller_did_wrong(
    shared_host: RunningHost, way: Way
) -> None:
    fail = shared_host.function("fail", fallback="hidden")
    with pytest.raises(FunctionError, match="broken"):
        way(fail)
    with pytest.raises(FunctionNotFound):
        way(shared_host.function("gone", fallback="hidden"))
    with pytest.raises((TypeError, ArgumentsError)):
        way(shared_host.function("echo", fallback="hidden"), value={1})
    assert fail.fallbacks == 0


@both
def test_for_what_it_is_told(shared_host: RunningHost, nowhere: str, way: Way) -> None:
    told = shared_host.function("fail", fallback="shown", fallback_for=FunctionError)
    assert way(told) == "shown"
    down = Function("f", JSHost(root_url=nowhere), fallback=1, fallback_for=(FunctionError,))
    with pytest.raises(ConnectionError):
        way(down)


def test_a_stranger_at_the_address_is_a_mistake_to_be_seen() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            sock, _ = listener.accept()
            with sock:
                sock.recv(65536)
                sock.sendall(
                    b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nhi"
                )

        thread = threading.Thread(target=answer)
        thread.start()
        host = JSHost(root_url=f"http://127.0.0.1:{listener.getsockname()[1]}")
        with pytest.raises(UnexpectedResponse):
            Function("f", host, fallback=1).call()
        thread.join(10)


@both
def test_what_the_fallback_raises_is_raised(nowhere: str, way: Way) -> None:
    def fallback(**given: Any) -> Any:
        raise LookupError("no static page either")

    with pytest.raises(LookupError, match="no static page either"):
        way(Function("f", JSHost(root_url=nowhere), fallback=fallback))
