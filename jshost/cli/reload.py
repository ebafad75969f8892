"""The command ``jshost reload``. Runs in: command line.

It signals hosts of this user on this machine, and asks them by HTTP how it went.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from jshost.exceptions import ConfigError, JSHostError

if TYPE_CHECKING:
    from jshost.discovery.records import HostRecord

__all__ = ["reload"]

POLL_S = 0.05


@click.command(short_help="Swap the workers of CONFIG's hosts for fresh ones.")
@click.argument("config", required=False, type=click.Path(path_type=Path))
@click.option("--url", help="Only the host that listens at this root URL.")
@click.option(
    "--timeout",
    type=click.FloatRange(0, min_open=True),
    default=120.0,
    help="Seconds that a host may take.  [default: 120]",
)
def reload(config: Path | None, url: str | None, timeout: float) -> None:
    """Load CONFIG and its code again in the hosts that serve it, one host after the other.

    New calls go to the fresh workers once all of them are ready; calls in flight are finished by
    the old ones. No call is lost. When something does not load, the host keeps its workers, and the
    exit code is 1. New options count, but for those of listening and of tokens: the log says which.
    """
    for record in _records(config, url):
        _reload(record, timeout)
        click.echo(f"The host {record.url} (pid {record.pid}) runs fresh workers.")


def _records(config: Path | None, url: str | None) -> list[HostRecord]:
    from jshost.client.settings import settings
    from jshost.discovery.records import all_hosts, find_hosts

    if url is not None:
        found = [record for record in all_hosts() if record.url.rstrip("/") == url.rstrip("/")]
        wanted = f"at {url}"
    else:
        path = config.resolve() if config is not None else settings.config_path()
        found, wanted = find_hosts(path), f"of {path}"
    if not found:
        raise ConfigError(f"No host {wanted} runs for this user; `jshost status` shows which do.")
    return found


def _reload(record: HostRecord, timeout_s: float) -> None:
    """Raises: JSHostError: the host kept its workers, or has ended."""
    who = f"The host {record.url} (pid {record.pid})"
    before = state = _state(record)
    if before is None or state is None:
        raise ConfigError(f"{who} is of version {record.version}, which cannot do it: restart it.")
    end = time.monotonic() + timeout_s
    os.kill(record.pid, signal.SIGHUP)
    while state["done"] <= before["asked"]:
        if time.monotonic() >= end:
            raise JSHostError(
                f"{who} was not done within {timeout_s:g} s; it goes on. --timeout gives it more "
                "time; its log says what it waits for."
            )
        time.sleep(POLL_S)
        state = _state(record) or state
    if state["error"]:
        raise JSHostError(f"{who} keeps the workers it had: {state['error']}")


def _state(record: HostRecord) -> dict[str, Any] | None:
    from jshost.host import JSHost

    state: dict[str, Any] | None = (
        JSHost(root_url=record.url, token=record.token or None).request_status().get("reload")
    )
    return state
