"""The tests of test_tracing, against an embedded host."""

from __future__ import annotations

from embedding import *  # noqa: F403
from test_tracing import *  # noqa: F403
