"""The tests of test_cancelling, against an embedded host."""

from __future__ import annotations

from embedding import *  # noqa: F403
from test_cancelling import *  # noqa: F403
