"""What `manage.py check` says of a project that uses jshost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.django_project import DjangoProject
from support.hosts import StartHost

HOST_CONFIG = "exports.functions = {render: () => '<p>', slug: () => 's'};"
ELSEWHERE = "http://127.0.0.1:9"

VIEWS = """
import jshost
from jshost.function import Function
from jshost.host import JSHost
render = Function("render")
missing = Function("rendr", timeout=1)
elsewhere = Function("not ours", host=JSHost(root_url="http://example.com"))
elsewhere = Function("not ours", JSHost(root_url="http://example.com"))
unknown = jshost.Function(render.name + "x")
"""
TEMPLATE = """{% load jshost %}{% js_call "render" component="App" %}
{%js_call 'slugg' text=title as slug %}{% js_call name %}"""


def check(project: DjangoProject, *flags: str, **environment: str) -> str:
    """What the checks print."""
    return project.manage("check", *flags, **environment).stderr


def test_a_project_as_the_docs_have_it_passes(tmp_path: Path) -> None:
    project = DjangoProject(tmp_path, '{"SOURCE_ROOT": BASE_DIR, "USE_MANAGER": DEBUG}')
    (tmp_path / "host.config.js").write_text(HOST_CONFIG)
    done = project.manage("check", "--fail-level", "WARNING")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("js_host", "expected"),
    [
        ('{"SOURCE_ROOT": BASE_DIR}', ["jshost.E001", "there is none of host.config.py", "init"]),
        ('{"CONFIG_FILE": "/no/h.js"}', ["jshost.E001", "/no/h.js does not exist", "CONFIG_FILE"]),
        (
            '{"FUNCTION_TIMOUT": 1, "USE_MANGER": 1, "ROOT_URL": "localhost:9009"}',
            [
                'jshost.E002) the Django setting JS_HOST: there is no setting "FUNCTION_TIMOUT"',
                'Did you mean "USE_MANAGER"?',
                "jshost.E003) the Django setting JS_HOST: ROOT_URL must be a URL that begins",
            ],
        ),
        ("[]", ["jshost.E003", "JS_HOST must be a dict"]),
        (
            '{"ROOT_URL": "http://127.0.0.1:9", "USE_MANAGER": True}',
            ["jshost.E006", "ROOT_URL and USE_MANAGER exclude each other", "Remove one"],
        ),
    ],
)
def test_what_is_wrong_has_an_id_and_a_hint(
    tmp_path: Path, js_host: str, expected: list[str]
) -> None:
    done = DjangoProject(tmp_path, js_host).manage("check")
    assert done.returncode == 1
    for text in expected:
        assert text in done.stderr
    assert "HINT: " in done.stderr
    assert "Traceback" not in done.stderr


def test_a_wrong_environment_variable(tmp_path: Path) -> None:
    (tmp_path / "host.config.py").write_text("functions = {}")
    found = check(DjangoProject(tmp_path), JSHOST_FUNCTION_TIMEOUT="soon")
    assert "jshost.E003) the environment: JSHOST_FUNCTION_TIMEOUT must be" in found


NO_NODE = '{"SOURCE_ROOT": BASE_DIR, "PATH_TO_NODE": "no-such-node"}'


@pytest.mark.parametrize(
    ("name", "text", "needs_node"),
    [
        ("host.config.js", HOST_CONFIG, True),
        ("host.config.py", "include = ['site.config.mjs']\nfunctions = {}", True),
        ("host.config.py", "include = ['other.py']\nfunctions = {}", False),
    ],
)
def test_node_is_missed_where_it_is_needed(
    tmp_path: Path, name: str, text: str, needs_node: bool
) -> None:
    (tmp_path / name).write_text(text)
    found = check(DjangoProject(tmp_path, NO_NODE))
    assert ("jshost.E004" in found) == needs_node, found
    assert ("PATH_TO_NODE=no-such-node: not found" in found) == needs_node


def test_the_manager_is_for_debug_only(tmp_path: Path) -> None:
    (tmp_path / "host.config.js").write_text(HOST_CONFIG)
    js_host = '{"SOURCE_ROOT": BASE_DIR, "USE_MANAGER": True}'
    tests = {"pages/tests.py": "from django.test import SimpleTestCase"}
    project = DjangoProject(tmp_path, js_host, tests, debug=False)
    done = project.manage("check")
    assert done.returncode == 0, "a warning"
    assert "?: (jshost.W001) USE_MANAGER is on while DEBUG is off" in done.stderr
    assert "'USE_MANAGER': DEBUG" in done.stderr
    done = project.manage("check", "--deploy")
    assert done.returncode == 1
    assert "jshost.E005" in done.stderr
    assert "jshost" not in project.manage("test").stderr, "test runners turn DEBUG off"


def test_a_host_that_is_down_is_an_error_of_a_deployment_only(tmp_path: Path) -> None:
    project = DjangoProject(tmp_path, f'{{"ROOT_URL": "{ELSEWHERE}"}}')
    assert "jshost" not in check(project)
    done = project.manage("check", "--deploy")
    assert done.returncode == 1
    assert "jshost.E007" in done.stderr
    assert ELSEWHERE in done.stderr
    assert "manage.py jshost serve" in done.stderr


@pytest.mark.parametrize("by_url", [False, True], ids=["found", "ROOT_URL"])
def test_names_that_the_running_host_does_not_serve(
    tmp_path: Path, serve: StartHost, by_url: bool
) -> None:
    host = serve("host.config.js", HOST_CONFIG)
    files = {
        "pages/views.py": VIEWS,
        "pages/tests.py": VIEWS,
        "pages/templates/pages/index.html": TEMPLATE,
        "pages/node_modules/x/views.py": VIEWS,
    }
    js_host: Any = f'{{"ROOT_URL": "{host.url}"}}' if by_url else '{"SOURCE_ROOT": BASE_DIR}'
    project = DjangoProject(tmp_path, js_host, files)
    for flags in ([], ["--deploy"]):
        done = project.manage("check", *flags)
        assert done.returncode == 0, done.stderr
        warnings = [line for line in done.stderr.splitlines() if "jshost.W002" in line]
        assert {line.split(") ")[1] for line in warnings} == {
            f'{tmp_path}/pages/views.py:6: the host at {host.url} serves no function "rendr".',
            f"{tmp_path}/pages/templates/pages/index.html:2: the host at {host.url} serves no "
            'function "slugg".',
        }
        assert len(warnings) == 2
        assert 'HINT: Did you mean "render"? It serves: render, slug.' in done.stderr
