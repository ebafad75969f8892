"""A pytest plugin with the fixture `js_host`; pytest finds it by itself. Runs in: callers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from jshost.embedding.host import EmbeddedHost
    from jshost.testing import TestHost

__all__ = ["js_host", "pytest_addoption"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini(
        "jshost_config",
        "The config file whose functions the fixture js_host serves, from the rootdir; without it "
        "the one that jshost's settings name.",
        default="",
    )
    parser.addini(
        "jshost_embedded",
        "Whether js_host runs the functions in workers of the test session's own process, without "
        "a server.",
        type="bool",
        default=False,
    )


@pytest.fixture(scope="session")
def js_host(request: pytest.FixtureRequest) -> Iterator[TestHost | EmbeddedHost]:
    """A real host, for the whole session; all calls go to it."""
    from jshost.testing import run_embedded, run_host

    run = run_embedded if request.config.getini("jshost_embedded") else run_host
    config: str = request.config.getini("jshost_config")
    with run(request.config.rootpath / config if config else None) as host:
        yield host
