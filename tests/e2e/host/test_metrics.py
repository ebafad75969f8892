"""What /metrics says, as Prometheus reads it, of calls that were made."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.hosts import RunningHost, StartHost, wait_until

from jshost.exceptions import JSHostError

PYTHON = """
import os, time
import jshost
include = ["host.config.js"]
max_queue = 1
concurrency = 2

def good():
    return 1

def bad():
    raise ValueError("no")

def nap(seconds):
    time.sleep(seconds)

def dies():
    os._exit(1)

def fit(number):
    return number

@jshost.cacheable(max_age=60)
def kept():
    return 1

def spell(text):
    yield from text

functions = {"good": good, "bad": bad, "nap": nap, "dies": dies, "fit": fit, "kept": kept,
             "spell": spell}
"""
JAVASCRIPT = """
exports.functions = {
  block: ({seconds}) => { const end = Date.now() + seconds * 1000; while (Date.now() < end); },
};
"""


class Scrape:
    """One answer of /metrics."""

    def __init__(self, text: str) -> None:
        self.samples: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
        self.types: dict[str, str] = {}
        for family in text_string_to_metric_families(text):
            self.types[family.name] = family.type
            for sample in family.samples:
                key = sample.name, frozenset(sample.labels.items())
                assert key not in self.samples, f"twice: {key}"
                self.samples[key] = sample.value

    def get(self, name: str, **labels: str) -> float | None:
        return self.samples.get((name, frozenset(labels.items())))

    def all(self, name: str, label: str) -> dict[str, float]:
        return {dict(key)[label]: value for (n, key), value in self.samples.items() if n == name}

    def outcomes(self, function: str) -> dict[str, float]:
        return {
            dict(labels)["outcome"]: value
            for (name, labels), value in self.samples.items()
            if name == "jshost_calls_total" and ("function", function) in labels
        }


def scrape(host: RunningHost) -> Scrape:
    status, headers, body = get(host, "/metrics")
    assert status == 200
    assert headers["Content-Type"].startswith("text/plain")
    assert headers["Cache-Control"] == "no-store"
    return Scrape(body.decode())


def get(
    host: RunningHost, target: str, method: str = "GET", **headers: str
) -> tuple[int, http.client.HTTPMessage, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", host.status["config"]["port"], timeout=10)
    try:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, target, b"", sent)
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    finally:
        connection.close()


@pytest.fixture
def host(serve: StartHost, tmp_path: Path) -> RunningHost:
    (tmp_path / "host.config.js").write_text(JAVASCRIPT)
    return serve("host.config.py", PYTHON)


def attempt(host: RunningHost, name: str, timeout: float | None = None, **arguments: Any) -> str:
    """The error's code of a call, or "ok"."""
    options = {} if timeout is None else {"timeout": timeout}
    try:
        host.function(name, **options).call(**arguments)
    except JSHostError as error:
        return getattr(error, "code", "")
    return "ok"


def test_calls_by_function_and_outcome(host: RunningHost) -> None:
    for _ in range(3):
        assert attempt(host, "good") == "ok"
    assert attempt(host, "bad") == "function_failed"
    assert attempt(host, "fit") == "arguments"
    assert attempt(host, "dies") == "worker_died"
    wait_until(lambda: get(host, "/ready")[0] == 200, 10, "another worker")
    assert attempt(host, "nap", timeout=0.1, seconds=0.5) == "timeout"
    assert list(host.function("spell").stream(text="abc")) == ["a", "b", "c"]
    assert host.function("good").map([{}] * 5 + [{"x": 1}])[:5] == [1] * 5
    etag = get(host, "/function/kept")[1]["ETag"]
    assert get(host, "/function/kept", If_None_Match=etag)[0] == 304
    found = scrape(host)
    assert found.outcomes("good") == {"ok": 8, "arguments": 1}
    assert found.outcomes("bad") == {"ok": 0, "function_failed": 1}
    assert found.outcomes("fit") == {"ok": 0, "arguments": 1}
    assert found.outcomes("dies") == {"ok": 0, "worker_died": 1}
    assert found.outcomes("nap") == {"ok": 0, "timeout": 1}
    assert found.outcomes("spell") == {"ok": 1}
    assert found.outcomes("kept") == {"ok": 1, "not_modified": 1}
    assert found.outcomes("block") == {}
    assert found.get("jshost_call_duration_seconds_count", function="good") == 9
    assert found.get("jshost_call_duration_seconds_bucket", function="nap", le="0.05") == 0
    assert found.get("jshost_call_duration_seconds_bucket", function="nap", le="+Inf") == 1
    assert 0.1 <= (found.get("jshost_call_duration_seconds_sum", function="nap") or 0) < 0.5
    assert found.types["jshost_calls"] == "counter"
    assert found.types["jshost_call_duration_seconds"] == "histogram"


def test_what_was_for_no_function_has_no_name(host: RunningHost) -> None:
    for target in ("/function/nobody", "/function/else", "/function/secret"):
        get(host, target, "POST")
    get(host, "/nowhere")
    get(host, "/function/good", "PUT")
    get(host, "/function/good?hash=0", "POST")
    get(host, "/function/good", "POST", Host="evil.example")
    get(host, "/function/good", "POST", Origin="https://evil.example")
    assert scrape(host).all("jshost_refused_requests_total", "code") == {
        "unknown_function": 3,
        "not_found": 1,
        "method_not_allowed": 1,
        "wrong_hash": 1,
        "host_not_allowed": 1,
        "origin_not_allowed": 1,
    }
    assert b"nobody" not in get(host, "/metrics")[2]


