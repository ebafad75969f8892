"""multipart/form-data (RFC 7578), without I/O. Runs in: callers, hosts, Python workers.

The boundary is a hash of the parts, so that equal calls have equal bytes. Bodies may also come from
curl, browsers and HTTP libraries.
tests/vectors/multipart.json holds this codec and its JavaScript twin (js/protocol/multipart.mjs)
to the same bytes.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Sequence
from typing import NamedTuple

__all__ = [
    "MEDIA_TYPE",
    "Part",
    "Run",
    "boundary_of",
    "decode_parts",
    "decode_runs",
    "encode_parts",
    "encode_runs",
]

MEDIA_TYPE = "multipart/form-data"

PLAIN_BYTES = 1 << 20
PLAIN_HEAD_BYTES = 1024

_VALUE = r'(?:"((?:\\"(?!\s*(?:;|$))|[^"])*)"|([^\s;"]+))'
_PARAMETER = re.compile(rf";\s*([\w*-]+)\s*=\s*{_VALUE}")
_DELIMITER_END = re.compile(rb"--|[ \t]*\r\n")
# As browsers write names, and "%" itself only where it would be read as one of the others.
_TO_ESCAPE = re.compile(r'["\r\n]|%(?=22|0D|0A|25)')
_ESCAPED = re.compile(r"%(22|0D|0A|25(?=22|0D|0A|25))")


class Part(NamedTuple):
    """One part: the field's name, its content type, its bytes, and its file name if it has one."""

    name: str
    content_type: str
    data: bytes
    filename: str | None = None


class Run(NamedTuple):
    """Parts in a row that differ only in their bytes, and have no file names. Batches are made of
    them; a run is encoded and decoded at once, which is much faster than part by part."""

    name: str
    content_type: str
    contents: list[bytes]


def encode_runs(runs: Sequence[Run]) -> tuple[str, bytes]:
    """As `encode_parts`, for the parts of runs."""
    if len(runs) == 1:
        name, content_type, contents = runs[0]
        identity = name.encode("utf-8", "surrogatepass") + content_type.encode()
        joined = identity + identity.join(contents)
        boundary = f"jshost-{hashlib.sha1(joined, usedforsecurity=False).hexdigest()}"
    if len(runs) != 1 or not contents or boundary.encode() in joined:
        parts = [Part(run.name, run.content_type, data) for run in runs for data in run.contents]
        return encode_parts(parts)
    first = f"--{boundary}\r\n".encode() + _head(name, content_type, None)
    last = f"\r\n--{boundary}--\r\n".encode()
    return f"{MEDIA_TYPE}; boundary={boundary}", first + (b"\r\n" + first).join(contents) + last


def encode_parts(parts: Sequence[Part]) -> tuple[str, bytes]:
    """The parts as (content type with the boundary, body).

    Example:
        >>> encode_parts([Part("data", "application/json", b"{}")])[0]
        'multipart/form-data; boundary=jshost-5445fe802c389e4c93726ba32c91c49435cc9bad'
    """
    boundary = _make_boundary(parts)
    delimiter = f"--{boundary}\r\n".encode()
    pieces: list[bytes] = []
    for name, content_type, data, filename in parts:
        pieces += [delimiter, _head(name, content_type, filename), data, b"\r\n"]
    pieces.append(f"--{boundary}--\r\n".encode())
    return f"{MEDIA_TYPE}; boundary={boundary}", b"".join(pieces)


@functools.lru_cache(maxsize=256)  # the parts of a batch have few different heads
def _head(name: str, content_type: str, filename: str | None) -> bytes:
    disposition = f'form-data; name="{_escape(name)}"'
    if filename is not None:
        disposition += f'; filename="{_escape(filename)}"'
    head = f"Content-Disposition: {disposition}\r\nContent-Type: {content_type}\r\n\r\n"
    return head.encode("utf-8", "surrogatepass")


def decode_parts(content_type: str, body: bytes) -> list[Part]:
    """The parts of a body; a part without a content type is text/plain (RFC 7578, section 4.4).

    Raises:
        ValueError: not multipart/form-data, or not whole; the text says what is missing.
    """
    delimiter = b"\r\n--" + boundary_of(content_type).encode("utf-8", "surrogatepass")
    parts = _decode_plain(delimiter, body)
    if parts is not None:
        return parts
    if body.startswith(delimiter[2:]):  # usually nothing stands before the first delimiter
        _, start, is_last = _delimiter_at(body, delimiter, -2)
    else:
        _, start, is_last = _delimiter_at(body, delimiter, body.find(delimiter))
    parts = []
    while not is_last:
        stop, after, is_last = _delimiter_at(body, delimiter, body.find(delimiter, start))
        parts.append(_decode_part(body, start, stop, len(parts) + 1))
        start = after
    return parts


def decode_runs(content_type: str, body: bytes) -> list[Run]:
    """As `decode_parts`, but similar parts are returned as a run; file names are dropped."""
    delimiter = b"\r\n--" + boundary_of(content_type).encode("utf-8", "surrogatepass")
    run = _decode_run(delimiter, body)
    if run is not None:
        return [run]
    runs: list[Run] = []
    for name, kind, data, _ in decode_parts(content_type, body):
        if not runs or (name, kind) != runs[-1][:2]:
            runs.append(Run(name, kind, []))
        runs[-1].contents.append(data)
    return runs


