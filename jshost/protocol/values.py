"""Values become bytes: arguments, and results. Runs in: callers, Python workers.

A call's arguments are one JSON object: `json.dumps` with its default separators, the top-level
keys sorted, ASCII only. The hash in a call's URL is the SHA-1 of exactly these bytes.

Types that the standard encoder does not know are encoded by these rules:

=============================  ==============================================
object with ``__json__()``     what that returns
datetime, date, time           ISO 8601, as ``isoformat()`` writes it
Decimal, UUID, Path            ``str``
Enum                           its value
dataclass                      an object of its fields
lazy Django string             ``str``
lazy Django object             the object behind it (``request.user``, ``csrf_token``)
QuerySet's values()            a list of objects, or of arrays for values_list()
NumPy, pandas                  see `tables`
=============================  ==============================================

bytes, bytearray, memoryview and files open in binary mode may stand anywhere. JSON has no bytes, so
they travel beside it, each as a part of a multipart/form-data body. The first part, ``data``, is
the JSON, with null in place of the bytes; the name of each further part is its place, a JSON
Pointer (RFC 6901).

All other values, NaN and the infinities are errors that name the place of the value.
"""

from __future__ import annotations

import functools
import hashlib
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from json import JSONEncoder
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jshost.protocol.multipart import Run

__all__ = [
    "BYTES",
    "BYTES_TYPE",
    "JSON",
    "JSON_TYPE",
    "MULTIPART",
    "TEXT",
    "Encoder",
    "answer_runs",
    "body_hash",
    "content_type_of",
    "encode_arguments",
    "encode_call",
    "encode_result",
]

JSON, TEXT, BYTES, MULTIPART = b"j", b"t", b"b", b"m"
"""The first byte of a RESULT frame's payload: the form of the value that follows."""

JSON_TYPE, BYTES_TYPE = "application/json", "application/octet-stream"


class Encoder(JSONEncoder):
    """JSON with the rules in this module's docstring; subclass it to add your own."""

    def default(self, o: Any) -> Any:
        custom = getattr(o, "__json__", None)
        if custom is not None and not isinstance(o, type):
            return custom()
        if "numpy" in sys.modules:
            plain = _plain_of_table(o)
            if plain is not o:
                return plain
        for types, rule in _rules():
            if isinstance(o, types):
                return rule(o)
        if hasattr(o, "__dataclass_fields__") and not isinstance(o, type):
            return {name: getattr(o, name) for name in o.__dataclass_fields__}
        if "django.utils.functional" in sys.modules:
            return _plain_of_django(o, super().default)
        return super().default(o)


def _plain_of_table(o: Any) -> Any:
    from jshost.protocol.tables import NOT_THEIRS, plain_of_table

    plain = plain_of_table(o)
    return o if plain is NOT_THEIRS else plain


def _plain_of_django(o: Any, otherwise: Callable[[Any], Any]) -> Any:
    """Encode Django's types, if a program has imported Django."""
    functional = sys.modules["django.utils.functional"]
    if isinstance(o, functional.Promise):
        return str(o)
    if issubclass(type(o), functional.LazyObject):  # isinstance looks through it
        _ = o.__class__  # evaluates it
        return o._wrapped
    query = sys.modules.get("django.db.models.query")
    if (
        query is not None
        and isinstance(o, query.QuerySet)
        and not issubclass(o._iterable_class, query.ModelIterable)
    ):
        return list(o)
    return otherwise(o)


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
        _encoders[encoder] = _encode_function(encoder(allow_nan=False))
    return _encoders[encoder]


def _encode_function(encoder: json.JSONEncoder) -> Callable[[Any], str]:
    """`encoder.encode`, without its set-up for every value, which takes half of the time.

    It does not look for cycles: they end in a RecursionError.
    """
    make = getattr(json.encoder, "c_make_encoder", None)
    cls = type(encoder)
    is_usual = (cls.encode, cls.iterencode) == (JSONEncoder.encode, JSONEncoder.iterencode)
    if make is None or not is_usual or encoder.indent is not None or not encoder.ensure_ascii:
        return encoder.encode
    write = make(
        None,
        encoder.default,
        json.encoder.encode_basestring_ascii,
        None,
        encoder.key_separator,
        encoder.item_separator,
        encoder.sort_keys,
        encoder.skipkeys,
        False,
    )
    return lambda value: "".join(write(value, 0))


def encode_call(
    arguments: Mapping[str, Any], encoder: type[json.JSONEncoder] = Encoder
) -> tuple[bytes, str]:
    """The body of a call and its content type: JSON, or multipart if arguments hold bytes.

    Raises:
        TypeError: a value of a type that has no form, or a file open in text mode.
        ValueError: NaN, an infinity, or a structure that contains itself.
        Both name the value's place: ``argument options.items[3].price: ...``.

    Example:
        >>> encode_call({"foo": "bar"})
        (b'{"foo": "bar"}', 'application/json')
    """
    names = sorted(arguments)
    if type(arguments) is not dict or names != list(arguments):
        arguments = {name: arguments[name] for name in names}
    body, pieces = _encode_value(arguments, encoder, "argument")
    if pieces is None:
        return body, JSON_TYPE
    content_type, body = _with_parts(body, pieces)
    return body, content_type


