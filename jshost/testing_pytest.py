"""A pytest plugin with the fixture `js_host`; pytest finds it by itself. Runs in: callers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from jshost.testing import TestHost

__all__ = ["js_host", "pytest_addoption"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini(
        "jshost_config",
        "The config file whose functions the fixture js_host serves, from the rootdir; without it "
        "the one that jshost's settings name.",
        default="",
    )


@pytest.fixture(scope="session")
def js_host(request: pytest.FixtureRequest) -> Iterator[TestHost]:
    """A real host on a free port, for the whole session; all calls go to it."""
    from jshost.testing import run_host

    config: str = request.config.getini("jshost_config")
    with run_host(request.config.rootpath / config if config else None) as host:
        yield host
