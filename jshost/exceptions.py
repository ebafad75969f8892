"""The errors that jshost raises. Runs in: every process.

::

    JSHostError
    ├── ConfigError           a setting, an option or a config file is wrong
    ├── ConnectionError       no host answers (also a builtin ConnectionError)
    ├── UnexpectedResponse    what answered does not speak jshost's protocol
    └── RemoteError           the host answered with an error
        ├── RequestError      the host refused the request        400 401 403 405 413 415
        ├── FunctionNotFound  no function of that name            404
        ├── ArgumentsError    arguments do not fit (a TypeError)  422
        ├── FunctionError     the function failed                 500
        ├── ProcessError      the worker or host process died     502
        ├── HostUnavailable   queue full, starting or draining    503
        └── FunctionTimeout   the deadline passed (a TimeoutError) 504

`CODES` is the one table from an error's code, as it travels in the JSON envelope, to its HTTP
status and its class.
"""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from typing import Any

__all__ = [
    "CODES",
    "ArgumentsError",
    "ConfigError",
    "ConnectionError",
    "FunctionError",
    "FunctionNotFound",
    "FunctionTimeout",
    "HostUnavailable",
    "JSHostError",
    "ProcessError",
    "RemoteError",
    "RequestError",
    "UnexpectedResponse",
    "from_envelope",
    "from_stranger",
]

DEEPEST_CAUSE = 5
"""How many errors of a chain of causes travel, beside the one that was raised last."""


class JSHostError(Exception):
    """The base of every error that jshost raises."""


class ConfigError(JSHostError):
    """A setting, an option or a config file is wrong; the text says which, and how to mend it."""


class ConnectionError(JSHostError, builtins.ConnectionError):
    """No host answers at the address in the text."""


class UnexpectedResponse(JSHostError):
    """What answered is not a jshost host, or speaks another protocol."""


