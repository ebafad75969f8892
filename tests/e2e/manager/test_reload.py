"""Edit and go, with managed hosts: after a save the next call runs the new code.

What is edited how, and what is said of code that does not load, is in test_reload.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from support import managing
from support.managing import User

from jshost.conf import settings
from jshost.exceptions import FunctionError
from jshost.function import Function
from jshost.host import host

user, here = managing.user, managing.here

PY = "functions = {'f': lambda: %r}"


def test_a_host_does_so_by_itself(here: User) -> None:
    path = here.write("host.config.py", f"disconnect_timeout = 0.5\n{PY % '1'}")
    assert Function("f").call() == "1"
    pid = host.get_status()["pid"]
    path.write_text(PY % "2")
    assert Function("f").call() == "2"
    path.write_text("functions = {\n")
    with pytest.raises(FunctionError, match=r"line 1"):
        Function("f").call()
    path.write_text(PY % "3")
    assert Function("f").call() == "3"
    assert host.get_status()["pid"] == pid


def test_a_setting_switches_reloading_off(here: User) -> None:
    settings.configure(RELOAD=False)
    path = here.write("host.config.py", f"disconnect_timeout = 0.5\n{PY % '1'}")
    assert Function("f").call() == "1"
    path.write_text(PY % "2")
    assert Function("f").call() == "1"
    host.restart()
    assert Function("f").call() == "2"


def test_a_project_that_is_its_own_virtual_environment(user: User) -> None:
    """What lies in the environment's folder is not for that reason installed."""
    ours = Path(sys.prefix)
    user.write("pyvenv.cfg", (ours / "pyvenv.cfg").read_text())
    (user.folder / "bin").mkdir()
    (user.folder / "bin" / "python").symlink_to(Path(sys.executable).resolve())
    (user.folder / "lib").symlink_to(ours / "lib")
    user.write("m.py", "def f(): return 1")
    user.write("host.config.py", "disconnect_timeout = 0.5\nimport m\nfunctions = {'f': m.f}")
    program = user.start(str(user.folder / "bin" / "python"), "-c", managing.LINES)
    assert program.call("f") == 1
    user.write("m.py", "def f(): return 2")
    assert program.call("f") == 2


def test_imported_and_included_files_are_watched(here: User) -> None:
    here.write("m.py", "def f(): return 1")
    here.write("js/n.js", "exports.g = () => 1")
    here.write("js/host.config.js", "exports.functions = require('./n')")
    config = "disconnect_timeout = 0.5\nimport m\ninclude = ['js/host.config.js']\n"
    here.write("host.config.py", f"{config}functions = {{'f': m.f}}")
    f, g = Function("f"), Function("g")
    assert (f.call(), g.call()) == (1, 1)
    pid = host.get_status()["pid"]
    for number in range(2, 5):
        here.write("m.py", f"def f(): return {number}")
        assert f.call() == number
        here.write("js/n.js", f"exports.g = () => {number}")
        assert g.call() == number
    here.write("m.py", "def f(:")
    with pytest.raises(FunctionError, match=r"m\.py.*line 1"):
        f.call()
    here.write("m.py", "def f(): return 9")
    assert (f.call(), g.call()) == (9, 4)
    assert host.get_status()["pid"] == pid
