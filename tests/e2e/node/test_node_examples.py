"""The programs of example/node/, as its README says to run them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[3] / "example" / "node"


@pytest.mark.parametrize(
    ("program", "says"),
    [
        ("quotes.mjs", ["price: 120.85", "1000 quotes in", "KeyError: 'NONE', line 28"]),
        ("chat.mjs", ["You said: Hello! (message 1 to parrot-2) [7 tokens]", "[ 'Hello!', "]),
        ("describe.mjs", ["count: 5", "{ city: 'Reykjavik', country: 'Iceland', "]),
    ],
)
def test_the_program_says(program: str, says: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JSHOST_PYTHON", sys.executable)
    done = subprocess.run(
        ["node", FOLDER / program], capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == 0, done.stderr
    for text in says:
        assert text in done.stdout
