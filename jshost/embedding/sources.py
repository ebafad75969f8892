"""What an embedded host runs: a config file, functions by name, or an expression.

Runs in: programs that embed a host.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from jshost.client.settings import settings
from jshost.exceptions import ConfigError
from jshost.pool.launch import DEFAULT_THREADS, JAVASCRIPT_SUFFIXES, JS_FOLDER
from jshost.pool.process import WorkerProcess, spawn_first

if TYPE_CHECKING:
    from jshost.embedding.engine import Engine
    from jshost.pool.registry import Registry

__all__ = ["CODE", "Source", "read_source"]

LISTED = "JSHOST_LISTED"
"""The environment variable that names functions without a config file, for their worker."""
LISTED_JS = JS_FOLDER / "worker" / "listed.mjs"
LISTED_PYTHON = Path(__file__).parent.parent / "worker" / "listed.py"


class Source(NamedTuple):
    """Where functions come from.

    Attributes:
        name: what to call it.
        config_file: the config file that workers load.
        environment: variables of its workers, added to the program's own.
        takes_code: whether the name of a function may be its code, in JavaScript.
    """

    name: str
    config_file: Path
    environment: Mapping[str, str] = MappingProxyType({})
    takes_code: bool = False

    def spawn(self, options: Mapping[str, Any]) -> WorkerProcess:
        """The first worker, while nothing else is imported yet. Raises: as `registry`."""
        threads = DEFAULT_THREADS
        if options:
            from jshost.pool.options import read_options

            threads = read_options(options, "embedded").threads
        return spawn_first(
            self.config_file,
            threads,
            path_to_node=settings.PATH_TO_NODE,
            environment=self.environment,
        )

    def registry(self, engine: Engine, options: Mapping[str, Any]) -> Registry:
        """Raises: ConfigError: no such file, no Node, a wrong option."""
        from jshost.pool.registry import Registry

        return Registry(
            self.config_file,
            options,
            engine.reactor,
            settings.PATH_TO_NODE,
            on_line=engine.on_line,
            environment=self.environment,
            takes_any_name=self.takes_code,
        )


CODE = Source("jshost.javascript", LISTED_JS, {LISTED: "{}"}, takes_code=True)


def read_source(config: str | os.PathLike[str] | Mapping[str, str] | None) -> Source:
    """What `jshost.embedded` was given.

    Raises:
        ConfigError: it is none of these, or functions of both languages.
    """
    if config is None:
        return _file(settings.config_path())
    if isinstance(config, str | os.PathLike):
        return _file(Path(settings.SOURCE_ROOT or Path.cwd(), config).resolve())
    if not isinstance(config, Mapping) or not config:
        raise ConfigError(
            f"embedded: give it a config file's path, or a dict of names to 'module:function', not "
            f"{config!r}."
        )
    return _listed(config)


def _file(path: Path) -> Source:
    return Source(path.name, path)


def _listed(functions: Mapping[str, str]) -> Source:
    kinds = {name: _is_javascript(name, place) for name, place in functions.items()}
    if len(set(kinds.values())) > 1:
        raise ConfigError(
            "embedded: the functions are of both languages; make an embedded host for each, or "
            "write a host.config.py that includes a host.config.js."
        )
    name = f"{{{', '.join(functions)}}}"
    if any(kinds.values()):
        listed: dict[str, Any] = {"functions": dict(functions), "folder": str(Path.cwd())}
        return Source(name, LISTED_JS, {LISTED: json.dumps(listed)})
    listed = {
        "functions": dict(functions),
        "path": [entry or str(Path.cwd()) for entry in sys.path],
    }
    return Source(name, LISTED_PYTHON, {LISTED: json.dumps(listed)})


def _is_javascript(name: str, place: str) -> bool:
    """Whether a place is JavaScript's: ``npm:slugify``, ``npm:lodash:camelCase``,
    ``./render.js:render``; else it is Python's ``module:function``."""
    if not isinstance(name, str) or not isinstance(place, str) or ":" not in place:
        raise ConfigError(
            f"embedded: {name!r} must be a 'module:function' or './file.py:function' (Python), "
            f"'npm:package', 'npm:package:export' or './file.js:export' (JavaScript), not "
            f"{place!r}."
        )
    return place.startswith("npm:") or place.rpartition(":")[0].endswith(JAVASCRIPT_SUFFIXES)
