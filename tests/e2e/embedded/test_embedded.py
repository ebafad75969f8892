"""An embedded host: how it is made, what it says, where functions print, who may use it."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import select
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
from support.hosts import wait_until

import jshost
from jshost.embedding.api import _hosts, default_host
from jshost.embedding.host import EmbeddedHost
from jshost.exceptions import ConfigError, ConnectionError, FunctionTimeout, ProcessError
from jshost.function import Function
from jshost.pool.batch import Batch

CONFIG_JS = """
const together = [];
module.exports = {
  functions: {
    double: ({number}) => number * 2,
    pid: () => process.pid,
    say: ({text}) => { console.log(text); console.error('error: ' + text); return text; },
    log() { this.host.logger.info('logged'); },
    sleep: ({ms}) => new Promise((resolve) => setTimeout(resolve, ms, ms)),
    meet: ({number}) => new Promise((resolve) => {
      together.push(resolve);
      if (together.length === number) for (const each of together) each(number);
    }),
    spin: () => { for (;;); },
    die: () => process.exit(3),
    count: function* ({to}) { for (let i = 0; i < to; i += 1) yield i; },
    close: () => 'the function',
  },
};
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "host.config.js"
    path.write_text(CONFIG_JS)
    return path


@pytest.fixture
def host(config: Path) -> Iterator[EmbeddedHost]:
    with jshost.embedded(config) as host:
        yield host


@pytest.fixture
def own_hosts() -> Iterator[None]:
    """Ends the hosts that would live as long as the program."""
    yield
    while _hosts:
        _hosts.popitem()[1].close()
    jshost.settings.reset()


def pids(host: EmbeddedHost) -> list[int]:
    return [worker["pid"] for worker in host.workers]


# How it is made


def test_a_config_file(config: Path) -> None:
    with jshost.embedded(config) as host:
        assert host.function("double").call(number=20) == 40
        assert host.double(number=2) == 4
        assert host.function("close").call() == "the function"
        assert "double" in dir(host)
        (pid,) = pids(host)
        assert psutil.pid_exists(pid)
    assert not psutil.pid_exists(pid)


def test_a_name_in_the_source_root(config: Path) -> None:
    jshost.settings.configure(SOURCE_ROOT=str(config.parent))
    for name in ["host.config.js", None]:
        with jshost.embedded(name) as host:
            assert host.double(number=1) == 2


async def _twice(config: Path) -> list[Any]:
    async with jshost.embedded(config) as host:
        double = host.function("double")
        return await asyncio.gather(*(double.acall(number=number) for number in range(20)))


def test_async_with(config: Path) -> None:
    assert asyncio.run(_twice(config)) == [number * 2 for number in range(20)]


def test_options_win_over_the_config_files(config: Path) -> None:
    with jshost.embedded(config, workers=2, function_timeout=0.2) as host:
        wait_until(lambda: len(pids(host)) == 2, 5, "second worker")
        with pytest.raises(FunctionTimeout, match=r"limit of 0\.2 s"):
            host.sleep(ms=5000)


