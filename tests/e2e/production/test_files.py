"""The files of example/production against each other, and against the page that explains them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.production import FILES

PAGE = (FILES.parents[1] / "docs" / "production.md").read_text()
LINES = {
    "supervisord.conf": r"^(\w+)=",
    "systemd/jshost@.service": r"^([A-Z]\w+=)",
    "systemd/jshost@.socket": r"^([A-Z]\w+=)",
    "nginx.conf": r"^ *(?!server |listen|location|map|upstream|})([a-z_]+)[ ;]",
    "haproxy.cfg": r"^    ([a-z]+(?: [a-z][a-z-]+)?)",
    "varnish.vcl": r"^ +(?:set )?(\.\w+|return \(\w+\)|std\.\w+|hash_data\([\w.]+\)|be\w+\.[\w.]+)",
    "Dockerfile": r"^([A-Z]+) (?!\.|package|--from=node_modules)",
    "kubernetes.yaml": r"^ +(\w+(?:Probe|Seconds|Update)):|^ {10}(resources|securityContext|args):",
}
"""What each line of a file is called."""
PLAIN = {
    *("Description=", "WantedBy=", "autostart", "directory"),
    *("mode http", "log global", "log stdout", "option httplog", "option dontlognull"),
    *("bind", "server host", "default_backend hosts", "maxconn"),
    *(".host", ".port", ".request", ".timeout", "bereq.http.X"),
    *("FROM", "WORKDIR", "RUN", "ENV", "EXPOSE", "STOPSIGNAL"),
    *("periodSeconds", "timeoutSeconds", "initialDelaySeconds"),
}
"""Lines that say all there is to say."""


@pytest.mark.parametrize("name", LINES)
def test_each_line_is_explained(name: str) -> None:
    found = re.findall(LINES[name], (FILES / name).read_text(), re.MULTILINE)
    names = {each if isinstance(each, str) else "".join(each) for each in found}
    assert len(names) > 3
    assert {each for each in names if each not in PAGE} <= PLAIN


@pytest.mark.parametrize("path", sorted(FILES.rglob("*.*")), ids=lambda path: path.name)
def test_each_file_is_on_the_page(path: Path) -> None:
    assert path.name in PAGE or path.parent.name in PAGE


def options() -> dict[str, int]:
    """Of host.config.js."""
    code = f"JSON.stringify(require({json.dumps(str(FILES / 'host.config.js'))}))"
    done = subprocess.run(
        ["node", "-p", code], capture_output=True, text=True, check=True, timeout=20
    )
    return dict(json.loads(done.stdout))


def number(pattern: str, name: str) -> float:
    found = re.search(pattern, (FILES / name).read_text())
    assert found is not None, f"{name} has no {pattern}"
    return float(found[1])


def test_hosts_have_the_time_that_they_take_to_stop() -> None:
    own = options()
    needed = own["shutdownDelay"] + own["shutdownTimeout"]
    assert number(r"stopwaitsecs=(\d+)", "supervisord.conf") > needed
    assert number(r"TimeoutStopSec=(\d+)", "systemd/jshost@.service") > needed
    in_cluster = number(r'"--shutdown-delay", "(\d+)"', "kubernetes.yaml") + own["shutdownTimeout"]
    assert number(r"terminationGracePeriodSeconds: (\d+)", "kubernetes.yaml") > in_cluster


def test_proxies_notice_before_hosts_stop_accepting() -> None:
    delay = options()["shutdownDelay"]
    assert number(r"keepalive_timeout (\d+)s;", "nginx.conf") < delay
    assert number(r"\.interval = (\d+)ms", "varnish.vcl") / 1000 < delay
    assert number(r"check inter (\d+)ms fall 1", "haproxy.cfg") / 1000 < delay
    assert number(r"readinessProbe:\s+httpGet: .*\s+periodSeconds: (\d+)", "kubernetes.yaml") < 10


def test_the_image_runs_what_the_command_line_has() -> None:
    text = (FILES / "Dockerfile").read_text()
    (entry,) = re.findall(r"^ENTRYPOINT (.*)$", text, re.MULTILINE)
    program, command, _, *flags = json.loads(entry)
    assert (program, command) == (".venv/bin/jshost", "serve")
    said = subprocess.run(
        [sys.executable, "-m", "jshost", "serve", "--help"],
        capture_output=True, text=True, check=True, timeout=20,
    ).stdout  # fmt: skip
    given = [*flags, *re.findall(r'"(--[\w-]+)"', (FILES / "kubernetes.yaml").read_text())]
    for flag in filter(lambda each: each.startswith("--"), given):
        assert flag in said
    assert {"node_modules", ".venv"} <= set((FILES / ".dockerignore").read_text().split())
