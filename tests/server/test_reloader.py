"""Watching files; tests/e2e/test_reload has what comes of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import watchfiles

from jshost.server.reloader import Reloader


def test_files_that_cannot_be_watched_are_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "host.config.py").touch()

    async def main() -> None:
        tries = 0
        watched = asyncio.Event()

        async def awatch(*folders: str, **_: object) -> AsyncIterator[None]:
            nonlocal tries
            tries += 1
            if tries < 3:
                raise OSError(28, "inotify watch limit reached")
            watched.set()
            await asyncio.Event().wait()
            yield

        monkeypatch.setattr(watchfiles, "awatch", awatch)
        monkeypatch.setattr("jshost.server.reloader.RETRY_S", 0.01)
        reloader, pool = Reloader(), object()
        reloader.add(pool)  # type: ignore[arg-type]
        reloader.learn(pool, [str(tmp_path / "host.config.py")])  # type: ignore[arg-type]
        watching = asyncio.create_task(reloader.watch())
        async with asyncio.timeout(10):
            await watched.wait()
        watching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await watching

    with caplog.at_level(logging.WARNING, "jshost.reload"):
        asyncio.run(main())
    assert [record.getMessage() for record in caplog.records] == [
        "edits are seen by the next call only: [Errno 28] inotify watch limit reached"
    ]
