"""https:// in front of a host: the same calls as without, through a real TLS connection."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.hosts import RunningHost, require

import jshost
from jshost.exceptions import ConnectionError, FunctionError, FunctionTimeout
from jshost.host import JSHost

CONFIG = {
    "host.config.js": """
exports.functions = {
  echo: ({value}) => value,
  fail: () => { throw new RangeError('no'); },
  async *count({to}) { for (let i = 0; i < to; i++) yield i; return 'done'; },
  async hang() { await new Promise((resolve) => this.signal.addEventListener('abort', resolve)); },
};
"""
}
TIMEOUT_S = 10.0


class TlsProxy:
    """Takes TLS connections, and passes their bytes on to a host."""

    def __init__(self, certificate: Path, port: int) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate)
        self._host = ("127.0.0.1", port)
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.url = f"https://localhost:{self._run(self._listen())}"

    def close(self) -> None:
        self._run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(TIMEOUT_S)
        self._loop.close()

    def _run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(TIMEOUT_S)

    async def _listen(self) -> int:
        sock = socket.create_server(("127.0.0.1", 0))
        self._server = await asyncio.start_server(self._serve, sock=sock, ssl=self._context)
        port: int = sock.getsockname()[1]
        return port

    async def _end(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        from_host, to_host = await asyncio.open_connection(*self._host)
        ways = [asyncio.create_task(_pass_on(reader, to_host))]
        ways += [asyncio.create_task(_pass_on(from_host, writer))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            to_host.transport.abort()
            writer.transport.abort()
            self._tasks.discard(task)


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for localhost that signs itself, with its key."""
    path = tmp_path_factory.mktemp("tls") / "certificate.pem"
    openssl = require("openssl", "openssl")
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    command = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *names]
    done = subprocess.run(
        [*command, "-keyout", path, "-out", "-"], capture_output=True, check=True, timeout=60
    )
    with path.open("ab") as file:
        file.write(done.stdout)
    return path


@pytest.fixture
def proxy(certificate: Path, shared_host: RunningHost) -> Iterator[TlsProxy]:
    proxy = TlsProxy(certificate, shared_host.status["config"]["port"])
    yield proxy
    proxy.close()


@pytest.fixture
def host(proxy: TlsProxy, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[JSHost]:
    monkeypatch.setenv("SSL_CERT_FILE", os.fspath(certificate))
    host = JSHost(root_url=proxy.url)
    yield host
    host.disconnect()


def test_calls_streams_and_batches(host: JSHost) -> None:
    echo, count = jshost.Function("echo", host), jshost.Function("count", host)
    assert echo.call(value={"a": [b"\0", None]}) == {"a": [b"\0", None]}
    assert echo.map([{"value": 1}, {"value": "b"}]) == [1, "b"]
    with count.stream(to=3) as stream:
        assert (list(stream), stream.result) == ([0, 1, 2], "done")


def test_calls_streams_and_batches_from_asyncio(host: JSHost) -> None:
    async def main() -> list[Any]:
        echo, count = jshost.Function("echo", host), jshost.Function("count", host)
        values = await asyncio.gather(*(echo.acall(value=n) for n in range(8)))
        return [values, await echo.amap([{"value": 1}]), [n async for n in count.astream(to=3)]]

    assert asyncio.run(main()) == [list(range(8)), [1], [0, 1, 2]]


def test_errors(host: JSHost) -> None:
    with pytest.raises(FunctionError, match="RangeError: no"):
        jshost.Function("fail", host).call()
    with pytest.raises(FunctionTimeout, match=r"limit of 0\.1 s"):
        jshost.Function("hang", host, timeout=0.1).call()


def test_a_certificate_that_nobody_trusts(proxy: TlsProxy) -> None:
    host = JSHost(root_url=proxy.url)
    with pytest.raises(ConnectionError, match=r"certificate of https.* is not trusted.*SSL_CERT"):
        jshost.Function("echo", host).call(value=1)

    async def acall() -> None:
        await jshost.Function("echo", host).acall(value=1)

    with pytest.raises(ConnectionError, match="is not trusted"):
        asyncio.run(acall())
    host.disconnect()


NODE_CALLER = """
const {Function, Host} = await import(process.argv[1]);
const host = new Host({rootUrl: process.argv[2]});
const echo = new Function('echo', {host});
const stream = new Function('count', {host}).stream({to: 3});
const values = [await echo.call({value: 'größe'}), await echo.map([{value: 1}])];
for await (const value of stream) values.push(value);
const error = await new Function('fail', {host}).call().catch((error) => error.message);
const late = await new Function('hang', {host, timeout: 100}).call().catch((error) => error.name);
console.log(JSON.stringify([...values, stream.result, error, late]));
host.close();
"""


def test_a_node_program(proxy: TlsProxy, certificate: Path) -> None:
    module = (Path(jshost.__file__).parent / "js" / "index.mjs").as_uri()
    command = [require("node", "node"), "--input-type=module", "-e", NODE_CALLER, module, proxy.url]
    trusted = {**os.environ, "NODE_EXTRA_CA_CERTS": os.fspath(certificate)}
    done = subprocess.run(
        command, env=trusted, capture_output=True, text=True, timeout=60, check=True
    )
    expected = ["größe", [1], 0, 1, 2, "done", "fail: RangeError: no", "FunctionTimeout"]
    assert json.loads(done.stdout) == expected
