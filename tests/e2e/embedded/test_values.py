"""The tests of test_values, against an embedded host."""

from __future__ import annotations

from e2e.calls.test_values import *  # noqa: F403
from support.embedding import *  # noqa: F403
