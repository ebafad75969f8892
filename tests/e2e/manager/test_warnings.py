"""The manager is for development: it says so where a program looks like production."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from typing import Any

import pytest
from support import managing
from support.managing import User

user = managing.user

WARNING = "DO NOT USE THE MANAGER IN PRODUCTION"
DJANGO = """
import django.conf
django.conf.settings.configure(DEBUG={debug}, JS_HOST={{"USE_MANAGER": True}})
"""


def said_at_a_call(user: User, debug: bool | None = None, **options: Any) -> str:
    """What a program says at its first call; `debug`: it is a Django project's."""
    before = "" if debug is None else DJANGO.format(debug=debug)
    environment = {"CI": "", **options.pop("env", {})}
    program = user.program(before + managing.LINES, env=environment, **options)
    program.call("pid")
    program.leave()
    return program.said


def test_a_warning_with_djangos_debug_off(user: User) -> None:
    assert WARNING in said_at_a_call(user, debug=False)
    assert "DEBUG is off" in said_at_a_call(user, debug=False)
    assert WARNING not in said_at_a_call(user, debug=True)


@pytest.mark.skipif(os.getuid() != 0, reason="NOT RUN: this test needs root")
def test_a_warning_as_root_without_a_terminal(user: User) -> None:
    said = said_at_a_call(user)
    assert WARNING in said
    assert "root" in said
    assert WARNING not in said_at_a_call(user, env={"CI": "true"})


@pytest.mark.skipif(os.getuid() != 0, reason="NOT RUN: this test needs root")
def test_no_warning_as_root_in_a_terminal(user: User) -> None:
    ours, theirs = pty.openpty()
    code = managing.LINES.replace("sys.stdin", "iter([json.dumps(['pid', {}])])")
    command = [sys.executable, "-c", code]
    environment = {**user.environment, "CI": ""}
    done = subprocess.run(
        command,
        cwd=user.folder,
        env=environment,
        stdin=theirs,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    os.close(ours)
    os.close(theirs)
    assert "result" in done.stdout
    assert WARNING not in done.stderr
