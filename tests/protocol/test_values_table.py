"""Values: both codecs, and the tables in docs/values.md, are what the vectors say.

``python tests/protocol/test_values_table.py`` writes the tables anew.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from jshost.function import Function
from jshost.host import JSHost
from jshost.protocol import results, values
from jshost.protocol.multipart import Part, encode_parts

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "values.md"
VECTORS: dict[str, Any] = json.loads(
    (ROOT / "tests" / "vectors" / "values.json").read_text(encoding="utf-8")
)
NOTE = "A note"
"""What is in the file that some expressions open."""

CUT = "…"


def vectors(section: str) -> pytest.MarkDecorator:
    """One test for each row, which it gets as `row`."""
    rows = VECTORS[section]
    return pytest.mark.parametrize("row", rows, ids=[row.get("py") or row["js"] for row in rows])


class Expressions:
    """Evaluates the rows' Python."""

    def __init__(self, folder: Path) -> None:
        (folder / "note.txt").write_text(NOTE)
        self._names: dict[str, Any] = {
            "__name__": "rows",
            "open": lambda name, *mode: (folder / name).open(*mode),
        }
        source = "\n".join(VECTORS["python"])
        exec(compile(source, "values.json", "exec", dont_inherit=True), self._names)

    def __call__(self, text: str) -> Any:
        return eval(text, self._names)

    @contextmanager
    def opened(self, text: str) -> Iterator[Any]:
        """The value; where it is a file, a generator or a coroutine, it is closed in the end."""
        value = self(text)
        yield value
        if not isinstance(value, type) and hasattr(value, "close"):
            value.close()


@pytest.fixture(scope="module")
def value_of(tmp_path_factory: pytest.TempPathFactory) -> Expressions:
    return Expressions(tmp_path_factory.mktemp("values"))


def is_same(one: Any, other: Any) -> bool:
    """Equal, with equal types and an equal order of keys; -0.0 is not 0.0."""
    return (type(one), repr(one)) == (type(other), repr(other))


def refusal(what: str, name: str, row: Mapping[str, Any]) -> re.Pattern[str]:
    """What the text of a row's error is where the value stands at `name`."""
    path = (name + row.get("place", "")).removeprefix(".")
    text = re.escape(f"{what} {path}".strip() + f": {row['says']}")
    return re.compile(text.replace(rf"\ {CUT}", CUT).replace(CUT, ".*") + r"\Z", re.DOTALL)


def inside(value: Any) -> dict[str, Any]:
    return {"options": {"items": [1, 2, 3, {"price": value}], "more": None}}


def as_body(row: Mapping[str, Any], name: str = "") -> tuple[str, bytes]:
    """The content type and the bytes that a row travels as; with a name, as an argument."""
    text = f'{{"{name}": {row["json"]}}}' if name else row["json"]
    pieces = {place: data.encode("latin-1") for place, data in row.get("parts", {}).items()}
    if not pieces:
        return "application/json", text.encode()
    if not name and "" in pieces:
        return "application/octet-stream", pieces[""]
    parts = [Part("data", "application/json", text.encode())]
    parts += [
        Part(f"{'/' * bool(name)}{name}{place}", "application/octet-stream", data)
        for place, data in pieces.items()
    ]
    return encode_parts(parts)


# Python's codec


@vectors("arguments")
def test_an_argument_travels_as_the_row_says(row: dict[str, Any], value_of: Expressions) -> None:
    with value_of.opened(row["py"]) as value:
        body, content_type = values.encode_call({"value": value})
    assert (content_type, body) == as_body(row, "value")


@vectors("arguments")
def test_a_python_function_gets_what_the_row_says(
    row: dict[str, Any], value_of: Expressions
) -> None:
    arguments = results.decode_call(*as_body(row, "value"))
    assert is_same(arguments["value"], value_of(row.get("python", row["py"])))


@vectors("refusedArguments")
def test_a_refused_argument_is_named_before_anything_is_sent(
    row: dict[str, Any], value_of: Expressions
) -> None:
    nowhere = Function("function", JSHost(root_url="http://127.0.0.1:9"))
    for what in ({"value": ...}, inside(...)):
        place = "value" if "value" in what else "options.items[3].price"
        with value_of.opened(row["py"]) as value:
            arguments = {"value": value} if "value" in what else inside(value)
            with pytest.raises((TypeError, ValueError)) as caught:
                nowhere.call(**arguments)
        assert type(caught.value).__name__ == row["error"]
        assert refusal("argument", place, row).match(str(caught.value))
        assert len(str(caught.value)) < 400


