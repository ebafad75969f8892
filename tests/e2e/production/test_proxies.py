"""nginx, Varnish and HAProxy in front of two hosts: every kind of call comes through them."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.extent import by_hand
from support.hosts import _long_lived, wait_until
from support.production import Site, answers, site_in

from jshost.client.http.http_request import HttpRequest
from jshost.exceptions import ConnectionError, FunctionError, FunctionTimeout, RequestError
from jshost.function import Function

PROXIES = ["nginx", "varnish", "haproxy"]


pytestmark = pytest.mark.timeout(by_hand(300, 60))


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, dict[str, int]]]:
    """Two hosts, and the ports of all three proxies."""
    with site_in(tmp_path_factory.mktemp("site")) as site:
        site.start_hosts()
        ports = {proxy: site.start(proxy) for proxy in PROXIES}
        pids = site.pids()
        _long_lived.update(pids)
        yield site, ports
    _long_lived.difference_update(pids)


@pytest.fixture
def site(behind: tuple[Site, dict[str, int]]) -> Site:
    return behind[0]


@pytest.fixture(params=PROXIES)
def port(request: pytest.FixtureRequest, behind: tuple[Site, dict[str, int]]) -> int:
    return behind[1][request.param]


@pytest.fixture
def call(request: pytest.FixtureRequest) -> str:
    """A name for a call that no other test uses."""
    return hashlib.sha1(request.node.nodeid.encode()).hexdigest()[:12]


def test_a_post_reaches_the_host_as_a_post(site: Site, port: int, call: str) -> None:
    """The host would refuse another method."""
    assert site.function(port, "work").call(call=call) == call
    assert site.ran().count(call) == 1


def test_what_is_not_cacheable_runs_every_time(site: Site, port: int, call: str) -> None:
    work = site.function(port, "work")
    assert [work.call(call=call) for _ in range(3)] == [call] * 3
    assert site.ran().count(call) == 3


def test_an_error_is_the_functions_own_and_never_cached(site: Site, port: int, call: str) -> None:
    for _ in range(2):
        with pytest.raises(FunctionError, match="never cached"):
            site.function(port, "fail").call(call=call)
    assert site.ran().count(call) == 2


def test_a_wrong_hash_is_refused_every_time(site: Site, port: int, call: str) -> None:
    target = f"/function/work?hash={hashlib.sha1(b'another body').hexdigest()}"
    body = f'{{"call": "{call}"}}'.encode()
    headers = {"Content-Type": "application/json"}
    for _ in range(2):
        refused = site.host(port).request(HttpRequest("POST", target, headers, body, 5))
        assert (refused.status_code, refused.headers["cache-control"]) == (400, "no-store")
    assert call not in site.ran()


def test_calls_without_a_hash_are_told_apart(site: Site, port: int) -> None:
    """Their URLs are equal."""
    headers = {"Content-Type": "application/json"}
    for text in ("one", "another"):
        body = f'{{"name": "{text}"}}'.encode()
        answer = site.host(port).request(
            HttpRequest("POST", "/function/hello_world", headers, body, 5)
        )
        assert answer.text == f"Hello, {text}!"


def test_bytes_in_both_directions(site: Site, port: int) -> None:
    data = bytes(range(256)) * 1000
    assert site.function(port, "echo").call(data={"inside": [data]}) == {"data": {"inside": [data]}}


@pytest.mark.parametrize("megabytes", [0.1, 3, 9])
def test_a_large_body_arrives(site: Site, port: int, megabytes: float) -> None:
    count = int(megabytes * 2**20)
    assert site.function(port, "size").call(data=b"x" * count) == count
    assert site.function(port, "size").call(text="x" * count) == count


def test_a_body_over_the_hosts_limit_is_the_hosts_refusal(site: Site, port: int) -> None:
    with pytest.raises(RequestError, match="requestDataLimit"):
        site.function(port, "size").call(data=b"x" * (11 * 2**20))


def test_a_stream_comes_as_it_is_made(site: Site, port: int) -> None:
    began = time.monotonic()
    came = []
    for number in site.function(port, "count").stream(to=5, ms=100):
        came.append((number, time.monotonic() - began))
    assert [number for number, _ in came] == [1, 2, 3, 4, 5]
    assert came[0][1] < came[-1][1] - 0.35, came


def calls_in_flight(site: Site) -> int:
    said = [site.host(port).request_status()["workers"] for port in site.ports]
    return sum(worker["calls"] for workers in said for worker in workers)


def test_a_reader_that_leaves_stops_the_stream(site: Site, port: int) -> None:
    stream = site.function(port, "count", timeout=None).stream(to=10_000, ms=10)
    assert next(stream) == 1
    assert calls_in_flight(site) == 1
    stream.close()
    wait_until(lambda: calls_in_flight(site) == 0, 10, "end of the stream")


def test_batches(site: Site, port: int) -> None:
    found = site.function(port, "hello_world").map([{"name": str(n)} for n in range(20)])
    assert found == [f"Hello, {n}!" for n in range(20)]


def test_calls_of_asyncio(site: Site, port: int, call: str) -> None:
    async def many() -> list[str]:
        work = site.function(port, "work")
        return await asyncio.gather(*(work.acall(call=f"{call}-{n}", ms=20) for n in range(30)))

    assert asyncio.run(many()) == [f"{call}-{n}" for n in range(30)]


def test_a_call_may_take_longer_than_proxies_usually_wait(site: Site, port: int, call: str) -> None:
    """By hand (FAULTS=full), 70 s: all three give up after 60 s by default."""
    seconds = by_hand(70, 0.5)
    with ThreadPoolExecutor(2) as threads:
        work = site.function(port, "work", timeout=None)
        answer = threads.submit(work.call, call=call, ms=seconds * 1000)
        count = site.function(port, "count", timeout=None)
        values = threads.submit(list, count.stream(to=2, ms=seconds * 1000))
        assert answer.result(seconds + 20) == call
        assert values.result(2 * seconds + 20) == [1, 2]
    assert site.ran().count(call) == 1


def test_the_deadline_reaches_the_function(site: Site, port: int, call: str) -> None:
    with pytest.raises(FunctionTimeout):
        site.function(port, "hold", timeout=0.3).call(call=call)
    wait_until(lambda: f"{call} aborted" in site.ran(), 5, "signal")


def test_request_ids_reach_the_host_and_come_back(site: Site, port: int) -> None:
    headers = {"X-Request-ID": "from-afar", "Content-Type": "application/json"}
    answer = site.host(port).request(
        HttpRequest("POST", "/function/hello_world", headers, b"{}", 5)
    )
    assert answer.headers["x-request-id"] == "from-afar"


def test_status_comes_through_and_metrics_do_not(site: Site, port: int) -> None:
    assert site.host(port).get_status()["type"] == "Host"
    for path in ("/metrics", "/metrics?format=text", "/%6detrics", "/metrics/"):
        answer = site.host(port).request(HttpRequest("GET", path, timeout_s=5))
        assert answer.status_code in (307, 403, 404), path
        assert "jshost_" not in answer.text


@pytest.mark.parametrize("proxy", PROXIES)
def test_without_a_host_there_is_no_host(proxy: str, tmp_path: Path) -> None:
    with site_in(tmp_path) as site:
        port = site.start(proxy)
        hello: Function = site.function(port, "hello_world", timeout=10)
        with pytest.raises(ConnectionError, match=r"status 50[234], not as a jshost host answers"):
            hello.call()


@pytest.mark.parametrize("proxy", PROXIES)
def test_a_call_whose_host_is_killed_is_not_run_again(proxy: str, tmp_path: Path) -> None:
    """A proxy cannot know what was done."""
    with site_in(tmp_path) as site:
        site.start_hosts()
        port = site.start(proxy)
        work = site.function(port, "work", timeout=20)
        for number in range(8):  # so that connections are kept
            work.call(call=f"warm-{number}")

        async def lost() -> list[object]:
            calls = [
                asyncio.ensure_future(
                    site.function(port, "work", timeout=20).acall(call=f"lost-{number}", ms=2000)
                )
                for number in range(6)
            ]
            await asyncio.to_thread(
                wait_until, lambda: sum("lost" in call for call in site.ran()) == 6, 10, "calls"
            )
            for host in site.host_pids():
                os.kill(host, signal.SIGKILL)
            return await asyncio.gather(*calls, return_exceptions=True)

        assert {type(end) for end in asyncio.run(lost())} == {ConnectionError}
        assert sum("lost" in call for call in site.ran()) == 6
        # A killed host's connections may close before the socket that it listens on.
        wait_until(lambda: not any(map(answers, site.ports)), 5, "the hosts to be gone")
