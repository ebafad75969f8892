"""epoll, or the system's selector in its words. Runs in: programs that embed a host."""

from __future__ import annotations

import select
from typing import Any, Protocol

__all__ = ["READ", "WRITE", "Poller", "new_poller"]

READ, WRITE = 1, 4
"""As epoll and poll have them: EPOLLIN and EPOLLOUT."""


class Poller(Protocol):
    """`select.epoll`, or `Selector` where there is none."""

    def register(self, fd: int, eventmask: int, /) -> None: ...
    def modify(self, fd: int, eventmask: int, /) -> None: ...
    def unregister(self, fd: int, /) -> None: ...
    def poll(self, timeout: float, maxevents: int, /) -> list[tuple[int, int]]: ...
    def fileno(self) -> int: ...
    def close(self) -> None: ...


def new_poller() -> Poller:
    if hasattr(select, "epoll"):
        return select.epoll()
    return Selector()


class Selector:
    """The system's selector (kqueue), in the words of epoll."""

    def __init__(self) -> None:
        import selectors

        self._selector: Any = selectors.DefaultSelector()
        self._translated = {READ: selectors.EVENT_READ, WRITE: selectors.EVENT_WRITE}
        self._translated[READ | WRITE] = selectors.EVENT_READ | selectors.EVENT_WRITE
        self._back = {wanted: mask for mask, wanted in self._translated.items()}

    def register(self, fd: int, eventmask: int, /) -> None:
        self._selector.register(fd, self._translated[eventmask])

    def modify(self, fd: int, eventmask: int, /) -> None:
        self._selector.modify(fd, self._translated[eventmask])

    def unregister(self, fd: int, /) -> None:
        self._selector.unregister(fd)

    def poll(self, timeout: float, maxevents: int, /) -> list[tuple[int, int]]:
        found = self._selector.select(timeout)
        return [(key.fd, self._back[mask]) for key, mask in found]

    def fileno(self) -> int:
        return int(self._selector.fileno())

    def close(self) -> None:
        self._selector.close()
