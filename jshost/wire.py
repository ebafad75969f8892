"""How values become bytes and bytes become values. Runs in: callers and Python workers.

A call's arguments are one JSON object: `json.dumps` with its default separators, the top-level
keys sorted, ASCII only. The hash in a call's URL is the SHA-1 of exactly these bytes.

What the standard encoder does not know is encoded by these rules:

=============================  ==============================================
object with ``__json__()``     what that returns
datetime, date, time           ISO 8601, as ``isoformat()`` writes it
Decimal, UUID, Path            ``str``
Enum                           its value
dataclass                      an object of its fields
lazy Django string             ``str``
=============================  ==============================================

Everything else, and NaN and the infinities, is an error that names the place of the value.
"""

from __future__ import annotations

import functools
import hashlib
import json
import sys
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["Encoder", "body_hash", "decode_result", "encode_arguments", "encode_result"]

JSON, TEXT, BYTES = b"j", b"t", b"b"
"""How a RESULT frame's payload begins: the form of the value behind it."""


class Encoder(json.JSONEncoder):
    """JSON with the rules in this module's docstring; subclass it to add your own."""

    def default(self, o: Any) -> Any:
        custom = getattr(o, "__json__", None)
        if custom is not None and not isinstance(o, type):
            return custom()
        for types, rule in _rules():
            if isinstance(o, types):
                return rule(o)
        if hasattr(o, "__dataclass_fields__") and not isinstance(o, type):
            return {name: getattr(o, name) for name in o.__dataclass_fields__}
        functional = sys.modules.get("django.utils.functional")
        if functional is not None and isinstance(o, functional.Promise):
            return str(o)
        return super().default(o)


@functools.cache
def _rules() -> list[tuple[Any, Callable[[Any], Any]]]:
    # Built at the first value that needs one: these imports would double `import jshost`.
    import datetime
    import decimal
    import enum
    import pathlib
    import uuid

    return [
        ((datetime.datetime, datetime.date, datetime.time), lambda o: o.isoformat()),
        ((decimal.Decimal, uuid.UUID, pathlib.PurePath), str),
        (enum.Enum, lambda o: o.value),
    ]


_encoders: dict[type[json.JSONEncoder], Callable[[Any], str]] = {}


def _encode(encoder: type[json.JSONEncoder]) -> Callable[[Any], str]:
    if encoder not in _encoders:
        _encoders[encoder] = encoder(allow_nan=False).encode
    return _encoders[encoder]


def encode_arguments(
    arguments: Mapping[str, Any], encoder: type[json.JSONEncoder] = Encoder
) -> bytes:
    """The bytes of a call's body.

    Raises:
        TypeError: a value of a type that JSON does not have.
        ValueError: NaN, an infinity, or a structure that contains itself.
        Both name the value's place: ``argument options.items[3].price: ...``.

    Example:
        >>> encode_arguments({"foo": "bar"})
        b'{"foo": "bar"}'
    """
    ordered = dict(sorted(arguments.items())) if len(arguments) > 1 else arguments
    return _encode_value(ordered, encoder, "argument").encode("ascii", "surrogatepass")


def encode_result(value: Any, encoder: type[json.JSONEncoder] = Encoder) -> tuple[bytes, bytes]:
    """A function's result as (form, bytes), form being `JSON`, `TEXT` or `BYTES`.

    A str that UTF-8 cannot say (a lone surrogate) travels as a JSON string, unchanged.

    Raises:
        TypeError, ValueError: as `encode_arguments` does.
    """
    if isinstance(value, str):
        try:
            return TEXT, value.encode()
        except UnicodeEncodeError:
            return JSON, json.dumps(value).encode("ascii")
    if isinstance(value, bytes | bytearray | memoryview):
        return BYTES, bytes(value)
    return JSON, _encode_value(value, encoder, "result").encode("ascii", "surrogatepass")


def decode_result(content_type: str, body: bytes) -> Any:
    """The value of a response: text is str, octet-stream is bytes, JSON is what it says.

    Raises:
        ValueError: a content type that functions never answer with, or a body that does not fit it.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "application/json":
        return json.loads(body)
    if kind == "text/plain":
        return body.decode()
    if kind == "application/octet-stream":
        return body
    raise ValueError(f"no value travels as {content_type!r}")


def body_hash(body: bytes) -> str:
    """The SHA-1 of a body's bytes, in lower-case hexadecimal.

    Example:
        >>> body_hash(b'{"foo": "bar"}')
        'bc4919c6adf7168088eaea06e27a5b23f0f9f9da'
    """
    return hashlib.sha1(body, usedforsecurity=False).hexdigest()


def _encode_value(value: Any, encoder: type[json.JSONEncoder], what: str) -> str:
    try:
        return _encode(encoder)(value)
    except (TypeError, ValueError, RecursionError) as error:
        place = _locate(value, encoder, "", [])
        if place is None:  # the encoder itself failed: in __json__(), say
            raise
        path, problem, kind = place
        where = f"{what} {path}" if path else what
        raise kind(f"{where}: {problem}") from error


_Place = tuple[str, str, type[Exception]]


def _locate(
    value: Any, encoder: type[json.JSONEncoder], path: str, above: list[int]
) -> _Place | None:
    """Where the value that JSON cannot say stands, what is wrong with it, and the error's class."""
    if value is None or isinstance(value, str | bool | int):
        return None
    if isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            return path, f"{value} has no JSON form; pass None or a string instead", ValueError
        return None
    if id(value) in above or len(above) > 500:
        return path, "the structure contains itself, or is too deep", ValueError
    above = [*above, id(value)]
    if isinstance(value, dict):
        for key, item in value.items():
            if key is not None and not isinstance(key, str | int | float | bool):
                return path, f"the key {key!r} is a {_type_name(key)}; use a string", TypeError
            found = _locate(item, encoder, f"{path}.{key}" if path else str(key), above)
            if found:
                return found
        return None
    if isinstance(value, list | tuple):
        for index, item in enumerate(value):
            found = _locate(item, encoder, f"{path}[{index}]", above)
            if found:
                return found
        return None
    if hasattr(value, "__json__") and not isinstance(value, type):
        return _locate(value.__json__(), encoder, path, above)
    try:
        plain = encoder(allow_nan=False).default(value)
    except TypeError:
        return path, f"a {_type_name(value)} has no JSON form{_hint(value)}", TypeError
    return _locate(plain, encoder, path, above)


def _type_name(value: Any) -> str:
    cls = type(value)
    return (
        cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"
    )


def _hint(value: Any) -> str:
    if isinstance(value, set | frozenset):
        return "; pass a list"
    if isinstance(value, bytes | bytearray | memoryview):
        return "; only a whole result may be bytes"
    if hasattr(value, "__await__") or hasattr(value, "__anext__"):
        return "; await it first"
    return "; give its class a __json__() method, or pass its fields"
