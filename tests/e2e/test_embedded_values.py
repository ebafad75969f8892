"""The tests of test_values, against an embedded host."""

from __future__ import annotations

from embedding import *  # noqa: F403
from test_values import *  # noqa: F403
