"""System errors of a connection as our callers know them. Runs in: callers."""

from __future__ import annotations

import os

from jshost.client.host import DeadlinePassed
from jshost.exceptions import ConnectionError, UnexpectedResponse

__all__ = ["Translating", "no_host", "raise_translated"]


def no_host(root_url: str, error: OSError) -> Exception:
    """The exception to raise where connecting failed: no host listens, or the time is over."""
    if isinstance(error, TimeoutError) and error.errno is None:  # with one, the system gave up
        return DeadlinePassed()
    # asyncio has a text of its own for the same error
    number = error.errno or 0
    reason = os.strerror(number) if number > 0 else error.strerror or error
    return ConnectionError(
        f"No host answers at {root_url} ({reason}). Start one with: jshost serve CONFIG"
    )


def raise_translated(root_url: str, error: BaseException) -> None:
    """Raise what our callers know for an error in mid-request, if it is one of those."""
    if isinstance(error, TimeoutError) and error.errno is None:  # with one, the system gave up
        raise DeadlinePassed from None
    if isinstance(error, OSError):
        raise ConnectionError(
            f"{root_url}: the connection broke ({error.strerror or error}) before the answer was "
            "whole; the call may have run."
        ) from error
    if isinstance(error, ValueError):
        raise UnexpectedResponse(f"{root_url}: {error}") from error


class Translating:
    """A connection as a context: an error closes it, and is raised as our callers know it."""

    __slots__ = ()

    _root_url: str

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if error is not None:
            self.close()
            raise_translated(self._root_url, error)

    def close(self) -> None:
        raise NotImplementedError
