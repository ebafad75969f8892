"""The config file of `jshost.embedded({'name': 'module:function'})`. Runs in: Python workers.

An environment variable names the functions, so that no file has to be written and removed.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from jshost.exceptions import ConfigError

__all__ = ["functions"]

_listed = json.loads(os.environ.pop("JSHOST_LISTED", '{"functions": {}, "path": []}'))
sys.path[:] = dict.fromkeys([*_listed["path"], *sys.path])


def _find(name: str, place: str) -> Callable[..., Any]:
    module, _, path = place.rpartition(":")
    try:
        found: Any = functools.reduce(getattr, path.split("."), _load(name, place, module))
    except AttributeError as error:
        raise ConfigError(f'embedded: "{name}" is {place!r}, but {error}') from None
    if not callable(found):
        raise ConfigError(f'embedded: "{name}" is {place!r}, a {type(found).__name__}')
    return found  # type: ignore[no-any-return]


def _load(name: str, place: str, module: str) -> ModuleType:
    if not module.endswith(".py"):
        return importlib.import_module(module)
    path = Path(module).resolve()
    if not path.is_file():
        raise ConfigError(f'embedded: "{name}" is {place!r}, but there is no file {path}')
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    loaded = importlib.import_module(path.stem)
    if loaded.__file__ != str(path):
        raise ConfigError(
            f'embedded: "{name}" is {place!r}, but a module {path.stem} is loaded already, from '
            f"{loaded.__file__}. Rename the file."
        )
    return loaded


functions = {name: _find(name, place) for name, place in _listed["functions"].items()}