class RemoteError(JSHostError):
    """An error that the host, or a function on it, answered with.

    Attributes:
        name: the function's name, or None where no function was involved.
        message: what went wrong, without names or stack.
        stack: the remote stack or traceback, or "".
        error_name: the remote error's class ("TypeError"), or "".
        code: a key of `CODES`.
        status: the HTTP status that belongs to the code.
        request_id: the id under which both sides logged the call, or None.
        properties: what else the remote error had: a JavaScript error's own properties (`code`),
            a Python exception's public attributes.

    Its `__cause__` is the remote error's cause, where there was one: a `FunctionError` as well.
    """

    default_code = "function_failed"

    def __init__(
        self,
        message: str = "",
        *,
        name: str | None = None,
        stack: str = "",
        error_name: str = "",
        code: str | None = None,
        request_id: str | None = None,
        properties: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.name = name
        self.message = message
        self.stack = stack
        self.error_name = error_name
        self.code = code if code is not None else self.default_code
        self.request_id = request_id
        self.properties = dict(properties) if properties is not None else {}

    def __str__(self) -> str:
        headline = f"{self.error_name}: {self.message}" if self.error_name else self.message
        if self.name is not None:
            headline = f"{self.name}: {headline}"
        if not self.stack:
            return headline
        if self.error_name and self.stack.startswith(f"{self.error_name}: {self.message}"):
            return f"{self.name}: {self.stack}" if self.name is not None else self.stack
        return f"{headline}\n{self.stack}"

    @property
    def status(self) -> int:
        return CODES[self.code][0] if self.code in CODES else 500

    def envelope(self) -> dict[str, Any]:
        """The JSON object that stands for this error on the wire; `from_envelope` reads it."""
        return {
            "code": self.code,
            **self._details(0),
            "function": self.name,
            "requestId": self.request_id,
        }

    def _details(self, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {
            "name": self.error_name,
            "message": self.message,
            "stack": self.stack,
        }
        if self.properties:
            found["properties"] = self.properties
        if isinstance(self.__cause__, RemoteError) and depth < DEEPEST_CAUSE:
            found["cause"] = self.__cause__._details(depth + 1)
        return found

    def __reduce__(self) -> tuple[Any, ...]:
        cause = self.__cause__ if isinstance(self.__cause__, RemoteError) else None
        return _rebuild, (type(self), self.args, self.__dict__, cause)


def _rebuild(
    cls: type[RemoteError],
    args: tuple[Any, ...],
    state: dict[str, Any],
    cause: RemoteError | None,
) -> RemoteError:
    """Unpickle: multiprocessing and Celery carry exceptions between processes."""
    error = cls(*args)
    error.__dict__.update(state)
    if cause is not None:
        error.__cause__ = cause
    return error


class RequestError(RemoteError):
    """The host refused the request: its body, its headers or its method."""

    default_code = "bad_request"
    allow = "POST"
    """The methods that there are, where it was refused for its method."""


class FunctionNotFound(RemoteError):
    """The host has no function of that name."""

    default_code = "unknown_function"


class ArgumentsError(RemoteError, TypeError):
    """The arguments do not fit the function, or cannot be carried to its language unchanged."""

    default_code = "arguments"


class FunctionError(RemoteError):
    """The function failed; the text begins with its name and ends with the remote stack.

    Example:
        >>> try:
        ...     Function("double").call()
        ... except FunctionError as error:
        ...     assert error.error_name == "Error"
        ...     assert error.message == "No number was provided"
    """

    default_code = "function_failed"


class ProcessError(RemoteError):
    """A worker or host process could not start, or died while it ran the call."""

    default_code = "worker_died"


class HostUnavailable(RemoteError):
    """The host takes no more calls for now: its queue is full, or it is starting or draining."""

    default_code = "queue_full"


class FunctionTimeout(RemoteError, TimeoutError):
    """The deadline passed before the function answered; the work was stopped."""

    default_code = "timeout"


CODES: Mapping[str, tuple[int, type[RemoteError]]] = {
    "bad_request": (400, RequestError),
    "malformed_json": (400, RequestError),
    "malformed_multipart": (400, RequestError),
    "not_an_object": (400, RequestError),
    "wrong_hash": (400, RequestError),
    "host_not_allowed": (400, RequestError),
    "unauthorized": (401, RequestError),
    "origin_not_allowed": (403, RequestError),
    "unknown_function": (404, FunctionNotFound),
    "not_found": (404, RequestError),
    "method_not_allowed": (405, RequestError),
    "body_too_large": (413, RequestError),
    "not_json": (415, RequestError),
    "arguments": (422, ArgumentsError),
    "unsafe_integer": (422, ArgumentsError),
    "function_failed": (500, FunctionError),
    "unserializable_result": (500, FunctionError),
    "load_failed": (500, FunctionError),
    "cancelled": (500, FunctionError),
    "worker_died": (502, ProcessError),
    "queue_full": (503, HostUnavailable),
    "starting": (503, HostUnavailable),
    "draining": (503, HostUnavailable),
    "timeout": (504, FunctionTimeout),
}


def from_stranger(name: str, status: int, text: str) -> JSHostError:
    """What an answer means that no host sent: it has no envelope.

    Args:
        name: what was called.
        status, text: the answer's.
    """
    if status in (502, 503, 504):
        return ConnectionError(
            f"{name}: status {status}, not as a jshost host answers calls: a proxy reaches none, "
            "or lost the one that it asked, so that the call may have run; or a host has no room "
            f"for connections. It says: {text[:200]!r}"
        )
    return UnexpectedResponse(
        f"{name}: status {status}, not as a jshost host answers: {text[:200]!r}"
    )


def from_envelope(
    envelope: Mapping[str, Any],
    *,
    name: str | None = None,
    cls: type[RemoteError] | None = None,
) -> RemoteError:
    """Build the error that a JSON envelope stands for.

    Args:
        envelope: ``{code, name, message, stack, function, requestId, properties, cause}``, all
            but code optional; cause is ``{name, message, stack, properties, cause}``.
        name: the function's name, where the envelope does not give it.
        cls: the class of the error, in the place of the code's.

    Returns:
        An instance of `cls`, or of the class that `CODES` gives for the code; `FunctionError` for
        codes that this version does not know.
    """
    return _from_envelope(envelope, name, 0, cls)


def _from_envelope(
    envelope: Mapping[str, Any],
    name: str | None,
    depth: int,
    cls: type[RemoteError] | None = None,
) -> RemoteError:
    code = str(envelope.get("code") or "function_failed")
    _, usual = CODES.get(code, (500, FunctionError))
    properties = envelope.get("properties")
    error = (cls or usual)(
        str(envelope.get("message") or ""),
        name=envelope.get("function") or name,
        stack=str(envelope.get("stack") or ""),
        error_name=str(envelope.get("name") or ""),
        code=code,
        request_id=envelope.get("requestId"),
        properties=properties if isinstance(properties, Mapping) else None,
    )
    cause = envelope.get("cause")
    if isinstance(cause, Mapping) and depth < DEEPEST_CAUSE:
        error.__cause__ = _from_envelope(cause, None, depth + 1)
    return error
