"""Ids of parametrized tests: the same in each process, as xdist wants them."""

from __future__ import annotations

import re


def id_of(value: object) -> str:
    """The value's repr without the address that an object may have in it."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))
