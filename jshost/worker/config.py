"""Loading a host.config.py. Runs in: Python workers."""

from __future__ import annotations

import importlib.util
import itertools
import json
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

from jshost.exceptions import ConfigError
from jshost.worker.context import HostContext

__all__ = ["describe_failure", "load_config", "project_files"]


def load_config(path: Path, serve: str = "") -> HostContext:
    """Run a config file as the module ``host_config``, its folder first on `sys.path`.

    Args:
        serve: what of a file that is no config is served: "module", the functions of one that has
            no `functions`; "controller", the methods of its Controller.

    Raises:
        ConfigError: it is no Python file, or its functions are not what they should be; the text
            says which.
        BaseException: whatever the file itself raises.
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
    """The options that the config file sets, of those that the host knows, as JSON can say them.

    Raises:
        ConfigError: a value that JSON cannot say, and so no option can have.
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
    """A failed load as its author needs it: file, line and offending line, without our frames."""
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
    return {"name": type(error).__name__, "message": message, "stack": user_traceback(error)}


def user_traceback(error: BaseException, ours: str = __file__, *, chain: bool = True) -> str:
    """The traceback, beginning at the first frame that is not jshost's or Python's.

    importlib's frames, and those of the folder that `ours` stands in, are what lies between the
    worker's start and the user's code.
    """
    folder = str(Path(ours).parent)
    lines = traceback.TracebackException.from_exception(error)
    _drop_frames(lines, folder)
    return "".join(lines.format(chain=chain)).rstrip("\n")


def _drop_frames(lines: traceback.TracebackException, folder: str) -> None:
    chain: list[traceback.TracebackException | None] = [lines]
    while chain:  # not by recursion: a function that recurses can have a chain of a thousand
        each = chain.pop()
        if each is None:
            continue
        kept = list(each.stack)
        ours = itertools.takewhile(
            lambda frame: frame.filename.startswith((folder, "<frozen importlib")), kept
        )
        each.stack = traceback.StackSummary.from_list(kept[len(list(ours)) :])
        chain += [each.__cause__, each.__context__]


INSTALLED = re.compile(r"[\\/](?:site|dist)-packages[\\/]")


def project_files(path: Path, error: BaseException | None = None) -> list[str]:
    """The config file and the modules of the project that are loaded: not Python's own, not what
    is installed. With the error that a load ended in, also the file that has a syntax error."""
    folders = tuple(
        f"{folder}{os.sep}" for folder in (Path(os.__file__).parent, Path(__file__).parent.parent)
    )
    files = {str(path)}
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if not isinstance(file, str) or not file.endswith(".py"):
            continue
        if not file.startswith(folders) and not INSTALLED.search(file):
            files.add(str(Path(file).absolute()))
    if isinstance(error, SyntaxError) and error.filename:
        files.add(str(Path(error.filename).absolute()))
    return sorted(files)


def _functions_of(path: Path, module: ModuleType, serve: str) -> dict[str, Callable[..., Any]]:
    if serve:
        from jshost.worker import objects as python_objects

        if serve == "controller":
            return python_objects.controller_functions(path, module)
        if not hasattr(module, "functions") and not hasattr(module, "extend_host"):
            return python_objects.public_functions(module)
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
