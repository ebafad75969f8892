"""The tests of test_garbage, with an embedded host."""

from __future__ import annotations

from e2e.calls.test_garbage import *  # noqa: F403
from support.embedding import *  # noqa: F403
