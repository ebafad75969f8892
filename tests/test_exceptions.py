"""The error tree, the table of codes, and errors on their way between processes."""

from __future__ import annotations

import ast
import builtins
import copy
import inspect
import json
import pickle
import re
import traceback
from pathlib import Path
from typing import Any

import pytest

import jshost
from jshost import exceptions
from jshost.exceptions import (
    CODES,
    ArgumentsError,
    ConfigError,
    ConnectionError,
    FunctionError,
    FunctionNotFound,
    FunctionTimeout,
    HostUnavailable,
    JSHostError,
    ProcessError,
    RemoteError,
    RequestError,
    UnexpectedResponse,
    from_envelope,
)

CLASSES = [
    cls
    for _, cls in inspect.getmembers(exceptions, inspect.isclass)
    if cls.__module__ == "jshost.exceptions"
]

# The tree


@pytest.mark.parametrize("cls", CLASSES)
def test_everything_is_a_jshost_error(cls: type[Exception]) -> None:
    assert issubclass(cls, JSHostError)
    assert cls.__doc__


def test_the_tree_is_the_one_that_the_docstring_draws() -> None:
    drawn: dict[str, str] = {}
    above: dict[int, str] = {-1: "Exception"}
    for line in (exceptions.__doc__ or "").splitlines():
        match = re.match(r"    ([│├└─ ]*)([A-Z]\w+)", line)
        if match:
            depth = len(match[1]) // 4
            above[depth] = match[2]
            drawn[match[2]] = above[depth - 1]
    assert drawn == {cls.__name__: cls.__bases__[0].__name__ for cls in CLASSES}


@pytest.mark.parametrize(
    ("cls", "builtin"),
    [
        (ConnectionError, builtins.ConnectionError),
        (ArgumentsError, TypeError),
        (FunctionTimeout, TimeoutError),
    ],
)
def test_callers_may_catch_the_builtin(cls: type[Exception], builtin: type[Exception]) -> None:
    assert issubclass(cls, builtin)


# The table


STATUSES = {
    400: RequestError,
    403: RequestError,
    404: FunctionNotFound,
    413: RequestError,
    415: RequestError,
    422: ArgumentsError,
    500: FunctionError,
    502: ProcessError,
    503: HostUnavailable,
    504: FunctionTimeout,
}


@pytest.mark.parametrize(("status", "cls"), STATUSES.items())
def test_each_status_of_the_protocol_has_its_class(status: int, cls: type[RemoteError]) -> None:
    found = {cls for code_status, cls in CODES.values() if code_status == status}
    assert cls in found
    assert found <= {cls, RequestError}


@pytest.mark.parametrize("code", CODES)
def test_each_code_makes_its_error(code: str) -> None:
    error = from_envelope({"code": code, "message": "no"})
    status, cls = CODES[code]
    assert type(error) is cls
    assert (error.code, error.status) == (code, status)


@pytest.mark.parametrize("cls", [cls for cls in CLASSES if issubclass(cls, RemoteError)])
def test_a_class_has_a_code_of_its_own_unless_told(cls: type[RemoteError]) -> None:
    code = cls("no").code
    assert code == cls.default_code
    assert issubclass(CODES[code][1], cls)


SOURCES = Path(jshost.__file__).parent


def codes_in(path: Path) -> set[str]:
    """The codes that a module gives to envelopes and errors, as literals."""
    text = path.read_text()
    if path.suffix == ".mjs":
        return set(re.findall(r"new CallError\(\s*'(\w+)'", text))
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Dict):
            pairs = zip(node.keys, node.values, strict=True)
            found |= {_literal(value) for key, value in pairs if _literal(key) == "code"}
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("CallError", "Fail"):
            at = 0 if getattr(node.func, "id", "") == "CallError" else 1
            found |= {_literal(node.args[at])}
    return found - {None, "config"}  # type: ignore[return-value]


def _literal(node: ast.expr | None) -> str | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    return None


def test_every_code_in_the_sources_is_in_the_table() -> None:
    """A misspelt one would become a 500 in silence."""
    paths = [*SOURCES.rglob("*.py"), *SOURCES.rglob("*.mjs")]
    found = {code: path.name for path in paths for code in codes_in(path)}
    assert len(found) >= 10
    assert {code: name for code, name in found.items() if code not in CODES} == {}


# Envelopes


def test_an_envelope_carries_everything_there_and_back() -> None:
    error = FunctionError(
        "No number",
        name="double",
        stack="TypeError: No number\n    at double (host.config.js:3:9)",
        error_name="TypeError",
        request_id="7f-1",
    )
    found = from_envelope(error.envelope())
    assert type(found) is FunctionError
    assert vars(found) == vars(error)
    assert str(found) == str(error)


def test_an_envelope_may_say_next_to_nothing() -> None:
    error = from_envelope({}, name="f")
    assert type(error) is FunctionError
    assert (error.name, error.message, error.stack, error.error_name) == ("f", "", "", "")


def test_the_envelopes_own_name_wins() -> None:
    assert from_envelope({"function": "g"}, name="f").name == "g"
    assert from_envelope({"function": None}, name="f").name == "f"


def test_a_code_of_a_later_version_is_a_function_error() -> None:
    error = from_envelope({"code": "out_of_ink", "message": "no"})
    assert type(error) is FunctionError
    assert (error.code, error.status) == ("out_of_ink", 500)


