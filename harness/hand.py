"""One worker as the run knows it: its place, what is open on it, what it was asked and has not answered."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Protocol

from harness.models.base import Struct
from harness.models.openings import Opening, Weights, WeightsAt

if TYPE_CHECKING:
    from harness.crew import Order


class Slot(Struct, frozen=True):
    """A place for one worker: on which machine, the how manieth there, with what."""

    node: str
    number: int
    cpus: int
    gpus: int


class WorkerLost(Exception):
    """The worker is gone, and what it was doing with it."""


class Host(Protocol):
    """Who gives places and carries calls (Ray). `call` raises `WorkerLost`, or what the worker raised."""

    def slots(self) -> list[Slot]:
        """Where a worker has its place now. May block."""
        ...

    def spawn(self, slot: Slot) -> Any:
        """A worker in its place; it may come up later, or never."""
        ...

    async def call(self, actor: Any, method: str, *arguments: Any) -> Any:
        """What the method of the worker returns."""
        ...

    def share(self, weights: Weights) -> tuple[list[str], list[Any]]:
        """The names of the weights' files, and their contents as arguments of calls, read once. May block."""
        ...

    def kill(self, actor: Any) -> None:
        """End a worker that is gone, or not wanted any more."""
        ...


class Hand:
    """One worker.

    Attributes:
        name: its machine's, once it said so.
        ready: it came up, and is there.
        alone: it is at work that wants it alone (a training); requests it takes all the same.
        orders: what it was given and has not answered, by id.
        sent: how many of these it has.
        polls: calls that wait for its answers.
        up: its coming up.
    """

    def __init__(self, slot: Slot, host: Host) -> None:
        self.slot = slot
        self.name = ""
        self.ready = False
        self.alone = False
        self.orders: dict[int, Order] = {}
        self.sent = 0
        self.polls = 0
        self.up: asyncio.Task[None] | None = None
        self._host = host
        self._actor = host.spawn(slot)
        self._done: dict[str, asyncio.Task[None]] = {}

    async def call(self, method: str, *arguments: Any) -> Any:
        """What the worker's method returns. Raises `WorkerLost`, or what it raised."""
        return await self._host.call(self._actor, method, *arguments)

    async def open(self, key: str, opening: Opening, digest: str) -> None:
        """The model is open there when this returns."""

        async def work() -> None:
            if isinstance(opening, WeightsAt):
                await self.weigh(opening.weights)
            await self.call("open", key, opening, digest)

        await self._once(key, work())

    async def weigh(self, weights: Weights) -> None:
        """The weights are on its machine when this returns."""

        async def work() -> None:
            if not await self.call("has", weights):
                names, files = await asyncio.to_thread(self._host.share, weights)
                await self.call("receive", weights, names, *files)

        await self._once(weights.digest, work())

    async def shut(self, key: str) -> None:
        """Close a model where it is open."""
        if self._done.pop(key, None) is not None:
            await self.call("shut", key)

    def end(self) -> None:
        """It is not wanted any more."""
        self.ready = False
        for task in self._done.values():
            task.cancel()
        with contextlib.suppress(Exception):  # it may be gone already
            self._host.kill(self._actor)

    async def _once(self, what: str, work: Coroutine[Any, Any, None]) -> None:
        """Do a thing once, whoever asks for it and is cancelled meanwhile."""
        if what in self._done:
            work.close()
        else:
            task = self._done[what] = asyncio.ensure_future(work)
            task.add_done_callback(lambda t: t.cancelled() or t.exception())  # whoever waited may be gone by then
        try:
            await asyncio.shield(self._done[what])
        except asyncio.CancelledError:
            if self._done[what].cancelled():
                raise WorkerLost("it was ended") from None
            raise
