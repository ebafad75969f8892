"""What a request says besides its body, and whether it may be asked. Runs in: host."""

from __future__ import annotations

import ipaddress
from urllib.parse import parse_qs

from jshost import wire
from jshost.exceptions import RemoteError, from_envelope
from jshost.options import HostOptions

__all__ = ["Headers", "check_hash", "is_allowed_host", "too_large"]

LOCAL_NAMES = ("localhost",)


class Headers:
    """The few headers that matter, out of one pass over all of them."""

    __slots__ = (
        "_timeout",
        "accept",
        "content_length",
        "content_type",
        "host",
        "origin",
        "request_id",
    )

    def __init__(self, headers: list[tuple[bytes, bytes]]) -> None:
        self.host = self.origin = self.accept = self.content_type = self._timeout = b""
        self.request_id = ""
        self.content_length = 0
        for name, value in headers:
            if name == b"host":
                self.host = value
            elif name == b"content-type":
                self.content_type = value
            elif name == b"content-length":
                self.content_length = int(value) if value.isdigit() else 0
            elif name == b"accept":
                self.accept = value
            elif name == b"jshost-timeout":
                self._timeout = value
            elif name == b"origin":
                self.origin = value
            elif name == b"x-request-id":
                self.request_id = _safe_id(value)

    def timeout_s(self) -> float | None:
        """The caller's limit in seconds, or None.

        Raises:
            RequestError: the header is not a number of seconds.
        """
        if not self._timeout:
            return None
        try:
            seconds = float(self._timeout)
        except ValueError:
            seconds = -1.0
        if not 0 < seconds < 1e9:
            value = self._timeout.decode("latin-1")
            message = f"The header JSHost-Timeout must be a number of seconds, not {value!r}"
            raise from_envelope({"code": "bad_request", "message": message})
        return seconds

    def require_json(self) -> None:
        """Raises: RequestError: the body's content type is not JSON."""
        if self.content_type == b"application/json":
            return
        kind, _, parameters = self.content_type.lower().decode("latin-1").partition(";")
        charset = parameters.partition("charset=")[2].strip(' "')
        if kind.strip() != "application/json" or charset not in ("", "utf-8", "utf8"):
            got = self.content_type.decode("latin-1") or "no content type"
            message = f"Send a JSON object with Content-Type: application/json, not {got}"
            raise from_envelope({"code": "not_json", "message": message})

    @property
    def wants_json(self) -> bool:
        return b"application/json" in self.accept


def check_hash(query: bytes, body: bytes) -> None:
    """Raises: RequestError: the query has a hash, and it is not the body's."""
    actual = wire.body_hash(body)
    if query == b"hash=" + actual.encode():
        return
    given = parse_qs(query.decode("latin-1"), keep_blank_values=True).get("hash")
    if given is None or all(value.lower() == actual for value in given):
        return
    message = (
        f"The hash in the URL is {given[0][:64]!r}, but the body's SHA-1 is {actual}. Hash exactly "
        "the bytes that are sent."
    )
    raise from_envelope({"code": "wrong_hash", "message": message})


def too_large(size: int, limit: int) -> RemoteError:
    message = (
        f"The body has {size} bytes or more, over the limit of {limit}. Raise the option "
        "requestDataLimit (request_data_limit in Python) if it should be allowed."
    )
    return from_envelope({"code": "body_too_large", "message": message})


def is_allowed_host(header: str, options: HostOptions) -> bool:
    """A DNS name must be ours: rebinding needs one. An address cannot be rebound."""
    name = header.rpartition(":")[0] if header.rpartition(":")[2].isdigit() else header
    name = name.lower().rstrip(".")
    allowed = [entry.lower() for entry in options.allowed_hosts]
    if name in (*LOCAL_NAMES, "", options.address.lower()) or name in allowed or "*" in allowed:
        return True
    if name.endswith(".localhost"):
        return True
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def _safe_id(value: bytes) -> str:
    """A caller's request id, as far as it may stand in a log line or a header."""
    text = value.decode("latin-1")[:128]
    return text if text.isascii() and text.isprintable() else ""
