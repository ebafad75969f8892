"""A host under supervisord that is killed while 32 callers call: how long is there no service?"""

from __future__ import annotations

import os
import signal
import statistics
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest
from support.extent import by_hand, report
from support.hosts import wait_until
from support.production import Load, Outcome, site_in

from jshost.exceptions import ConnectionError

KILLS = by_hand(20, 2)

pytestmark = pytest.mark.timeout(by_hand(900, 90))


def test_a_killed_host_is_back_soon(tmp_path: Path) -> None:
    """Callers of that host hear that there is none, or that it was lost; callers of HAProxy only
    hear of calls that were with it."""
    gaps: list[float] = []
    with site_in(tmp_path) as site:
        supervisor = site.start_supervisor()
        port = site.ports[0]
        with Load(site, port, callers=32) as direct, Load(
            site, site.start("haproxy"), callers=8, prefix="proxy"
        ) as proxied:  # fmt: skip
            for _ in range(KILLS):
                direct.wait_for_calls(100)
                # supervisord takes one that ran for less than startsecs for one that did not start
                wait_until(lambda: supervisor.has_run(port), 30, "host that counts as started")
                (killed, _), when = supervisor.host_pids(), time.monotonic()
                os.kill(killed, signal.SIGKILL)
                wait_until(lambda: not psutil.pid_exists(killed), 10, "end")  # noqa: B023
                succeeded = lambda: _first_after(direct.outcomes, when)  # noqa: B023, E731
                wait_until(succeeded, 30, "call that succeeds")
                gaps.append(succeeded() - when)
                wait_until(lambda: site.is_ready(port), 10, "ready host")
        failures = Counter(type(each.result) for each in direct.failed)
        lost = Counter(type(each.result) for each in proxied.failed)
        report(
            f"{KILLS} kills: without service for {statistics.median(gaps):.2f} s "
            f"(median), {max(gaps):.2f} s at most; {len(direct.outcomes)} calls, {failures}; "
            f"through HAProxy {len(proxied.outcomes)} calls, {lost}"
        )
        assert set(failures) == {ConnectionError}
        assert set(lost) <= {ConnectionError}
        assert lost.total() <= 8 * KILLS, "only calls that were with the killed host"
        assert direct.wrong == proxied.wrong == []
        ran = Counter(site.ran())
        assert max(ran.values()) == 1
    assert list((site.folder / "run" / "jshost").iterdir()) == [], "records, or sockets"


def _first_after(outcomes: list[Outcome], when: float) -> float:
    """When the first call ended well that began after a kill; 0: none yet."""
    return min(
        (o.ended for o in outcomes[-5000:] if o.began > when and o.result == o.call), default=0
    )