def test_python_functions_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "helpers.py").write_text(
        "class A:\n    @staticmethod\n    def up(text): return text.upper()"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    with jshost.embedded({"up": "helpers:A.up", "base": "posixpath:basename"}) as host:
        assert host.up(text="a") == "A"
        assert host.base(p="/a/b") == "b"


def test_javascript_functions_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "node_modules" / "slug"
    package.mkdir(parents=True)
    (package / "package.json").write_text('{"name": "slug", "main": "index.js"}')
    (package / "index.js").write_text(
        "module.exports = ({text}) => text.replace(/ /g, '-');\n"
        "module.exports.up = ({text}) => text.toUpperCase();"
    )
    (tmp_path / "own.mjs").write_text(
        "export default ({n}) => n + 1; export const twice = ({n}) => n * 2;"
    )
    monkeypatch.chdir(tmp_path)
    places = {"slug": "npm:slug", "up": "npm:slug:up", "twice": "./own.mjs:twice"}
    with jshost.embedded(places) as host:
        assert host.slug(text="a b") == "a-b"
        assert host.up(text="a b") == "A B"
        assert host.twice(n=4) == 8


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ("no.config.js", "no such config file"),
        ({"a": "posixpath:basename", "b": "npm:slug"}, "both languages"),
        ({"a": "basename"}, "'a' must be a 'module:function'"),
        ({}, "give it a config file's path"),
    ],
)
def test_what_cannot_be_embedded(config: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        jshost.embedded(config)


@pytest.mark.parametrize(
    "place", ["posixpath:no_such_name", "no_such_module:x", "posixpath:sep", "npm:no-such-package"]
)
def test_functions_that_are_not_there(place: str) -> None:
    with pytest.raises(ConfigError, match=r"no_such|no-such|a str"), jshost.embedded({"f": place}):
        pass


def test_functions_of_a_python_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "its_parsers.py").write_text(
        "seen = []\ndef keep(n):\n    seen.append(n)\ndef kept():\n    return seen\n"
    )
    monkeypatch.chdir(tmp_path)
    places = {"keep": "./its_parsers.py:keep", "kept": "./its_parsers.py:kept"}
    with jshost.embedded(places) as host:
        host.keep(n=3)
        assert host.kept() == [3]


def test_missing_files_and_packages_are_said_where_the_program_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for place, said in [
        ("npm:@no/such:x", f"not installed in {tmp_path}. Run there: npm install @no/such"),
        ("./no_such.js:x", f"no file that {tmp_path} has"),
        ("./no_such.py:x", f"no file {tmp_path}/no_such.py"),
    ]:
        with pytest.raises(ConfigError) as failure, jshost.embedded({"f": place}):
            pass
        assert said in str(failure.value)


def test_a_config_that_does_not_load(tmp_path: Path) -> None:
    path = tmp_path / "host.config.py"
    path.write_text("functions = {'f': len}\nraise ValueError('not today')")
    with pytest.raises(ConfigError, match="not today"), jshost.embedded(path):
        pass
    host = jshost.embedded(path)
    with pytest.raises(ConfigError, match="not today"):
        host.function("f").call()
    path.write_text("functions = {'f': lambda: 1}")
    assert host.function("f").call() == 1
    host.close()


@pytest.mark.usefixtures("own_hosts")
def test_an_expression() -> None:
    add = jshost.javascript("return data.a + data.b")
    assert add.call(a=1, b=2) == 3
    assert add.map([{"a": "x", "b": "y"}, {"a": 1, "b": 1}]) == ["xy", 2]
    size = jshost.javascript("return data.bytes.length")
    assert size.call(bytes=b"abc") == 3
    base = jshost.javascript("return require('node:path').basename(data.path)", timeout=2)
    assert base.call(path="/a/b") == "b"
    later = jshost.javascript("return await new Promise(r => setTimeout(r, 1, 5))")
    assert asyncio.run(later.acall()) == 5
    with pytest.raises(jshost.FunctionError, match="TypeError"):
        jshost.javascript("return data.x.y").call()
    with pytest.raises(jshost.FunctionError, match="SyntaxError"):
        jshost.javascript("return (").call()
    assert len({id(each.get_host()) for each in (add, size, base)}) == 1


@pytest.mark.usefixtures("own_hosts")
def test_the_setting(config: Path) -> None:
    double = jshost.Function("double")
    jshost.settings.configure(EMBEDDED=True, CONFIG_FILE=str(config))
    assert double.call(number=3) == 6
    assert asyncio.run(double.acall(number=4)) == 8
    assert double.map([{"number": 1}]) == [2]
    assert jshost.Function("pid").get_host() is default_host()
    jshost.settings.configure(EMBEDDED=False)
    with pytest.raises(ConnectionError):
        double.call(number=3)


# What it says


def test_its_repr_says_what_there_is(config: Path) -> None:
    host = jshost.embedded(config)
    assert repr(host) == "<EmbeddedHost host.config.js: starting>"
    (pid,) = pids(host)
    assert repr(host).startswith("<EmbeddedHost host.config.js: functions: close, count, die, ")
    assert repr(host).endswith(f"worker pids: {pid}>")
    host.close()
    assert repr(host) == "<EmbeddedHost host.config.js: closed>"
    with pytest.raises(ConnectionError, match="closed"):
        host.function("double").call(number=1)
    host.close()