def encode_arguments(
    arguments: Mapping[str, Any], encoder: type[json.JSONEncoder] = Encoder
) -> bytes:
    """As `encode_call`, for bodies that must be JSON.

    Raises:
        TypeError, ValueError: as `encode_call` does; bytes are a TypeError.

    Example:
        >>> encode_arguments({"foo": "bar"})
        b'{"foo": "bar"}'
    """
    body, content_type = encode_call(arguments, encoder)
    if content_type != JSON_TYPE:
        raise TypeError("arguments that hold bytes have no JSON form")
    return body


def encode_result(
    value: Any,
    encoder: type[json.JSONEncoder] = Encoder,
    *,
    force_json: bool = False,
    what: str = "result",
) -> tuple[bytes, bytes]:
    """A function's result as (form, bytes), form being `JSON`, `TEXT`, `BYTES` or `MULTIPART`.

    A str that UTF-8 cannot encode (a lone surrogate) travels as a JSON string, unchanged; with
    `force_json`, every str does. `what` is the name of the value in errors.

    Raises:
        TypeError, ValueError: as `encode_call` does.
    """
    if isinstance(value, str) and not force_json:
        try:
            return TEXT, value.encode()
        except UnicodeEncodeError:
            return JSON, json.dumps(value).encode("ascii")
    if isinstance(value, _BINARY):
        return BYTES, bytes(value)
    body, pieces = _encode_value(value, encoder, what)
    if pieces is None:
        return JSON, body
    if "" in pieces:  # the whole value
        return BYTES, pieces[""]
    return MULTIPART, _with_parts(body, pieces)[1]


_BINARY = (bytes, bytearray, memoryview)
_TYPES = {JSON[0]: JSON_TYPE, TEXT[0]: "text/plain; charset=utf-8", BYTES[0]: BYTES_TYPE}


def content_type_of(payload: bytes) -> str:
    """The content type of a RESULT frame's payload."""
    kind = _TYPES.get(payload[0])
    if kind is None:  # multipart: it begins with its boundary
        kind = "multipart/form-data; boundary=" + payload[3 : payload.index(b"\r\n", 3)].decode()
    return kind


def _with_parts(body: bytes, pieces: Mapping[str, bytes]) -> tuple[str, bytes]:
    from jshost.protocol.multipart import Part, encode_parts

    parts = [Part("data", JSON_TYPE, body)]
    parts += [Part(pointer, BYTES_TYPE, data) for pointer, data in pieces.items()]
    return encode_parts(parts)


def answer_runs(answers: Sequence[Any]) -> list[Run]:
    """The answers to a batch as parts named ``result`` or ``error``.

    Args:
        answers: payloads of RESULT frames, and errors (`exceptions.RemoteError`).
    """
    from jshost.protocol.multipart import Run

    runs: list[Run] = []
    for answer in answers:
        if isinstance(answer, bytes):
            kind = _TYPES.get(answer[0]) or content_type_of(answer)
            name, data = "result", answer[1:]
        else:
            name, kind, data = "error", JSON_TYPE, json.dumps(answer.envelope()).encode()
        if not runs or name != runs[-1].name or kind != runs[-1].content_type:
            runs.append(Run(name, kind, []))
            add = runs[-1].contents.append
        add(data)
    return runs


def body_hash(body: bytes) -> str:
    """The SHA-1 of a body's bytes, in lower-case hexadecimal.

    Example:
        >>> body_hash(b'{"foo": "bar"}')
        'bc4919c6adf7168088eaea06e27a5b23f0f9f9da'
    """
    return hashlib.sha1(body, usedforsecurity=False).hexdigest()


_Encoded = tuple[bytes, dict[str, bytes] | None]


def _encode_value(value: Any, encoder: type[json.JSONEncoder], what: str) -> _Encoded:
    """The value's JSON, and the bytes in it by JSON Pointer (None: it holds none).

    Plain JSON is the usual case and is tried first. A value that the encoder refuses is walked.
    """
    try:
        write = _encoders.get(encoder) or _encode(encoder)
        return write(value).encode("ascii", "surrogatepass"), None
    except (TypeError, ValueError, RecursionError):
        from jshost.protocol.attachments import NoForm, detach

        try:
            plain, pieces = detach(value, encoder(allow_nan=False), what)
        except NoForm as error:
            raise error.kind(str(error)) from None
        if not pieces:  # the encoder itself failed: in __json__(), say
            raise
    return _encode(encoder)(plain).encode("ascii", "surrogatepass"), pieces
