"""The tests of test_strings, against an embedded host."""

from __future__ import annotations

from e2e.calls.test_strings import *  # noqa: F403
from support.embedding import *  # noqa: F403

# About HTTP:
del test_messages_of_errors_too, test_any_name_can_stand_in_a_path  # noqa: F821
del test_a_slash_in_a_name_may_stand_unescaped  # noqa: F821
