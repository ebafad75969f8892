"""The ids of requests. Runs in: programs that embed a host."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Mapping

__all__ = ["ids_in", "request_ids"]


def ids_in(headers: Mapping[str, str]) -> tuple[str, str]:
    """The request's id, and the caller's trace context; "" where there is none."""
    lowered = {name.lower(): value for name, value in headers.items()}
    return lowered.get("x-request-id", ""), lowered.get("traceparent", "")


def request_ids() -> Iterator[str]:
    """Ids for requests whose caller gave none."""
    written = f"{os.urandom(4).hex()}-{{:x}}".format
    return map(written, itertools.count(1))  # a generator is for one thread at a time
