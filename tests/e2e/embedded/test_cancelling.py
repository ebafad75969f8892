"""The tests of test_cancelling, against an embedded host."""

from __future__ import annotations

from e2e.calls.test_cancelling import *  # noqa: F403
from support.embedding import *  # noqa: F403
