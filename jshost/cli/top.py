"""The command ``jshost top``, which shows running hosts live. Runs in: command line."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from jshost.client.http.http_request import HttpRequest
from jshost.exceptions import JSHostError

if TYPE_CHECKING:
    from jshost.cli.rates import Snapshot
    from jshost.host import JSHost

__all__ = ["top"]

TIMEOUT_S = 5.0
HELP = "q: quit"
ENTER, LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
"""The terminal's other screen, without a cursor, and back."""
HOME, CLEAR_LINE, CLEAR_BELOW = "\x1b[H", "\x1b[K", "\x1b[J"


@click.command()
@click.option("--url", help="Watch the host at this root URL; by default all that run for you.")
@click.option(
    "-n", "--interval", default=1.0, show_default=True, type=click.FloatRange(0.1, 3600),
    help="Seconds between two looks.",
)  # fmt: skip
@click.option("--once", is_flag=True, help="Print one look, of so many seconds, and end.")
@click.option("-j", "--json", "as_json", is_flag=True, help="Print each look as a line of JSON.")
def top(url: str | None, interval: float, once: bool, as_json: bool) -> None:
    """Show running hosts: calls, errors, durations, workers.

    In a terminal it goes on until q or Ctrl-C. Where the output is no terminal, each look is
    printed below the last one. Durations are those of the last interval, or of all calls where it
    had none. Exit code 1: no host answers.
    """
    watch = _Watch(url)
    watch.look()
    if not watch.answered:
        for problem in watch.problems.values():
            click.echo(problem, err=True)
        if not watch.problems:
            click.echo("No host runs. Start one with: jshost serve CONFIG", err=True)
        sys.exit(1)
    try:
        if once or as_json or not (sys.stdout.isatty() and sys.stdin.isatty()):
            _print(watch, interval, once, as_json)
        else:
            _show(watch, interval)
    except KeyboardInterrupt:
        pass
    except BrokenPipeError:  # `jshost top | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _Watch:
    """The hosts, and their answers at the last two looks."""

    def __init__(self, url: str | None) -> None:
        self._url = url
        self._known: dict[str, JSHost] = {}
        self._before: dict[str, Snapshot] = {}
        self._now: dict[str, Snapshot] = {}
        self.problems: dict[str, str] = {}

    @property
    def answered(self) -> bool:
        return bool(self._now)

    def look(self) -> None:
        """Ask all hosts, also those that are new."""
        hosts = self._hosts()
        self._before, before = self._now, self._before
        self._now, self.problems = {}, {}
        for url, host in hosts.items():
            try:
                self._now[url] = _ask(host)
            except JSHostError as error:
                self.problems[url] = str(error)
            except ValueError as error:
                self.problems[url] = f"/metrics is not as a jshost host's: {error}"
            if url not in self._before and url in before:
                self._before[url] = before[url]

    def _hosts(self) -> dict[str, JSHost]:
        from jshost.discovery.records import all_hosts
        from jshost.host import JSHost

        if self._url is not None:
            asked = {self._url: self._known.get(self._url) or JSHost(root_url=self._url)}
        else:
            asked = {
                record.url: self._known.get(record.url)
                or JSHost(root_url=record.url, token=record.token or None)
                for record in reversed(all_hosts())
            }
        self._known = asked
        return asked

    def described(self) -> dict[str, dict[str, Any] | str]:
        from jshost.cli.rates import describe

        found: dict[str, dict[str, Any] | str] = {}
        for url in self._known:
            now = self._now.get(url)
            if now is None:
                found[url] = self.problems.get(url, "")
            else:
                found[url] = describe(self._before.get(url, now), now)
        return found


def _ask(host: JSHost) -> Snapshot:
    """Raises: JSHostError, ValueError: it does not answer, or not as a host does."""
    from jshost.cli.rates import Snapshot
    from jshost.client.host import DeadlinePassed
    from jshost.exceptions import ConnectionError

    try:
        response = host.request(HttpRequest("GET", "/metrics", timeout_s=TIMEOUT_S))
        if response.status_code != 200:
            raise ValueError(f"status {response.status_code}: {response.text[:200]!r}")
        at = time.monotonic()
        return Snapshot.parse(at, host.request_status(), response.text)
    except DeadlinePassed:
        raise ConnectionError(f"no answer within {TIMEOUT_S:g} s") from None


def _print(watch: _Watch, interval: float, once: bool, as_json: bool) -> None:
    from jshost.cli.host_table import lines_of

    while True:
        time.sleep(interval)
        watch.look()
        found = watch.described()
        if as_json:
            hosts = [
                {"url": url, **(each if isinstance(each, dict) else {"error": each})}
                for url, each in found.items()
            ]
            click.echo(json.dumps({"hosts": hosts}))
        else:
            click.echo("\n".join(lines_of(found, 10_000)) + ("" if once else "\n"))
        sys.stdout.flush()
        if once:
            return


# In a terminal


def _show(watch: _Watch, interval: float) -> None:
    with _terminal() as resized:
        due = time.monotonic() + min(interval, 0.3)  # soon: rates need a second look
        _draw(watch)
        while True:
            key, was_resized = _wait(due, resized)
            if key in ("q", "Q", "\x03", "\x04"):
                return
            if was_resized:
                _draw(watch)
            if time.monotonic() >= due:
                due = time.monotonic() + interval
                watch.look()
                _draw(watch)


def _wait(due: float, resized: int) -> tuple[str, bool]:
    """Until a key, another size of the window, or `due`; "\\x04" where the terminal is gone."""
    left = max(due - time.monotonic(), 0)
    readable, _, _ = select.select([sys.stdin, resized], [], [], left)
    was_resized = resized in readable
    if was_resized:
        os.read(resized, 1024)
    key = ""
    if sys.stdin in readable:
        key = os.read(sys.stdin.fileno(), 1).decode("latin-1") or "\x04"
    return key, was_resized


def _draw(watch: _Watch) -> None:
    from jshost.cli.host_table import lines_of

    size = os.get_terminal_size(sys.stdout.fileno())  # not COLUMNS: it may be an old one
    lines = lines_of(watch.described(), size.columns)
    if len(lines) > size.lines - 1:
        hidden = len(lines) - size.lines + 2
        lines = [*lines[: size.lines - 2], f"… {hidden} lines more"]
    text = f"{CLEAR_LINE}\r\n".join([*lines, ""])
    bottom = f"\x1b[{size.lines};1H\x1b[7m{HELP[: size.columns]}\x1b[0m"
    sys.stdout.write(HOME + text + CLEAR_BELOW + bottom)
    sys.stdout.flush()


@contextlib.contextmanager
def _terminal() -> Iterator[int]:
    """Keys one by one, the other screen, and a descriptor that tells when the window's size has
    changed; at the end all as it was."""
    import termios
    import tty

    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    read, write = os.pipe()
    os.set_blocking(write, False)
    old_handler = signal.signal(signal.SIGWINCH, lambda *_: None)
    old_wake = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    try:
        tty.setcbreak(descriptor)
        sys.stdout.write(ENTER)
        yield read
    finally:
        sys.stdout.write(LEAVE)
        sys.stdout.flush()
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
        signal.set_wakeup_fd(old_wake)
        signal.signal(signal.SIGWINCH, old_handler)
        os.close(read)
        os.close(write)
