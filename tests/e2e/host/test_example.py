"""The example, as `make demo` runs it: npm packages and PyPI packages behind one host."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.hosts import require

ROOT = Path(__file__).parents[3]
CALLS = ["markdown", "render", "math", "closest", "summary", "differentiate"]


@pytest.fixture(scope="module")
def npm_packages() -> None:
    """What `make` installs before it runs the demo."""
    if not (ROOT / "example" / "node_modules" / "react").exists():
        npm = require("npm", "npm")
        subprocess.run([npm, "ci"], cwd=ROOT / "example", check=True, timeout=240)


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("npm_packages")
def test_the_demo_prints_every_call(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "example" / "demo.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    for name in CALLS:
        assert re.search(rf"^{name}\(.*\) +-> .* [\d.]+ ms +[\d.]+ ms$", done.stdout, re.MULTILINE)
    assert "raises FunctionError:" in done.stdout
    for place in ("example/components.js:", 'host.config.py", line '):
        assert place in done.stdout, "the stack of the other language"
    assert re.search(r"^\d+ calls; the host stopped in", done.stdout, re.MULTILINE)
