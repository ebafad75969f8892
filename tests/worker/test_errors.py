"""Exceptions as ERROR frames describe them."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

from jshost.worker.context import CallContext, HostContext
from jshost.worker.errors import (
    DEEPEST_CAUSE,
    MAX_PROPERTIES_BYTES,
    CallError,
    describe_error,
)


@pytest.fixture
def call() -> CallContext:
    return CallContext("f", "1", None, HostContext(ModuleType("config"), {}))


def raised(error: BaseException, cause: BaseException | None = None) -> BaseException:
    try:
        raise error from cause
    except BaseException as caught:  # noqa: BLE001  that is what is wanted
        return caught


def test_name_message_and_stack(call: CallContext) -> None:
    described = describe_error(raised(LookupError("no tea")), call)
    assert described["code"] == "function_failed"
    assert (described["name"], described["message"]) == ("LookupError", "no tea")
    assert described["stack"].startswith("Traceback (most recent call last):")
    assert described["stack"].endswith("LookupError: no tea")
    assert "properties" not in described
    assert "cause" not in described


def test_a_cancelled_call_says_so(call: CallContext) -> None:
    call.signal.aborted = True
    assert describe_error(raised(LookupError()), call)["code"] == "cancelled"


def test_a_call_error_is_its_envelope(call: CallContext) -> None:
    error = CallError("arguments", "f() is wrong", "TypeError")
    assert describe_error(error, call) is error.envelope


def test_public_attributes_with_a_json_form_are_properties(call: CallContext) -> None:
    error: Any = ValueError("no")
    error.status = 404
    error.details = {"items": [1, None]}
    error._private = 1
    error.handle = object()
    error.long = "x" * MAX_PROPERTIES_BYTES
    properties = describe_error(error, call)["properties"]
    assert properties == {"status": 404, "details": {"items": [1, None]}}


def test_causes_are_described_to_a_depth(call: CallContext) -> None:
    error = raised(KeyError("0"))
    for number in range(1, DEEPEST_CAUSE + 3):
        error = raised(KeyError(str(number)), error)
    described, depth = describe_error(error, call), 0
    while "cause" in described:
        described, depth = described["cause"], depth + 1
        assert "code" not in described
    assert depth == DEEPEST_CAUSE


def test_a_broken_exception_is_described_all_the_same(call: CallContext) -> None:
    class BrokenError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("broken too")

    described = describe_error(raised(BrokenError()), call)
    assert described["name"] == "BrokenError"
    assert "its message cannot be shown" in described["message"]
