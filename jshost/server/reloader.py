"""With --reload: edited code is loaded before the next call runs. Runs in: host.

Workers report which files of the project they have read. Before each call the host checks whether
one of them has changed; if so, the call waits for new workers, so that it never runs old code.
Between calls watchfiles reports edits, so that most calls do not have to wait.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable
from pathlib import Path

from jshost.pool.pool import Pool

__all__ = ["Reloader"]

logger = logging.getLogger("jshost.reload")

LOAD_TIMEOUT_S = 30.0
POLL_S = 0.002
RETRY_S = 1.0
TRIES = 50
"""How often a call checks again, because files were saved while they were loaded."""

Stamp = tuple[int, int, int]
NEVER_READ: Stamp = (0, 0, 0)
GONE: Stamp = (-1, -1, -1)


class Reloader:
    """The files that the pools of a service have read, and their stamps at that time."""

    def __init__(self) -> None:
        self._stamps: dict[Pool, dict[str, Stamp]] = {}
        self._spawned_at: dict[Pool, float] = {}
        self._folders_changed = asyncio.Event()

    def add(self, pool: Pool) -> None:
        """The first worker of this pool is about to start."""
        self._stamps[pool] = {}
        self._spawned_at[pool] = time.time()

    def learn(self, pool: Pool, files: Iterable[str]) -> None:
        """A worker of the pool has read these files.

        A file saved since the worker was spawned may have been read before or after that: it
        counts as not read, and is loaded once more.
        """
        stamps = self._stamps[pool]
        for file in files:
            if file in stamps:
                continue
            stamp = _stamp(file)
            is_old = stamp != GONE and stamp[0] < (self._spawned_at[pool] - 0.01) * 1e9
            stamps[file] = stamp if is_old else NEVER_READ
            self._folders_changed.set()

    def learn_folders(self, pool: Pool) -> None:
        """The code does not load: perhaps a file is missing, which may appear beside the others."""
        stamps = self._stamps[pool]
        for folder in {str(Path(file).parent) for file in stamps}:
            stamps.setdefault(folder, _stamp(folder))

    async def fresh(self) -> None:
        """Wait until new calls run the files as they are now, or fail because those do not load."""
        for _ in range(TRIES):
            changed = [pool for pool in self._stamps if self._has_changed(pool)]
            for pool in changed:
                self._reload(pool)
            end = time.monotonic() + LOAD_TIMEOUT_S
            while not all(pool.is_settled for pool in self._stamps) and time.monotonic() < end:
                await asyncio.sleep(POLL_S)
            if not changed:
                return

    async def watch(self) -> None:
        """Reload as soon as a file is saved, until cancelled."""
        warned = ""
        while True:
            try:
                await self._watch()
            except Exception as error:  # noqa: BLE001  too many watches, a deleted folder, …
                if repr(error) != warned:
                    warned = repr(error)
                    logger.warning("edits are seen by the next call only: %s", error)
                await asyncio.sleep(RETRY_S)

    async def _watch(self) -> None:
        import watchfiles  # takes 30 ms: only hosts with --reload pay for it

        while True:
            self._folders_changed.clear()
            folders = {str(Path(file).parent) for known in self._stamps.values() for file in known}
            existing = [folder for folder in folders if Path(folder).is_dir()]
            if not existing:
                await self._folders_changed.wait()
                continue
            async for _ in watchfiles.awatch(
                *existing,
                watch_filter=self._is_known,
                stop_event=self._folders_changed,
                debounce=100,
                step=20,
                recursive=False,
            ):
                await self.fresh()

    def _is_known(self, change: object, path: str) -> bool:
        return any(path in known for known in self._stamps.values())

    def _has_changed(self, pool: Pool) -> bool:
        return any(_stamp(file) != stamp for file, stamp in self._stamps[pool].items())

    def _reload(self, pool: Pool) -> None:
        """Remember the files' stamps before the new workers read them."""
        logger.info("%s: the code has changed; reloading it", pool.launch.config_file.name)
        self._spawned_at[pool] = time.time()
        known = self._stamps[pool]
        self._stamps[pool] = {file: _stamp(file) for file in known if not Path(file).is_dir()}
        pool.reload()


def _stamp(file: str) -> Stamp:
    """What differs between two versions of a file: modification time, size, inode."""
    try:
        status = Path(file).stat()
    except OSError:
        return GONE
    return status.st_mtime_ns, status.st_size, status.st_ino
