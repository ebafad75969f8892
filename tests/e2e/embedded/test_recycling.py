"""The tests of test_recycling, against an embedded host."""

from __future__ import annotations

from e2e.workers.test_recycling import *  # noqa: F403
from support.embedding import *  # noqa: F403