def test_a_function_that_is_not_there(host: EmbeddedHost) -> None:
    with pytest.raises(AttributeError, match=r'no function "dubble"\. There are: close'):
        host.dubble  # noqa: B018
    with pytest.raises(jshost.exceptions.FunctionNotFound, match="dubble"):
        host.function("dubble").call()


def test_its_status(host: EmbeddedHost) -> None:
    status = host.get_status()
    assert (status["type"], status["ready"]) == ("EmbeddedHost", True)
    assert host.get_config()["functions"] == host.functions


def test_functions_print_where_the_program_prints(
    host: EmbeddedHost, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    for text in ["one", "two"]:
        assert host.say(text=text) == text
        said = capsys.readouterr()
        assert (said.out, said.err) == (f"{text}\n", f"error: {text}\n")
    with caplog.at_level(logging.INFO, "jshost.worker"):
        host.log()
    assert [record.name for record in caplog.records] == ["jshost.worker"]
    assert "log " in caplog.text
    assert "logged" in caplog.text
    assert capsys.readouterr().out == ""


# Who may use it


def test_threads(host: EmbeddedHost) -> None:
    double = host.function("double")
    wrong: list[Any] = []

    def work(first: int) -> None:
        for number in range(first, first + 200):
            if double.call(number=number) != number * 2:
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(first,)) for first in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert wrong == []
    assert not any(thread.is_alive() for thread in threads)


def test_callers_do_not_wait_for_each_other(host: EmbeddedHost) -> None:
    """Each of the twenty is answered when all of them have come."""
    meet = host.function("meet")
    with ThreadPoolExecutor(20) as threads:
        assert list(threads.map(lambda _: meet.call(number=20), range(20))) == [20] * 20


