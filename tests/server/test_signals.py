"""Signals to this process, as a host takes them."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine
from typing import Any

from jshost.server.signals import Signals

HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def with_signals(test: Callable[[Signals], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        try:
            async with asyncio.timeout(10):
                await test(Signals())
        finally:
            for number in HANDLED:
                asyncio.get_running_loop().remove_signal_handler(number)

    asyncio.run(main())


def test_the_second_one_stops_at_once() -> None:
    async def main(signals: Signals) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        await signals.stop.wait()
        assert not signals.stop_now.is_set()
        os.kill(os.getpid(), signal.SIGINT)
        await signals.stop_now.wait()

    with_signals(main)


def test_a_hang_up_before_the_host_serves_is_kept() -> None:
    async def main(signals: Signals) -> None:
        reloads: list[int] = []
        done = asyncio.Event()

        def reload() -> None:
            reloads.append(1)
            done.set()

        os.kill(os.getpid(), signal.SIGHUP)
        await asyncio.sleep(0.01)
        assert not signals.stop.is_set()
        signals.on_hang_up(reload)
        assert reloads == [1]
        done.clear()
        os.kill(os.getpid(), signal.SIGHUP)
        await done.wait()
        assert reloads == [1, 1]

    with_signals(main)
