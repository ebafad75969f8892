"""The tests of test_batch_calls, against an embedded host."""

from __future__ import annotations

from e2e.calls.test_batch_calls import *  # noqa: F403
from support.embedding import *  # noqa: F403

# About HTTP:
del test_the_wire, test_what_is_no_batch_is_refused  # noqa: F821