def test_threads_and_loops_at_once(host: EmbeddedHost) -> None:
    double, sleep, count = (host.function(name) for name in ("double", "sleep", "count"))
    failures: list[BaseException] = []

    async def tasks() -> None:
        async def one(number: int) -> None:
            for _ in range(20):
                assert await double.acall(number=number) == number * 2
                assert await sleep.acall(ms=1) == 1
            assert [value async for value in count.astream(to=30)] == list(range(30))

        await asyncio.gather(*(one(number) for number in range(10)))

    def calls() -> None:
        for number in range(100):
            assert double.call(number=number) == number * 2
        assert list(count.stream(to=30)) == list(range(30))
        assert double.map([{"number": 1}, {"number": 2}]) == [2, 4]

    def guarded(work: Any) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001
            failures.append(error)

    works = [calls] * 8 + [lambda: asyncio.run(tasks())] * 3
    threads = [threading.Thread(target=guarded, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert failures == []
    assert not any(thread.is_alive() for thread in threads)


def test_sync_calls_inside_of_a_running_loop(host: EmbeddedHost) -> None:
    async def cell() -> list[Any]:
        pending = asyncio.ensure_future(host.function("double").acall(number=1))
        await asyncio.sleep(0)
        return [host.double(number=5), await pending, *host.function("count").stream(to=2)]

    assert asyncio.run(cell()) == [10, 2, 0, 1]


def test_no_thread_in_the_common_case(host: EmbeddedHost) -> None:
    before = threading.active_count()
    host.double(number=1)
    assert asyncio.run(host.function("double").acall(number=1)) == 2
    assert threading.active_count() == before


# Deadlines and deaths


def wait_for_other(host: EmbeddedHost, pid: int) -> None:
    wait_until(lambda: not psutil.pid_exists(pid), 5, f"end of worker {pid}")


def test_a_deadline_really_stops_the_work(host: EmbeddedHost) -> None:
    (pid,) = pids(host)
    with pytest.raises(FunctionTimeout):
        host.function("spin").with_timeout(0.1).call()
    wait_for_other(host, pid)  # though nobody calls meanwhile
    assert host.double(number=1) == 2
    assert pids(host) != [pid]


def test_a_deadline_in_a_loop_that_ends(host: EmbeddedHost) -> None:
    (pid,) = pids(host)
    with pytest.raises(FunctionTimeout):
        asyncio.run(host.function("spin").with_timeout(0.1).acall())
    wait_for_other(host, pid)
    assert asyncio.run(host.function("double").acall(number=1)) == 2


def test_a_cancelled_task_cancels_its_call(host: EmbeddedHost) -> None:
    (pid,) = pids(host)

    async def cancelled() -> None:
        task = asyncio.ensure_future(host.function("spin").acall())
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    wait_for_other(host, pid)
    assert host.double(number=1) == 2


def test_a_cancelled_batch_begins_no_more_calls(
    host: EmbeddedHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is cancelled under the lock: another thread may be about to begin some of its calls."""
    usual, held = Batch.cancel, []

    def cancel(batch: Batch, cancel_call: Any) -> None:
        assert host._submitter is not None
        held.append(host._submitter.engine.reactor.lock.locked())
        usual(batch, cancel_call)

    monkeypatch.setattr(Batch, "cancel", cancel)

    async def cancelled() -> None:
        async with asyncio.timeout(0.05):
            await host.function("sleep").amap([{"ms": 300}] * 300)

    with pytest.raises(TimeoutError):
        asyncio.run(cancelled())
    assert held == [True]
    assert host.double(number=1) == 2


def test_a_worker_that_dies_in_mid_call(host: EmbeddedHost) -> None:
    for _ in range(3):
        with pytest.raises(ProcessError, match="exit code 3"):
            host.function("die", timeout=None).call()  # nothing but its death ends the call
        assert host.double(number=1) == 2


def streamed(function: Function) -> Any:
    with function.stream(number=2) as stream:
        assert list(stream) == []
    return stream.result


async def astreamed(function: Function) -> Any:
    async with function.astream(number=2) as stream:
        assert [value async for value in stream] == []
    return stream.result


@pytest.mark.parametrize(
    "call",
    [
        lambda function: function.call(number=2),
        lambda function: asyncio.run(function.acall(number=2)),
        lambda function: function.map([{"number": 2}])[0],
        lambda function: asyncio.run(function.amap([{"number": 2}]))[0],
        streamed,
        lambda function: asyncio.run(astreamed(function)),
    ],
    ids=["call", "acall", "map", "amap", "stream", "astream"],
)
def test_a_worker_that_died_while_nobody_called(
    host: EmbeddedHost, call: Callable[[Function], Any]
) -> None:
    (pid,) = pids(host)
    psutil.Process(pid).kill()
    ended = os.pidfd_open(pid)  # Node's first thread is a zombie before its last one has ended
    assert select.select([ended], [], [], 5)[0]
    os.close(ended)
    time.sleep(0.01)  # so that nobody has looked just now
    assert call(host.function("double")) == 4


def test_a_host_that_nobody_refers_to_ends(config: Path) -> None:
    host = jshost.embedded(config)
    assert host.double(number=1) == 2
    (pid,) = pids(host)
    del host
    gc.collect()
    wait_until(lambda: not psutil.pid_exists(pid), 5, "end of the worker")


def test_close_lets_calls_finish(config: Path) -> None:
    host = jshost.embedded(config)
    sleep, answers = host.function("sleep"), []
    thread = threading.Thread(target=lambda: answers.append(sleep.call(ms=300)))
    thread.start()
    wait_until(lambda: host.workers[0]["calls"] == 1, 5, "call")
    host.close()
    thread.join(5)
    assert answers == [300]


def test_close_cuts_calls_off(config: Path) -> None:
    host = jshost.embedded(config)
    spin, errors = host.function("spin", timeout=None), []

    def call() -> None:
        try:
            spin.call()
        except jshost.JSHostError as error:
            errors.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    wait_until(lambda: host.workers[0]["calls"] == 1, 5, "call")
    host.close(0.1)
    thread.join(5)
    assert len(errors) == 1
