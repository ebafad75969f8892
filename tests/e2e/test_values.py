"""Values: all that JSON can say goes through, the rest is an error that names its place."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from conftest import RunningHost, StartHost

from jshost.exceptions import ArgumentsError, FunctionError

CONFIG = {
    "host.config.py": """
import dataclasses, functools, math

include = ["host.config.js"]

class Money: pass

@dataclasses.dataclass
class Point: x: float

class Unprintable(Exception):
    def __str__(self): raise RuntimeError("no text")

def circular():
    x = {"a": {}}
    x["a"]["b"] = [x]
    return x

def give_py(text): return eval(text)
async def give_async(text): return eval(text)
def raise_py(text): raise eval(text)
async def raise_async(text): raise eval(text)

def greet(name, *, punctuation="!"):
    return f"Hello, {name}{punctuation}"

async def greet_async(name, *, punctuation="!"):
    return greet(name, punctuation=punctuation)

class Greeter:
    def __call__(self, name): return greet(name)

@functools.wraps(greet)
def decorated(*args, **kwargs): return greet(*args, **kwargs)

def echo_py(**data): return data
def fails_inside(name): return len(3)
def calls_badly(name): return greet(nome=name)

functions = {f.__name__: f for f in (
    give_py, give_async, raise_py, raise_async, echo_py,
    greet, greet_async, fails_inside, calls_badly,
)}
partial = functools.partial(greet, punctuation="?")
functions |= {"greeter": Greeter(), "decorated": decorated, "partial": partial}
""",
    "host.config.js": """
