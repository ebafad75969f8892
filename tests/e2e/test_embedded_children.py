"""The tests of test_children, against an embedded host."""

from __future__ import annotations

from embedding import *  # noqa: F403
from test_children import *  # noqa: F403
