"""Bytes inside values: taken out to travel beside the JSON, and put back.

Runs in: callers, Python workers. A place is a JSON Pointer (RFC 6901): ``/images/0``.
"""

from __future__ import annotations

import json
import math
from typing import Any

__all__ = ["NoForm", "attach", "detach", "token"]

DEEPEST = 500
LONGEST_PATH = 200


class NoForm(Exception):
    """A value has no form. The text names its place; `kind` is the class of the error to raise."""

    def __init__(self, text: str, kind: type[Exception]) -> None:
        super().__init__(text)
        self.kind = kind


def detach(value: Any, encoder: json.JSONEncoder, what: str) -> tuple[Any, dict[str, bytes]]:
    """The value with None in place of bytes, and the bytes by their places; files are read.

    Args:
        encoder: encodes the types that JSON does not have.
        what: what to call the value in an error: "argument".

    Raises:
        NoForm: a part of it has no form.
    """
    walk = _Walk(encoder, what)
    try:
        return walk.plain(value), walk.pieces
    except RecursionError:
        raise NoForm(f"{what}: {TOO_DEEP}", ValueError) from None


TOO_DEEP = "the structure contains itself, or is too deep"


def attach(value: Any, place: str, item: Any) -> None:
    """Put an item at a place in a value; the last member of an object may be a new one.

    Raises:
        ValueError: the value has no such place.
    """
    *above, last = [name.replace("~1", "/").replace("~0", "~") for name in place.split("/")[1:]]
    try:
        for name in above:
            value = value[_index(name, value) if isinstance(value, list) else name]
        if isinstance(value, dict):
            value[last] = item
        else:
            value[_index(last, value)] = item
    except (LookupError, TypeError, ValueError):
        raise ValueError(f"the part {place!r} has no place in the part 'data'") from None


def _index(name: str, items: list[Any]) -> int:
    if not (name.isascii() and name.isdigit()):  # int() takes "-1" and " 1", too
        raise ValueError(name)
    return int(name)


def token(name: str) -> str:
    """A member's name in a JSON Pointer (RFC 6901, section 3)."""
    return name.replace("~", "~0").replace("/", "~1")


class _Walk:
    """One walk through a value. It counts how deep it is, and refuses what is too deep."""

    def __init__(self, encoder: json.JSONEncoder, what: str) -> None:
        self.pieces: dict[str, bytes] = {}
        self._encoder = encoder
        self._what = what
        self._path: list[Any] = []
        self._above: list[int] = []
        self._files: dict[int, tuple[Any, bytes]] = {}

    def plain(self, value: Any) -> Any:
        if value is None or isinstance(value, str | bool):
            return value
        if isinstance(value, int):
            try:
                int.__repr__(value)
            except ValueError:  # sys.get_int_max_str_digits()
                problem = "the integer has more digits than Python writes; pass a string"
                raise self._no_form(problem, True) from None
            return value
        if isinstance(value, float):
            if not math.isfinite(value):
                problem = f"{value} has no JSON form; pass None or a string instead"
                raise self._no_form(problem, True)
            return value
        if id(value) in self._above or len(self._above) > DEEPEST:
            raise self._no_form(TOO_DEEP, True)
        self._above.append(id(value))
        plain: Any
        if isinstance(value, dict):
            plain = {}
            for key, item in value.items():
                if type(key) is not str:
                    self._check_key(key)
                self._path.append(key)
                plain[key] = self.plain(item)
                self._path.pop()
        elif isinstance(value, list | tuple):
            plain = []
            for index, item in enumerate(value):
                self._path.append(index)
                plain.append(self.plain(item))
                self._path.pop()
        else:
            plain = self._encoded(value)
            if plain is not None:
                plain = self.plain(plain)
        self._above.pop()
        return plain

    def _check_key(self, key: Any) -> None:
        if key is not None and not isinstance(key, str | int | float | bool):
            raise self._no_form(f"the key {key!r} is {_type_of(key)}; use a string")
        if isinstance(key, float) and not math.isfinite(key):
            raise self._no_form(f"the key {key!r} has no JSON form; use a string", True)

    def _encoded(self, value: Any) -> Any:
        """The encoder's result for a value; None for bytes, which are added to `pieces`."""
        if hasattr(value, "__json__") and not isinstance(value, type):
            return value.__json__()
        try:
            return self._encoder.default(value)
        except TypeError:
            data = self._bytes_of(value)
        if data is None:
            raise self._no_form(f"{_type_of(value)} has no JSON form{_hint(value)}")
        self.pieces["".join(f"/{token(_key_text(key))}" for key in self._path)] = data
        return None

    def _bytes_of(self, value: Any) -> bytes | None:
        if isinstance(value, bytes | bytearray | memoryview):
            return bytes(value)
        if isinstance(value, type) or not callable(getattr(value, "read", None)):
            return None
        if id(value) in self._files:  # the file is there twice, and has been read
            return self._files[id(value)][1]
        data = value.read()
        if isinstance(data, bytes | bytearray | memoryview):
            self._files[id(value)] = value, bytes(data)
            return self._files[id(value)][1]
        if isinstance(data, str):
            raise self._no_form('a file open in text mode; open it in binary mode, with "rb"')
        if hasattr(data, "__await__"):
            data.close()  # else Python warns that it was never awaited
        raise self._no_form(f"its read() gave {_type_of(data)}, not bytes")

    def _no_form(self, problem: str, of_value: bool = False) -> NoForm:
        path = ""
        for key in self._path:
            path += f"[{key}]" if type(key) is int else f".{key}"
        if len(path) > LONGEST_PATH:
            path = f"{path[: LONGEST_PATH // 2]}…{path[-LONGEST_PATH // 2 :]}"
        where = f"{self._what} {path.removeprefix('.')}" if path else self._what
        return NoForm(f"{where}: {problem}", ValueError if of_value else TypeError)


def _key_text(key: Any) -> str:
    """A member's name as JSON writes it."""
    return str.__str__(key) if isinstance(key, str) else json.dumps(key)


def _type_of(value: Any) -> str:
    """The name of a value's type with an article: "a set", "an app.Order"."""
    cls = type(value)
    name = cls.__qualname__
    if cls.__module__ != "builtins":
        name = f"{cls.__module__}.{name}"
    return f"{'an' if name[0] in 'aeioAEIO' else 'a'} {name}"


def _hint(value: Any) -> str:
    if isinstance(value, type):
        return "; pass its name"
    if hasattr(value, "_meta") and hasattr(value, "pk"):  # a Django model's instance
        return (
            "; pass what the function needs of it: django.forms.models.model_to_dict(it), its "
            "QuerySet's .values(), or a dict of fields"
        )
    if hasattr(value, "values_list"):  # a Django QuerySet, of instances
        return "; pass its .values(), with the fields that the function needs"
    if hasattr(value, "__await__"):
        return "; await it first"
    if hasattr(value, "keys"):
        return "; pass a dict"
    if hasattr(value, "__iter__") or hasattr(value, "__anext__"):
        return "; pass a list"
    if callable(value):
        return "; pass its name, or what it returns"
    if hasattr(value, "total_seconds"):
        return "; pass its total_seconds()"
    if hasattr(value, "numerator"):
        return "; pass a float or a string"
    return "; pass a string or its fields, or give its class a __json__() method"
