"""The tests of test_stream_calls, against an embedded host."""

from __future__ import annotations

from e2e.calls.test_stream_calls import *  # noqa: F403
from support.embedding import *  # noqa: F403
