"""A host's log; tests/e2e/host/test_logs reads those of real hosts."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from jshost.exceptions import ConfigError
from jshost.server.logs import reopen_log, set_up_logging

NAMES = (None, "jshost", "jshost.access")


@pytest.fixture(autouse=True)
def other_logging() -> Iterator[None]:
    """What the tests' own logging is like, afterwards."""
    root = logging.getLogger()
    handlers, levels = root.handlers[:], [logging.getLogger(name).level for name in NAMES]
    yield
    for handler in root.handlers[:]:
        if handler not in handlers:
            root.removeHandler(handler)
            handler.close()
    for name, level in zip(NAMES, levels, strict=True):
        logging.getLogger(name).setLevel(level)


def test_lines_go_to_the_file(tmp_path: Path) -> None:
    log = tmp_path / "host.log"
    set_up_logging(str(log), verbose=False, rotate=False)
    logging.getLogger("jshost.host").info("it listens")
    logging.getLogger("jshost.host").debug("a detail")
    logging.getLogger("jshost.access").info("GET /status 200")
    logging.getLogger("other").info("not ours")
    [line] = log.read_text().splitlines()
    assert line.endswith(" INFO it listens")


@pytest.mark.parametrize("options", [{"verbose": True}, {"verbose": False, "access_log": True}])
def test_requests_are_logged_when_asked_for(tmp_path: Path, options: dict[str, bool]) -> None:
    log = tmp_path / "host.log"
    set_up_logging(str(log), rotate=False, **options)
    logging.getLogger("jshost.access").info("GET /status 200")
    assert "GET /status 200" in log.read_text()


def test_a_record_as_json(tmp_path: Path) -> None:
    log = tmp_path / "host.log"
    set_up_logging(str(log), verbose=False, rotate=True, as_json=True)
    fields = {"function": "f", "requestId": "id-1"}
    try:
        raise ValueError("no")
    except ValueError:
        logging.getLogger("jshost.host").exception("%s failed", "f", extra={"fields": fields})
    entry = json.loads(log.read_text())
    assert {name: entry[name] for name in ("level", "logger", "message", "function")} == {
        "level": "error",
        "logger": "jshost.host",
        "message": "f failed",
        "function": "f",
    }
    assert entry["time"].endswith("Z")
    assert "ValueError: no" in entry["stack"]


def test_a_log_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"missing/host\.log: cannot be written: No such file"):
        set_up_logging(str(tmp_path / "missing" / "host.log"), verbose=False, rotate=False)


def test_a_log_that_was_moved_is_opened_again(tmp_path: Path) -> None:
    log, moved = tmp_path / "host.log", tmp_path / "host.log.1"
    set_up_logging(str(log), verbose=False, rotate=False)
    logging.getLogger("jshost.host").info("before")
    log.rename(moved)
    reopen_log()
    logging.getLogger("jshost.host").info("after")
    assert (moved.read_text()[-7:], log.read_text()[-6:]) == ("before\n", "after\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a full device")
def test_lost_lines_are_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging("/dev/full", verbose=False, rotate=False)
    for _ in range(3):
        logging.getLogger("jshost.host").info("a line")
    said = capsys.readouterr().err
    assert said.count("jshost: the log cannot be written, lines are lost: ") == 1
    assert "No space left" in said
    for handler in logging.getLogger().handlers[:]:
        if getattr(handler, "baseFilename", "") == "/dev/full":
            logging.getLogger().removeHandler(handler)
            with contextlib.suppress(OSError):
                handler.close()  # it writes what it still has
