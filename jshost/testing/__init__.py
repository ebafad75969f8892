"""For the tests of programs that call functions. Runs in: callers.

`override_function` answers in a function's place, `run_embedded` and `run_host` run real functions,
inside of the test's process and behind a server; `jshost.testing.pytest_plugin` has pytest
fixtures for these.
"""

from jshost.testing.hosts import TestHost, run_embedded, run_host
from jshost.testing.overriding import override_function

__all__ = ["TestHost", "override_function", "run_embedded", "run_host"]
