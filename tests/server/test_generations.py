"""What a host keeps from one service to the next; tests/e2e/test_swapping has the rest."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from jshost.server.generations import Generations
from jshost.server.service import Service

pytestmark = pytest.mark.real

CONFIG = "functions = {'one': lambda: 1}\nworkers = %d\n"


def test_restarts_are_counted_on(tmp_path: Path) -> None:
    config = tmp_path / "host.config.py"

    async def swap() -> None:
        config.write_text(CONFIG % 1)
        generations = Generations(lambda: Service(config, {}))
        changes: list[bool] = []
        generations.on_change = lambda: changes.append(generations.is_busy)
        try:
            first = generations.current
            first.begin()
            await first.start()
            first.registry.loaded[0].pool.restarts["died"] = 3
            config.write_text(CONFIG % 2)
            await done(generations)
            assert generations.current is not first
            assert generations.current.registry.loaded[0].pool.restarts == {"died": 3, "reload": 1}
            await done(generations)
            assert generations.current.registry.loaded[0].pool.restarts == {"died": 3, "reload": 3}
            assert changes == [True, False, True, False]
            config.write_text("not Python")
            await done(generations)
            assert "not Python" in generations.status()["error"]
            assert generations.current.registry.loaded[0].pool.restarts["reload"] == 3
        finally:
            await generations.end(0)
        assert generations.current.workers() == []

    async def done(generations: Generations) -> None:
        generations.renew()
        asked = generations.status()["asked"]
        async with asyncio.timeout(20):
            while generations.status()["done"] < asked:
                await asyncio.sleep(0.01)

    asyncio.run(swap())


def test_two_requests_while_one_is_loaded_are_one(tmp_path: Path) -> None:
    config = tmp_path / "host.config.py"
    config.write_text(CONFIG % 1)

    async def swap() -> None:
        generations = Generations(lambda: Service(config, {}))
        loads = 0

        def count() -> None:
            nonlocal loads
            loads += generations.is_busy

        generations.on_change = count
        try:
            generations.current.begin()
            await generations.current.start()
            for _ in range(3):
                generations.renew()
                await asyncio.sleep(0)
            async with asyncio.timeout(20):
                while generations.status()["done"] < 3:
                    await asyncio.sleep(0.01)
            assert loads == 2
        finally:
            await generations.end(0)

    asyncio.run(swap())


def test_a_swap_that_the_system_forbids_leaves_all_as_it_is(tmp_path: Path) -> None:
    config = tmp_path / "host.config.py"
    config.write_text(CONFIG % 1)

    class Forbidden(Service):
        def begin(self) -> None:
            raise PermissionError(13, "Permission denied")

    async def swap() -> None:
        kinds = iter([Service, Forbidden, Service])
        generations = Generations(lambda: next(kinds)(config, {}))
        try:
            first = generations.current
            first.begin()
            await first.start()
            for problem in ("PermissionError(13, 'Permission denied')", ""):
                generations.renew()
                async with asyncio.timeout(20):
                    while generations.status()["done"] < generations.status()["asked"]:
                        await asyncio.sleep(0.01)
                assert generations.status()["error"] == problem
                assert (generations.current is first) is bool(problem)
        finally:
            await generations.end(0)

    asyncio.run(swap())
