"""The tests of test_first_call, against an embedded host."""

from __future__ import annotations

from e2e.calls.test_first_call import *  # noqa: F403
from support.embedding import *  # noqa: F403
