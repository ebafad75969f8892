"""Checks of Origin, Host and token, and the answer to CORS preflights. Runs in: host."""

from __future__ import annotations

import hmac
import ipaddress

from jshost.exceptions import RequestError, from_envelope
from jshost.pool.options import HostOptions
from jshost.server.http.request import Headers, IncomingRequest
from jshost.server.http.responses import Header

__all__ = ["AccessControl", "is_allowed_host", "is_preflight", "preflight_headers"]

OPEN_PATHS = ("/health", "/ready")
"""Supervisors and load balancers have no token. These pages show nothing else."""
MAX_KNOWN_HOSTS = 100


class AccessControl:
    """Decides from its head whether a request may be answered at all.

    Args:
        options: the host's.
        token: the token that callers must send; "": none.
    """

    def __init__(self, options: HostOptions, token: str) -> None:
        self._options = options
        self._token = token.encode()
        self._known_hosts: set[bytes] = set()

    def check(self, request: IncomingRequest) -> None:
        """Raises: RequestError: the request is refused."""
        headers = request.headers
        if headers.origin:
            self._check_origin(headers)
        if headers.host not in self._known_hosts:
            self._check_host(headers.host)
        if self._token and not is_preflight(request) and request.head.path not in OPEN_PATHS:
            self._check_token(headers.authorization)

    def _check_origin(self, headers: Headers) -> None:
        """Pages of other origins may not call, unless an option lists them."""
        origin = headers.origin.decode("latin-1")
        if origin not in self._options.allowed_origins:
            message = (
                f"The origin {origin!r} may not call this host. List it in the option "
                "allowedOrigins if it should."
            )
            raise from_envelope({"code": "origin_not_allowed", "message": message})
        headers.allowed_origin = headers.origin

    def _check_host(self, header: bytes) -> None:
        """Against DNS rebinding: a page whose own name resolves to this host may not call."""
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


def is_allowed_host(header: str, options: HostOptions) -> bool:
    """Whether a Host header names this host. Any IP address does: rebinding needs a DNS name."""
    name = header.rpartition(":")[0] if header.rpartition(":")[2].isdigit() else header
    name = name.lower().rstrip(".")
    allowed = [entry.lower() for entry in options.allowed_hosts]
    if name in ("localhost", "", options.address.lower()) or name in allowed or "*" in allowed:
        return True
    if name.endswith(".localhost"):
        return True
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def is_preflight(request: IncomingRequest) -> bool:
    """Whether it is the CORS preflight of an allowed page (Fetch, section 3.2.2)."""
    return request.head.method == "OPTIONS" and bool(request.headers.allowed_origin)


def preflight_headers(request: IncomingRequest) -> list[Header]:
    """The answer to a preflight; `ServerConnection` adds the allowed origin."""
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
