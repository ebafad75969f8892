"""Hosts under supervisord, behind each proxy: killed, and restarted one after the other."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.extent import by_hand, report
from support.hosts import wait_until
from support.production import Load, Site, site_in

RESTARTS = by_hand(10, 1)

pytestmark = pytest.mark.timeout(by_hand(600, 120))


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with site_in(tmp_path) as site:
        yield site


def test_supervisord_restarts_a_host_that_was_killed(site: Site) -> None:
    supervisor = site.start_supervisor()
    first, second = supervisor.host_pids()
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: supervisor.host_pids()[0] not in (0, first), 15, "another host")
    site.wait_for_hosts()
    assert supervisor.host_pids()[1] == second
    assert site.function(site.ports[0], "hello_world").call(name="again") == "Hello, again!"


def test_a_rolling_restart_stops_at_code_that_does_not_load(site: Site) -> None:
    supervisor = site.start_supervisor()
    _, second = supervisor.host_pids()
    (site.app / "host.config.js").write_text("throw new Error('broken');")
    with pytest.raises(subprocess.CalledProcessError):
        supervisor.rolling_restart(patience_s=2)
    assert supervisor.host_pids()[1] == second
    assert site.function(site.ports[1], "hello_world").call() == "Hello, World!"


def test_a_rolling_restart_loses_no_call_and_runs_none_twice(site: Site) -> None:
    """32 callers behind each proxy."""
    supervisor = site.start_supervisor()
    before = supervisor.host_pids()
    with contextlib.ExitStack() as stack:
        loads = [
            stack.enter_context(Load(site, site.start(proxy), prefix=proxy, ms=50))
            for proxy in ("nginx", "varnish", "haproxy")
        ]
        for load in loads:
            load.wait_for_calls(100)
        for _ in range(RESTARTS):
            supervisor.rolling_restart()
        for load in loads:
            load.wait_for_calls(100)
    assert set(supervisor.host_pids()).isdisjoint({0, *before})
    outcomes = [each for load in loads for each in load.outcomes]
    waited = sorted(each.ended - each.began for each in outcomes)
    report(
        f"{RESTARTS} rolling restarts, {len(outcomes)} calls through three proxies; the slowest "
        f"took {waited[-1]:.2f} s, {sum(seconds > 0.5 for seconds in waited)} more than 0.5 s"
    )
    assert [each for each in outcomes if each.result != each.call] == []
    ran = Counter(site.ran())
    assert ran == Counter(each.call for each in outcomes)
    assert max(ran.values()) == 1
    assert waited[-1] < 5
