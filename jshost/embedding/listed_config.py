"""The config file of `jshost.embedded({'name': 'module:function'})`. Runs in: Python workers.

The functions are named by an environment variable, so that no file has to be written and removed.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import sys
from collections.abc import Callable
from typing import Any

from jshost.exceptions import ConfigError

__all__ = ["functions"]

_listed = json.loads(os.environ.pop("JSHOST_LISTED", '{"functions": {}, "path": []}'))
sys.path[:] = dict.fromkeys([*_listed["path"], *sys.path])


def _find(name: str, place: str) -> Callable[..., Any]:
    module, _, path = place.partition(":")
    try:
        found: Any = functools.reduce(getattr, path.split("."), importlib.import_module(module))
    except AttributeError as error:
        raise ConfigError(f'embedded: "{name}" is {place!r}, but {error}') from None
    if not callable(found):
        raise ConfigError(f'embedded: "{name}" is {place!r}, a {type(found).__name__}')
    return found  # type: ignore[no-any-return]


functions = {name: _find(name, place) for name, place in _listed["functions"].items()}
