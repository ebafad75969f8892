"""NumPy's and pandas' objects as arguments and results."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest

from jshost.protocol import values


def travels_as(value: Any) -> Any:
    form, data = values.encode_result({"value": value})
    assert form == values.JSON
    return json.loads(data)["value"]


FRAME = pd.DataFrame(
    {
        "name": ["a", None],
        "price": [1.5, float("nan")],
        "count": pd.array([1, None], dtype="Int64"),
        "at": [pd.Timestamp("2026-01-02T03:04:05"), pd.NaT],
        "kind": pd.Categorical(["x", "y"]),
    },
    index=[7, 8],
)
ROWS = [
    {"name": "a", "price": 1.5, "count": 1, "at": "2026-01-02T03:04:05", "kind": "x"},
    {"name": None, "price": None, "count": None, "at": None, "kind": "y"},
]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.int64(2**60), 2**60),
        (np.float32(0.5), 0.5),
        (np.float64(0.1), 0.1),
        (np.bool_(True), True),
        (np.str_("a"), "a"),
        (np.datetime64("2026-01-02T03:04"), "2026-01-02T03:04"),
        (np.datetime64("NaT", "s"), None),
        (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        (np.array(5), 5),
        (np.array([]), []),
        (np.array(["2026-01-02", "NaT"], dtype="datetime64[s]"), ["2026-01-02T00:00:00", None]),
        (np.array([True, None]), [True, None]),
        (FRAME, ROWS),
        (FRAME["price"], [1.5, None]),
        (FRAME["at"], ["2026-01-02T03:04:05", None]),
        (FRAME.index, [7, 8]),
        (pd.date_range("2026-01-01", periods=1), ["2026-01-01T00:00:00"]),
        (pd.DataFrame(), []),
        (pd.NA, None),
        (pd.NaT, None),
    ],
)  # fmt: skip
def test_what_travels(value: Any, expected: Any) -> None:
    assert travels_as(value) == expected
    assert travels_as([{"deep": value}]) == [{"deep": expected}]


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (np.array([1.0, np.nan]), r"result value\[1\]: nan has no JSON form"),
        (np.float32("inf"), r"result value: inf has no JSON form"),
        (np.array([1j]), r"result value\[0\]: a complex has no JSON form"),
        (np.zeros(1, dtype=[("a", int)])[0], r"a numpy.void has no JSON form"),
        (pd.Timedelta("1s"), r"has no JSON form"),
        (pd.DataFrame({("a", "b"): [1]}), r"the key \('a', 'b'\) is a tuple"),
    ],
)
def test_what_is_refused(value: Any, problem: str) -> None:
    with pytest.raises((TypeError, ValueError), match=problem):
        travels_as(value)


def test_bytes_inside_stay_bytes() -> None:
    form, data = values.encode_result({"a": np.bytes_(b"\xff"), "table": FRAME})
    assert form == values.MULTIPART
    assert b"\xff" in data


@pytest.mark.real
def test_neither_is_imported_for_other_values() -> None:
    code = (
        "import sys, datetime; from jshost.protocol import values;"
        "values.encode_result({'a': datetime.date(2026, 1, 2), 'b': b'x'});"
        "sys.exit('numpy' in sys.modules or 'pandas' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=30, check=False).returncode == 0
