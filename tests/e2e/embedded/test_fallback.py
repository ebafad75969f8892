"""The tests of test_fallback, against an embedded host."""

from __future__ import annotations

from e2e.calls.test_fallback import *  # noqa: F403
from support.embedding import *  # noqa: F403
