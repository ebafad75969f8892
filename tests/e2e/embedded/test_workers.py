"""The tests of test_workers, against an embedded host."""

from __future__ import annotations

from e2e.workers.test_workers import *  # noqa: F403
from support.embedding import *  # noqa: F403
