"""What a function says of caching, and what tells one version of its code from the next."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest

import jshost
from jshost.worker import caching


@jshost.cacheable(max_age=60)
def render(text: str = "") -> str:
    """Makes text."""
    return text


def plain() -> None:
    pass


def test_a_marked_function_is_the_same_function() -> None:
    assert render("x") == "x"
    assert render.__name__ == "render"
    assert render.__doc__ == "Makes text."


def test_ready_says_which_functions_are_cacheable() -> None:
    described = caching.describe({"render": render, "plain": plain}, [__file__])
    assert described["cacheable"] == {"render": 60}
    assert len(described["fingerprint"]) == caching.DIGITS


def test_ready_says_nothing_where_none_is() -> None:
    assert caching.describe({"plain": plain, "print": print}, [__file__]) == {}


def test_what_can_be_marked() -> None:
    class Model:
        @jshost.cacheable(max_age=5)
        def predict(self) -> None:
            pass

        def __call__(self) -> None:
            pass

    async def later() -> None:
        pass

    @jshost.cacheable(max_age=7)
    @functools.wraps(plain)
    def wrapped() -> None:
        pass

    functions: dict[str, Any] = {
        "method": Model().predict,
        "object": jshost.cacheable(max_age=6)(Model()),
        "async": jshost.cacheable(max_age=8)(later),
        "partial": jshost.cacheable(max_age=9)(functools.partial(plain)),
        "wrapped": wrapped,
    }
    ages = caching.describe(functions, [])["cacheable"]
    assert ages == {"method": 5, "object": 6, "async": 8, "partial": 9, "wrapped": 7}


@pytest.mark.parametrize("age", [0, -1, 1.5, True, None, "60", 365 * 86_400 + 1])
def test_what_is_no_age(age: Any) -> None:
    with pytest.raises(ValueError, match="whole seconds from 1 to 31536000"):
        jshost.cacheable(max_age=age)


def test_what_cannot_be_marked() -> None:
    with pytest.raises(TypeError, match="put it into a function of your own"):
        jshost.cacheable(max_age=60)(len)


def test_the_fingerprint_is_of_the_contents(tmp_path: Path) -> None:
    one, two = tmp_path / "one.py", tmp_path / "two.py"
    one.write_text("a = 1")
    two.write_text("b = 2")
    first = caching.fingerprint([str(one), str(two)])
    assert caching.fingerprint([str(two), str(one)]) == first
    two.touch()
    assert caching.fingerprint([str(one), str(two)]) == first
    two.write_text("b = 3")
    assert caching.fingerprint([str(one), str(two)]) != first


def test_the_fingerprint_is_of_what_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    first = caching.fingerprint([])
    (tmp_path / "tea-1.0.dist-info").mkdir()
    second = caching.fingerprint([])
    (tmp_path / "tea-1.0.dist-info").rename(tmp_path / "tea-1.1.dist-info")
    assert len({first, second, caching.fingerprint([])}) == 3


def test_a_file_that_is_not_there_has_no_contents() -> None:
    assert caching.fingerprint(["/nowhere/in.zip/module.py"])
