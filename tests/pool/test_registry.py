"""A registry on fakes: which config files it loads, whose options count, and where calls go."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.fake_workers import FakeCaller, FakeLoop, FakeProcess, Spawner

from jshost.exceptions import ConfigError, FunctionNotFound
from jshost.pool.launch import launch_of
from jshost.pool.pool import Pool
from jshost.pool.registry import Registry
from jshost.protocol import frames


class Files:
    """Notes which files workers have read."""

    def __init__(self) -> None:
        self.pools: list[Pool] = []
        self.learned: list[str] = []
        self.folders = 0

    def add(self, pool: Pool) -> None:
        self.pools.append(pool)

    def learn(self, pool: Pool, files: Iterable[str]) -> None:
        self.learned += files

    def learn_folders(self, pool: Pool) -> None:
        self.folders += 1


class Owner:
    """A registry, and what it told its owner."""

    def __init__(self, folder: Path, overrides: dict[str, Any], **more: Any) -> None:
        self.loop = FakeLoop()
        self.spawner = Spawner()
        self.outcomes: list[ConfigError | None] = []
        self.halted: list[str] = []
        self.registry = Registry(
            folder / "a.py",
            overrides,
            self.loop,
            on_halt=self.halted.append,
            spawn=self.spawner,
            **more,
        )

    def process(self, name: str) -> FakeProcess:
        """The last worker of a config file."""
        return [each for each in self.spawner.processes if each.launch.config_file.name == name][-1]

    def begin(self) -> None:
        self.registry.begin()
        self.registry.load(self.outcomes.append)

    def load(self, name: str, functions: list[str], options: dict[str, Any] | None = None) -> None:
        """Have the last worker of a config file load."""
        self.process(name).load(functions=functions, options=options or {})
        self.loop.run()

    @property
    def problem(self) -> str:
        (outcome,) = self.outcomes
        return str(outcome)


Make = Callable[..., Owner]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    for name in ("a.py", "b.py", "c.py"):
        (tmp_path / name).touch()
    owners: list[Owner] = []

    def make(overrides: dict[str, Any] | None = None, **more: Any) -> Owner:
        owners.append(Owner(tmp_path, overrides or {}, **more))
        return owners[-1]

    yield make
    for owner in owners:
        for pool in owner.registry.pools:
            for worker in pool.workers.values():
                worker.close()
        owner.spawner.close()


# Loading


def test_a_config_file_and_what_it_includes(make: Make) -> None:
    owner = make()
    owner.begin()
    owner.load("a.py", ["f"], {"include": ["b.py", "c.py"]})
    owner.load("c.py", ["h"], {"include": ["a.py", "b.py"]})
    assert owner.outcomes == [], "b.py comes first"
    owner.load("b.py", ["g"])
    assert owner.outcomes == [None]
    registry = owner.registry
    assert [loaded.config_file.name for loaded in registry.loaded] == ["a.py", "b.py", "c.py"]
    assert list(registry.routes) == ["f", "g", "h"]
    assert len(owner.spawner.processes) == 3
    assert (registry.ready, registry.is_complete, registry.idle) == (True, True, True)


def test_a_worker_that_is_ready_before_anything_waits(make: Make) -> None:
    owner = make()
    owner.registry.begin()
    owner.load("a.py", ["f"])
    assert owner.registry.routes == {}
    owner.registry.load(owner.outcomes.append)
    assert owner.outcomes == [None]
    assert list(owner.registry.routes) == ["f"]


def test_a_first_worker_that_was_spawned_before(make: Make, tmp_path: Path) -> None:
    owner = make()
    process = owner.spawner(launch_of(tmp_path / "a.py", 1))
    owner.registry.begin(process)
    owner.registry.load(owner.outcomes.append)
    owner.load("a.py", ["f"])
    assert owner.outcomes == [None]
    assert owner.spawner.processes == [process]


def test_a_config_file_that_does_not_load(make: Make) -> None:
    owner = make()
    owner.begin()
    owner.load("a.py", ["f"], {"include": ["b.py"]})
    owner.process("b.py").fail_to_load("SyntaxError: line 3")
    owner.loop.fire()
    assert owner.problem == "SyntaxError: line 3"


def test_a_config_file_that_is_not_there(make: Make, tmp_path: Path) -> None:
    (tmp_path / "a.py").unlink()
    with pytest.raises(ConfigError, match="no such config file"):
        make().begin()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"include": ["no.py"]}, "\"include\" names 'no.py', but there is no file .*no.py"),
        ({"include": ["\0"]}, '"include" names .* but the path cannot be resolved'),
        ({"include": "b.py"}, 'the option "include" must be a list of strings'),
        ({"prot": 1}, 'there is no option "prot". Did you mean "port"'),
        ({"workers": 0}, 'the option "workers" must be a whole number'),
    ],
)
def test_a_wrong_option(make: Make, options: dict[str, Any], said: str) -> None:
    owner = make()
    owner.begin()
    owner.load("a.py", ["f"], options)
    with pytest.raises(ConfigError, match=f"a.py: .*{said}"):
        raise owner.outcomes[0] or AssertionError


def test_a_name_that_is_defined_twice(make: Make) -> None:
    owner = make()
    owner.begin()
    owner.load("a.py", ["f", "g"], {"include": ["b.py"]})
    owner.load("b.py", ["g"])
    assert 'b.py: A function has already been defined with the name "g", in ' in owner.problem


def test_a_bug_of_ours_is_a_problem_too(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    """Else the owner would wait for ever."""

    class Broken(Files):
        def add(self, pool: Pool) -> None:
            if self.pools:
                raise ZeroDivisionError
            super().add(pool)

    owner = make(files=Broken())
    owner.begin()
    owner.load("a.py", ["f"], {"include": ["b.py"]})
    assert "could not be loaded: ZeroDivisionError()" in owner.problem


# Options


def test_whose_options_count(make: Make) -> None:
    owner = make({"max_queue": 5})
    owner.begin()
    first = {"include": ["b.py"], "port": 1, "functionTimeout": 3.0, "max_queue": 6}
    owner.load("a.py", ["f"], first)
    owner.load("b.py", ["g"], {"port": 2, "workers": 2, "max_queue": 7})
    a, b = (loaded.options for loaded in owner.registry.loaded)
    assert (a.port, a.workers, a.max_queue, a.function_timeout) == (1, 1, 5, 3.0)
    assert (b.port, b.workers, b.max_queue, b.function_timeout) == (1, 2, 5, 3.0)
    assert owner.registry.options is a
    assert len(owner.registry.loaded[1].pool.workers) == 2
    assert owner.registry.loaded[0].pool.scheduler.policy.max_queue == 5
    described = owner.registry.describe()
    assert (described["port"], described["functions"]) == (1, ["f", "g"])
    assert [pool["workers"] for pool in described["pools"]] == [1, 2]


def test_a_token_is_hidden(make: Make) -> None:
    owner = make({"token": "x" * 20})
    assert owner.registry.options.token == "x" * 20
    assert owner.registry.describe()["token"] == "(hidden)"


# Routes


def test_where_calls_go(make: Make) -> None:
    owner = make()
    owner.begin()
    owner.load("a.py", ["f"], {"include": ["b.py"], "function_timeout": 2})
    owner.load("b.py", ["g"])
    route = owner.registry.route("g")
    assert route.pool is owner.registry.pools[1]
    assert [route.limit_s(asked) for asked in (None, 1.0, 3.0)] == [2.0, 1.0, 2.0]
    with pytest.raises(FunctionNotFound, match='Unknown function "h"'):
        owner.registry.route("h")


def test_no_limit(make: Make) -> None:
    owner = make()
    owner.begin()
    owner.load("a.py", ["f"])
    route = owner.registry.route("f")
    assert [route.limit_s(asked) for asked in (None, 1.0)] == [None, 1.0]


def test_any_name(make: Make) -> None:
    owner = make(takes_any_name=True)
    owner.begin()
    owner.load("a.py", [])
    assert owner.registry.route("x => x").pool is owner.registry.pools[0]


# Reload


def test_functions_that_come_and_go(make: Make) -> None:
    files = Files()
    owner = make(files=files)
    owner.begin()
    owner.load("a.py", ["f"], {"include": ["b.py"]})
    owner.load("b.py", ["g"])
    pool = owner.registry.pools[1]
    pool.reload()
    owner.load("b.py", ["f", "h"])
    assert 'defined with the name "f"' in owner.registry.problem
    pool.reload()
    owner.load("b.py", ["h"])
    assert owner.registry.problem == ""
    assert list(owner.registry.routes) == ["f", "h"]
    assert files.pools == list(owner.registry.pools)


def test_changed_options_wait_for_a_restart(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    owner = make(files=Files())
    owner.begin()
    owner.load("a.py", ["f"], {"workers": 1})
    owner.registry.pools[0].reload()
    owner.load("a.py", ["f"], {"workers": 2})
    assert "a.py: changed options take effect when the host is restarted" in caplog.text
    assert owner.registry.loaded[0].options.workers == 1


def test_files_that_workers_have_read(make: Make) -> None:
    files = Files()
    owner = make(files=files)
    owner.begin()
    owner.process("a.py").load(files=["a.py", "b.py"])
    owner.loop.run()
    assert files.learned == ["a.py", "b.py"]
    owner.process("a.py").send(frames.READY, 0, b'{"files": ["c.py"]}')
    owner.loop.run()
    assert files.learned == ["a.py", "b.py", "c.py"]
    owner.registry.pools[0].reload()
    owner.process("a.py").fail_to_load("SyntaxError")
    owner.loop.fire()
    assert files.folders == 1


# The end


def test_a_pool_that_halts(make: Make) -> None:
    owner = make({"respawn": False})
    owner.begin()
    owner.load("a.py", ["f"])
    owner.process("a.py").end(1)
    owner.loop.fire(2)
    assert owner.halted == [owner.registry.halted]
    assert "respawn is off" in owner.registry.halted


def test_stop_ends_all_pools(make: Make) -> None:
    owner = make()
    owner.begin()
    owner.load("a.py", ["f"], {"include": ["b.py"]})
    owner.load("b.py", ["g"])
    states = [(worker["state"], worker["calls"]) for worker in owner.registry.workers()]
    assert states == [("ready", 0), ("ready", 0)]
    stopped: list[bool] = []
    owner.registry.stop(60.0, lambda: stopped.append(True))
    owner.process("a.py").end()
    owner.loop.fire(3)
    assert stopped == []
    owner.process("b.py").end()
    owner.loop.fire(3)
    assert stopped == [True]
    assert owner.registry.workers() == []


def test_stop_before_the_begin(make: Make) -> None:
    stopped: list[bool] = []
    make().registry.stop(1.0, lambda: stopped.append(True))
    assert stopped == [True]


def test_calls_that_wait(make: Make) -> None:
    owner = make({"concurrency": 1})
    owner.begin()
    owner.load("a.py", ["f"])
    for _ in range(3):
        owner.registry.route("f").pool.call("f", b"{}", None, "r", FakeCaller())
    assert owner.registry.queued == 2
    assert not owner.registry.idle
    assert owner.registry.is_resting


def test_abandon(make: Make) -> None:
    owner = make()
    owner.begin()
    owner.load("a.py", ["f"])
    owner.registry.abandon()
    assert not owner.process("a.py").is_killed
    assert owner.process("a.py").channel.fileno() == -1
