"""How much is said: the levels of python-js-host, and where it is said."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest

from jshost import verbosity
from jshost.conf import settings
from jshost.verbosity import Verbosity, report


def test_the_levels_are_those_of_python_js_host() -> None:
    names = ["SILENT", "CONNECT", "PROCESS_START", "DISCONNECT", "PROCESS_STOP"]
    names += ["FUNCTION_CALL", "VERBOSE"]
    assert [level.name for level in sorted(Verbosity)] == names
    assert [getattr(verbosity, name) for name in names] == sorted(Verbosity)


@pytest.mark.parametrize("setting", Verbosity)
def test_a_level_includes_those_below(setting: Verbosity, caplog: pytest.LogCaptureFixture) -> None:
    settings.configure(VERBOSITY=setting)
    said = [level for level in Verbosity if level is not Verbosity.SILENT]
    for level in said:
        report(level, "it is %s", level.name)
    wanted = [f"it is {level.name}" for level in said if level <= setting]
    assert [record.getMessage() for record in caplog.records] == wanted


def test_messages_go_to_a_logger_of_their_own(caplog: pytest.LogCaptureFixture) -> None:
    report(Verbosity.CONNECT, "connected")
    assert [(r.name, r.levelno) for r in caplog.records] == [("jshost.activity", logging.INFO)]


def said_by_a_program(code: str) -> tuple[str, str]:
    done = subprocess.run(
        [sys.executable, "-c", f"import logging, jshost.verbosity as v\n{code}"],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    return done.stdout, done.stderr


@pytest.mark.real
def test_without_logging_it_is_said_on_stderr_once() -> None:
    code = "v.report(v.CONNECT, 'connected to %s', 'a'); v.report(v.CONNECT, 'and to b')"
    assert said_by_a_program(code) == ("", "jshost: connected to a\njshost: and to b\n")


@pytest.mark.real
def test_with_logging_it_is_said_as_the_program_wants_it() -> None:
    code = (
        "import sys\n"
        "logging.basicConfig(stream=sys.stdout, level='INFO', format='%(name)s|%(message)s')\n"
        "v.report(v.CONNECT, 'connected')"
    )
    assert said_by_a_program(code) == ("jshost.activity|connected\n", "")
