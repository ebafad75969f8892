"""Values: all that has a form goes through, the rest is an error that names its place."""

from __future__ import annotations

import io
import json
import math
from typing import Any

import pytest
from protocol.test_values_table import CUT, NOTE, VECTORS, Expressions, is_same, refusal, vectors
from support.hosts import RunningHost, StartHost
from support.ids import id_of

from jshost.exceptions import ArgumentsError, FunctionError

pytestmark = pytest.mark.versions

CONFIG = {
    "host.config.py": """
import dataclasses, functools, math

include = ["host.config.js", "rows.config.py", "rows.config.js"]

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
    # What the rows of tests/vectors/values.json run in.
    "note.txt": NOTE,
    "rows.config.py": "\n".join(VECTORS["python"])
    + """
def open(name, *mode): return Path(__file__).with_name(name).open(*mode)

def python_sees(value, text):
    expected = eval(text)
    return (type(value), repr(value)) == (type(expected), repr(expected)) or repr(value)

def python_echoes(value): return value
def python_gives(text): return eval(text)
async def python_gives_async(text): return eval(text)

functions = {f.__name__: f for f in (
    python_sees, python_echoes, python_gives, python_gives_async,
)}
""",
    "rows.config.js": "\n".join(VECTORS["javascript"])
    + """
const {inspect, isDeepStrictEqual} = require('node:util');

module.exports = {
  functions: {
    javascript_sees({value, text}) {
      return isDeepStrictEqual(value, eval(`(${text})`)) || inspect(value);
    },
    javascript_echoes: ({value}) => value,
    javascript_gives: ({text}) => eval(`(${text})`),
    javascript_gives_async: async ({text}) => eval(`(${text})`),
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


# The vectors


@pytest.fixture(scope="module")
def value_of(tmp_path_factory: pytest.TempPathFactory) -> Expressions:
    return Expressions(tmp_path_factory.mktemp("values"))


@vectors("arguments")
def test_what_a_function_sees_of_an_argument(
    shared_host: RunningHost, value_of: Expressions, row: dict[str, Any]
) -> None:
    seen = {"python_sees": row.get("python", row["py"]), "javascript_sees": row.get("js")}
    for name, text in seen.items():
        function = shared_host.function(name)
        with value_of.opened(row["py"]) as value:
            if text is not None:
                assert function.call(value=value, text=text) is True
                continue
            with pytest.raises(ArgumentsError) as caught:
                function.call(value=value, text="")
        assert (caught.value.status, caught.value.error_name) == (422, "TypeError")
        assert caught.value.message == f"argument value: {row['refusedByJavaScript']}"


@vectors("arguments")
def test_what_comes_back_of_an_argument(
    shared_host: RunningHost, value_of: Expressions, row: dict[str, Any]
) -> None:
    python = value_of(row.get("python", row["py"]))
    wanted = {"python_echoes": python}
    if "js" in row:
        wanted["javascript_echoes"] = value_of(row["back"]) if "back" in row else python
    for name, result in wanted.items():
        with value_of.opened(row["py"]) as value:
            assert is_same(shared_host.function(name).call(value=value), result)


def given(host: RunningHost, language: str, text: str) -> list[Any]:
    """What functions that give this value are answered with, exceptions in the place of results."""
    names = [f"{language}_gives", f"{language}_gives_async"]
    return [host.function(name).map([{"text": text}])[0] for name in names]


@vectors("arguments")
def test_what_python_returns(
    shared_host: RunningHost, value_of: Expressions, row: dict[str, Any]
) -> None:
    wanted = value_of(row.get("python", row["py"]))
    for result in given(shared_host, "python", row["py"]):
        assert is_same(result, wanted)


@vectors("pythonResults")
def test_what_python_returns_besides(
    shared_host: RunningHost, value_of: Expressions, row: dict[str, Any]
) -> None:
    for result in given(shared_host, "python", row["py"]):
        assert is_same(result, value_of(row["python"]))


@vectors("results")
def test_what_javascript_returns(
    shared_host: RunningHost, value_of: Expressions, row: dict[str, Any]
) -> None:
    for result in given(shared_host, "javascript", row["js"]):
        assert is_same(result, value_of(row["python"]))


def assert_refused(results: list[Any], place: str, row: dict[str, Any]) -> None:
    for error in results:
        assert isinstance(error, FunctionError)
        assert error.code == "unserializable_result"
        assert error.error_name == row.get("error", "TypeError")
        assert refusal("result", place, row).match(error.message), error.message


@vectors("refusedArguments")
def test_what_python_cannot_return(shared_host: RunningHost, row: dict[str, Any]) -> None:
    if not row.get("streams"):
        assert_refused(given(shared_host, "python", row["py"]), "", row)
    inside = f"{{'options': {{'items': [1, 2, 3, {{'price': {row['py']}}}]}}}}"
    assert_refused(given(shared_host, "python", inside), "options.items[3].price", row)


@vectors("refusedResults")
def test_what_javascript_cannot_return(shared_host: RunningHost, row: dict[str, Any]) -> None:
    if not row.get("inside"):
        assert_refused(given(shared_host, "javascript", row["js"]), "", row)
    if not row.get("alone"):
        inside = f"{{options: {{items: [1, 2, 3, {{price: {row['js']}}}]}}}}"
        place = "" if row.get("place") == CUT else "options.items[3].price"
        assert_refused(given(shared_host, "javascript", inside), place, row)


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
    ("(function* () { yield 1; yield [2]; })()", [1, [2]]),
    ("(async function* () { yield 1; return 'end'; })()", "end"),
    ("(function* () {})()", []),
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
    ("(x for x in 'ab')", ["a", "b"]),
    ("(x for x in '')", []),
]

JS_INNER_BYTES: list[tuple[str, Any]] = [
    ("({data: new Uint8Array([1])})", {"data": b"\1"}),
    ("[Buffer.from('a'), [new Uint8Array([0, 13, 10, 45, 45]).buffer]]", [b"a", [b"\0\r\n--"]]),
    ("({'a/b~c': {'': Buffer.from('x')}, n: null})", {"a/b~c": {"": b"x"}, "n": None}),
]
PY_INNER_BYTES: list[tuple[str, Any]] = [
    ("{'data': b'x'}", {"data": b"x"}),
    ("[bytearray(b'a'), (memoryview(b'\\0\\r\\n--'),)]", [b"a", [b"\0\r\n--"]]),
    ("{'a/b~c': {'': b'x'}, 'n': None}", {"a/b~c": {"": b"x"}, "n": None}),
]


@pytest.mark.parametrize(
    ("ways", "text", "result"),
    [(JS_WAYS, *row) for row in JS_INNER_BYTES] + [(PY_WAYS, *row) for row in PY_INNER_BYTES],
)
def test_bytes_at_any_depth_of_a_result(
    shared_host: RunningHost, ways: list[str], text: str, result: Any
) -> None:
    for way in ways:
        response = shared_host.function(way).send_request(text=text)
        assert response.headers["content-type"].startswith("multipart/form-data; boundary=")
        assert shared_host.function(way).call(text=text) == result


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
    ("new Float64Array([1.5])", "result: a Float64Array"),
    ("({data: new Uint16Array([1])})", "result data: a Uint16Array"),
    ("[(function* () { yield 1; })()]", "result [0]: a Generator has no JSON form"),
]

PY_UNSAYABLE = [
    ("math.nan", "result: nan has no JSON form"),
    ("-math.inf", "result: -inf has no JSON form"),
    ("{'rows': [{'x': 1}, {'x': math.nan}]}", "result rows[1].x: nan"),
    ("(1, (2, math.inf))", "result [1][1]: inf"),
    ("circular()", "result a.b[0]: the structure"),
    ("{1, 2}", "result: a set has no JSON form; pass a list"),
    ("{'tags': [frozenset()]}", "result tags[0]: a frozenset"),
    ("object()", "result: an object"),
    ("{'items': [{'price': Money()}]}", "result items[0].price: a host_config.Money"),
    ("{'type': Money}", "result type: a type"),
    ("[1j]", "result [0]: a complex"),
    ("{'cells': {(1, 2): 3}}", "result cells: the key (1, 2)"),
    ("[(x for x in 'ab')]", "result [0]: a generator has no JSON form"),
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
    "value", [b"", BYTES, bytearray(b"a"), memoryview(b"b"), io.BytesIO(b"c")], ids=id_of
)
def test_bytes_at_any_depth_of_the_arguments(
    shared_host: RunningHost, name: str, value: Any
) -> None:
    sent = bytes(value) if not isinstance(value, io.BytesIO) else value.getvalue()
    data = {"a": value, "b": {"list": [1, value, None]}, "data": value, "c": None}
    wanted = {"a": sent, "b": {"list": [1, sent, None]}, "data": sent, "c": None}
    if isinstance(value, io.BytesIO):
        data, wanted = {"a": io.BytesIO(sent)}, {"a": sent}  # a file is read once
    assert shared_host.function(name).call(**data) == wanted


@both_languages
@pytest.mark.parametrize(
    ("value", "error", "said"),
    [
        (math.nan, ValueError, "argument value: nan"),
        ([{"x": [1, math.inf]}], ValueError, "argument value[0].x[1]: inf"),
        ({"tags": {1, 2}}, TypeError, "argument value.tags: a set"),
        ([io.StringIO("x")], TypeError, "argument value[0]: a "),
        ({(1, 2): 3}, TypeError, "argument value: the key (1, 2)"),
        (object(), TypeError, "argument value: an object"),
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