def test_who_was_refused_before_there_was_a_request(serve: StartHost) -> None:
    config = "functions = {}\nmax_connections = 2\n"
    host = serve("host.config.py", config, "--access-log")
    address = ("127.0.0.1", host.status["config"]["port"])
    for sent, status in (
        (b"nonsense\r\n\r\n", 400),
        (b"GET /%s HTTP/1.1\r\n\r\n" % (b"a" * 70_000), 431),
    ):
        with socket.create_connection(address, 10) as sock:
            sock.sendall(sent)
            assert sock.recv(13) == b"HTTP/1.1 %d " % status
    host.wait_for_log("INFO - - 431 head_too_large")
    wait_until(lambda: scrape(host).get("jshost_connections") == 1, 5, "the others to be closed")
    with (
        socket.create_connection(address, 10),
        socket.create_connection(address, 10),
        socket.create_connection(address, 10) as third,
    ):
        assert third.recv(13) == b"HTTP/1.1 503 "
    wait_until(lambda: get(host, "/ready")[0] == 200, 5, "room again")
    refused = scrape(host).all("jshost_refused_requests_total", "code")
    assert refused.pop("too_many_connections") >= 1
    assert refused == {"bad_request": 1, "head_too_large": 1}


def test_what_runs_and_waits(host: RunningHost) -> None:
    def nap() -> None:
        answers.append(attempt(host, "nap", seconds=2))

    answers: list[str] = []
    threads = [threading.Thread(target=nap) for _ in range(3)]
    for thread in threads:
        thread.start()
    wait_until(
        lambda: scrape(host).get("jshost_calls_in_flight", function="nap") == 3, 2, "three calls"
    )
    found = scrape(host)
    config = str(Path(host.status["config"]["configFile"]))
    assert found.get("jshost_queue_length", config=config) == 1
    assert found.get("jshost_calls_in_flight", function="good") == 0
    assert attempt(host, "good") == "queue_full"
    for thread in threads:
        thread.join()
    assert answers == ["ok"] * 3
    found = scrape(host)
    assert found.outcomes("good") == {"ok": 0, "queue_full": 1}
    assert found.get("jshost_call_duration_seconds_count", function="good") == 0
    assert found.get("jshost_calls_in_flight", function="nap") == 0


def test_a_caller_that_hangs_up(host: RunningHost) -> None:
    with socket.create_connection(("127.0.0.1", host.status["config"]["port"]), 5) as sock:
        body = b'{"seconds": 1}'
        head = f"POST /function/nap HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
        sock.sendall(head.encode() + b"Content-Type: application/json\r\n\r\n" + body)
        wait_until(
            lambda: scrape(host).get("jshost_calls_in_flight", function="nap") == 1, 2, "the call"
        )
    wait_until(
        lambda: scrape(host).outcomes("nap") == {"ok": 0, "caller_left": 1}, 2, "its outcome"
    )


def test_workers(host: RunningHost) -> None:
    configs = [pool["configFile"] for pool in host.status["config"]["pools"]]
    found = scrape(host)
    for config in configs:
        assert found.get("jshost_workers", config=config, state="ready") == 1
        assert found.get("jshost_workers", config=config, state="starting") == 0
        memory = found.get("jshost_worker_memory_bytes", config=config, worker="1")
        assert 5e6 < (memory or 0) < 1e9
        lag = found.get("jshost_worker_event_loop_lag_seconds", config=config, worker="1")
        assert 0 <= (lag if lag is not None else -1) < 0.5
    victim = host.worker_pids()[0]
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: victim not in host.worker_pids(), 5, "the end of the worker")
    wait_until(
        lambda: scrape(host).get("jshost_workers", config=configs[0], state="ready") == 1,
        10,
        "another worker",
    )
    found = scrape(host)
    assert found.get("jshost_worker_restarts_total", config=configs[0], reason="died") == 1
    assert found.get("jshost_worker_restarts_total", config=configs[1], reason="died") is None
    assert found.get("jshost_worker_memory_bytes", config=configs[0], worker="2") is None


def test_a_busy_event_loop_shows(host: RunningHost) -> None:
    config = host.status["config"]["pools"][1]["configFile"]
    thread = threading.Thread(target=attempt, args=(host, "block"), kwargs={"seconds": 2})
    thread.start()
    wait_until(
        lambda: (
            (
                scrape(host).get("jshost_worker_event_loop_lag_seconds", config=config, worker="1")
                or 0
            )
            > 0.5
        ),
        4,
        "lag",
    )
    thread.join()
    own = scrape(host).get("jshost_event_loop_lag_seconds")
    assert 0 <= (own if own is not None else -1) < 1


def test_the_host_itself(host: RunningHost) -> None:
    found = scrape(host)
    assert found.get("jshost_info", version=host.status["version"]) == 1
    assert (found.get("jshost_connections") or 0) >= 1
    assert 5e6 < (found.get("jshost_host_memory_bytes") or 0) < 1e9
    assert found.types["jshost_start_time_seconds"] == "gauge"


def test_counters_go_on_over_a_reload(host: RunningHost) -> None:
    attempt(host, "good")
    os.kill(host.pid, signal.SIGHUP)
    host.wait_for_log("new calls go to fresh workers", 20)
    attempt(host, "good")
    found = scrape(host)
    assert found.outcomes("good") == {"ok": 2}
    config = host.status["config"]["pools"][0]["configFile"]
    assert found.get("jshost_worker_restarts_total", config=config, reason="reload") == 1


@pytest.mark.parametrize("target", ["/%6detrics", "/m%65trics?x", "http://localhost/metrics"])
def test_they_have_one_address_that_proxies_can_close(host: RunningHost, target: str) -> None:
    with socket.create_connection(("127.0.0.1", int(host.url.rpartition(":")[2])), 5) as client:
        client.sendall(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert client.recv(1000).startswith(b"HTTP/1.1 404 ")
