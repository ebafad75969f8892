"""Printed lines: whole, and marked with their call, whatever the pipe does to them."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jshost.protocol.lines import LONGEST_LINE_BYTES, Line, LineSplitter, parse_line


@pytest.mark.parametrize(
    ("raw", "line"),
    [
        (b"plain", Line("plain")),
        (b"", Line("")),
        (b"with a carriage return\r", Line("with a carriage return")),
        (b"\x1ef\x1f7-1\x1eHello", Line("Hello", "f", "7-1")),
        (b"\x1ef\x1f7-1\x1e", Line("", "f", "7-1")),
        (b"\x1ef\x1f7-1\x1ea\x1ef\x1f7-1\x1eb", Line("ab", "f", "7-1")),
        (b"part of C's, \x1ef\x1f7-1\x1eours", Line("part of C's, ours", "f", "7-1")),
        ("\x1egröße\x1f\x1eüber".encode(), Line("über", "größe", "")),
        (b"a \x1e alone", Line("a \x1e alone")),
        (b"\xff no UTF-8", Line("\ufffd no UTF-8")),
    ],
)
def test_a_line_is_parsed(raw: bytes, line: Line) -> None:
    assert parse_line(raw) == line


def split(chunks: list[bytes]) -> list[bytes]:
    splitter = LineSplitter()
    return [line for chunk in chunks for line in splitter.feed(chunk)] + splitter.end()


@pytest.mark.parametrize(
    ("printed", "lines"),
    [
        (b"", []),
        (b"a\nb\n", [b"a", b"b"]),
        (b"a\n\nb", [b"a", b"", b"b"]),
        (b"no end", [b"no end"]),
        (b"\n", [b""]),
    ],
)
def test_lines_are_split(printed: bytes, lines: list[bytes]) -> None:
    assert split([printed]) == lines


@settings(deadline=None)
@given(data=st.data(), lines=st.lists(st.binary(max_size=20).filter(lambda x: b"\n" not in x)))
def test_lines_are_whole_however_the_pipe_splits_them(
    data: st.DataObject, lines: list[bytes]
) -> None:
    printed = b"".join(line + b"\n" for line in lines)
    cuts = data.draw(st.lists(st.integers(0, len(printed))).map(sorted))
    edges = [0, *cuts, len(printed)]
    assert split([printed[a:b] for a, b in pairwise(edges)]) == lines


@pytest.mark.parametrize("chunk_bytes", [1000, LONGEST_LINE_BYTES, 10 * LONGEST_LINE_BYTES])
@pytest.mark.parametrize("end", [b"", b"\n"])
def test_a_line_without_end_is_cut(chunk_bytes: int, end: bytes) -> None:
    """However it arrives: a log line of megabytes helps nobody."""
    printed = b"x" * (3 * LONGEST_LINE_BYTES + 5) + end
    lines = split([printed[a : a + chunk_bytes] for a in range(0, len(printed), chunk_bytes)])
    assert b"".join(lines) == printed.rstrip(b"\n")
    assert max(map(len, lines)) <= LONGEST_LINE_BYTES
