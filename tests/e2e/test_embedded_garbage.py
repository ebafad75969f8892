"""The tests of test_garbage, with an embedded host."""

from __future__ import annotations

from embedding import *  # noqa: F403
from test_garbage import *  # noqa: F403