module.exports = {
  functions: {
    give_js: ({text}) => eval(text),
    give_cb: ({text}, cb) => setImmediate(cb, null, eval(text)),
    give_promise: async ({text}) => eval(text),
    throw_now: ({text}) => { throw eval(text); },
    throw_promise: async ({text}) => { throw eval(text); },
    throw_later: ({text}, cb) => { setTimeout(() => { throw eval(text); }, 1); },
    throw_cb: ({text}, cb) => setImmediate(() => cb(eval(text))),
    echo_js: (data) => data,
  },
};
""",
}

JS_WAYS = ["give_js", "give_cb", "give_promise"]
PY_WAYS = ["give_py", "give_async"]
both_languages = pytest.mark.parametrize("name", ["echo_js", "echo_py"])


def outcomes(host: RunningHost, functions: list[str], text: str) -> list[FunctionError]:
    """What calls of these functions, which evaluate the text, raise."""
    errors = []
    for name in functions:
        with pytest.raises(FunctionError) as caught:
            host.function(name, timeout=5).call(text=text)
        errors.append(caught.value)
    return errors


# Results

BYTES = bytes(range(256))

JS_RESULTS: list[tuple[str, Any]] = [
    ("undefined", None),
    ("null", None),
    ("0", 0),
    ("false", False),
    ("''", ""),
    ("[[], {}, '', [null]]", [[], {}, "", [None]]),
    ("({at: new Date(0)})", {"at": "1970-01-01T00:00:00.000Z"}),
    ("({toJSON: () => undefined})", None),
    ("({none: null, toJSON() { return this; }})", {"none": None}),
    ("({word: 'null {}', none: null, empty: {}})", {"word": "null {}", "none": None, "empty": {}}),
    ("Object.assign(Object.create(null), {a: Object.create(null)})", {"a": {}}),
    ("((shared) => [shared, shared])({a: null})", [{"a": None}, {"a": None}]),
    ("[0.1, -1.5, 1e300, 5e-324, 1e21]", [0.1, -1.5, 1e300, 5e-324, 1e21]),
    ("[2 ** 53, -(2 ** 53 - 1)]", [2**53, -(2**53 - 1)]),
    ("Buffer.from(Array.from({length: 256}, (_, i) => i))", BYTES),
    ("new Uint8Array(258).map((_, i) => i - 1).subarray(1, 257)", BYTES),
    ("Buffer.alloc(0)", b""),
]

PY_RESULTS: list[tuple[str, Any]] = [
    ("None", None),
    ("0", 0),
    ("False", False),
    ("''", ""),
    ("[[], {}, '', (), [None]]", [[], {}, "", [], [None]]),
    ("[[1]] * 2", [[1], [1]]),
    ("[0.1, -1.5, 1e300, 5e-324, 1e21]", [0.1, -1.5, 1e300, 5e-324, 1e21]),
    ("[2**53 + 1, -(2**64), 10**40]", [2**53 + 1, -(2**64), 10**40]),
    ("bytes(range(256))", BYTES),
    ("bytearray(range(256))", BYTES),
    ("memoryview(bytes(range(256)))", BYTES),
    ("b''", b""),
]


@pytest.mark.parametrize(
    ("ways", "text", "result"),
    [(JS_WAYS, *row) for row in JS_RESULTS] + [(PY_WAYS, *row) for row in PY_RESULTS],
)
def test_results_come_back_decoded(
    shared_host: RunningHost, ways: list[str], text: str, result: Any
) -> None:
    kinds: dict[Any, str] = {str: "text/plain; charset=utf-8", bytes: "application/octet-stream"}
    for way in ways:
        function = shared_host.function(way)
        got = function.call(text=text)
        assert (type(got), got) == (type(result), result)
        content_type = function.send_request(text=text).headers["content-type"]
        assert content_type == kinds.get(type(result), "application/json")


JS_UNSAYABLE = [
    ("NaN", "result: NaN has no JSON form"),
    ("-Infinity", "result: -Infinity has no JSON form"),
    ("({rows: [{x: 1}, {x: NaN}]})", "result rows[1].x: NaN"),
    ("[1, [2, Infinity]]", "result [1][1]: Infinity"),
    ("({none: null, list: [null, 1], last: 0 / 0})", "result last: NaN"),
    ("({a: {toJSON: () => ({b: [NaN]})}})", "result a.b[0]: NaN"),
    ("({at: new Date('never')})", "result at: an invalid Date"),
    ("(() => { const x = {a: {}}; x.a.b = [x]; return x; })()", "result a.b[0]: the structure"),
    ("10n", "result: the BigInt 10n"),
    ("({items: [{price: 3n}]})", "result items[0].price: the BigInt 3n"),
    ("Symbol('s')", "result: a symbol"),
    ("() => 1", "result: a function"),
    ("new Set([1])", "result: a Set has no JSON form; return [...set]"),
    ("({options: new Map([['a', 1]])})", "result options: a Map has no JSON form"),
    ("[/x/]", "result [0]: a RegExp"),
    ("[Promise.resolve(1)]", "result [0]: a Promise"),
    ("({user: new (class User { #name = 'x'; })()})", "result user: a User"),
    ("({data: new Uint8Array([1])})", "result data: a Uint8Array"),
    ("new Float64Array([1.5])", "result: a Float64Array"),
    ("(function* () { yield 1; })()", "result: a generator"),
]

PY_UNSAYABLE = [
    ("math.nan", "result: nan has no JSON form"),
    ("-math.inf", "result: -inf has no JSON form"),
    ("{'rows': [{'x': 1}, {'x': math.nan}]}", "result rows[1].x: nan"),
    ("(1, (2, math.inf))", "result [1][1]: inf"),
    ("circular()", "result a.b[0]: the structure"),
    ("{1, 2}", "result: a set has no JSON form; pass a list"),
    ("{'tags': [frozenset()]}", "result tags[0]: a frozenset"),
    ("object()", "result: a object"),
    ("{'items': [{'price': Money()}]}", "result items[0].price: a host_config.Money"),
    ("{'type': Money}", "result type: a type"),
    ("[1j]", "result [0]: a complex"),
    ("{'data': b'x'}", "result data: a bytes"),
    ("{'cells': {(1, 2): 3}}", "result cells: the key (1, 2)"),
    ("(x for x in 'ab')", "result: a generator has no JSON form"),
    ("{'p': Point(math.nan)}", "result p.x: nan"),
]


@pytest.mark.parametrize(
    ("ways", "text", "begins"),
    [(JS_WAYS, *row) for row in JS_UNSAYABLE] + [(PY_WAYS, *row) for row in PY_UNSAYABLE],
)
def test_results_that_json_cannot_say(
    shared_host: RunningHost, ways: list[str], text: str, begins: str
) -> None:
    for error in outcomes(shared_host, ways, text):
        assert error.code == "unserializable_result"
        assert error.error_name in ("TypeError", "ValueError")
        assert error.message.startswith(begins)


# Throws


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("'text'", "text"),
        ("''", ""),
        ("42", "42"),
        ("0", "0"),
        ("false", "false"),
        ("undefined", "undefined"),
        ("null", "null"),
        ("10n", "10"),
        ("Symbol('why')", "Symbol(why)"),
        ("({code: 7, why: 'x'})", '{"code":7,"why":"x"}'),
        ("(() => { const x = {}; x.x = x; return x; })()", "[object Object]"),
        ("Object.create(null)", "{}"),
        ("({name: 'Refused', message: 'no'})", "no"),
    ],
)
def test_whatever_javascript_throws(shared_host: RunningHost, text: str, message: str) -> None:
    ways = ["throw_now", "throw_promise", "throw_later"]
    if text not in ("undefined", "null", "false", "0", "''"):  # which mean that all went well
        ways.append("throw_cb")
    for error in outcomes(shared_host, ways, text):
        assert error.code == "function_failed"
        assert error.message in (message, f"{message} was thrown")
        assert "a string was thrown" in error.stack or text != "'text'"


def test_an_error_that_cannot_be_shown_is_one_all_the_same(serve: StartHost) -> None:
    host = serve("host.config.js", CONFIG["host.config.js"])
    stack = "Object.defineProperty(new Error('x'), 'stack', {get() { throw 1; }})"
    for text in [stack, "Object.assign(new Error('x'), {name: Object.create(null)})"]:
        assert outcomes(host, ["throw_now"], text)[0].code == "function_failed"


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        ("SystemExit(3)", "SystemExit", "3"),
        ("KeyboardInterrupt()", "KeyboardInterrupt", ""),
        ("GeneratorExit()", "GeneratorExit", ""),
        ("Unprintable()", "Unprintable", "RuntimeError: no text"),
        ("ExceptionGroup('both', [KeyError(1)])", "ExceptionGroup", "both (1 sub-exception)"),
        ("StopIteration(1)", "StopIteration", "1"),
        ("'no exception'", "TypeError", "exceptions must derive from BaseException"),
    ],
)
def test_whatever_python_raises(
    shared_host: RunningHost, text: str, name: str, message: str
) -> None:
    workers = shared_host.worker_pids()
    for error in outcomes(shared_host, ["raise_py", "raise_async"], text):
        if error.message == "coroutine raised StopIteration":  # Python's own rule
            continue
        assert (error.code, error.error_name) == ("function_failed", name)
        assert message in error.message
        assert "raise eval(text)" in error.stack
    assert shared_host.worker_pids() == workers


# Arguments


@both_languages
@pytest.mark.parametrize(
    "data",
    [
        {"null": None, "zero": 0, "false": False, "empty": "", "list": [], "object": {}},
        {"a": {"b": [1, [2.5, {"c": None}]], "": True}, "": 1},
        {"numbers": [0.1, -1.5, 1e300, 5e-324, 1.7976931348623157e308, 2**53, -(2**53)]},
        {"self": 1, "name": 2, "this": 3, "constructor": 4, "__proto__": 5, "class": 6},
    ],
)
def test_arguments_go_through(shared_host: RunningHost, name: str, data: dict[str, Any]) -> None:
    got = shared_host.function(name).call(**data)
    assert json.dumps(got, sort_keys=True) == json.dumps(data, sort_keys=True)


@both_languages
@pytest.mark.parametrize(
    ("value", "error", "said"),
    [
        (math.nan, ValueError, "argument value: nan"),
        ([{"x": [1, math.inf]}], ValueError, "argument value[0].x[1]: inf"),
        ({"tags": {1, 2}}, TypeError, "argument value.tags: a set"),
        ([b"x"], TypeError, "argument value[0]: a bytes"),
        ({(1, 2): 3}, TypeError, "argument value: the key (1, 2)"),
        (object(), TypeError, "argument value: a object"),
    ],
)
def test_arguments_that_json_cannot_say(
    shared_host: RunningHost, name: str, value: Any, error: type[Exception], said: str
) -> None:
    with pytest.raises(error) as caught:
        shared_host.function(name).call(value=value)
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize("integer", [2**53 + 1, -(2**53) - 1, 2**60, 10**30])
def test_integers_that_javascript_would_round(shared_host: RunningHost, integer: int) -> None:
    data = {"text": f'"{integer}, ', "rows": [{"id": 1}, {"id": integer}]}
    assert shared_host.function("echo_py").call(**data) == data
    with pytest.raises(TypeError) as caught:
        shared_host.function("echo_js").call(**data)
    assert isinstance(caught.value, ArgumentsError)
    assert (caught.value.status, caught.value.code) == (422, "unsafe_integer")
    assert caught.value.message.startswith(f"argument rows[1].id: {integer} is beyond 2**53")


@pytest.mark.parametrize("value", [2**53, -(2**53), str(2**53 + 1), 0.12345678901234567, 1e40])
def test_long_numbers_that_javascript_can_hold(shared_host: RunningHost, value: Any) -> None:
    data = {"value": value, str(2**60): "9" * 20, "text": f'\\"{2**60}\\'}
    assert shared_host.function("echo_js").call(**data) == data


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("greet", {}, "'name'"),
        ("greet", {"name": "Foo", "shout": True}, "'shout'"),
        ("greet_async", {}, "'name'"),
        ("greet_async", {"nome": "Foo"}, "'name'"),
        ("greeter", {}, "'name'"),
        ("partial", {"nam": 1}, "'name'"),
        ("decorated", {}, "'name'"),
    ],
)
def test_arguments_that_do_not_fit(
    shared_host: RunningHost, name: str, arguments: dict[str, Any], said: str
) -> None:
    with pytest.raises(ArgumentsError) as caught:
        shared_host.function(name).call(**arguments)
    error = caught.value
    assert isinstance(error, TypeError)
    assert (error.status, error.error_name) == (422, "TypeError")
    assert error.message.startswith(f"{name}() ")
    assert said in error.message


def test_a_type_error_inside_is_the_functions_own(shared_host: RunningHost) -> None:
    for name, line in [("fails_inside", "len(3)"), ("calls_badly", "greet(nome=name)")]:
        with pytest.raises(FunctionError) as caught:
            shared_host.function(name).call(name="Foo")
        assert (caught.value.error_name, line in caught.value.stack) == ("TypeError", True)
