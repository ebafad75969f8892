"""Which files belong to the project."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import pytest

import jshost
from jshost.worker.loaded_files import LoadedFiles

CONFIG = Path("/project/host.config.py")


def loaded_from(path: Path, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether a module that was loaded from this path counts as the project's."""
    module = types.ModuleType("a_module")
    module.__file__ = str(path)
    monkeypatch.setitem(sys.modules, "a_module", module)
    return str(path) in LoadedFiles(CONFIG).all()


PREFIX = Path(sys.prefix)
STDLIB = Path(types.__file__).parent
JSHOST = Path(jshost.__file__).parent


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (Path("/project/m.py"), True),
        (Path("/project/pkg/site-packages.py"), True),
        (Path("/project/my-site-packages/m.py"), True),
        (PREFIX / "m.py", True),  # a project that is its own virtual environment
        (PREFIX / "src" / "editable" / "m.py", True),
        (JSHOST.with_name("jshost_plugins") / "m.py", True),
        (STDLIB.with_name(STDLIB.name + "-project") / "m.py", True),
        (STDLIB / "json" / "__init__.py", False),
        (JSHOST / "protocol" / "values.py", False),
        (PREFIX / "lib" / "python3" / "site-packages" / "numpy" / "__init__.py", False),
        (Path("/usr/lib/python3/dist-packages/apt.py"), False),
        (Path("/project/m.so"), False),
    ],
)
def test_what_is_watched(path: Path, expected: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    assert loaded_from(path, monkeypatch) is expected


def test_the_config_file_and_what_does_not_parse_are_watched_as_well() -> None:
    error = SyntaxError("no", ("/project/broken.py", 1, 1, "", 1, 1))
    files = LoadedFiles(CONFIG).all(error)
    assert {"/project/host.config.py", "/project/broken.py"} <= set(files)


def test_there_are_more_files_once_more_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = LoadedFiles(CONFIG)
    loaded.all()
    assert loaded.more() is None
    module = types.ModuleType("one_more")
    module.__file__ = "/project/one_more.py"
    monkeypatch.setitem(sys.modules, "one_more", module)
    assert "/project/one_more.py" in (loaded.more() or [])
    assert loaded.more() is None
