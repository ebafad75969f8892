"""A packet filter that lets a listening socket make no new connections. Runs in: host.

A host that ends accepts the connections that wait, then closes its listener. A connection made
between the two is reset, and its caller does not know whether the host read its call. With the
filter Linux drops the first packet of such a connection; the caller's system sends it again after a
second, and is refused then, which says clearly that nothing was read.

Linux only (socket(7), SO_ATTACH_FILTER); elsewhere a connection may be reset in that moment.
"""

from __future__ import annotations

import array
import contextlib
import socket
import struct
import sys

__all__ = ["drop_new_connections"]

SO_ATTACH_FILTER = 26
DROP_SYN = (
    # (code, jump if true, jump if false, operand), of linux/filter.h; a TCP socket's filter sees
    # a packet from its TCP header on.
    (0x30, 0, 0, 13),  # load the byte with the flags
    (0x45, 0, 1, 0x02),  # is SYN among them?
    (0x06, 0, 0, 0),  # then keep nothing of the packet
    (0x06, 0, 0, 0xFFFFFFFF),
)


def drop_new_connections(listener: socket.socket) -> None:
    """Drop the first packet of each new connection; half-made ones are completed. Does nothing
    where the system cannot do it, or for a unix socket."""
    if sys.platform != "linux" or listener.family == socket.AF_UNIX:
        return
    code = array.array("B", b"".join(struct.pack("=HBBI", *line) for line in DROP_SYN))
    address, _ = code.buffer_info()
    with contextlib.suppress(OSError):
        listener.setsockopt(
            socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("@HP", len(DROP_SYN), address)
        )
