"""The files of example/production, run as they are: only ports, paths and the user are filled in.

A `Site` is a machine with two hosts of one config file, and whatever stands in front of them.
"""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from support.hosts import STOP_TIMEOUT_S, require, wait_until

from jshost.client.http.http_request import HttpRequest
from jshost.exceptions import JSHostError
from jshost.function import Function
from jshost.host import JSHost

__all__ = ["FILES", "Load", "Site", "free_ports"]

FILES = Path(__file__).parents[2] / "example" / "production"
BIN = Path(sys.executable).parent
START_S = 30.0

CONFIG = f"""
const fs = require('node:fs');
const production = require({json.dumps(str(FILES / "host.config.js"))});
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const ran = (call) => fs.appendFileSync(__dirname + '/ran', `${{call}}\\n`);

/** Answers differ from run to run, so that it shows where they come from. */
const cached = ({{call}}) => {{ ran(call); return `VERSION one, ${{process.hrtime()}}`; }};
cached.cacheable = {{maxAge: 3600}};
const cached_stream = function* ({{call}}) {{ yield cached({{call}}); }};
cached_stream.cacheable = {{maxAge: 3600}};
const cached_failure = ({{call}}) => {{ ran(call); throw new Error('never cached'); }};
cached_failure.cacheable = {{maxAge: 3600}};

module.exports = {{...production, workers: 1, functionTimeout: 3600, functions: {{
  ...production.functions,
  cached, cached_stream, cached_failure,
  /** Says that it ran, in a file that all hosts append to, and takes its time. */
  async work({{call, ms = 0}}) {{ ran(call); await sleep(ms); return call; }},
  fail({{call}}) {{ ran(call); throw new Error('never cached'); }},
  size: ({{data, text = ''}}) => (data ?? text).length,
  echo: ({{data}}) => ({{data}}),
  method() {{ return 'POST'; }},
  async *count({{to, ms}}) {{
    for (let number = 1; number <= to; number++) {{ yield number; await sleep(ms); }}
  }},
  async hold({{call}}, callback) {{
    ran(call);
    await new Promise((resolve) => this.signal.addEventListener('abort', resolve));
    ran(`${{call}} aborted`);
  }},
}}}};
"""
"""The functions that tests call, with the options of the example."""


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, below those that the system gives to clients."""
    found: list[int] = []
    while len(found) < count:
        port = random.randrange(15_000, 30_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            if port not in found:
                found.append(port)
    return found


def filled(name: str, places: Mapping[str, str]) -> str:
    """A file of example/production with these texts in place of its own, which it must have."""
    text = (FILES / name).read_text()
    for old, new in places.items():
        assert old in text, f"{name} has no {old!r}"
        text = text.replace(old, new)
    return text


def answers(port: int) -> bool:
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", port)) == 0


@dataclass
class Site:
    """Two hosts, and proxies in front of them, each in a folder of its own.

    Attributes:
        folder: where all of it lies; the config file is app/host.config.js there.
        ports: the hosts'.
    """

    folder: Path
    ports: list[int] = field(default_factory=lambda: free_ports(2))
    _running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.app = self.folder / "app"
        self.app.mkdir()
        (self.app / "host.config.js").write_text(CONFIG)
        (self.app / "ran").touch()

    def close(self) -> None:
        """End what was started, the last one first; a second try is a failure."""
        for process in reversed(self._running):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        late = [process for process in reversed(self._running) if _is_late(process)]
        assert not late, [process.args for process in late]

    def pids(self) -> set[int]:
        """The processes of all of it."""
        found = set()
        for process in self._running:
            with contextlib.suppress(psutil.NoSuchProcess):
                found |= {c.pid for c in psutil.Process(process.pid).children(recursive=True)}
        return found | {process.pid for process in self._running}

    def host_pids(self) -> list[int]:
        """Of the hosts that `start_hosts` started."""
        return [each.pid for each in self._running if "serve" in list(each.args)]  # type: ignore[arg-type]

    def ran(self) -> list[str]:
        """The calls that ran on either host, in order."""
        return (self.app / "ran").read_text().split("\n")[:-1]

    def host(self, port: int) -> JSHost:
        """A client of what listens on a port."""
        return JSHost(root_url=f"http://127.0.0.1:{port}")

    def function(self, port: int, name: str, **options: Any) -> Function:
        return Function(name, self.host(port), **options)

    def is_ready(self, port: int) -> bool:
        try:
            answer = self.host(port).request(HttpRequest("GET", "/ready", timeout_s=2))
        except JSHostError:
            return False
        return answer.status_code == 200

    def wait_for_hosts(self) -> None:
        wait_until(lambda: all(map(self.is_ready, self.ports)), START_S, "two hosts")

    # Who runs there

    def run(self, *command: str, **environment: str) -> subprocess.Popen[bytes]:
        """Start a program whose output goes to a log, and which ends with the site."""
        log = self.folder / f"{Path(command[0]).name}.log"
        runtime = self.folder / "run"
        runtime.mkdir(exist_ok=True, mode=0o700)
        with log.open("ab") as output:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self.folder,
                env={**os.environ, "XDG_RUNTIME_DIR": str(runtime), **environment},
            )
        self._running.append(process)
        return process

    def start_hosts(self) -> None:
        """Both hosts, without anybody who restarts them."""
        for port in self.ports:
            config = str(self.app / "host.config.js")
            self.run(str(BIN / "jshost"), "serve", config, "--port", str(port))
        self.wait_for_hosts()

    def start_supervisor(self) -> Supervisor:
        """supervisord with supervisord.conf, which starts both hosts on neighbouring ports."""
        while not self._take_neighbours():
            pass
        program = filled(
            "supervisord.conf",
            {
                "numprocs_start=9009": f"numprocs_start={self.ports[0]}",
                "/srv/app/.venv/bin/jshost": str(BIN / "jshost"),
                "/srv/app/host.config.js": str(self.app / "host.config.js"),
                "directory=/srv/app": f"directory={self.app}",
                "user=app": f"user={getpass.getuser()}",
                "/var/log/supervisor/": f"{self.folder}/",
            },
        )
        (self.folder / "jshost.conf").write_text(program)
        main = self.folder / "supervisord.conf"
        main.write_text(SUPERVISORD.format(folder=self.folder))
        self.run(require("supervisord", "supervisor"), "--nodaemon", "--configuration", str(main))
        self.wait_for_hosts()
        return Supervisor(self)

    def _take_neighbours(self) -> bool:
        (first,) = free_ports(1)
        self.ports = [first, first + 1]
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", first + 1)) != 0

    def start(self, proxy: str) -> int:
        """Start "nginx", "varnish" or "haproxy". Returns its port."""
        start = {
            "nginx": self._start_nginx,
            "varnish": self._start_varnish,
            "haproxy": self._start_haproxy,
        }
        return start[proxy]()

    def _start_nginx(self) -> int:
        """With nginx.conf."""
        (port,) = free_ports(1)
        folder = self.folder / "nginx"
        folder.mkdir()
        places = {
            "127.0.0.1:8080": f"127.0.0.1:{port}",
            "/var/cache/nginx/jshost": str(folder / "cache"),
            **self._host_places(),
        }
        (folder / "jshost.conf").write_text(filled("nginx.conf", places))
        user = "user root;" if os.getuid() == 0 else ""
        (folder / "main.conf").write_text(NGINX.format(folder=folder, user=user))
        nginx = require("nginx", "nginx")
        flags = "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(folder / "main.conf")
        self.run(nginx, *flags)
        wait_until(lambda: answers(port), START_S, "nginx")
        return port

    def _start_varnish(self) -> int:
        """With varnish.vcl."""
        (port,) = free_ports(1)
        folder = self.folder / "varnish"
        folder.mkdir()
        hosts = [f'.port = "{port}"' for port in self.ports]
        places = dict(zip(('.port = "9009"', '.port = "9010"'), hosts, strict=True))
        (folder / "default.vcl").write_text(filled("varnish.vcl", places))
        varnish = require("varnishd", "varnish")
        self.run(
            *(varnish, "-F", "-j", "none", "-n", str(folder), "-f", str(folder / "default.vcl")),
            *("-a", f"127.0.0.1:{port}", "-s", "malloc,64m", "-p", "pipe_timeout=3600"),
        )
        wait_until(lambda: answers(port), START_S, "Varnish")
        return port

    def _start_haproxy(self) -> int:
        """With haproxy.cfg."""
        (port,) = free_ports(1)
        places = {"127.0.0.1:8081": f"127.0.0.1:{port}", **self._host_places()}
        config = self.folder / "haproxy.cfg"
        config.write_text(filled("haproxy.cfg", places))
        self.run(require("haproxy", "haproxy"), "-db", "-f", str(config))
        wait_until(lambda: answers(port), START_S, "HAProxy")
        return port

    def _host_places(self) -> dict[str, str]:
        given = [f"127.0.0.1:{port}" for port in self.ports]
        return dict(zip(("127.0.0.1:9009", "127.0.0.1:9010"), given, strict=True))


def _is_late(process: subprocess.Popen[bytes]) -> bool:
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(STOP_TIMEOUT_S)
        return True
    return False


SUPERVISORD = """
[supervisord]
logfile={folder}/supervisord.log
pidfile={folder}/supervisord.pid
[unix_http_server]
file={folder}/supervisor.sock
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
[supervisorctl]
serverurl=unix://{folder}/supervisor.sock
[include]
files={folder}/jshost.conf
"""
"""As Debian's /etc/supervisor/supervisord.conf."""