# Texts


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({}, "m"),
        ({"name": "f"}, "f: m"),
        ({"error_name": "TypeError"}, "TypeError: m"),
        ({"name": "f", "error_name": "TypeError"}, "f: TypeError: m"),
        ({"name": "f", "stack": "  at f"}, "f: m\n  at f"),
        (
            {"name": "f", "error_name": "TypeError", "stack": "TypeError: m\n  at f"},
            "f: TypeError: m\n  at f",
        ),
        ({"error_name": "TypeError", "stack": "TypeError: m\n  at f"}, "TypeError: m\n  at f"),
        (
            {"name": "f", "error_name": "KeyError", "stack": "Traceback:\nKeyError: m"},
            "f: KeyError: m\nTraceback:\nKeyError: m",
        ),
    ],
)
def test_the_text_begins_with_the_name_and_ends_with_the_stack(
    fields: dict[str, Any], text: str
) -> None:
    assert str(FunctionError("m", **fields)) == text


# Between processes


class RenderError(FunctionError):
    """A user's own."""


@pytest.mark.parametrize("cls", [*CLASSES, RenderError])
@pytest.mark.parametrize("carry", [lambda e: pickle.loads(pickle.dumps(e)), copy.copy])
def test_errors_travel(cls: type[Exception], carry: Any) -> None:
    error: Any = cls("what went wrong")
    if isinstance(error, RemoteError):
        details = {"name": "f", "stack": "s", "error_name": "E", "request_id": "r"}
        error = cls("what went wrong", code="unsafe_integer", **details)  # type: ignore[call-arg]
    error.add_note("and a note")
    found = carry(error)
    assert type(found) is cls
    assert str(found) == str(error)
    assert vars(found) == vars(error)
    assert found.args == error.args


def test_the_errors_of_the_issue_can_be_imported_from_jshost() -> None:
    for cls in (ConfigError, ConnectionError, FunctionError, FunctionTimeout, UnexpectedResponse):
        assert getattr(jshost, cls.__name__) is cls
    assert jshost.ProcessError is ProcessError


# Causes and properties

NESTED: dict[str, Any] = {
    "code": "function_failed",
    "name": "SaveError",
    "message": "not saved",
    "stack": "SaveError: not saved\n    at save",
    "function": "save",
    "requestId": "r1",
    "properties": {"code": "E_SAVE", "tries": 3},
    "cause": {
        "name": "Error",
        "message": "no room",
        "stack": "Error: no room\n    at write",
        "properties": {"errno": -28},
        "cause": {"name": "", "message": "disk", "stack": ""},
    },
}


def chain(error: BaseException | None) -> list[str]:
    found = []
    while error is not None:
        found.append(error.message if isinstance(error, RemoteError) else str(error))
        error = error.__cause__
    return found


def test_properties_and_causes_arrive() -> None:
    error = from_envelope(NESTED)
    assert error.properties == {"code": "E_SAVE", "tries": 3}
    cause = error.__cause__
    assert type(cause) is FunctionError
    assert (cause.name, cause.error_name, cause.properties) == (None, "Error", {"errno": -28})
    assert str(cause) == "Error: no room\n    at write"
    assert chain(error) == ["not saved", "no room", "disk"]


def test_an_error_without_them_has_neither() -> None:
    error = from_envelope({"code": "function_failed", "message": "no"})
    assert error.properties == {}
    assert error.__cause__ is None
    assert {"properties", "cause"}.isdisjoint(error.envelope())


def test_a_traceback_shows_the_chain() -> None:
    text = "".join(traceback.format_exception(from_envelope(NESTED)))
    disk, no_room, not_saved = text.split("The above exception was the direct cause of")
    assert "FunctionError: disk" in disk
    assert "FunctionError: Error: no room\n    at write" in no_room
    assert "FunctionError: save: SaveError: not saved" in not_saved


def test_the_envelope_carries_the_chain_on() -> None:
    envelope = from_envelope(NESTED).envelope()
    assert envelope == NESTED
    assert from_envelope(envelope).envelope() == NESTED


@pytest.mark.parametrize("carry", [lambda e: pickle.loads(pickle.dumps(e)), copy.copy])
def test_the_chain_travels_between_processes(carry: Any) -> None:
    assert carry(from_envelope(NESTED)).envelope() == NESTED


def test_a_local_cause_is_not_carried() -> None:
    error = FunctionError("no")
    error.__cause__ = OSError(lambda: None)  # which cannot be pickled
    assert pickle.loads(pickle.dumps(error)).__cause__ is None
    assert "cause" not in error.envelope()


def test_an_endless_chain_ends() -> None:
    envelope: dict[str, Any] = {"message": "again"}
    envelope["cause"] = envelope
    error = from_envelope(envelope)
    assert chain(error) == ["again"] * (1 + exceptions.DEEPEST_CAUSE)
    error.__cause__ = error
    assert json.dumps(error.envelope()).count("again") == 1 + exceptions.DEEPEST_CAUSE


@pytest.mark.parametrize("odd", [{"properties": [1]}, {"cause": "x"}, {"cause": None}])
def test_what_is_no_object_is_left_out(odd: dict[str, Any]) -> None:
    error = from_envelope({"message": "no", **odd})
    assert error.properties == {}
    assert error.__cause__ is None
