"""Bytes become values again: arguments, and results. Runs in: callers, Python workers."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from jshost.protocol.values import BYTES_TYPE, JSON_TYPE

__all__ = ["decode_call", "decode_json", "decode_result", "decode_results"]


def decode_call(content_type: str, body: bytes) -> Any:
    """The arguments in a call's body. The caller checks that they are an object.

    HTML forms are read as well: a part whose name does not begin with a slash is the top-level
    argument of that name. A field is a str, or the value of its JSON; a file is bytes.

    Raises:
        ValueError: the body is not what its content type says.
        RecursionError: its JSON is nested too deeply.
    """
    if _kind(content_type) == JSON_TYPE:
        return _decode_strictly(body.decode())
    return _decode_multipart(content_type, body)


def decode_result(content_type: str, body: bytes) -> Any:
    """The value of a response: text is a str, octet-stream is bytes, JSON is its value, and
    multipart is the value of its JSON with bytes in it.

    Raises:
        ValueError: a content type that functions never answer with, or a body that does not fit it.
    """
    kind = _kind(content_type)
    if kind == JSON_TYPE:
        return decode_json(body)
    if kind == "text/plain":
        return body.decode()
    if kind == BYTES_TYPE:
        return body
    if kind == "multipart/form-data":
        return _decode_multipart(content_type, body)
    raise ValueError(f"unknown content type {content_type!r}")


def decode_results(content_type: str, bodies: Sequence[bytes]) -> list[Any]:
    """The values of many responses of one content type; raises as `decode_result`."""
    if content_type == JSON_TYPE:
        try:
            values = decode_json(b"[%s]" % b",".join(bodies))  # a tenth of the time
        except (ValueError, RecursionError):
            values = []  # decoding them one by one tells which one is wrong
        if len(values) == len(bodies):
            return values  # type: ignore[no-any-return]
    return [decode_result(content_type, body) for body in bodies]


def decode_json(body: bytes) -> Any:
    """`json.loads` for UTF-8."""
    return _decode(body.decode())


def _decode_multipart(content_type: str, body: bytes) -> Any:
    from jshost.protocol.attachments import attach, token
    from jshost.protocol.multipart import decode_parts

    places: dict[str, Any] = {}
    for name, part_type, data, filename in decode_parts(content_type, body):
        kind = part_type.partition(";")[0].strip().lower()
        try:
            item: Any = data
            if name == "data" or (kind == JSON_TYPE and filename is None):
                item = _decode_strictly(data.decode())
            elif kind == "text/plain" and filename is None:
                item = data.decode()
        except ValueError as error:
            raise ValueError(f"the part {name!r}: {error}") from None
        place = name if name == "data" or name.startswith("/") else f"/{token(name)}"
        if place in places:
            raise ValueError(f"the part {name!r} is there twice")
        places[place] = item
    value = places.pop("data", {})
    for pointer, item in places.items():
        attach(value, pointer, item)
    return value


def _kind(content_type: str) -> str:
    if content_type == JSON_TYPE:  # nearly always
        return content_type
    return content_type.partition(";")[0].strip().lower()


def _quickly(decoder: json.JSONDecoder, otherwise: Callable[[str], Any]) -> Callable[[str], Any]:
    """As `otherwise`, but faster if nothing stands around the value."""
    scan: Callable[[str, int], tuple[Any, int]] = vars(decoder)["scan_once"]

    def decode(text: str) -> Any:
        try:
            value, end = scan(text, 0)
        except StopIteration:
            end = -1
        return value if end == len(text) else otherwise(text)

    return decode


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


_strict = json.JSONDecoder(parse_constant=_no_constant)
_decode = _quickly(json.JSONDecoder(), json.loads)
_decode_strictly = _quickly(_strict, _strict.decode)