NGINX = """
{user}
daemon off;
pid {folder}/nginx.pid;
worker_processes 2;
events {{ worker_connections 1024; }}
http {{
    access_log {folder}/access.log;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/jshost.conf;
}}
"""


class Supervisor:
    """What an operator does with supervisorctl."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._control = [
            require("supervisorctl", "supervisor"),
            *("--configuration", str(site.folder / "supervisord.conf")),
        ]

    def host_pids(self) -> list[int]:
        """The hosts' process ids, in the order of their ports; 0: it does not run."""
        names = [f"jshost:jshost_{port}" for port in self._site.ports]
        said = [self.control("pid", name) for name in names]
        return [int(text) if text.strip().isdigit() else 0 for text in said]

    def control(self, *arguments: str) -> str:
        done = subprocess.run(
            [*self._control, *arguments], capture_output=True, text=True, timeout=60, check=False
        )
        return done.stdout

    def has_run(self, port: int) -> bool:
        """Whether supervisord takes a host for started."""
        return "RUNNING" in self.control("status", f"jshost:jshost_{port}")

    def rolling_restart(self, patience_s: int = 60) -> None:
        """Run the script of that name."""
        subprocess.run(
            [FILES / "rolling-restart", *map(str, self._site.ports)],
            env={
                **os.environ,
                "RESTART": f"{' '.join(self._control)} restart jshost:jshost_",
                "PATIENCE_S": str(patience_s),
            },
            check=True,
            timeout=120,
            stdout=subprocess.DEVNULL,
        )


