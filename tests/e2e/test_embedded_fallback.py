"""The tests of test_fallback, against an embedded host."""

from __future__ import annotations

from embedding import *  # noqa: F403
from test_fallback import *  # noqa: F403
