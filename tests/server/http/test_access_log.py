"""Lines of the access log."""

from __future__ import annotations

import logging
import time

import pytest
from support.fake_service import request_of

from jshost.server.http.access_log import REFUSALS, log_access, log_refusal


def test_a_request_is_a_line_with_fields(caplog: pytest.LogCaptureFixture) -> None:
    request = request_of("GET", b"/function/caf%C3%A9%0A?a=1")
    request.request_id = "id-1"
    with caplog.at_level(logging.INFO, "jshost.access"):
        log_access(request, 404, time.monotonic())
    [record] = caplog.records
    method, target, status, ms, unit, request_id = record.getMessage().split(" ")
    assert (method, target, status) == ("GET", "/function/caf%C3%A9%0A?a=1", "404")
    assert (float(ms) >= 0, unit, request_id) == (True, "ms", "id-1")
    fields = getattr(record, "fields")  # noqa: B009
    assert (fields["path"], fields["status"], fields["requestId"]) == (target, 404, "id-1")


def test_nothing_is_made_of_a_line_that_is_not_wanted(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "jshost.access"):
        log_access(request_of(), 200, time.monotonic())
    assert caplog.records == []


@pytest.mark.parametrize("status", REFUSALS)
def test_a_refusal_has_no_request(status: int, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "jshost.access"):
        log_refusal(status)
    assert [record.getMessage() for record in caplog.records] == [
        f"- - {status} {REFUSALS[status]}"
    ]
