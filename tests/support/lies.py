"""Frames that mean nothing, or something wrong; reproducible by their random generator."""

from __future__ import annotations

import json
from random import Random
from typing import Any

from jshost.protocol import frames

__all__ = [
    "any_lie",
    "fatal_lie",
    "harmless_lies",
    "lie_to_a_worker",
    "not_frames",
    "senseless_call",
]

JSON_LIES: list[Any] = [
    None, 0, "", [], {}, "text", [[]], {"name": None}, {"name": []}, {"code": 1}, {"level": 1},
    {"message": None}, {"functions": "f"}, {"functions": None}, {"options": []}, {"timeout": "1"},
    {"name": "f", "timeout": -1}, {"name": "f", "requestId": 1}, {"cause": []}, {"stack": 5},
    {"code": "nonsense", "name": 1, "message": [], "stack": {}, "properties": 7, "cause": "x"},
    {"language": "x", "version": "1", "functions": [1], "options": {}, "files": []},
    {"files": [1]}, {"files": "a"}, {"name": "f", "type": 5, "stream": "yes", "traceparent": []},
    {"name": "f", "requestId": "r", "timeout": 1e308, "type": "multipart/form-data"},
    {"name": "__proto__", "requestId": "r", "timeout": None}, {"name": "constructor"},
]  # fmt: skip
FORMS = b"j", b"t", b"b", b"m", b"x", b"\0", b""


def random_bytes(rng: Random, most: int = 200) -> bytes:
    return rng.randbytes(rng.randrange(most))


def payload_lie(rng: Random) -> bytes:
    """A payload for a frame of any kind."""
    match rng.randrange(7):
        case 0:
            return b""
        case 1:
            return random_bytes(rng)
        case 2:
            return json.dumps(rng.choice(JSON_LIES)).encode()
        case 3:
            return b"[" * rng.choice([10, 10_000])
        case 4:
            return rng.choice(FORMS) + random_bytes(rng)
        case 5:
            return rng.choice(FORMS) + json.dumps(rng.choice(JSON_LIES)).encode()
        case _:
            header = json.dumps(rng.choice(JSON_LIES)).encode()
            size = rng.choice([0, 1, len(header) - 1, len(header), len(header) + 1, 65535])
            return size.to_bytes(2, "big") + header + random_bytes(rng)


def not_frames(rng: Random) -> bytes:
    """Bytes behind which nothing can be trusted."""
    kind = rng.choice([0, 11, 255, rng.randrange(11, 256)])
    return rng.choice(
        [
            frames.HEADER.pack(rng.randrange(200), rng.randrange(2**32), kind),
            frames.HEADER.pack(frames.MAX_PAYLOAD_BYTES + rng.randint(1, 2**31), 1, frames.RESULT),
            b"HTTP/1.1 200 OK\r\n\r\n",
            b"\xff" * 9,
        ]
    ) + random_bytes(rng)


def harmless_lies(rng: Random, call_id: int) -> bytes:
    """Frames from a worker that its host can leave unheard, or believe: none ends the worker."""
    strangers = [0, 2**32 - 1, rng.randrange(2**31, 2**32)]
    lies = []
    for _ in range(rng.randint(1, 4)):
        kind = rng.choice(
            [frames.CALL, frames.CANCEL, frames.PING, frames.PONG, frames.DRAIN, frames.RESULT,
             frames.CHUNK, frames.ERROR, frames.LOG]
        )  # fmt: skip
        about, payload = rng.choice(strangers), payload_lie(rng)
        if kind == frames.RESULT:
            payload = rng.choice([b"j", b"t", b"b"]) + payload
        elif kind == frames.CHUNK:
            payload = b"b" + payload
        elif kind == frames.ERROR:  # about the call, its payload may be anything
            about = rng.choice([call_id, 2**32 - 1])
        elif kind == frames.LOG:
            payload = json.dumps(
                rng.choice([lie for lie in JSON_LIES if type(lie) is dict])
            ).encode()
        lies.append(frames.encode(kind, about, payload))
    return b"".join(lies)


def fatal_lie(rng: Random, call_id: int) -> bytes:
    """What a worker is ended for, with certainty."""
    return rng.choice(
        [
            not_frames(rng),
            frames.encode(frames.RESULT, call_id, b""),
            frames.encode(frames.RESULT, call_id, b"x" + random_bytes(rng)),
            frames.encode(frames.RESULT, call_id, b"mno boundary"),
            frames.encode(frames.CHUNK, call_id, b"j1"),  # it asked for no stream
            frames.encode(frames.CHUNK, call_id, b""),
            frames.encode(frames.LOG, 0, rng.choice([b"", b"\xff", b"[]", b"[" * 100_000])),
            frames.encode(frames.READY, 0, rng.choice([b"", b"{}", b'{"files": [1]}', b"null"])),
            frames.encode(frames.ERROR, 0, rng.choice([b"", b"1", b"[" * 100_000])),
        ]
    )


def any_lie(rng: Random, call_id: int) -> bytes:
    """Any frame with any payload, or none."""
    if rng.random() < 0.1:
        return not_frames(rng)
    about = rng.choice([0, call_id, call_id + 1, 2**32 - 1, rng.randrange(2**32)])
    return frames.encode(rng.randint(frames.READY, frames.DRAIN), about, payload_lie(rng))


def lie_to_a_worker(rng: Random) -> bytes:
    """A frame from a host that makes no sense, behind which others can be read."""
    kind = rng.choice([kind for kind in range(frames.READY, frames.DRAIN)])
    call_id, payload = rng.randrange(2**31, 2**32), payload_lie(rng)
    if kind == frames.CHUNK:
        payload = rng.randbytes(4) + payload
    elif kind == frames.CALL:
        name = rng.choice(["add", "", "__proto__", "constructor", "a/b", "\0", "\U0001f600" * 99])
        kind_of_body = rng.choice([None, None, "multipart/form-data; boundary=x", "text/plain", ""])
        stream = rng.random() < 0.2
        header = frames.call_header(
            name, rng.choice([None, 1e-9, 5.0]), "lie", content_type=kind_of_body, stream=stream
        )
        return frames.call_frame(call_id, header, payload)
    return frames.encode(kind, call_id, payload)


def senseless_call(rng: Random) -> bytes:
    """A CALL that cannot be read."""
    header = rng.choice([b"", b"[]", b"null", b'"add"', b"\xff", b"{", b"[" * 20_000, b"{'a': 1}"])
    whole = len(header).to_bytes(2, "big") + header
    payload = rng.choice([whole, whole[:-1], b"", b"\0", b"\xff\xff" + header])
    return frames.encode(frames.CALL, 1, payload)
