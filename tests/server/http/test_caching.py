"""ETags and the lifetime of cached results; tests/e2e/calls/test_cacheable has real caches."""

from __future__ import annotations

import time

import pytest
from support.fake_service import FakePool, FakeResponder, request_of

from jshost.exceptions import FunctionError
from jshost.protocol.values import body_hash
from jshost.server.http.caching import CacheScope, CachingSender, ResultTag

HASH = body_hash(b"{}").encode()
PUBLIC = CacheScope.of(False, False)


@pytest.mark.parametrize(
    ("has_token", "has_origins", "visibility", "vary"),
    [
        (False, False, b"public, ", b"accept"),
        (True, False, b"", b"accept, authorization"),
        (False, True, b"public, ", b"accept, origin"),
        (True, True, b"", b"accept, authorization, origin"),
    ],
)
def test_which_caches_may_share_a_result(
    has_token: bool, has_origins: bool, visibility: bytes, vary: bytes
) -> None:
    assert CacheScope.of(has_token, has_origins) == (visibility, vary)


def test_a_tag_is_read_back() -> None:
    tag = ResultTag(HASH, b"abc123", 1_700_000_000)
    assert ResultTag.all_in(tag.header()) == [tag]
    assert ResultTag.all_in(b'"other", ' + tag.header() + b', W/"x"') == [tag]


@pytest.mark.parametrize("given", [b"", b"*", b'"', b'"a-b-c"', b'W/"%s-zz-1"' % HASH])
def test_what_is_no_tag_of_ours_is_ignored(given: bytes) -> None:
    assert ResultTag.all_in(given) == []


@pytest.mark.parametrize(
    ("made_at_s", "rest_s"), [(1000, 60), (941, 1), (940, 0), (0, 0), (1001, 0)]
)
def test_how_long_a_result_is_still_valid(made_at_s: int, rest_s: int) -> None:
    assert ResultTag(HASH, b"a", made_at_s).fresh_s(60, 1000) == rest_s


def sender(
    responder: FakeResponder, pool: FakePool, given: bytes = b"", max_age_s: int = 60
) -> CachingSender:
    request = request_of(body=b"{}", hashed=True, if_none_match=given)
    return CachingSender(responder, request, pool, max_age_s, PUBLIC)


def test_a_result_gets_a_tag_and_an_age() -> None:
    responder = FakeResponder()
    sender(responder, FakePool()).send_result(b"thello")
    [(status, headers, body)] = responder.responses
    assert (status, body) == (200, b"hello")
    assert headers[b"cache-control"] == b"public, max-age=60"
    [tag] = ResultTag.all_in(headers[b"etag"])
    assert (tag.arguments, tag.code) == (HASH, b"abc123")


def test_a_valid_result_is_confirmed_for_the_rest_of_its_time() -> None:
    responder = FakeResponder()
    tag = ResultTag(HASH, b"abc123", int(time.time()) - 10)
    assert sender(responder, FakePool(), tag.header()).send_unchanged()
    [(status, headers, body)] = responder.responses
    assert (status, body) == (304, b"")
    assert headers[b"etag"] == tag.header()
    assert headers[b"cache-control"] in (b"public, max-age=50", b"public, max-age=49")


@pytest.mark.parametrize(
    "tag",
    [
        ResultTag(HASH, b"def456", int(time.time())),
        ResultTag(body_hash(b'{"a": 1}').encode(), b"abc123", int(time.time())),
        ResultTag(HASH, b"abc123", int(time.time()) - 61),
        ResultTag(HASH, b"abc123", int(time.time()) + 1000),
    ],
    ids=["other code", "other arguments", "too old", "from the future"],
)
def test_another_result_is_not_confirmed(tag: ResultTag) -> None:
    responder = FakeResponder()
    assert not sender(responder, FakePool(), tag.header()).send_unchanged()
    assert responder.responses == []


def test_while_workers_run_different_code_no_result_is_kept() -> None:
    responder, pool = FakeResponder(), FakePool()
    tag = ResultTag(HASH, b"abc123", int(time.time()))
    pool.fingerprint = ""
    mixed = sender(responder, pool, tag.header())
    assert not mixed.send_unchanged()
    mixed.send_result(b"j1")
    [(_, headers, _)] = responder.responses
    assert headers[b"cache-control"] == b"no-store"
    assert b"etag" not in headers


def test_an_error_is_sent_as_any_other() -> None:
    responder, error = FakeResponder(), FunctionError("no")
    sender(responder, FakePool()).send_error(error)
    assert responder.errors == [error]
