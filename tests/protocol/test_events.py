"""Events out of bytes, however the bytes were split."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jshost.protocol.events import EventParser


def event(name: str, data: str) -> bytes:
    return f"event: {name}\ndata: {data}\n\n".encode()


Events = list[tuple[str, bytes]]

EVENTS: dict[bytes, Events] = {
    b"": [],
    event("chunk", "1"): [("chunk", b"1")],
    event("chunk", "1") + event("result", "null"): [("chunk", b"1"), ("result", b"null")],
    b"event: chunk-bytes\ndata: \n\n": [("chunk-bytes", b"")],
    b"data: of no name\n\n": [("message", b"of no name")],
    b"event: x\ndata: two\ndata: lines\n\n": [("x", b"two\nlines")],
    b"event:x\ndata:y\n\n": [("x", b"y")],
    b"data:  two blanks\n\n": [("message", b" two blanks")],
    b": a comment, as proxies keep connections alive\n\n": [],
    b"id: 7\nretry: 10\nevent: x\ndata: y\n\n": [("x", b"y")],
    b"event: x\n\n": [],
    b"\n\nevent: x\ndata: y\n\n": [("x", b"y")],
    event("chunk", '"größe : \\n"'): [("chunk", '"größe : \\n"'.encode())],
    event("chunk", "x" * 200_000): [("chunk", b"x" * 200_000)],
}


@pytest.mark.parametrize("sent", EVENTS, ids=lambda sent: repr(sent[:30]))
def test_events(sent: bytes) -> None:
    assert EventParser().feed(sent) == EVENTS[sent]


@pytest.mark.parametrize(
    "sent", [sent for sent in EVENTS if len(sent) < 1000], ids=lambda sent: repr(sent[:30])
)
def test_events_byte_by_byte(sent: bytes) -> None:
    parser = EventParser()
    found: Events = []
    for index in range(len(sent)):
        found += parser.feed(sent[index : index + 1])
    assert found == EVENTS[sent]


@settings(deadline=None)
@given(data=st.data())
def test_events_however_they_are_split(data: st.DataObject) -> None:
    texts = data.draw(st.lists(st.sampled_from([text for text in EVENTS if len(text) < 1000])))
    sent = b"".join(texts)
    cuts = data.draw(st.lists(st.integers(0, len(sent)), max_size=10).map(sorted))
    parser = EventParser()
    found: Events = []
    for start, end in pairwise([0, *cuts, len(sent)]):
        found += parser.feed(sent[start:end])
    assert found == [each for text in texts for each in EVENTS[text]]


def test_an_event_that_is_not_whole_is_kept_for_later() -> None:
    parser = EventParser()
    assert parser.feed(b"event: chunk\ndata: 1\n") == []
    assert parser.feed(b"\nevent: chu") == [("chunk", b"1")]
    assert parser.feed(b"nk\ndata: 2\n\n") == [("chunk", b"2")]
