"""Calls' arguments on the wire: the bytes and hashes that Python and JavaScript callers share."""

from __future__ import annotations

import ast
import json
from typing import Any

import pytest
from support.paths import VECTORS_FOLDER

from jshost.protocol import values

VECTORS: dict[str, Any] = json.loads((VECTORS_FOLDER / "calls.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", VECTORS["calls"], ids=lambda case: case["name"])
def test_arguments_become_these_bytes(case: dict[str, str]) -> None:
    body, content_type = values.encode_call(ast.literal_eval(case["python"]))
    assert content_type == "application/json"
    assert body.decode() == case["body"]
    assert values.body_hash(body) == case["hash"]