@dataclass
class Outcome:
    """One call of a load."""

    call: str
    result: Any
    began: float
    ended: float


class Load:
    """Callers that call `work` through a port until the context ends, each with a client of its
    own; every call has a name of its own, so that the site's file tells how often it ran."""

    def __init__(
        self, site: Site, port: int, callers: int = 32, ms: int = 10, prefix: str = "call"
    ) -> None:
        self._site, self._port, self._callers, self._ms = site, port, callers, ms
        self._prefix = prefix
        self._over = threading.Event()
        self.outcomes: list[Outcome] = []

    def __enter__(self) -> Load:
        self._threads = ThreadPoolExecutor(self._callers)
        self._ends = [self._threads.submit(self._call, n) for n in range(self._callers)]
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        with self._threads:
            for end in self._ends:
                end.result(60)

    def _call(self, caller: int) -> None:
        work = self._site.function(self._port, "work", timeout=20)
        number = 0
        while not self._over.is_set():
            number += 1
            call = f"{self._prefix}-{caller}-{number}"
            began = time.monotonic()
            try:
                result: Any = work.call(call=call, ms=self._ms)
            except Exception as error:  # noqa: BLE001  which ones is what the test is about
                result = error
                self._over.wait(0.1)  # as somebody would who tries again
            self.outcomes.append(Outcome(call, result, began, time.monotonic()))

    def wait_for_calls(self, count: int) -> None:
        """Until so many more have ended."""
        wanted = len(self.outcomes) + count
        wait_until(lambda: len(self.outcomes) >= wanted, 30, f"{count} calls")

    @property
    def failed(self) -> list[Outcome]:
        return [each for each in self.outcomes if isinstance(each.result, Exception)]

    @property
    def wrong(self) -> list[Outcome]:
        """Those that were answered with another's answer."""
        ended = (each for each in self.outcomes if not isinstance(each.result, Exception))
        return [each for each in ended if each.result != each.call]


@contextlib.contextmanager
def site_in(folder: Path) -> Iterator[Site]:
    """A site whose parts all end with the context."""
    site = Site(folder)
    try:
        yield site
    finally:
        site.close()
