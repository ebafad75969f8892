"""What a worker serves of a Python file that is no config."""

from __future__ import annotations

from pathlib import Path

import pytest

from jshost import ConfigError
from jshost.worker.config import load_config
from jshost.worker.controllers import BaseController
from jshost.worker.objects import NEW

PLAIN = """
import functools, math
from os.path import join

def predict(x): return x
@functools.cache
def cached(): return 1
def _private(): ...
class Model: ...
limit = 3
"""


@pytest.fixture(autouse=True)
def own_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "modules", {**sys.modules})


def load(folder: Path, text: str, serve: str, name: str = "model.py") -> dict[str, object]:
    path = folder / name
    path.write_text(text)
    return dict(load_config(path, serve).functions)


def test_a_plain_file_serves_its_own_public_functions(tmp_path: Path) -> None:
    assert list(load(tmp_path, PLAIN, "module")) == ["predict", "cached"]
    import model  # type: ignore[import-not-found]

    assert model.limit == 3


def test_all_names_them(tmp_path: Path) -> None:
    functions = load(tmp_path, f"{PLAIN}\n__all__ = ['join', 'Model', 'predict']", "module")
    assert list(functions) == ["join", "predict"]


def test_a_config_serves_what_it_says(tmp_path: Path) -> None:
    assert list(load(tmp_path, f"{PLAIN}\nfunctions = {{'p': predict}}", "module")) == ["p"]
    assert list(load(tmp_path, PLAIN, "", "host.config.py")) == []


CONTROLLER = """
from jshost import BaseController
class Controller(BaseController):
    model = "none"
    def __init__(self): self.loaded = self.model + "!"
    def increment(self, by=1):
        self.count = getattr(self, "count", 0) + by
        return self.count
    def all(self, params): return params
    def _hidden(self): ...
"""


def test_a_controller_has_its_properties_before_it_is_made(tmp_path: Path) -> None:
    functions: dict[str, object] = load(tmp_path, CONTROLLER, "controller", "controller.py")
    assert set(functions) == {NEW, "increment", "all", "setProperty", "getProperty"}
    call = {name: function for name, function in functions.items() if callable(function)}
    call[NEW](properties={"model": "small"})
    assert call["getProperty"](name="loaded") == "small!"
    assert (call["increment"](by=5), call["increment"]()) == (5, 6)
    assert call["all"](a=1, b=2) == {"a": 1, "b": 2}
    call["setProperty"](name="tokenizer", value=123)
    assert call["getProperty"](name="tokenizer") == 123
    assert call["getProperty"](name="none of that name") is None


@pytest.mark.parametrize("name", ["_hidden", "increment", "__class__"])
def test_what_is_no_property_is_not_set(tmp_path: Path, name: str) -> None:
    functions = load(tmp_path, CONTROLLER, "controller", "controller.py")
    make = functions[NEW]
    assert callable(make)
    with pytest.raises(AttributeError, match=name):
        make(properties={name: 1})


def test_a_file_without_a_controller_says_how_to_write_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"controller\.py: has no class Controller that derives"):
        load(tmp_path, "Controller = object", "controller", "controller.py")


def test_send_needs_a_call() -> None:
    with pytest.raises(RuntimeError, match="no call runs here"):
        BaseController().send(1)
