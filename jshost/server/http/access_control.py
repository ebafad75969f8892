"""Who may ask a host, and how much they are told when it fails. Runs in: host."""

from __future__ import annotations

import hmac
import ipaddress
import logging
import socket
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from jshost.exceptions import ConfigError, RemoteError, RequestError, from_envelope
from jshost.pool.options import HostOptions, token_problem
from jshost.server.http.request import Headers, IncomingRequest, is_allowed_host
from jshost.server.http.responses import Header

__all__ = ["AccessControl", "is_preflight", "preflight_headers", "read_token", "warn_if_open"]

logger = logging.getLogger("jshost.host")

OPEN_PATHS = ("/health", "/ready")
"""For supervisors and load balancers, which have no token; they tell nothing else."""
MAX_KNOWN_HOSTS = 100
BEFORE_CALLS = frozenset(
    (
        *("bad_request", "wrong_hash", "host_not_allowed", "unauthorized", "origin_not_allowed"),
        *("unknown_function", "not_found", "method_not_allowed", "body_too_large", "not_json"),
    )
)
CONCEALED = ("function_failed", "unserializable_result", "load_failed", "cancelled", "worker_died")
"""Errors whose text is the function's, or its process's."""


class AccessControl:
    """Whether a request may be answered at all.

    Args:
        options: the host's.
        token: what callers must know, or "": nothing.
        refused: where the requests are counted that no function was asked for, by code.
    """

    def __init__(self, options: HostOptions, token: str, refused: Counter[str]) -> None:
        self._refused = refused
        self._options = options
        self._token = token.encode()
        self._known_hosts: set[bytes] = set()

    def check(self, request: IncomingRequest) -> None:
        """Raises: RequestError: refused."""
        headers = request.headers
        if headers.origin:
            self._check_origin(headers)
        if headers.host not in self._known_hosts:
            self._check_host(headers.host)
        if self._token and not is_preflight(request) and request.head.path not in OPEN_PATHS:
            self._check_token(headers.authorization)

    def _check_origin(self, headers: Headers) -> None:
        """A foreign web page must not call."""
        origin = headers.origin.decode("latin-1")
        if origin not in self._options.allowed_origins:
            message = (
                f"The origin {origin!r} may not call this host. List it in the option "
                "allowedOrigins if it should."
            )
            raise from_envelope({"code": "origin_not_allowed", "message": message})
        headers.allowed_origin = headers.origin

    def _check_host(self, header: bytes) -> None:
        """Nor one that had its own name rebound to us."""
        name = header.decode("latin-1")
        if not is_allowed_host(name, self._options):
            message = (
                f"The Host header {name!r} is not one of this host's names. List it in the "
                "option allowedHosts if it is."
            )
            raise from_envelope({"code": "host_not_allowed", "message": message})
        if len(self._known_hosts) < MAX_KNOWN_HOSTS:
            self._known_hosts.add(header)

    def _check_token(self, header: bytes) -> None:
        scheme, _, given = header.partition(b" ")
        if scheme.lower() == b"bearer" and hmac.compare_digest(given.strip(), self._token):
            return
        message = (
            "This host wants a token: send Authorization: Bearer <token> (in Python: the setting "
            "TOKEN, or the environment variable JSHOST_TOKEN)."
            if not header
            else "The Authorization header does not hold this host's token."
        )
        raise RequestError(message, code="unauthorized")

    def conceal(self, error: RemoteError, request_id: str) -> RemoteError:
        """What a caller is told of an error. With exposeErrors off: of those in functions and their
        processes no more than an id, under which all of it is in the log."""
        error.request_id = request_id
        if error.code in BEFORE_CALLS:
            self._refused[error.code] += 1
        if self._options.expose_errors or error.code not in CONCEALED:
            return error
        lines, cause = [str(error)], error.__cause__
        while isinstance(cause, RemoteError):
            lines.append(f"Caused by: {cause.stack or cause}")
            cause = cause.__cause__
        fields = {"function": error.name, "requestId": request_id}
        text = "\n".join(lines)
        logger.error("[%s] %s failed: %s", request_id, error.name, text, extra={"fields": fields})
        message = f"internal error {request_id}"
        return type(error)(message, name=error.name, code=error.code, request_id=request_id)


# Pages that may call


def is_preflight(request: IncomingRequest) -> bool:
    """Whether a browser asks what a page of an allowed origin may send (Fetch, section 3.2.2)."""
    return request.head.method == "OPTIONS" and bool(request.headers.allowed_origin)


def preflight_headers(request: IncomingRequest) -> list[Header]:
    """The answer to it; `ServerConnection` adds whose it is."""
    return [
        (b"access-control-allow-methods", b"GET, HEAD, POST"),
        (
            b"access-control-allow-headers",
            b"accept, authorization, content-type, jshost-timeout, traceparent, x-request-id",
        ),
        (b"access-control-allow-private-network", b"true"),
        (b"access-control-max-age", b"600"),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
        (b"x-request-id", request.request_id.encode()),
    ]


# Tokens


def read_token(options: HostOptions, config_file: Path, environment: Mapping[str, str]) -> str:
    """The token: the option's, that of the option's file, or of the environment; "": none.

    Raises:
        ConfigError: there are two, or it cannot be read, or is none.
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
        try:
            token = path.read_text("utf-8").strip()
        except (OSError, ValueError) as error:
            raise ConfigError(f"{source}: cannot be read: {error}") from error
        if not token:
            raise ConfigError(f"{source}: is empty.")
    if token and token_problem(token):
        raise ConfigError(f"{source}: {token_problem(token)}.")
    return token


def warn_if_open(sockets: Iterable[socket.socket], token: str) -> None:
    """Say it loudly where others than this machine's users can call, and need not know a token."""
    if token:
        return
    for each in sockets:
        if each.family == socket.AF_UNIX:
            continue
        address = each.getsockname()[0]
        if not ipaddress.ip_address(address.partition("%")[0]).is_loopback:
            logger.warning(
                "ANYBODY WHO REACHES %s CAN CALL THESE FUNCTIONS, for there is no token. Set the "
                "option token or tokenFile (or JSHOST_TOKEN), or listen on 127.0.0.1 only.",
                address,
            )
            return
