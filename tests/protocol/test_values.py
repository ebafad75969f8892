"""Values to bytes and back: the documented rules, the places in errors, the hash."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import json
import math
import pathlib
import uuid
from collections import OrderedDict, namedtuple
from collections.abc import Callable
from typing import Any

import pytest
from support.ids import id_of

from jshost.protocol import values


class Color(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Kind(str, enum.Enum):  # noqa: UP042  as in older code
    PAGE = "page"


class Nested(enum.Enum):
    WHEN = datetime.date(2024, 2, 29)


@dataclasses.dataclass
class Item:
    name: str
    price: Any


@dataclasses.dataclass(slots=True)
class Slotted:
    when: datetime.date


class Custom:
    def __init__(self, value: Any) -> None:
        self.value = value

    def __json__(self) -> Any:
        return self.value


@dataclasses.dataclass
class CustomItem(Custom):
    value: Any


Point = namedtuple("Point", "x y")
UTC = datetime.UTC

RULES = [
    (datetime.datetime(2024, 2, 29, 12, 30, 1, 5), "2024-02-29T12:30:01.000005"),
    (datetime.datetime(2024, 2, 29, 12, 30, tzinfo=UTC), "2024-02-29T12:30:00+00:00"),
    (datetime.date(2024, 2, 29), "2024-02-29"),
    (datetime.time(23, 59), "23:59:00"),
    (decimal.Decimal("1.10"), "1.10"),
    (decimal.Decimal("1E+3"), "1E+3"),
    (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    (pathlib.PurePosixPath("/a/b"), "/a/b"),
    (pathlib.Path("a"), "a"),
    (Color.RED, "red"),
    (Level.HIGH, 3),
    (Kind.PAGE, "page"),
    (Nested.WHEN, "2024-02-29"),
    (Item("tea", decimal.Decimal("1.10")), {"name": "tea", "price": "1.10"}),
    (Item("box", Item("tea", 1)), {"name": "box", "price": {"name": "tea", "price": 1}}),
    (Slotted(datetime.date(2024, 2, 29)), {"when": "2024-02-29"}),
    (Custom({"a": datetime.date(2024, 2, 29)}), {"a": "2024-02-29"}),
    (Custom(None), None),
    (Custom(Custom(0)), 0),
    (CustomItem(1), 1),
    (Point(1, 2), [1, 2]),
    ((1, (2,)), [1, [2]]),
    (OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
    (2**53 + 1, 9007199254740993),
    (10**40, 10**40),
    (0.1, 0.1),
    ("Größe 🙂", "Größe 🙂"),
    ("\ud800 alone", "\ud800 alone"),
    ("\x00\u2028", "\x00\u2028"),
    ({1: "a", None: "b", False: "c", 1.5: "d"}, {"1": "a", "null": "b", "false": "c", "1.5": "d"}),
    (False, False),
    ("", ""),
]


@pytest.mark.parametrize(("value", "wanted"), RULES, ids=[id_of(value) for value, _ in RULES])
def test_a_value_is_encoded_by_its_rule(value: Any, wanted: Any) -> None:
    assert json.loads(values.encode_arguments({"value": value})) == {"value": wanted}
    deep = values.encode_arguments({"deep": [{"in": value}]})
    assert json.loads(deep) == {"deep": [{"in": wanted}]}


# The bytes, and their hash


def test_the_bytes_are_those_of_json_dumps() -> None:
    arguments = {"b": [1, 2.5, "ü"], "a": {"z": None, "y": True}}
    body = values.encode_arguments(arguments)
    assert body == b'{"a": {"z": null, "y": true}, "b": [1, 2.5, "\\u00fc"]}'
    assert body == json.dumps(dict(sorted(arguments.items()))).encode()


def test_only_the_top_level_is_sorted() -> None:
    assert values.encode_arguments({"c": 1, "a": {"z": 1, "b": 2}, "b": 2}) == (
        b'{"a": {"z": 1, "b": 2}, "b": 2, "c": 1}'
    )


def test_no_arguments_are_an_empty_object() -> None:
    assert values.encode_arguments({}) == b"{}"


def test_the_hash_is_the_one_that_python_js_host_had() -> None:
    body = values.encode_arguments({"foo": "bar"})
    assert values.body_hash(body) == "bc4919c6adf7168088eaea06e27a5b23f0f9f9da"


def test_the_order_of_keyword_arguments_does_not_change_the_hash() -> None:
    assert values.encode_arguments({"a": 1, "b": 2}) == values.encode_arguments({"b": 2, "a": 1})


# What JSON cannot say


class Odd:
    pass


class Odds(enum.Enum):
    SET = frozenset({1})


async def coroutine() -> None:
    """Never awaited; closed by the test."""


def circular() -> list[Any]:
    value: list[Any] = [1]
    value.append({"again": value})
    return value


def too_deep() -> list[Any]:
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    return value


REFUSED: list[tuple[str, Callable[[], Any], type[Exception], str]] = [
    ("an object", Odd, TypeError, f"options.items[3].price: a {__name__}.Odd has no JSON form"),
    ("a class", lambda: Odd, TypeError, "options.items[3].price: a type has no JSON form"),
    ("a dataclass's class", lambda: Item, TypeError, "options.items[3].price: a type has"),
    ("a class with __json__", lambda: Custom, TypeError, "options.items[3].price: a type has"),
    ("a set", lambda: {1}, TypeError, "price: a set has no JSON form; pass a list"),
    ("a complex number", lambda: 1j, TypeError, "price: a complex has no JSON form"),
    ("nan", lambda: math.nan, ValueError, "options.items[3].price: nan has no JSON form"),
    ("infinity", lambda: math.inf, ValueError, "options.items[3].price: inf has no JSON form"),
    ("minus infinity", lambda: -math.inf, ValueError, "price: -inf has no JSON form"),
    ("a circle", circular, ValueError, "options.items[3].price[1].again: the structure contains"),
    ("a key", lambda: {(1, 2): 3}, TypeError, "price: the key (1, 2) is a tuple; use a string"),
    ("in a dataclass", lambda: Item("tea", {1}), TypeError, "price.price: a set has no JSON form"),
    ("in __json__", lambda: Custom([{1}]), TypeError, "price[0]: a set has no JSON form"),
    ("in an enum", lambda: Odds.SET, TypeError, "price: a frozenset has no JSON form"),
]


@pytest.mark.parametrize(
    ("make", "cls", "text"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED]
)
def test_an_error_names_the_values_place(
    make: Callable[[], Any], cls: type[Exception], text: str
) -> None:
    items: list[Any] = [{"price": 1}, {"price": 2}, {"price": 3}, {"price": make()}]
    with pytest.raises(cls) as caught:
        values.encode_arguments({"id": 7, "options": {"items": items, "more": None}})
    assert str(caught.value).startswith("argument options.items[3].price")
    assert text in str(caught.value)


def test_a_coroutine_gets_a_hint() -> None:
    forgotten = coroutine()
    with pytest.raises(TypeError, match=r"^argument user: a coroutine has no JSON form; await it"):
        values.encode_arguments({"user": forgotten})
    forgotten.close()


def test_what_is_nested_too_deeply_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="too deep"):
        values.encode_arguments({"tree": too_deep()})


def test_an_object_that_contains_itself_by_its_json() -> None:
    endless = Custom(None)
    endless.value = {"self": endless}
    with pytest.raises(ValueError, match=r"argument tree\.self: the structure contains itself"):
        values.encode_arguments({"tree": endless})


def test_the_same_object_twice_is_no_circle() -> None:
    item = Item("tea", 1)
    assert values.encode_arguments({"a": [item, item]}).count(b"tea") == 2


class Broken:
    def __init__(self, error: Exception) -> None:
        self.error = error

    def __json__(self) -> Any:
        raise self.error


@pytest.mark.parametrize("cls", [KeyError, ValueError, TypeError])
def test_an_error_in_json_is_shown_as_it_is(cls: type[Exception]) -> None:
    with pytest.raises(cls, match="no price is known"):
        values.encode_arguments({"tea": Broken(cls("no price is known"))})


# Encoders of one's own


class Complex(values.Encoder):
    def default(self, o: Any) -> Any:
        if isinstance(o, complex):
            return [o.real, o.imag]
        return super().default(o)


def test_an_encoder_adds_types_to_the_rules() -> None:
    arguments = {"at": 1 + 2j, "when": datetime.date(2024, 2, 29)}
    assert (
        values.encode_arguments(arguments, Complex) == b'{"at": [1.0, 2.0], "when": "2024-02-29"}'
    )
    with pytest.raises(TypeError, match="argument at: a complex has no JSON form"):
        values.encode_arguments(arguments)


def test_any_json_encoder_will_do() -> None:
    assert values.encode_arguments({"a": [1]}, json.JSONEncoder) == b'{"a": [1]}'
    with pytest.raises(TypeError, match=r"argument a: a datetime\.date has no JSON form"):
        values.encode_arguments({"a": datetime.date(2024, 2, 29)}, json.JSONEncoder)


# Django


def test_lazy_django_strings_are_strings() -> None:
    from django.utils.functional import lazystr
    from django.utils.text import format_lazy

    arguments = {"title": lazystr("Größe"), "more": [format_lazy("{}!", lazystr("Hi"))]}
    assert json.loads(values.encode_arguments(arguments)) == {"title": "Größe", "more": ["Hi!"]}
    assert values.encode_result([lazystr("a")]) == (values.JSON, b'["a"]')
