"""The tests of test_recycling, against an embedded host."""

from __future__ import annotations

from embedding import *  # noqa: F403
from test_recycling import *  # noqa: F403
