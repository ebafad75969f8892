"""What nginx and Varnish answer by themselves, and what reaches a host."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from support.hosts import _long_lived, require, wait_until
from support.production import Site, site_in

from jshost.client.http.http_request import HttpRequest
from jshost.exceptions import FunctionError

BAN = "ban req.url ~ /function/"
CACHES = ["nginx", "varnish"]
JSON = {"Content-Type": "application/json", "Accept": "application/json"}


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, dict[str, int]]]:
    """Two hosts, and the ports of both caches."""
    with site_in(tmp_path_factory.mktemp("site")) as site:
        site.start_hosts()
        ports = {cache: site.start(cache) for cache in CACHES}
        pids = site.pids()
        _long_lived.update(pids)
        yield site, ports
    _long_lived.difference_update(pids)


@pytest.fixture
def site(behind: tuple[Site, dict[str, int]]) -> Site:
    return behind[0]


@pytest.fixture(params=CACHES)
def port(request: pytest.FixtureRequest, behind: tuple[Site, dict[str, int]]) -> int:
    return behind[1][request.param]


@pytest.fixture
def call(request: pytest.FixtureRequest) -> str:
    """A name for a call that no other test uses."""
    return hashlib.sha1(request.node.nodeid.encode()).hexdigest()[:12]


def body_of(call: str) -> tuple[bytes, str]:
    """The body of a call, and the target of its POST."""
    body = json.dumps({"call": call}).encode()
    return body, f"/function/cached?hash={hashlib.sha1(body).hexdigest()}"


def kept(ask: Callable[[], str]) -> str:
    """What a cache answers once it has stored it, which may be just after it has passed it on."""
    answers = [ask()]

    def is_kept() -> bool:
        answers.append(ask())
        return answers[-1] == answers[-2]

    wait_until(is_kept, 5, "stored answer")
    assert len(answers) <= 5
    return answers[-1]


def test_a_second_equal_call_does_not_reach_a_host(site: Site, port: int, call: str) -> None:
    cached = site.function(port, "cached")
    first = kept(lambda: cached.call(call=call))
    assert first.startswith("VERSION one")
    ran = site.ran().count(call)
    assert {site.function(port, "cached").call(call=call) for _ in range(5)} == {first}
    assert site.ran().count(call) == ran
    assert cached.call(call=f"{call}, another") != first
    assert site.ran().count(f"{call}, another") == 1


def test_an_answer_is_the_right_ones(site: Site, port: int, call: str) -> None:
    """Many calls, each twice."""
    cached = site.function(port, "cached")
    first = {n: kept(lambda: cached.call(call=f"{call}-{n}")) for n in range(50)}  # noqa: B023
    assert len(set(first.values())) == 50
    assert {n: cached.call(call=f"{call}-{n}") for n in reversed(range(50))} == first


def test_calls_by_get(site: Site, port: int, call: str) -> None:
    body, target = body_of(call)
    by_data = f"/function/cached?data={quote(body)}"
    by_both = f"{target}&data={quote(body)}"
    get = lambda target: site.host(port).request(HttpRequest("GET", target, timeout_s=5)).text  # noqa: E731
    one, other = kept(lambda: get(by_data)), kept(lambda: get(by_both))
    assert one.startswith("VERSION one")
    assert one != other, "the URLs differ"
    assert (get(by_data), get(by_both)) == (one, other)
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as caller:
        caller.request("HEAD", by_data)
        head = caller.getresponse()
    assert (head.status, head.getheader("cache-control")) == (200, "public, max-age=3600")


def test_a_get_is_not_answered_with_what_a_post_got(site: Site, port: int, call: str) -> None:
    """The URL with the hash has no arguments for it."""
    body, target = body_of(call)
    assert site.host(port).request(HttpRequest("POST", target, JSON, body, 5)).status_code == 200
    assert site.host(port).request(HttpRequest("GET", target, timeout_s=5)).status_code == 400


def test_a_wrong_hash_is_refused_and_poisons_nothing(site: Site, port: int, call: str) -> None:
    body, target = body_of(call)
    evil, _ = body_of(f"{call}, the evil one's")
    for _ in range(2):
        refused = site.host(port).request(HttpRequest("POST", target, JSON, evil, 5))
        assert (refused.status_code, refused.json()["code"]) == (400, "wrong_hash")
    right = site.host(port).request(HttpRequest("POST", target, JSON, body, 5))
    assert right.status_code == 200
    again = site.host(port).request(HttpRequest("POST", target, JSON, evil, 5))
    assert again.status_code == 400 or again.text == right.text
    assert [each for each in site.ran() if call in each] == [call]


def test_errors_are_not_kept(site: Site, port: int, call: str) -> None:
    for _ in range(3):
        with pytest.raises(FunctionError, match="never cached"):
            site.function(port, "cached_failure").call(call=call)
    assert site.ran().count(call) == 3


def test_other_functions_are_not_kept(site: Site, port: int, call: str) -> None:
    for _ in range(3):
        assert site.function(port, "work").call(call=call) == call
    assert site.ran().count(call) == 3


def test_without_a_hash_nothing_is_kept(site: Site, port: int, call: str) -> None:
    body, _ = body_of(call)
    answers = {
        site.host(port).request(HttpRequest("POST", "/function/cached", JSON, body, 5)).text
        for _ in range(3)
    }
    assert len(answers) == 3


def test_a_stream_is_not_an_answer(site: Site, port: int, call: str) -> None:
    stream = site.function(port, "cached_stream")
    value = kept(lambda: stream.call(call=call)[0])
    for _ in range(2):
        (other,) = stream.stream(call=call)
        assert other != value
    assert stream.call(call=call) == [value]


def test_what_one_caller_may_see_is_not_served_to_another(site: Site, port: int, call: str) -> None:
    body, target = body_of(call)

    def ask(authorization: dict[str, str]) -> str:
        headers = {**JSON, **authorization}
        return site.host(port).request(HttpRequest("POST", target, headers, body, 5)).text

    tokens = [{}, {"Authorization": "Bearer a"}, {"Authorization": "Bearer b"}]
    found = [kept(lambda: ask(token)) for token in tokens]  # noqa: B023
    assert len(set(found)) == 3
    assert [ask(token) for token in tokens] == found


@pytest.mark.parametrize("cache", CACHES)
def test_a_cache_that_is_emptied_after_a_deploy(cache: str, tmp_path: Path) -> None:
    """As docs/production.md says."""
    with site_in(tmp_path) as site:
        site.start_hosts()
        cached = site.function(site.start(cache), "cached")
        old = kept(lambda: cached.call(call="a"))
        config = site.app / "host.config.js"
        config.write_text(config.read_text().replace("VERSION one", "VERSION two"))
        for pid, port in zip(site.host_pids(), site.ports, strict=True):
            os.kill(pid, signal.SIGHUP)
            probe = site.function(port, "cached")
            wait_until(lambda: "two" in probe.call(call="probe"), 10, "new code")  # noqa: B023
        assert cached.call(call="a") == old
        if cache == "nginx":
            for path in (tmp_path / "nginx" / "cache").iterdir():
                shutil.rmtree(path)
        else:
            subprocess.run(
                [require("varnishadm", "varnish"), "-n", tmp_path / "varnish", BAN],
                check=True, timeout=20, stdout=subprocess.DEVNULL,
            )  # fmt: skip
        assert cached.call(call="a").startswith("VERSION two")
