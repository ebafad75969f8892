"""Calling a host's functions. Runs in: callers."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from jshost import wire
from jshost.conf import settings
from jshost.exceptions import (
    FunctionError,
    FunctionTimeout,
    RemoteError,
    UnexpectedResponse,
    from_envelope,
)
from jshost.transport import DeadlinePassed
from jshost.verbosity import FUNCTION_CALL, report

if TYPE_CHECKING:
    from jshost.host import JSHost
    from jshost.http1 import Response

__all__ = ["Function"]

HOST_ANSWERS_FIRST_S = 0.25
"""How much longer than the call's deadline we listen: the host's 504 says more than our clock."""


class _NotGiven:
    """Tells "no timeout was given" from `None`, which means "no limit"."""

    def __repr__(self) -> str:
        return "FUNCTION_TIMEOUT"

    def __reduce__(self) -> str:
        return "NOT_GIVEN"  # a copy, or what was unpickled, is still the one object


NOT_GIVEN: Any = _NotGiven()


class Function:
    """A function on a host, by name; in whichever language it is written.

    Args:
        name: its name in the config file.
        host: the host to call; None: `jshost.host.host`, looked up at the first call.
        timeout: seconds that a call may take, or None for no limit; by default the setting
            FUNCTION_TIMEOUT.
        exception_cls: what to raise when the function fails, instead of `FunctionError`.

    Example:
        >>> double = Function("double", timeout=2)
        >>> double.call(number=20)
        40
    """

    encoder: type[json.JSONEncoder] = wire.Encoder
    """What encodes the arguments; a subclass of `jshost.wire.Encoder` adds types to it."""

    def __init__(
        self,
        name: str,
        host: JSHost | None = None,
        timeout: float | None = NOT_GIVEN,
        exception_cls: type[Exception] | None = None,
    ) -> None:
        if not isinstance(name, str) or not name:
            raise TypeError(f"Function needs the name of a function, not {name!r}")
        if timeout is not NOT_GIVEN and not _is_limit(timeout):
            raise ValueError(
                f"Function({name!r}): timeout must be a number above 0, or None, not {timeout!r}"
            )
        self.name = name
        self.host = host
        self.timeout = timeout
        self.exception_cls = exception_cls
        self._target = f"/function/{quote(name, safe='')}?hash="

    def __repr__(self) -> str:
        return f"<Function {self.name}>"

    def get_host(self) -> JSHost:
        """The host that calls go to: `self.host`, else `jshost.host.host`."""
        if self.host is not None:
            return self.host
        from jshost.host import host

        return host

    def get_timeout(self) -> float | None:
        """Seconds that a call may take, or None for no limit."""
        if self.timeout is NOT_GIVEN:
            limit: float | None = settings.FUNCTION_TIMEOUT
            return limit
        return self.timeout

    def call(self, /, **arguments: Any) -> Any:
        """Call the function with one object of arguments and return its decoded result.

        Returns:
            What the function returned: str for a string, bytes for bytes, else the JSON value.
            With the setting RETURN_TEXT, the response's text.

        Raises:
            TypeError, ValueError: an argument that JSON cannot carry; nothing was sent.
            FunctionError: the function failed (or `exception_cls`).
            FunctionTimeout: no answer in time.
            RemoteError: anything else that the host refused or that went wrong on it; see
                `jshost.exceptions`.
            ConnectionError: no host answers.
        """
        return self._result(self.send_request(**arguments))

    def send_request(self, /, **arguments: Any) -> Response:
        """As `call`, with the HTTP response, whatever its status: `.status_code`, `.text`.

        Raises:
            TypeError, ValueError, FunctionTimeout, ConnectionError: as `call`.
        """
        body = wire.encode_arguments(arguments, self.encoder)
        timeout_s = self.get_timeout()
        patience_s = None if timeout_s is None else timeout_s + HOST_ANSWERS_FIRST_S
        began = time.monotonic()
        try:
            response = self.get_host().request(
                "POST", self._target + wire.body_hash(body), _headers(timeout_s), body, patience_s
            )
        except DeadlinePassed:
            spent = time.monotonic() - began
            raise FunctionTimeout(
                f"no answer within the limit of {timeout_s:g} s ({spent:.2f} s spent)",
                name=self.name,
            ) from None
        if settings.VERBOSITY >= FUNCTION_CALL:
            spent_ms = (time.monotonic() - began) * 1000
            report(FUNCTION_CALL, "%s: %d, %.1f ms", self.name, response.status_code, spent_ms)
        return response

    def _result(self, response: Response) -> Any:
        if response.status_code == 200:
            if settings.RETURN_TEXT:
                return response.text
            content_type = response.headers.get("content-type", "")
            try:
                return wire.decode_result(content_type, response.content)
            except ValueError as error:
                raise UnexpectedResponse(
                    f"{self.name}: the answer is not a jshost host's: {error}"
                ) from error
        failure = self._error(response)
        if self.exception_cls is not None and isinstance(failure, FunctionError):
            raise self._as_own(failure)
        raise failure

    def _error(self, response: Response) -> Exception:
        try:
            envelope = response.json()
        except ValueError:
            envelope = None
        if not isinstance(envelope, Mapping) or "code" not in envelope:
            return UnexpectedResponse(
                f"{self.name}: status {response.status_code}, not as a jshost host answers: "
                f"{response.text[:200]!r}"
            )
        return from_envelope(envelope, name=self.name)

    def _as_own(self, error: FunctionError) -> Exception:
        cls = self.exception_cls
        assert cls is not None
        if issubclass(cls, RemoteError):
            return from_envelope_as(cls, error)
        own = cls(str(error))
        own.__cause__ = error
        return own


def _is_limit(timeout: object) -> bool:
    return timeout is None or (isinstance(timeout, int | float) and timeout > 0)


@functools.lru_cache(maxsize=64)
def _headers(timeout_s: float | None) -> Mapping[str, str]:
    headers = {"Content-Type": "application/json", "Accept": "application/json, */*"}
    if timeout_s is not None:
        headers["JSHost-Timeout"] = repr(timeout_s)
    return headers


def from_envelope_as(cls: type[RemoteError], error: RemoteError) -> RemoteError:
    """The same error as an instance of `cls`."""
    return cls(
        error.message,
        name=error.name,
        stack=error.stack,
        error_name=error.error_name,
        code=error.code,
        request_id=error.request_id,
    )
