"""Say what was measured on: cores and versions, no names of machines or folders.

Runs in: bench/run.py.
"""

import json
import os
import platform

from processes import BENCH, RowFailure, sh
from rows import PROJECT_PYTHON

__all__ = ["describe"]

OURS = ("jshost", "httptools", "uvloop", "uvicorn")
PEERS = ("javascript", "js-host", "mini-racer", "pythonmonkey")


def describe() -> dict[str, str]:
    """Return the machine's and the rows' versions, by name."""
    npm = json.loads((BENCH / "package.json").read_text())["dependencies"]
    return {
        "cores": str(os.cpu_count()),
        "system": f"{platform.system()} {platform.release().split('-')[0]}, {platform.machine()}",
        "Python": platform.python_version(),
        "Node": _said("node", "--version"),
        **{name: _version(name) for name in OURS},
        **{f"{name} (PyPI)": version for name, version in _pins() if name in PEERS},
        **{f"{name} (npm)": version for name, version in npm.items()},
    }


def _pins() -> list[tuple[str, str]]:
    lines = (BENCH / "requirements.txt").read_text().split()
    return [(name, version) for name, _, version in (line.partition("==") for line in lines)]


def _version(name: str) -> str:
    program = "import importlib.metadata, sys; print(importlib.metadata.version(sys.argv[1]))"
    return _said(PROJECT_PYTHON, "-c", program, name)


def _said(*argv: str) -> str:
    try:
        return sh(list(argv)).strip()
    except RowFailure as failure:
        return f"unknown ({failure})"
