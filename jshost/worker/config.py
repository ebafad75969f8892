"""Loading a host.config.py. Runs in: Python workers."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from jshost.exceptions import ConfigError
from jshost.worker import caching
from jshost.worker.context import HostContext
from jshost.worker.loaded_files import LoadedFiles
from jshost.worker.stacks import user_stack

__all__ = ["LoadedConfig", "describe_failure", "load", "load_config", "read_options"]


class LoadedConfig(NamedTuple):
    """A config file that is loaded.

    Attributes:
        host: its functions, and the host as they see it.
        options: the options that it sets.
        files: the files of the project that are loaded.
        caching: see `caching.describe`.
    """

    host: HostContext
    options: dict[str, Any]
    files: list[str]
    caching: dict[str, Any]


def load(
    path: Path, files: LoadedFiles, serve: str = "", option_names: Iterable[str] = ()
) -> LoadedConfig:
    """Load a config file with all that its host needs to know of it.

    Raises:
        ConfigError, BaseException: as `load_config` and `read_options`.
    """
    host = load_config(path, serve)
    options = read_options(host, option_names)
    loaded = files.all()
    return LoadedConfig(host, options, loaded, caching.describe(host.functions, loaded))


def load_config(path: Path, serve: str = "") -> HostContext:
    """Run a config file as the module ``host_config``, its folder first on `sys.path`.

    Args:
        serve: how to serve a file that is no config: "module", its public functions, if it has no
            `functions`; "controller", the methods of its Controller.

    Raises:
        ConfigError: it is no Python file, or its functions are wrong; the message says which.
        BaseException: any exception that the file itself raises.
    """
    sys.path.insert(0, str(path.parent))
    is_taken = not path.stem.isidentifier() or path.stem in sys.modules
    name = "host_config" if not serve or is_taken else path.stem
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{path}: is no Python file; its name must end in .py.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    host = HostContext(module, _functions_of(path, module, serve))
    extend = getattr(module, "extend_host", None)
    if extend is not None:
        if not callable(extend):
            raise ConfigError(f'{path}: "extend_host" must be a function that takes the host.')
        extend(host)
    return host


def read_options(host: HostContext, names: Iterable[str]) -> dict[str, Any]:
    """The options with these names that the config file sets.

    Raises:
        ConfigError: a value has no JSON form, so no option can have it.
    """
    options = {}
    for name in names:
        if not hasattr(host.config, name):
            continue
        value = getattr(host.config, name)
        try:
            json.dumps(value)
        except (TypeError, ValueError):
            raise ConfigError(
                f'{host.config.__file__}: the option "{name}" cannot be a {type(value).__name__}.'
            ) from None
        options[name] = value
    return options


def describe_failure(error: BaseException, path: Path) -> dict[str, Any]:
    """A failed load for the config's author: file, line and source line, without our frames."""
    if isinstance(error, ConfigError):
        return {"name": "ConfigError", "message": str(error), "stack": ""}
    missing = (getattr(error, "name", None) or "").partition(".")[0]
    if isinstance(error, ModuleNotFoundError) and missing and missing not in sys.modules:
        message = (
            f'{path}: the Python package "{missing}" is not installed in the environment of '
            f"{sys.executable}. Install it there with pip, or mend the import."
        )
    elif isinstance(error, SyntaxError) and error.filename:
        message = f"{error.filename}, line {error.lineno}: {error.msg}"
    elif isinstance(error, SystemExit):
        message = f"{path}: called sys.exit({error.code!r}) while it was loaded"
    else:
        message = f"{path}: {error}" if str(error) else f"{path} could not be loaded"
    return {"name": type(error).__name__, "message": message, "stack": user_stack(error)}


def _functions_of(path: Path, module: ModuleType, serve: str) -> dict[str, Callable[..., Any]]:
    if serve:
        from jshost.worker import objects  # it imports inspect, which costs 8 ms

        if serve == "controller":
            return objects.controller_functions(path, module)
        if not hasattr(module, "functions") and not hasattr(module, "extend_host"):
            return objects.public_functions(module)
    return _checked(path, getattr(module, "functions", {}))


def _checked(path: Path, functions: Any) -> dict[str, Callable[..., Any]]:
    if not isinstance(functions, dict):
        raise ConfigError(
            f'{path}: "functions" must be a dict of names to callables, not a '
            f"{type(functions).__name__}."
        )
    for name, function in functions.items():
        if not isinstance(name, str) or not name:
            raise ConfigError(f'{path}: "functions" has the key {name!r}; use non-empty strings.')
        if not callable(function):
            raise ConfigError(
                f'{path}: "functions" must map names to callables; "{name}" is a '
                f"{type(function).__name__}."
            )
    return dict(functions)
