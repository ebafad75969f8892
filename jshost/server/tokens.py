"""The token that callers must send, and the warning where they need none. Runs in: host."""

from __future__ import annotations

import ipaddress
import logging
import socket
from collections.abc import Iterable, Mapping
from pathlib import Path

from jshost.exceptions import ConfigError
from jshost.pool.options import HostOptions, token_problem

__all__ = ["read_token", "warn_if_open"]

logger = logging.getLogger("jshost.host")


def read_token(options: HostOptions, config_file: Path, environment: Mapping[str, str]) -> str:
    """The token from the option, the option's file, or the environment; "": none.

    Raises:
        ConfigError: both options are set, the file cannot be read, or the token is not valid.
    """
    if options.token is not None and options.token_file is not None:
        raise ConfigError(f"{config_file}: set token or tokenFile, not both.")
    if options.token is not None:
        return options.token
    if options.token_file is None:
        token, source = environment.get("JSHOST_TOKEN", ""), "the environment: JSHOST_TOKEN"
    else:
        path = config_file.parent / options.token_file
        source = f"{path} (tokenFile)"
        token = _read_file(path, source)
    if token and token_problem(token):
        raise ConfigError(f"{source}: {token_problem(token)}.")
    return token


def _read_file(path: Path, source: str) -> str:
    try:
        token = path.read_text("utf-8").strip()
    except (OSError, ValueError) as error:
        raise ConfigError(f"{source}: cannot be read: {error}") from error
    if not token:
        raise ConfigError(f"{source}: is empty.")
    return token


def warn_if_open(sockets: Iterable[socket.socket], token: str) -> None:
    """Warn if other machines can reach a socket and callers need no token."""
    if token:
        return
    for each in sockets:
        if each.family == socket.AF_UNIX:
            continue
        address = each.getsockname()[0]
        if not ipaddress.ip_address(address.partition("%")[0]).is_loopback:
            logger.warning(
                "ANYBODY WHO REACHES %s CAN CALL THESE FUNCTIONS: there is no token. Set the "
                "option token or tokenFile (or JSHOST_TOKEN), or listen on 127.0.0.1 only.",
                address,
            )
            return
