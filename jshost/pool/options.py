"""The options of a host: their names, their values, their help. Runs in: host, command line.

One frozen dataclass defines all of them. Config files set its fields (snake_case in Python,
camelCase in JavaScript), and `jshost serve` has a flag for each option with a help text.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from jshost.exceptions import ConfigError

__all__ = [
    "PER_CONFIG",
    "HostOptions",
    "camel_case",
    "option_names",
    "read_options",
    "token_problem",
]

SHORTEST_TOKEN = 16
SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmg]?)b?", re.IGNORECASE)
SIZE_UNITS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}


def _integer(least: int, most: int) -> Callable[[Any], int]:
    def check(value: Any) -> int:
        number = int(value)  # strings as well: ports often come from the environment
        if isinstance(value, bool) or number != float(value) or not least <= number <= most:
            raise ValueError
        return number

    check.__doc__ = f"a whole number from {least} to {most}"
    return check


def _size(value: Any) -> int:
    """a size in bytes, or a string such as "10mb" """
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    match = SIZE.fullmatch(value.strip())
    size = int(float(match[1]) * SIZE_UNITS[match[2].lower()]) if match else 0
    if not size:
        raise ValueError
    return size


def _seconds(value: Any) -> float | None:
    """a number of seconds above 0, or none for no limit"""
    if value is None:
        return None
    if isinstance(value, bool) or not 0 < float(value) < 1e9:
        raise ValueError
    return float(value)


def _delay(value: Any) -> float:
    """a number of seconds, 0 or more"""
    if isinstance(value, bool) or not 0 <= float(value) < 1e9:
        raise ValueError
    return float(value)


def _optional(check: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def check_optional(value: Any) -> Any:
        return None if value is None else check(value)

    check_optional.__doc__ = f"{(check.__doc__ or '').strip()}, or none for no limit"
    return check_optional


def _string(value: Any) -> str:
    """a non-empty string"""
    if not isinstance(value, str) or not value:
        raise ValueError
    return value


def _optional_string(value: Any) -> str | None:
    """a path"""
    return None if value is None else _string(value)


def _strings(value: Any) -> tuple[str, ...]:
    """a list of strings"""
    if isinstance(value, str) or not all(isinstance(item, str) for item in value):
        raise ValueError
    return tuple(value)


def token_problem(token: str) -> str:
    """Why a string is no token, or ""."""
    if len(token) < SHORTEST_TOKEN:
        return f"a token has {SHORTEST_TOKEN} characters or more"
    if not (token.isascii() and token.isprintable()) or " " in token:
        return "a token has ASCII characters without spaces"
    return ""


def _token(value: Any) -> str | None:
    """16 or more ASCII characters without spaces"""
    if value is not None and token_problem(value):
        raise ValueError
    return None if value is None else str(value)


def _flag(value: Any) -> bool:
    """true or false"""
    if not isinstance(value, bool):
        raise ValueError
    return value


def _option(default: Any, check: Callable[[Any], Any], help: str = "") -> Any:
    return dataclasses.field(default=default, metadata={"check": check, "help": help})


@dataclass(frozen=True, slots=True)
class HostOptions:
    """How a host serves. Sizes are in bytes, times in seconds."""

    address: str = _option("127.0.0.1", _string, "Address to listen on.")
    port: int = _option(9009, _integer(0, 65535), "Port to listen on; 0 picks a free one.")
    uds: str | None = _option(
        None, _optional_string, "Unix socket to listen on, instead of address and port."
    )
    include: tuple[str, ...] = _option((), _strings)
    workers: int = _option(
        1, _integer(1, 512), "Worker processes per config file. Use 1 if functions keep state."
    )
    threads: int = _option(32, _integer(1, 10_000))
    concurrency: int = _option(
        1024, _integer(1, 100_000), "Calls that one worker runs at once; more wait in the queue."
    )
    max_queue: int = _option(
        1024, _integer(0, 1_000_000), "Calls that may wait for a worker; more are refused with 503."
    )
    max_connections: int = _option(
        10_000, _integer(1, 1_000_000), "Connections at once; more are refused with 503."
    )
    max_requests: int | None = _option(
        None, _optional(_integer(1, 10**12)), "Recycle a worker after this many calls."
    )
    max_memory: int | None = _option(
        None, _optional(_size), 'Recycle a worker when its memory exceeds this, such as "200mb".'
    )
    max_age: float | None = _option(None, _seconds, "Recycle a worker after this many seconds.")
    function_timeout: float | None = _option(
        None, _seconds, "Time limit for a call in seconds; callers can only ask for less."
    )
    request_data_limit: int = _option(
        10 * 1024**2, _size, 'Largest body of a call, such as "10mb".'
    )
    start_timeout: float | None = _option(
        60.0, _seconds, "Time for a worker to load its config file, in seconds."
    )
    shutdown_timeout: float | None = _option(
        10.0, _seconds, "Time for calls to finish after SIGTERM, in seconds."
    )
    shutdown_delay: float = _option(
        0.0,
        _delay,
        "Seconds to take calls after SIGTERM, while /ready says 503.",
    )
    allowed_hosts: tuple[str, ...] = _option((), _strings)
    allowed_origins: tuple[str, ...] = _option((), _strings)
    token: str | None = dataclasses.field(
        default=None, repr=False, metadata={"check": _token, "help": ""}
    )
    token_file: str | None = _option(
        None, _optional_string, "File with the token that callers must send."
    )
    expose_errors: bool = _option(True, _flag)
    disconnect_timeout: float | None = _option(5.0, _seconds)
    respawn: bool = _option(True, _flag)


PER_CONFIG = (
    "workers",
    "threads",
    "concurrency",
    "max_queue",
    "max_requests",
    "max_memory",
    "max_age",
    "function_timeout",
    "respawn",
)
"""The options that an included config file may set for its own functions."""


def camel_case(name: str) -> str:
    """An option's name as in JavaScript config files."""
    head, *tail = name.split("_")
    return head + "".join(part.capitalize() for part in tail)


def option_names() -> list[str]:
    """All options in both spellings: config files of both languages may use either."""
    names = [field.name for field in dataclasses.fields(HostOptions)]
    return list(dict.fromkeys([*names, *map(camel_case, names)]))


def read_options(
    raw: Mapping[str, Any], source: str, base: HostOptions | None = None
) -> HostOptions:
    """Check options and turn them into a `HostOptions`.

    Args:
        raw: names, in either spelling, and values.
        source: where they come from, for errors: a config file or the command line.
        base: the options that hold where `raw` sets none.

    Raises:
        ConfigError: an unknown name, or a value that the option cannot have.
    """
    fields = {field.name: field for field in dataclasses.fields(HostOptions)}
    spelled = {camel_case(name): name for name in fields} | {name: name for name in fields}
    values: dict[str, Any] = {}
    for name, value in raw.items():
        if name not in spelled:
            near = difflib.get_close_matches(name, spelled, 1)
            hint = f' Did you mean "{near[0]}"?' if near else ""
            raise ConfigError(f'{source}: there is no option "{name}".{hint}')
        check = fields[spelled[name]].metadata["check"]
        try:
            values[spelled[name]] = check(value)
        except (TypeError, ValueError, AttributeError, OverflowError):
            wanted = " ".join((check.__doc__ or "").split())
            given = "" if check is _token else f", not {value!r}"  # it may be a secret
            raise ConfigError(f'{source}: the option "{name}" must be {wanted}{given}.') from None
    return dataclasses.replace(base or HostOptions(), **values)
