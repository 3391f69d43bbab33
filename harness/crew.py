"""Workers on other machines, and which request goes to which: chunks out, answers back, nothing lost.

A request goes to the worker with the least to do. When a worker is lost, what it had not answered is asked of another
one; what it had is here already. Where calls are billed, a lost one counts as a call that failed: it is paid for out of
the budget, and asked again by the same rules as one that timed out.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from functools import cached_property
from typing import Any

import msgspec

from harness import __version__
from harness.errors import HarnessError, Problem
from harness.hand import Hand, Host, Slot, WorkerLost
from harness.models.base import Completion, Model, Request, Usage
from harness.models.calls import CallFailed
from harness.models.openings import EndpointAt, OnLimits, Opening, Weights
from harness.models.reply import estimate_prompt
from harness.models.wrapper import Wrapper
from harness.ray_worker import Answers, Asked, Reply
from harness.tuners.base import Progress

LOOK_SECONDS = 2.0
"""How often it is looked for machines that came, and for places of workers that are gone."""
GRACE_SECONDS = 5.0
"""How long the first worker waits for the others, so that not all of a short run's requests are its own."""
PATIENCE_SECONDS = 60.0
"""How long a run goes on waiting when no worker is left."""
TRIES = 3
"""Workers that a request may take down, and that a place may lose before they had come up."""

_NOTHING = msgspec.msgpack.encode([])
_answers = msgspec.msgpack.Decoder(Answers)


class Order:
    """A request that waits for its reply."""

    __slots__ = ("asked", "losses", "model", "reply", "sent")

    def __init__(self, asked: Asked, model: Lent, reply: asyncio.Future[Reply]) -> None:
        self.asked = asked
        self.model = model
        self.reply = reply
        self.losses = 0
        self.sent = False