def _decode_run(delimiter: bytes, body: bytes) -> Run | None:
    """The parts of a body that `encode_runs` has written from one run; None for other bodies."""
    before = delimiter[2:] + b"\r\n"
    end = body.find(b"\r\n\r\n", 0, PLAIN_HEAD_BYTES)
    last = delimiter + b"--\r\n"
    if end < 0 or not (body.startswith(before) and body.endswith(last)):
        return None
    head = body[len(before) : end]
    between = b"\r\n" + body[: end + 4]
    contents = body[end + 4 : -len(last)].split(between)
    name, content_type, _ = _read_head(head)
    if name is None or body.count(delimiter) != len(contents):
        return None
    return Run(name, content_type, contents)


def _decode_plain(delimiter: bytes, body: bytes) -> list[Part] | None:
    """The parts of a small body with delimiters as `encode_parts` writes; None for other bodies."""
    first, last = delimiter[2:] + b"\r\n", delimiter + b"--\r\n"
    if len(body) > PLAIN_BYTES or not (body.startswith(first) and body.endswith(last)):
        return None
    pieces = body[len(first) : -len(last)].split(delimiter + b"\r\n")
    if body.count(delimiter) != len(pieces):
        return None
    parts = []
    for piece in pieces:
        head, blank, data = piece.partition(b"\r\n\r\n")
        if not blank or len(head) > PLAIN_HEAD_BYTES:
            return None
        name, content_type, filename = _read_head(head)
        if name is None:
            return None
        parts.append(Part(name, content_type, data, filename))
    return parts


def boundary_of(content_type: str) -> str:
    """The boundary in a content type.

    Raises:
        ValueError: it is not multipart/form-data, or has no boundary.
    """
    kind, parameters = _parse_header(content_type)
    if kind != MEDIA_TYPE:
        raise ValueError(f"{content_type!r} is not {MEDIA_TYPE}")
    boundary = parameters.get("boundary")
    if not boundary:
        raise ValueError(f"{content_type!r} has no boundary")
    return boundary


def _delimiter_at(body: bytes, delimiter: bytes, at: int) -> tuple[int, int, bool]:
    """The first real delimiter at or after `at`; one that goes on as a longer word is none.

    Returns:
        Where it begins, where the next part begins, and whether it is the last delimiter.
    """
    while at != -1:
        end = at + len(delimiter)
        found = _DELIMITER_END.match(body, end)
        if found is not None:
            return at, found.end(), found[0] == b"--"
        at = body.find(delimiter, end)
    what = delimiter[2:].decode("utf-8", "replace")
    raise ValueError(f"the delimiter {what} is missing: the body is not whole, or not multipart")


def _decode_part(body: bytes, start: int, stop: int, number: int) -> Part:
    # Two bytes earlier: a part without headers begins with the blank line.
    blank = body.find(b"\r\n\r\n", start - 2, stop)
    if blank < 0:
        raise ValueError(f"part {number} has no blank line after its headers")
    name, content_type, filename = _read_head(body[start : max(start, blank)])
    if name is None:
        raise ValueError(f"part {number} has no name in its Content-Disposition")
    return Part(name, content_type, body[blank + 4 : stop], filename)


@functools.lru_cache(maxsize=256)
def _read_head(head: bytes) -> tuple[str | None, str, str | None]:
    """A part's name (None: it has none), content type and file name."""
    headers: dict[str, str] = {}
    for line in head.decode("utf-8", "surrogatepass").split("\r\n"):
        key, _, value = line.partition(":")
        headers[key.strip().lower()] = value.strip()
    _, parameters = _parse_header(headers.get("content-disposition", ""))
    name = parameters.get("name")
    filename = parameters.get("filename", parameters.get("filename*"))
    return (
        None if name is None else _unescape(name),
        headers.get("content-type") or "text/plain",
        None if filename is None else _unescape(filename),
    )


def _parse_header(header: str) -> tuple[str, dict[str, str]]:
    """`value; name="parameter"` as (value in lower case, parameters)."""
    parameters: dict[str, str] = {}
    for key, quoted, token in _PARAMETER.findall(header):
        parameters.setdefault(key.lower(), quoted.replace('\\"', '"') or token)
    return header.partition(";")[0].strip().lower(), parameters


def _make_boundary(parts: Sequence[Part]) -> str:
    digest = hashlib.sha1(usedforsecurity=False)
    small: list[bytes] = []
    for name, content_type, data, _ in parts:
        small += [name.encode("utf-8", "surrogatepass"), content_type.encode()]
        if len(data) < PLAIN_HEAD_BYTES:
            small.append(data)
        else:
            digest.update(b"".join(small))
            digest.update(data)
            small.clear()
    digest.update(b"".join(small))
    boundary = f"jshost-{digest.hexdigest()}"
    needle = boundary.encode()
    while any(needle in part.data for part in parts if len(part.data) >= len(needle)):
        boundary = f"jshost-{hashlib.sha1(boundary.encode(), usedforsecurity=False).hexdigest()}"
        needle = boundary.encode()
    return boundary


def _escape(name: str) -> str:
    return _TO_ESCAPE.sub(lambda found: f"%{ord(found[0]):02X}", name)


def _unescape(name: str) -> str:
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), name)
