"""The tests of test_strings, against an embedded host."""

from __future__ import annotations

from e2e.calls.test_strings import *  # noqa: F403
from support.embedding import *  # noqa: F403

# About HTTP:
del test_messages_of_errors_too  # noqa: F821
