"""The wheel, installed into an empty environment elsewhere, works there by itself."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
CONFIG = """
include = ["host.config.js"]
functions = {"python": lambda **arguments: arguments}
"""
JAVASCRIPT = "export const functions = {javascript: async ({name}) => `Hello, ${name}!`};"
CALL = """
import jshost, sys
from jshost import Function, settings
settings.configure(ROOT_URL=sys.argv[1])
print(jshost.__file__)
print(Function("python").call(a=1), Function("javascript").call(name="Foo"))
"""


def run(*command: str | Path, cwd: Path) -> str:
    """The command's stdout, without anything of this environment on its paths."""
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def copy_of_the_tree(folder: Path) -> Path:
    """What a clone has: not what tools and installations left in the tree."""
    leftovers = ("__pycache__", "node_modules", "*.egg-info", "build", ".*", "bench", "tests")
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*leftovers))
    return folder


@pytest.mark.timeout(300)
def test_the_wheel_works_in_an_empty_environment(tmp_path: Path) -> None:
    tree = copy_of_the_tree(tmp_path / "tree")
    run(sys.executable, "-m", "build", "--wheel", "--outdir", tmp_path, tree, cwd=tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    modules = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("jshost/js/**/*.mjs")}
    assert modules
    assert names >= modules | {"jshost/py.typed", "jshost/js/package.json"}
    assert all(name.startswith("jshost") for name in names), names

    shutil.rmtree(tree)
    environment, elsewhere = tmp_path / "environment", tmp_path / "elsewhere"
    run(sys.executable, "-m", "venv", environment, cwd=tmp_path)
    python, jshost = environment / "bin" / "python", environment / "bin" / "jshost"
    run(python, "-m", "pip", "install", "--quiet", wheel, cwd=tmp_path)
    elsewhere.mkdir()
    (elsewhere / "host.config.py").write_text(CONFIG)
    (elsewhere / "host.config.js").write_text(JAVASCRIPT)
    (elsewhere / "package.json").write_text('{"type": "module"}')
    assert "ok: 2 functions" in run(jshost, "check", "elsewhere/host.config.py", cwd=tmp_path)

    command = [str(jshost), "elsewhere/host.config.py", "-p", "0", "--json", "-l", "host.log"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as host:
        try:
            assert host.stdout is not None
            config = json.loads(host.stdout.readline() or "null")["config"]
            url = f"http://127.0.0.1:{config['port']}"
            where, answers = run(python, "-c", CALL, url, cwd=elsewhere).splitlines()
            assert answers == "{'a': 1} Hello, Foo!"
            assert Path(where).is_relative_to(environment)
            assert run(jshost, "call", "javascript", "name=Bar", cwd=elsewhere) == "Hello, Bar!\n"
        finally:
            host.terminate()
    assert host.returncode == 0, (tmp_path / "host.log").read_text()