@vectors("results")
def test_a_result_of_javascript_is_read_as_the_row_says(
    row: dict[str, Any], value_of: Expressions
) -> None:
    if "text" in row:
        answer = "text/plain; charset=utf-8", row["text"].encode()
    elif "bytes" in row:
        answer = "application/octet-stream", row["bytes"].encode("latin-1")
    else:
        answer = as_body(row)
    assert is_same(results.decode_result(*answer), value_of(row["python"]))


# The tables


def code(text: str) -> str:
    assert "`" not in text
    return f"`{text}`".replace("|", r"\|")


def sizes(parts: Mapping[str, str]) -> str:
    return ", ".join(
        f"{len(data)} byte{'s' * (len(data) != 1)}" + (f" at {code(place)}" if place else "")
        for place, data in parts.items()
    )


def travels(row: Mapping[str, Any]) -> str:
    if "text" in row:
        text = row["text"]
        return f"the text {code(text)}" if text and text.isprintable() else "the text"
    if "bytes" in row:
        return sizes({"": row["bytes"]})
    if "" in row.get("parts", {}):
        return sizes(row["parts"])
    if "parts" in row:
        return f"{code(row['json'])} and {sizes(row['parts'])}"
    return code(row["json"])


def bare(expression: str) -> str:
    """Without the parentheses that JavaScript's eval() wants around an object."""
    is_object = expression.startswith("({") and expression.endswith("})")
    return expression[1:-1] if is_object else expression


def first_cell(row: Mapping[str, Any]) -> str:
    value = code(bare(row.get("py") or row["js"]))
    return f"{value} ({row['what']})" if "what" in row else value


def argument_cells(row: Mapping[str, Any]) -> list[str]:
    cells = [first_cell(row), travels(row)]
    python = code(row.get("python", row["py"]))
    if "refusedByJavaScript" in row:
        return [*cells, "refused: a 422", python, ""]
    return [
        *cells,
        code(bare(row["js"])),
        python,
        code(row["back"]) if "back" in row else "the same",
    ]


def refused_cells(row: Mapping[str, Any]) -> list[str]:
    value = first_cell(row)
    if row.get("streams"):
        value += ", in arguments or inside a result"
    if row.get("inside"):
        value += ", inside a result"
    if row.get("alone"):
        value += ", as the whole result"
    place = row.get("place", CUT)
    says = row["says"] if place == CUT else f"at {code('value' + place)}: {row['says']}"
    return [value, code(row.get("error", "TypeError")), says]


def table(columns: list[str], rows: list[list[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(" ".join(["|", " | ".join(cells), "|"]) for cells in lines)


def tables() -> dict[str, str]:
    """The tables of docs/values.md by their sections' names."""
    refused = ["", "error", "its text, behind the place"]
    return {
        "arguments": table(
            ["Python", "travels as", "in JavaScript", "in Python", "echoed"],
            [argument_cells(row) for row in VECTORS["arguments"]],
        ),
        "pythonResults": table(
            ["a Python function returns", "the caller gets"],
            [[first_cell(row), code(row["python"])] for row in VECTORS["pythonResults"]],
        ),
        "refusedArguments": table(
            ["Python", *refused[1:]], [refused_cells(row) for row in VECTORS["refusedArguments"]]
        ),
        "results": table(
            ["JavaScript", "travels as", "in Python"],
            [[first_cell(row), travels(row), code(row["python"])] for row in VECTORS["results"]],
        ),
        "refusedResults": table(
            ["JavaScript", *refused[1:]], [refused_cells(row) for row in VECTORS["refusedResults"]]
        ),
    }


def with_tables(document: str) -> str:
    """The document with the tables put in, each between its comments."""
    for name, text in tables().items():
        document, count = re.subn(
            rf"(<!-- {name} -->\n).*?(<!-- end -->)",
            lambda found, text=text: f"{found[1]}\n{text}\n\n{found[2]}",
            document,
            flags=re.DOTALL,
        )
        assert count == 1, name
    return document


def test_the_document_has_the_tables_of_the_vectors() -> None:
    document = DOCUMENT.read_text(encoding="utf-8")
    assert with_tables(document) == document, "run: python tests/protocol/test_values_table.py"


if __name__ == "__main__":
    DOCUMENT.write_text(with_tables(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
