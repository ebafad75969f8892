"""The floor's end for Node programs: length-prefixed JSON in and out, nothing else.

Runs in: a Python that bench/node/callers.mjs starts. It ends when the socket pair is closed.
"""

import json
import socket
import sys

import peer_functions

__all__: list[str] = []

LENGTH_BYTES = 4


def main() -> None:
    """Answer one request after another."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    reader = channel.makefile("rb")
    while head := reader.read(LENGTH_BYTES):
        name, data = json.loads(reader.read(int.from_bytes(head, "little")))
        body = json.dumps(getattr(peer_functions, name)(**data)).encode()
        channel.sendall(len(body).to_bytes(LENGTH_BYTES, "little") + body)


if __name__ == "__main__":
    main()
