"""example/django: its own tests, and its pages as a browser shows them."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import managing
from support.chromium import Browser, Page
from support.hosts import require, wait_until
from support.managing import User

user = managing.user

EXAMPLE = Path(__file__).parents[3] / "example" / "django"
START_TIMEOUT_S = 30.0


@pytest.fixture(scope="module", autouse=True)
def npm_packages() -> None:
    """What `make -C example/django` installs before it runs the site."""
    if not (EXAMPLE / "node_modules" / "react").exists():
        npm = require("npm", "npm")
        subprocess.run([npm, "ci"], cwd=EXAMPLE, check=True, timeout=240)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy that tests can edit."""
    ignored = shutil.ignore_patterns("node_modules", "db.sqlite3", "__pycache__")
    folder = shutil.copytree(EXAMPLE, tmp_path / "site", ignore=ignored)
    (folder / "node_modules").symlink_to(EXAMPLE / "node_modules")
    return folder


def manage(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=project,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


@pytest.mark.timeout(300)
def test_its_own_tests_pass(project: Path) -> None:
    done = manage(project, "test")
    assert done.returncode == 0, done.stderr
    assert "Ran 7 tests" in done.stderr
    assert manage(project, "makemigrations", "--check").returncode == 0
    assert manage(project, "check", "--fail-level", "WARNING").returncode == 0


@pytest.fixture
def url(project: Path, user: User) -> Iterator[str]:
    """The site's address; runserver serves it, with a managed host."""
    assert manage(project, "migrate").returncode == 0
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = project / "runserver.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "runserver", str(port)],
            cwd=project,
            env={**user.environment, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    url = f"http://127.0.0.1:{port}/"
    try:
        wait_until(lambda: answers(f"{url}new/"), START_TIMEOUT_S, f"answer: {log.read_text()}")
        yield url
    finally:
        os.killpg(process.pid, signal.SIGINT)
        process.wait(START_TIMEOUT_S)
    text = log.read_text()
    assert "Traceback" not in text, text
    assert '" 500 ' not in text
    assert '" 404 ' not in text


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=START_TIMEOUT_S):
            return True
    except OSError:
        return False


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    program = require("chromium", "chromium")
    with Browser(program, tmp_path) as browser, browser.page() as page:
        yield page


def text_of(page: Page, selector: str) -> str:
    return str(page.run(f"document.querySelector('{selector}').innerText"))


@pytest.mark.timeout(120)
def test_the_pages_in_a_browser(url: str, page: Page, project: Path) -> None:
    with urllib.request.urlopen(url) as answer:
        source = answer.read().decode()
    assert "<h2>Hello from React</h2>" in source, "rendered on the server"

    page.open(url)
    assert text_of(page, "h1") == "2 of 2 notes"
    assert text_of(page, "article:nth-of-type(2) em") == "model"
    page.wait_for("Object.keys(document.querySelector('input')).some(k => k.startsWith('__react'))")
    page.type("input", "DJANGO")
    page.wait_for("document.querySelectorAll('article').length === 1")
    assert text_of(page, "h1") == "1 of 2 notes", "hydrated"
    assert page.complaints() == []

    page.open(f"{url}new/")
    page.type("[name=title]", "Third")
    page.type("[name=text]", "It is **bold**, <b>not HTML</b>")
    page.wait_for("document.querySelector('#preview strong') !== null")
    assert text_of(page, "#preview") == "It is bold, <b>not HTML</b>"
    page.run("document.querySelector('form').requestSubmit()")
    page.wait_for("location.pathname === '/' && document.readyState === 'complete'")
    assert text_of(page, "h2") == "Third"
    assert page.complaints() == []

    components = project / "frontend" / "components.jsx"
    components.write_text(components.read_text().replace(" notes</h1>", " edited</h1>"))
    page.open(f"{url}?again")
    assert text_of(page, "h1") == "3 of 3 edited"
    assert page.complaints() == [], "server and browser have the same component"


@pytest.mark.timeout(120)
def test_a_browser_with_something_to_complain_about(page: Page, tmp_path: Path) -> None:
    """Or else no complaint would mean nothing."""
    (tmp_path / "page.html").write_text(
        "<script src='missing.js'></script>"
        "<script>console.error('one'); throw Error('two')</script>"
    )
    page.open(f"file://{tmp_path}/page.html")
    page.wait_for("true")
    found = "\n".join(page.complaints())
    assert "one" in found
    assert "two" in found
    assert "ERR_FILE_NOT_FOUND" in found
