"""The tests of test_async, against an embedded host."""

from __future__ import annotations

from e2e.calls.test_async import *  # noqa: F403
from support.embedding import *  # noqa: F403

# About HTTP:
del test_loops_at_once  # noqa: F821
del test_connections_are_kept_and_their_number_is_bounded  # noqa: F821
del test_a_running_loop_is_not_blocked_while_the_host_is_looked_for  # noqa: F821
