"""The tests of test_batch_calls, against an embedded host."""

from __future__ import annotations

from embedding import *  # noqa: F403
from test_batch_calls import *  # noqa: F403

# About HTTP:
del test_the_wire  # noqa: F821
