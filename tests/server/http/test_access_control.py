"""Origins, Host headers and tokens; tests/e2e/http/test_safety asks real hosts."""

from __future__ import annotations

import pytest
from support.fake_service import request_of

from jshost.exceptions import RequestError
from jshost.pool.options import HostOptions
from jshost.server.http.access_control import AccessControl, is_allowed_host, is_preflight

PAGE = b"https://app.example"
OPTIONS = HostOptions(allowed_origins=(PAGE.decode(),), allowed_hosts=("Render.Example",))


def refusal(access: AccessControl, **headers: bytes) -> str:
    with pytest.raises(RequestError) as caught:
        access.check(request_of(**headers))
    return caught.value.code


def test_only_listed_origins_may_call() -> None:
    access, request = AccessControl(OPTIONS, ""), request_of(origin=PAGE)
    access.check(request)
    assert request.headers.allowed_origin == PAGE
    assert refusal(access, origin=b"https://evil.example") == "origin_not_allowed"
    assert refusal(access, origin=b"null") == "origin_not_allowed"


@pytest.mark.parametrize(
    ("header", "allowed"),
    [
        ("", True),
        ("localhost", True),
        ("localhost:9009", True),
        ("app.localhost:9009", True),
        ("LOCALHOST.", True),
        ("127.0.0.1:9009", True),
        ("[::1]:9009", True),
        ("[::1]", True),
        ("192.0.2.7", True),
        ("render.example:80", True),
        ("evil.example", False),
        ("localhost.evil.example", False),
        ("render.example.evil.example", False),
    ],
)
def test_which_names_are_the_hosts(header: str, allowed: bool) -> None:
    assert is_allowed_host(header, OPTIONS) == allowed


def test_any_name_where_the_option_says_so() -> None:
    assert is_allowed_host("any.example", HostOptions(allowed_hosts=("*",)))


def test_a_foreign_host_header_is_refused_each_time() -> None:
    access = AccessControl(OPTIONS, "")
    for _ in range(2):
        assert refusal(access, host=b"evil.example") == "host_not_allowed"
        access.check(request_of(host=b"localhost"))


def test_a_token_is_asked_for() -> None:
    access = AccessControl(OPTIONS, "secret")
    access.check(request_of(authorization=b"Bearer secret"))
    access.check(request_of(authorization=b"bearer  secret "))
    for wrong in (b"", b"Bearer", b"Bearer other", b"Basic secret", b"secret"):
        assert refusal(access, authorization=wrong) == "unauthorized"


@pytest.mark.parametrize("path", [b"/health", b"/ready"])
def test_supervisors_need_no_token(path: bytes) -> None:
    AccessControl(OPTIONS, "secret").check(request_of("GET", path))


def test_a_preflight_has_no_token_and_only_a_listed_origin_makes_one() -> None:
    access = AccessControl(OPTIONS, "secret")
    preflight = request_of("OPTIONS", origin=PAGE)
    access.check(preflight)
    assert is_preflight(preflight)
    plain = request_of("OPTIONS")
    assert not is_preflight(plain)
    with pytest.raises(RequestError):
        access.check(plain)
