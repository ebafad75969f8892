"""`acall` from wherever there is an asyncio loop: plain, uvloop, many loops, Starlette, Django."""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
import uvloop
from support.hosts import RunningHost, StartHost, wait_until

from jshost.client.http.kept_connections import MAX_IDLE
from jshost.conf import settings
from jshost.exceptions import (
    ArgumentsError,
    ConnectionError,
    FunctionError,
    FunctionNotFound,
    FunctionTimeout,
)
from jshost.function import Function
from jshost.host import JSHost

CONFIG = {
    "host.config.py": """
import asyncio, jshost
include = ["host.config.js"]

async def sleep(seconds):
    await asyncio.sleep(seconds)
    return seconds

def fail(text):
    raise ValueError(text)

functions = {
    "echo": lambda value: value, "sleep": sleep, "fail": fail,
    "limit": lambda: jshost.current_call().timeout_s,
}
""",
    "host.config.js": "exports.functions = {echo_js: ({value}) => value};",
}
TIMEOUT_S = 10.0

loops = pytest.mark.parametrize(
    "factory", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"]
)
echoes = pytest.mark.parametrize("name", ["echo", "echo_js"])


def run(factory: Any, main: Any) -> Any:
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(main)


@loops
@echoes
@pytest.mark.parametrize(
    "value", [None, 40, "größe", {"a": [1, None]}, b"\x00\xff", {"b": b"\r\n"}]
)
def test_values(shared_host: RunningHost, factory: Any, name: str, value: Any) -> None:
    assert run(factory, shared_host.function(name).acall(value=value)) == value


