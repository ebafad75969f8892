"""The tests of test_python_worker_streams, against an embedded host."""

from __future__ import annotations

from embedding import *  # noqa: F403
from test_python_worker_streams import *  # noqa: F403
