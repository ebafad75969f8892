"""The tests of test_workers, against an embedded host."""

from __future__ import annotations

from embedding import *  # noqa: F403
from test_workers import *  # noqa: F403