@loops
@pytest.mark.parametrize("size", [100_000, 8_000_000])
def test_large_values(shared_host: RunningHost, factory: Any, size: int) -> None:
    text = "0123456789" * (size // 10)
    assert run(factory, shared_host.function("echo_js").acall(value=text)) == text


@loops
def test_many_calls_at_once(shared_host: RunningHost, factory: Any) -> None:
    async def main() -> list[Any]:
        sleep = shared_host.function("sleep")
        return await asyncio.gather(*(sleep.acall(seconds=n / 1000) for n in range(200)))

    assert run(factory, main()) == [n / 1000 for n in range(200)]


@loops
def test_errors_are_those_of_call(shared_host: RunningHost, factory: Any) -> None:
    async def main() -> None:
        with pytest.raises(FunctionError, match=r"^fail: ValueError: no"):
            await shared_host.function("fail").acall(text="no")
        with pytest.raises(FunctionNotFound):
            await shared_host.function("gone").acall()
        with pytest.raises(ArgumentsError):
            await shared_host.function("echo").acall(wrong=1)
        with pytest.raises(TypeError, match="argument value: a set has no JSON form"):
            await shared_host.function("echo").acall(value={1})
        with pytest.raises(FunctionTimeout, match=r"^sleep: .*0\.1 s \(0\.\d+ s spent"):
            await shared_host.function("sleep", timeout=0.1).acall(seconds=30)
        with pytest.raises(ConnectionError, match="No host answers"):
            await Function("f", JSHost(root_url="http://127.0.0.1:1")).acall()
        assert await shared_host.function("limit", timeout=None).acall() is None

    run(factory, main())


@loops
def test_loops_one_after_the_other(shared_host: RunningHost, factory: Any) -> None:
    """Each has connections of its own, and the one before leaves none open."""
    echo = shared_host.function("echo")

    async def main(number: int) -> list[Any]:
        return await asyncio.gather(*(echo.acall(value=[number, n]) for n in range(5)))

    port = shared_host.status["config"]["port"]

    def open_connections() -> int:
        found = psutil.Process().net_connections("tcp4")
        return sum(1 for each in found if each.raddr and each.raddr.port == port)

    gc.collect()
    before = open_connections()
    for number in range(10):
        assert run(factory, main(number)) == [[number, n] for n in range(5)]
        assert echo.call(value=number) == number
        assert open_connections() - before <= 6
    echo.get_host().disconnect()
    wait_until(lambda: open_connections() <= before, TIMEOUT_S, "end of the connections")


def test_loops_at_once(shared_host: RunningHost) -> None:
    """Of threads, with threads that call as well; one `Function` for all of them."""
    echo, factories = shared_host.function("echo"), [asyncio.new_event_loop, uvloop.new_event_loop]
    start = threading.Barrier(9)

    async def calls(number: int) -> bool:
        start.wait(TIMEOUT_S)
        return all([await echo.acall(value=[number, n]) == [number, n] for n in range(50)])

    def thread(number: int) -> bool:
        if number == 8:
            start.wait(TIMEOUT_S)
            return all(echo.call(value=n) == n for n in range(50))
        return bool(run(factories[number % 2], calls(number)))

    with ThreadPoolExecutor(9) as threads:
        assert list(threads.map(thread, range(9))) == [True] * 9
    echo.get_host().disconnect()


@loops
def test_connections_are_kept_and_their_number_is_bounded(
    shared_host: RunningHost, factory: Any
) -> None:
    host = shared_host.host
    sleep, echo = Function("sleep", host), Function("echo", host)

    async def main() -> tuple[int, int]:
        for number in range(20):
            await echo.acall(value=number)
        transport: Any = host._requester._async_transports[asyncio.get_running_loop()]
        one = len(transport._kept.idle)
        await asyncio.gather(*(sleep.acall(seconds=0.05) for _ in range(MAX_IDLE + 40)))
        return one, len(transport._kept.idle)

    assert run(factory, main()) == (1, MAX_IDLE)


def test_a_running_loop_is_not_blocked_while_the_host_is_looked_for(
    serve: StartHost, tmp_path: Path
) -> None:
    """And a host that comes back elsewhere is found."""
    first = serve("host.config.py", "import os\nfunctions = {'pid': os.getppid}")
    settings.configure(SOURCE_ROOT=tmp_path)
    pid = Function("pid")

    async def main() -> tuple[int, int]:
        found = await pid.acall()
        second = await asyncio.to_thread(serve, "host.config.py")
        await asyncio.to_thread(first.stop)
        return found, await pid.acall() - second.pid

    assert asyncio.run(main()) == (first.pid, 0)


QUIET = """
import asyncio, gc, sys, uvloop
from jshost.function import Function
from jshost.host import JSHost
url, loop, end = sys.argv[1:]
host = JSHost(root_url=url)
echo = Function("echo", host)

async def main():
    assert await asyncio.gather(*(echo.acall(value=n) for n in range(10))) == list(range(10))
    async for chunk in echo.astream(value=1):
        pass
    try:
        await Function("sleep", host, timeout=0.05).acall(seconds=9)
    except TimeoutError:
        pass
    leaving = asyncio.create_task(Function("sleep", host).acall(seconds=9))
    await asyncio.sleep(0.05)
    leaving.cancel()
    try:
        await leaving
    except asyncio.CancelledError:
        pass
    left = asyncio.all_tasks() - {asyncio.current_task()}
    assert not left, left
    if end == "disconnect":
        host.disconnect()

factory = uvloop.new_event_loop if loop == "uvloop" else asyncio.new_event_loop
for _ in range(3):
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main())
gc.collect()
"""


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("end", ["disconnect", "just end"])
def test_no_warning_and_no_task_is_left(shared_host: RunningHost, loop: str, end: str) -> None:
    done = script(QUIET, shared_host.url, loop, end)
    assert (done.returncode, done.stderr) == (0, "")


FORKED = """
import asyncio, os, sys
from jshost.function import Function
from jshost.host import JSHost
echo = Function("echo", JSHost(root_url=sys.argv[1]))

async def calls(number):
    return all([await echo.acall(value=[number, n]) == [number, n] for n in range(30)])

async def main():
    assert await calls(0)
    child = os.fork()
    if child == 0:
        asyncio.events._set_running_loop(None)
        os._exit(0 if asyncio.run(calls(1)) and echo.call(value=1) == 1 else 1)
    assert await calls(2)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert await calls(3)
    return code

print(asyncio.run(main()))
"""


def test_a_fork_in_the_midst(shared_host: RunningHost) -> None:
    done = script(FORKED, shared_host.url)
    assert (done.returncode, done.stdout, done.stderr) == (0, "0\n", "")


def script(text: str, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", text, *arguments],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
        **options,
    )


STARLETTE = """
import asyncio, sys, warnings, httpx
warnings.filterwarnings("ignore", message="Using .httpx. with")
from starlette.applications import Starlette
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route
from starlette.testclient import TestClient
import jshost
from jshost.function import Function

jshost.settings.configure(ROOT_URL=sys.argv[1])
echo = Function("echo")

async def page(request):
    return JSONResponse(await echo.acall(value=request.query_params["q"]))

async def many(request):
    return JSONResponse(await echo.amap([{"value": 1}, {}, {"value": 3}][::2]))

def threaded(request):
    return JSONResponse(echo.call(value="thread"))

async def live(request):
    async def lines():
        async for chunk in Function("echo_js").astream(value=1):
            yield str(chunk)
        yield "end"
    return StreamingResponse(lines())

routes = [Route("/", page), Route("/many", many), Route("/threaded", threaded),
          Route("/live", live)]
app = Starlette(routes=routes)

async def main():
    there = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=there, base_url="http://app") as client:
        answers = await asyncio.gather(*(client.get("/", params={"q": str(n)}) for n in range(20)))
        assert [answer.json() for answer in answers] == [str(n) for n in range(20)]
        assert (await client.get("/many")).json() == [1, 3]
        assert (await client.get("/threaded")).json() == "thread"
        assert (await client.get("/live")).text == "end"

asyncio.run(main())
with TestClient(app) as client:
    assert [client.get("/", params={"q": str(n)}).json() for n in range(5)] == list("01234")
client = TestClient(app)  # a loop for each request
assert [client.get("/", params={"q": str(n)}).json() for n in range(5)] == list("01234")
print("ok")
"""


def test_starlettes_views(shared_host: RunningHost) -> None:
    done = script(STARLETTE, shared_host.url)
    assert (done.returncode, done.stdout) == (0, "ok\n"), done.stderr
    assert "ResourceWarning" not in done.stderr


DJANGO = """
import asyncio, json, sys
import django
from django.conf import settings
settings.configure(
    ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, SECRET_KEY="x",
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
    INSTALLED_APPS=["jshost"], JS_HOST={"ROOT_URL": sys.argv[1], "FUNCTION_TIMEOUT": 2.5},
)
django.setup()
from asgiref.sync import async_to_sync
from django.http import JsonResponse
from django.test import AsyncClient, Client
from django.urls import path
from jshost.function import Function

echo = Function("echo")

async def page(request):
    found = await asyncio.gather(*(echo.acall(value=n) for n in range(3)))
    return JsonResponse({"found": found, "limit": await Function("limit").acall()})

def threaded(request):
    other = async_to_sync(echo.acall)(value=2)
    return JsonResponse({"found": echo.call(value=[1]), "async": other})

urlpatterns = [path("page", page), path("threaded", threaded)]

async def main():
    client = AsyncClient()
    answers = await asyncio.gather(*(client.get("/page") for _ in range(5)))
    assert all(a.json() == {"found": [0, 1, 2], "limit": 2.5} for a in answers)
    assert (await client.get("/threaded")).json() == {"found": [1], "async": 2}

asyncio.run(main())
client = Client()  # async views under WSGI: a loop for each request
for _ in range(10):
    assert client.get("/page").json()["found"] == [0, 1, 2]
    assert client.get("/threaded").json() == {"found": [1], "async": 2}
print("ok")
"""


def test_djangos_async_views(shared_host: RunningHost) -> None:
    done = script(DJANGO, shared_host.url)
    assert (done.returncode, done.stdout) == (0, "ok\n"), done.stderr
    assert "ResourceWarning" not in done.stderr


NOTEBOOK = """
import asyncio, json, sys
from jshost.function import Function
from jshost.host import JSHost
echo = Function("echo", JSHost(root_url=sys.argv[1]))
loop = asyncio.new_event_loop()
# A notebook's cells run one after the other on one loop that goes on; call() works on it, too.
async def cell(number):
    return [await echo.acall(value=number), echo.call(value=number)]
print(json.dumps([loop.run_until_complete(cell(n)) for n in range(3)]))
loop.close()
"""


def test_a_notebooks_cells(shared_host: RunningHost) -> None:
    done = script(NOTEBOOK, shared_host.url)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == [[n, n] for n in range(3)]
