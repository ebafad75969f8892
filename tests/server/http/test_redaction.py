"""What callers see of an error with exposeErrors off, and what the log has."""

from __future__ import annotations

import logging

import pytest

from jshost.exceptions import CODES, FunctionError, from_envelope
from jshost.server.http.redaction import REDACTED, redact


@pytest.mark.parametrize("code", CODES)
def test_only_what_functions_say_is_hidden(code: str) -> None:
    error = from_envelope({"code": code, "message": "the password is x"}, name="f")
    error.request_id = "id-1"
    seen = redact(error)
    assert (seen is not error) == (code in REDACTED)
    if seen is not error:
        assert type(seen) is type(error)
        assert (seen.message, seen.code, seen.name) == ("internal error id-1", code, "f")
        assert "password" not in str(seen.envelope())


def test_the_log_has_all_of_it(caplog: pytest.LogCaptureFixture) -> None:
    error = FunctionError("outer", name="f", request_id="id-1")
    error.__cause__ = FunctionError("inner", stack="Error: inner\n    at g")
    with caplog.at_level(logging.ERROR, "jshost.host"):
        redact(error)
    [record] = caplog.records
    assert record.getMessage() == ("[id-1] f failed: f: outer\nCaused by: Error: inner\n    at g")
    assert getattr(record, "fields") == {"function": "f", "requestId": "id-1"}  # noqa: B009
