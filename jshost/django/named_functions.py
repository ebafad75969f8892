"""The functions that a Django project's code and templates name. Runs in: callers.

Only what stands there as a plain string counts: ``Function("render")`` without a host of its own,
and ``{% js_call "render" %}``. Tests and what is installed (site-packages) are left out.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["NamedFunction", "named_functions"]

TAG = re.compile(r"""\{%-?\s*js_call\s+(["'])(.+?)\1""")
LARGEST_BYTES = 1_000_000
NOT_CODE = {"node_modules", "__pycache__", "migrations", "tests", "static", "build", "dist"}


class NamedFunction(NamedTuple):
    """A function's name, and where it is named: ``/srv/site/pages/views.py:7``."""

    name: str
    place: str


def named_functions() -> Iterator[NamedFunction]:
    """All of them; a name that stands in several places comes several times."""
    for path in _files(_code_folders(), lambda name: name.endswith(".py") and not _is_test(name)):
        yield from in_code(path)
    for path in _files(_template_folders(), lambda name: not name.endswith((".py", ".pyc"))):
        yield from in_template(path)


def in_code(path: Path) -> Iterator[NamedFunction]:
    text = _read(path)
    if "Function(" not in text or "jshost" not in text:
        return
    try:
        module = ast.parse(text)
    except (SyntaxError, ValueError):
        return  # Python says so, when it is imported
    for node in ast.walk(module):
        if isinstance(node, ast.Call) and (name := _named_by(node)) is not None:
            yield NamedFunction(name, f"{path}:{node.lineno}")


def _named_by(call: ast.Call) -> str | None:
    called = call.func
    is_function = (isinstance(called, ast.Name) and called.id == "Function") or (
        isinstance(called, ast.Attribute) and called.attr == "Function"
    )
    has_host = len(call.args) > 1 or any(each.arg == "host" for each in call.keywords)
    if not is_function or has_host or not call.args:
        return None
    first = call.args[0]
    return first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else None


def in_template(path: Path) -> Iterator[NamedFunction]:
    text = _read(path)
    for match in TAG.finditer(text) if "js_call" in text else ():
        line = text.count("\n", 0, match.start()) + 1
        yield NamedFunction(match[2], f"{path}:{line}")


def _code_folders() -> Iterator[Path]:
    from django.apps import apps
    from django.conf import settings

    for app in apps.get_app_configs():
        if app.name != "jshost":
            yield Path(app.path)
    for setting in ("ROOT_URLCONF", "SETTINGS_MODULE"):
        name = getattr(settings, setting, None)
        spec = importlib.util.find_spec(name.partition(".")[0]) if isinstance(name, str) else None
        if spec is not None and spec.submodule_search_locations:
            yield Path(spec.submodule_search_locations[0])


def _template_folders() -> Iterator[Path]:
    from django.template import engines
    from django.template.backends.django import DjangoTemplates

    for backend in engines.all():
        if isinstance(backend, DjangoTemplates):
            yield from _folders_of(backend.engine.template_loaders)


def _folders_of(loaders: Iterable[Any]) -> Iterator[Path]:
    for loader in loaders:
        yield from _folders_of(getattr(loader, "loaders", ()))
        if hasattr(loader, "get_dirs"):
            yield from map(Path, loader.get_dirs())


def _files(folders: Iterable[Path], is_wanted: Any) -> Iterator[Path]:
    """The wanted files below the folders, each once; nothing that is installed or hidden."""
    installed = {Path(sysconfig.get_path(kind)).resolve() for kind in ("purelib", "platlib")}
    seen: set[Path] = set()
    for folder in folders:
        for top, inner, names in os.walk(folder.resolve()):
            here = Path(top)
            if here in seen or any(here.is_relative_to(each) for each in installed):
                inner.clear()
                continue
            seen.add(here)
            inner[:] = sorted(name for name in inner if _holds_code(here / name))
            yield from (here / name for name in sorted(names) if is_wanted(name))


def _holds_code(folder: Path) -> bool:
    name = folder.name
    is_left_out = name in NOT_CODE or name.startswith(".")
    return not is_left_out and not (folder / "pyvenv.cfg").exists()


def _is_test(name: str) -> bool:
    return name.startswith(("test", "host.config")) or name == "conftest.py"


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > LARGEST_BYTES:
            return ""
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""