class Crew:
    """The workers of one run.

    Args:
        host: who places them.
        load: requests that a worker has under way at most.
        show: told when one is lost.
    """

    def __init__(self, host: Host, load: int, show: Callable[[Progress], None]) -> None:
        self.places = 0
        self.lost = 0
        self._host = host
        self._load = load
        self._show = show
        self._hands: dict[Slot, Hand] = {}
        self._broken: dict[str, int] = {}
        self._seen: set[str] = set()
        self._waiting: deque[Order] = deque()
        self._due = False
        self._ids = itertools.count()
        self._tasks: set[asyncio.Task[None]] = set()
        self._error: BaseException | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """How many machines answered, and how many workers were lost."""
        lost = (
            f"; {self.lost} were lost on the way, and what they had not answered was asked again" if self.lost else ""
        )
        return (f"requests were answered by {self.places} workers on {len(self._seen)} machines of Ray{lost}",)

    async def start(self, seconds: float) -> None:
        """Wait for the first worker, then a little for the others. Raises `HarnessError` when none comes up."""
        self._task(self._look())
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while not self._ready and self._error is None:
            if loop.time() > until:
                self._fail(_none(f"none has come up within {seconds:g} s", "are its processors or GPUs all taken?"))
            await asyncio.sleep(0.02)
        if ups := [h.up for h in self._hands.values() if h.up is not None]:
            await asyncio.wait(ups, timeout=GRACE_SECONDS)
        if self._error is not None:
            raise self._error

    @property
    def _ready(self) -> list[Hand]:
        return [h for h in self._hands.values() if h.ready]

    async def ask(self, model: Lent, request: Request) -> Reply:
        """What becomes of a request. Raises `WorkerLost` where a call that is billed was lost."""
        if self._error is not None:
            raise self._error
        reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting.append(Order(Asked(next(self._ids), model.key, request), model, reply))
        self._flush_soon()
        return await reply

    async def with_weights(self, weights: Weights, method: str, *arguments: Any, alone: bool = False) -> Any:
        """Call a worker that has these weights; another one where it is lost. `alone`: one such call a worker."""
        for _ in range(TRIES):
            while not (free := [h for h in self._ready if not (alone and h.alone)]):
                if self._error is not None:
                    raise self._error
                await asyncio.sleep(0.05)
            hand = min(free, key=lambda h: len(h.orders))
            hand.alone = hand.alone or alone
            try:
                await hand.weigh(weights)
                return await hand.call(method, *arguments)
            except WorkerLost as error:
                self._lose(hand, str(error))
            finally:
                hand.alone = hand.alone and not alone
        raise _none(
            f"{TRIES} in a row were lost with the same work ({method})", "does it want more memory than they have?"
        )

    async def shut(self, model: Lent) -> None:
        """Close a model wherever it is open."""
        for hand in self._ready:
            with contextlib.suppress(WorkerLost):
                await hand.shut(model.key)

    async def close(self) -> None:
        """End all workers; safe to call twice."""
        self._error = self._error or HarnessError("the workers were closed")
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for hand in self._hands.values():
            hand.end()
        self._hands.clear()

    # Workers that come and go

    async def _look(self) -> None:
        """Keep a worker in every place there is, as machines come and go."""
        idle = 0.0
        while True:
            slots = await asyncio.to_thread(self._host.slots)
            self.places = len(slots)
            nodes = {s.node for s in slots}
            for hand in [h for h in self._hands.values() if h.slot.node not in nodes]:
                self._lose(hand, "its machine is gone")
            for slot in slots:
                if slot not in self._hands and self._broken.get(slot.node, 0) < TRIES:
                    hand = self._hands[slot] = Hand(slot, self._host)
                    hand.up = self._task(self._bring_up(hand))
            idle = 0.0 if self._ready else idle + LOOK_SECONDS
            if not slots and not self._seen:
                self._fail(_none("the cluster has no processor or GPU to give", "add a machine to it"))
            elif idle > PATIENCE_SECONDS:
                self._fail(_none(f"for {PATIENCE_SECONDS:g} s there was none", "see `ray status`"))
            await asyncio.sleep(LOOK_SECONDS)

    async def _bring_up(self, hand: Hand) -> None:
        try:
            version, hand.name = await hand.call("hello")
        except WorkerLost as error:
            hand.end()
            if self._hands.get(hand.slot) is not hand:  # its machine is gone, as was found out before
                return
            del self._hands[hand.slot]
            self._broken[hand.slot.node] = self._broken.get(hand.slot.node, 0) + 1
            if not self._hands:
                fix = "is harness installed there, in the same version, with the same Python and Ray?"
                self._fail(_none(f"one ended while it started: {error}", fix))
            return
        if version != __version__:
            fix = "install the same version on all machines"
            self._fail(_none(f"{hand.name} has harness {version}, and this machine {__version__}", fix))
            return
        self._broken.pop(hand.slot.node, None)
        self._seen.add(hand.slot.node)
        hand.ready = True
        self._flush_soon()

    def _lose(self, hand: Hand, why: str) -> None:
        """Forget a worker; what it had not answered waits for another one, in front of all others."""
        if self._hands.get(hand.slot) is not hand:
            return
        del self._hands[hand.slot]
        if hand.ready:
            self.lost += 1
            said = f"{hand.name}: {why}; its requests are asked again"
            self._show(Progress(status="ray: a worker was lost", message=said))
        hand.end()
        for order in reversed(hand.orders.values()):
            order.losses += 1
            if order.reply.done():
                continue
            if order.sent and isinstance(order.model.at, EndpointAt):
                order.reply.set_exception(WorkerLost(why))
            elif order.losses >= TRIES:
                order.reply.set_exception(_none(f"{TRIES} in a row were lost with the same request: {why}", ""))
            else:
                self._waiting.appendleft(order)
        hand.orders.clear()
        self._flush_soon()

    # Requests and answers

    def _flush_soon(self) -> None:
        """Send what waits when this turn of the loop is over, so that requests that come together travel together."""
        if not self._due:
            self._due = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._due = False
        if not (ready := self._ready):
            return
        chunks: dict[Slot, list[Order]] = {}
        while self._waiting:
            hand = min(ready, key=lambda h: len(h.orders))
            if len(hand.orders) >= self._load:
                break
            order = self._waiting.popleft()
            if order.reply.done():  # nobody waits for it any more
                continue
            hand.orders[order.asked.id] = order
            chunks.setdefault(hand.slot, []).append(order)
        for slot, orders in chunks.items():
            self._task(self._send(self._hands[slot], orders))

    async def _send(self, hand: Hand, orders: Sequence[Order]) -> None:
        """Send a chunk, and take in answers while this is the one to wait for them (one call does at any time)."""
        try:
            for model in {o.model.key: o.model for o in orders}.values():
                await hand.open(model.key, await model.located(), model.digest)
            chunk = msgspec.msgpack.encode([o.asked for o in orders])
            for order in orders:
                order.sent = True
            hand.sent += len(orders)
            hand.polls += 1
            try:
                while True:
                    self._take(hand, await hand.call("exchange", chunk))
                    chunk = _NOTHING
                    if not hand.sent or hand.polls > 1:
                        break
            finally:
                hand.polls -= 1
        except WorkerLost as error:
            self._lose(hand, str(error))
        except HarnessError as error:
            self._fail(error)

    def _take(self, hand: Hand, raw: bytes) -> None:
        answers = _answers.decode(raw)
        hand.sent -= len(answers.replies)
        told = dict(answers.limits)
        for reply in answers.replies:
            order = hand.orders.pop(reply.id, None)
            if order is None:
                continue
            if (limits := told.pop(order.model.key, None)) is not None and order.model.on_limits is not None:
                order.model.on_limits(limits)
            if not order.reply.done():
                order.reply.set_result(reply)
        if self._waiting:
            self._flush_soon()

    def _task(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """A task that `close` ends; what it raises ends the run."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:  # a fault of ours: everybody is told
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        """Nothing more comes: everybody who waits is told."""
        self._error = self._error or error
        orders = [*self._waiting, *(o for h in self._hands.values() for o in h.orders.values())]
        self._waiting.clear()
        for order in orders:
            if not order.reply.done():
                order.reply.set_exception(error)


class Lent(Wrapper):
    """A model that workers answer. Tokens are counted here; `digest` and `name` are the model's own.

    Attributes:
        at: how it is opened there, once that is known.
    """

    def __init__(
        self, model: Model, crew: Crew, opening: Callable[[], Opening], on_limits: OnLimits | None = None
    ) -> None:
        super().__init__(model)
        self.opening = opening
        self.on_limits = on_limits
        self.at: Opening | None = None
        self._crew = crew

    @cached_property
    def key(self) -> str:
        """What it is known by among the workers."""
        return f"{self.name} {self.digest}"

    async def generate(self, request: Request) -> Completion:
        """A worker's answer. Raises what the model raises there, `CallFailed` where a billed call was lost."""
        try:
            reply = await self._crew.ask(self, request)
        except WorkerLost as lost:
            usage = Usage(input=estimate_prompt(request.messages), estimated=True)  # as for one that timed out
            raise CallFailed(f"its worker was lost: {lost}", retry=True, usage=usage) from None
        return reply.result()

    async def located(self) -> Opening:
        """How it is opened; what weights must be hashed for it is hashed once."""
        if self.at is None:
            self.at = await asyncio.to_thread(self.opening)
        return self.at

    async def close(self) -> None:
        """Close it on all workers, and here."""
        await self._crew.shut(self)
        await self.model.close()


def _none(what: str, fix: str) -> HarnessError:
    return HarnessError(Problem(f"no worker can be had: {what}", path="--engine ray", fix=fix))
