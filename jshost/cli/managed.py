"""The commands about managed hosts: ps, stop, restart, logs, doctor. Runs in: command line."""

from __future__ import annotations

import collections
import json
import os
import shlex
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import click

from jshost.exceptions import ConfigError, ConnectionError, JSHostError
from jshost.protocol.version import __version__

__all__ = ["COMMANDS"]

FOLLOW_POLL_S = 0.2


def _target(config: Path | None) -> Path:
    from jshost.client.settings import settings

    return config.resolve() if config is not None else settings.config_path()


_config = click.argument("config", required=False, type=click.Path(path_type=Path))


@click.command(short_help="Show the manager, its hosts and who holds them.")
@click.option("-j", "--json", "as_json", is_flag=True, help="Print it as JSON.")
def ps(as_json: bool) -> None:
    """Show the manager, its hosts and who holds them."""
    from jshost.manager import manager

    status = manager.get_status() if manager.is_running() else None
    if as_json:
        click.echo(json.dumps(status, indent=2))
        return
    if status is None:
        click.echo("No manager runs.")
        return
    click.echo(
        f"manager  pid {status['pid']}  version {status['version']}  up {status['uptime']:.0f} s"
    )
    for host in status["hosts"]:
        state = host["state"]
        if host["idle_s_left"] is not None:
            state += f", stops in {host['idle_s_left']:.0f} s"
        click.echo(f"{host['config']}  ({state})")
        up = f"  up {host['uptime']:.0f} s" if host["uptime"] is not None else ""
        click.echo(f"  pid {host['pid']}  {host['url'] or 'not listening yet'}{up}")
        click.echo(f"  log {host['logfile']}")
        for holder in host["holders"]:
            click.echo(f"  held by {holder['pid']}  {holder['name']}")


@click.command(short_help="Stop the managed host of CONFIG, or all and the manager.")
@_config
@click.option("--all", "everything", is_flag=True, help="Stop all managed hosts and the manager.")
def stop(config: Path | None, everything: bool) -> None:
    """Stop the managed host of CONFIG, even if programs use it; with --all, everything managed."""
    from jshost.manager import manager

    if not manager.is_running():
        click.echo("No manager runs; nothing to stop.")
    elif everything:
        manager.stop()
        click.echo("Stopped the manager and its hosts.")
    else:
        path = _target(config)
        runs = any(host["config"] == str(path) for host in manager.get_status()["hosts"])
        if runs:
            manager.stop_host(path)
        done = "Stopped the host" if runs else "No managed host runs"
        click.echo(f"{done} of {path}.")


@click.command(short_help="Replace the managed host of CONFIG by a fresh one.")
@_config
def restart(config: Path | None) -> None:
    """Replace the process of CONFIG's managed host; port, log and connections stay."""
    from jshost.host import JSHost
    from jshost.manager import manager

    path = _target(config)
    if not manager.is_running():
        raise ConnectionError(f"No manager runs, so no managed host of {path} does.")
    JSHost(path).restart()
    click.echo(f"Restarted the host of {path}.")


@click.command(short_help="Show the log of CONFIG's managed host.")
@_config
@click.option("-f", "--follow", is_flag=True, help="Print new lines as they come, until Ctrl-C.")
@click.option("-n", "--lines", default=50, show_default=True, help="How many of the last lines.")
def logs(config: Path | None, follow: bool, lines: int) -> None:
    """Show the log of CONFIG's managed host."""
    from jshost.manager import logfile_of

    path = logfile_of(_target(config))
    if not path.exists():
        raise ConfigError(f"{path} does not exist: no managed host of this config has run yet.")
    file = _open(path)
    for line in collections.deque(file, lines):
        click.echo(line, nl=False)
    if follow:
        for line in _added_lines(path, file):
            click.echo(line, nl=False)
    file.close()


def _open(path: Path) -> TextIO:
    return path.open(encoding="utf-8", errors="replace", newline="\n")


def _added_lines(path: Path, file: TextIO) -> Iterator[str]:
    """The lines written after those that were read; after a rotation, those of the new file."""
    while True:
        replaced = _is_replaced(path, file)  # first, so that no line is missed
        yield from iter(file.readline, "")
        if replaced:
            file.close()
            file = _open(path)
        else:
            time.sleep(FOLLOW_POLL_S)


def _is_replaced(path: Path, file: TextIO) -> bool:
    try:
        return path.stat().st_ino != os.fstat(file.fileno()).st_ino
    except FileNotFoundError:  # in the middle of a rotation
        return False


@click.command(short_help="Look for problems on this machine, and say how to mend them.")
@click.option("-j", "--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def doctor(as_json: bool) -> None:
    """Look for problems on this machine, and say how to mend them (exit code 1: there are some)."""
    findings = [_check(name, check) for name, check in CHECKS.items()]
    if as_json:
        click.echo(json.dumps(findings, indent=2))
    else:
        for finding in findings:
            mark = (
                click.style("ok   ", fg="green")
                if finding["ok"]
                else click.style("WRONG", fg="red")
            )
            click.echo(f"{mark}  {finding['name']}: {finding['text']}")
    sys.exit(0 if all(finding["ok"] for finding in findings) else 1)


def _check(name: str, check: Any) -> dict[str, Any]:
    try:
        return {"name": name, "ok": True, "text": check()}
    except JSHostError as error:
        return {"name": name, "ok": False, "text": str(error)}


def _check_python() -> str:
    return f"{sys.version.partition(' ')[0]}, jshost {__version__}, {sys.executable}"


def _check_node() -> str:
    from jshost.client.settings import settings
    from jshost.pool.node import find_node

    node = find_node(settings.PATH_TO_NODE)
    return f"{node.version}, {node.path} ({node.source})"


def _check_folders() -> str:
    from jshost.discovery.records import runtime_folder
    from jshost.manager import log_folder

    return f"{runtime_folder()}; logs in {log_folder()}"


def _check_manager() -> str:
    from jshost.discovery.manager_state import stale_state_file
    from jshost.manager import manager

    stale = stale_state_file()
    if stale is not None:
        command = shlex.join(["rm", "-r" if stale.is_dir() else "-f", str(stale)])
        raise ConfigError(f"{stale} is stale: no manager answers there. Mend it: {command}")
    if not manager.is_running():
        return "none runs; USE_MANAGER starts one at the first call"
    status = manager.get_status()
    if status["version"] != __version__:
        raise ConfigError(
            f"version {status['version']} runs (pid {status['pid']}), this is {__version__}. "
            "Mend it: jshost stop --all"
        )
    return f"pid {status['pid']}, {len(status['hosts'])} hosts"


def _check_orphans() -> str:
    """Managed hosts that no manager knows; they stop by themselves within seconds."""
    from jshost.discovery.records import all_hosts
    from jshost.manager import manager

    hosts = manager.get_status()["hosts"] if manager.is_running() else []
    known = {host["pid"] for host in hosts}
    running = all_hosts()
    orphans = [record for record in running if record.managed and record.pid not in known]
    if orphans:
        pids = " ".join(str(record.pid) for record in orphans)
        raise ConfigError(f"managed hosts without a manager: {pids}. Mend it: kill {pids}")
    return f"{len(running)} run" if running else "none runs"


CHECKS = {
    "Python": _check_python,
    "Node": _check_node,
    "folders": _check_folders,
    "manager": _check_manager,
    "hosts": _check_orphans,
}

COMMANDS = (ps, stop, restart, logs, doctor)
