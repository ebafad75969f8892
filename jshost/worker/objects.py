"""Functions of Python files that are no config: public functions, or a Controller's methods.

Runs in: Python workers, of Node programs.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from jshost.exceptions import ConfigError
from jshost.worker.controllers import BaseController

__all__ = ["NEW", "controller_functions", "public_functions"]

NEW = "new Controller"
"""The function that makes the object; no method can have this name."""


def public_functions(module: ModuleType) -> dict[str, Callable[..., Any]]:
    """The functions that a file defines itself, or that its ``__all__`` names."""
    names = getattr(module, "__all__", None)
    if names is None:
        own = vars(module).items()
        names = [name for name, value in own if not name.startswith("_") and _is_own(value, module)]
    found = {name: getattr(module, name, None) for name in names}
    return {
        name: value
        for name, value in found.items()
        if callable(value) and not isinstance(value, type)
    }


def _is_own(value: Any, module: ModuleType) -> bool:
    return callable(value) and getattr(value, "__module__", None) == module.__name__


def controller_functions(path: Path, module: ModuleType) -> dict[str, Callable[..., Any]]:
    """The public methods of one object of a file's Controller, and `NEW`, which makes it.

    Raises:
        ConfigError: the file has no class ``Controller``.
    """
    cls: Any = getattr(module, "Controller", None)
    if not isinstance(cls, type) or not issubclass(cls, BaseController):
        raise ConfigError(
            f"{path}: has no class Controller that derives from jshost.BaseController. Write one: "
            "from jshost import BaseController; class Controller(BaseController): ..."
        )
    controller: Any = object.__new__(cls)

    def make(properties: dict[str, Any] | None = None) -> None:
        for name, value in (properties or {}).items():
            BaseController.setProperty(controller, name, value)
        controller.__init__()

    methods = {name: getattr(controller, name) for name in dir(cls) if not name.startswith("_")}
    calls = {name: _taking_params(method) for name, method in methods.items() if callable(method)}
    del calls["send"]  # only the methods call it
    return {NEW: make, **calls}


def _taking_params(method: Callable[..., Any]) -> Callable[..., Any]:
    """The method as a function of keyword arguments."""
    parameters = list(inspect.signature(method).parameters.values())
    if [parameter.name for parameter in parameters] != ["params"]:
        return method
    if parameters[0].kind in (parameters[0].VAR_KEYWORD, parameters[0].VAR_POSITIONAL):
        return method
    return lambda **params: method(params)
