"""Where the token comes from, and the warning where there is none."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from jshost.exceptions import ConfigError
from jshost.pool.options import HostOptions
from jshost.server.tokens import read_token, warn_if_open


def token(folder: Path, environment: dict[str, str] | None = None, **options: Any) -> str:
    return read_token(HostOptions(**options), folder / "host.config.py", environment or {})


def test_the_option_goes_before_the_environment(tmp_path: Path) -> None:
    environment = {"JSHOST_TOKEN": "from-the-environment"}
    assert token(tmp_path) == ""
    assert token(tmp_path, environment) == "from-the-environment"
    assert token(tmp_path, environment, token="from-the-option") == "from-the-option"
    (tmp_path / "token").write_text("from-the-file-itself\n")
    assert token(tmp_path, environment, token_file="token") == "from-the-file-itself"


def test_what_is_wrong_names_its_source(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text(" \n")
    for options, text in (
        ({"token": "a", "token_file": "b"}, "set token or tokenFile, not both"),
        ({"token_file": "missing"}, r"missing \(tokenFile\): cannot be read"),
        ({"token_file": "empty"}, r"empty \(tokenFile\): is empty"),
    ):
        with pytest.raises(ConfigError, match=text):
            token(tmp_path, **options)
    with pytest.raises(ConfigError, match="JSHOST_TOKEN"):
        token(tmp_path, {"JSHOST_TOKEN": "a b\n"})


class Listening:
    def __init__(self, address: str, family: int = socket.AF_INET) -> None:
        self.family = family
        self._address = address

    def getsockname(self) -> tuple[str, int]:
        return self._address, 9009


@pytest.mark.parametrize(
    ("addresses", "given", "warns"),
    [
        (["127.0.0.1"], "", False),
        (["::1"], "", False),
        (["0.0.0.0"], "", True),
        (["127.0.0.1", "192.0.2.7"], "", True),
        (["fe80::1%eth0"], "", True),
        (["0.0.0.0"], "secret", False),
    ],
)
def test_a_host_that_others_reach_without_a_token_warns(
    addresses: list[str], given: str, warns: bool, caplog: pytest.LogCaptureFixture
) -> None:
    sockets: Any = [Listening(address) for address in addresses]
    warn_if_open([Listening("/run/x", socket.AF_UNIX), *sockets], given)  # type: ignore[list-item]
    assert ("ANYBODY" in caplog.text) == warns
