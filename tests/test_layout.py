"""The tests of a file are found by its path: tests/pool/test_batch.py tests jshost/pool/batch.py.

What a module's name is followed by says which part of it a test is about: test_values_bytes.py.
"""

from __future__ import annotations

from pathlib import Path

import pytest

TESTS = Path(__file__).parent
ROOT = TESTS.parent
OF_ALL = {"test_import_rules.py", "test_layout.py"}
"""These are about the whole."""
ELSEWHERE = {"e2e", "faults", "support", "vectors", "js"}


def python_tests() -> list[Path]:
    found = (path.relative_to(TESTS) for path in TESTS.rglob("test_*.py"))
    return sorted(path for path in found if path.parts[0] not in ELSEWHERE | OF_ALL)


def javascript_tests() -> list[Path]:
    folder = TESTS / "js"
    return sorted(path.relative_to(folder) for path in folder.rglob("*.test.mjs"))


def is_module(folder: Path, name: str, ending: str) -> bool:
    """Whether a file there has that name, or one that it begins with."""
    words = name.split("_")
    names = ("_".join(words[:count]) for count in range(1, len(words) + 1))
    return any((folder / f"{each}{ending}").is_file() for each in names)


@pytest.mark.parametrize("path", python_tests(), ids=str)
def test_a_test_of_python_names_its_module(path: Path) -> None:
    package = ROOT if path.parts[0] == "manager" else ROOT / "jshost"
    assert is_module(package / path.parent, path.stem.removeprefix("test_"), ".py")


@pytest.mark.parametrize("path", javascript_tests(), ids=str)
def test_a_test_of_javascript_names_its_module(path: Path) -> None:
    name = path.name.removesuffix(".test.mjs")
    assert is_module(ROOT / "jshost" / "js" / path.parent, name, ".mjs")


def test_every_folder_of_tests_has_a_place() -> None:
    """A test of a room is in the folder of that name."""
    rooms = {path.name for path in (ROOT / "jshost").iterdir() if path.is_dir()} | {"manager"}
    folders = {path.name for path in TESTS.iterdir() if path.is_dir() and path.name[0] != "_"}
    assert folders - ELSEWHERE <= rooms
