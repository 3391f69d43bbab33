"""How long a run was at work, over all its starts: `worked.json`, the seconds of each.

A start that was killed counts up to its last beat, so that what a run took is not what its last start took.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from harness.errors import DataError
from harness.store import RunDirectory


class Worked:
    """The clock of one start, beside those of the starts before it. It runs from when it is made."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._before: tuple[float, ...] = ()

    @property
    def starts(self) -> tuple[float, ...]:
        """Seconds of every start so far, this one the last."""
        return (*self._before, round(time.monotonic() - self._began, 1))

    @asynccontextmanager
    async def beating(self, directory: RunDirectory, every_seconds: float = 10.0) -> AsyncGenerator[None]:
        """Write it down every few seconds, and at the end however it ends."""
        self._before = directory.load("worked.json", tuple[float, ...]) or ()

        async def beat() -> None:
            while True:
                with contextlib.suppress(DataError):  # a full disk is told by what has something to lose
                    await asyncio.to_thread(directory.save, "worked.json", self.starts)
                await asyncio.sleep(every_seconds)

        task = asyncio.create_task(beat())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            with contextlib.suppress(DataError):
                directory.save("worked.json", self.starts)
