"""The tests of test_first_call, against an embedded host."""

from __future__ import annotations

from embedding import *  # noqa: F403
from test_first_call import *  # noqa: F403
