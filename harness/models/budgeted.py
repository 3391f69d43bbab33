"""Never spend more than `max_usd`: each call's upper bound is put aside before it goes out, its price settled after.

Where the bound of one more call does not fit beside what is put aside, it waits for calls in flight to settle; where
none is in flight, the budget is used up and the example is missing, not wrong.
"""

from __future__ import annotations

import asyncio
import errno
import os
from math import isfinite
from pathlib import Path

from harness.errors import Failed, ModelError, Outage, Problem
from harness.lines import cut_torn_line
from harness.models.base import Completion, Missing, Model, Request, Usage
from harness.models.wrapper import Wrapper
from harness.prices import Price, cost
from harness.store import unwritable


class Budget:
    """The money of one run, shared by all of its models and trainings.

    Args:
        max_usd: dollars that may be spent.
        ledger: a file whose lines add up to what is spent, so that a run that was killed and is started again keeps
            within the same bound: what is put aside for a call is booked before it goes out and corrected by its
            price, so a call in flight at a kill counts with its bound. None: this process alone is bounded.

    Raises:
        DataError: (from `hold`, `settle` and `charge`) the ledger cannot be written.
    """

    def __init__(self, max_usd: float, ledger: Path | None = None) -> None:
        self.max_usd = max_usd
        self._ledger = ledger
        self._file: int | None = None
        booked = _booked(ledger) if ledger is not None else []
        self.spent = max(0.0, sum(usd for usd, _ in booked))
        self._charged = {what for _, what in booked if what}
        self._held = 0.0
        self._in_flight = 0
        self._settled: asyncio.Event | None = None

    @property
    def left(self) -> float:
        """Dollars that are neither spent nor put aside."""
        return self.max_usd - self.spent - self._held

    async def hold(self, usd: float) -> None:
        """Put dollars aside, waiting for calls in flight where need be. Raises `Outage` when they are not to be had."""
        while usd > self.left:
            if not self._in_flight:
                message = f"${self.spent:.4f} of max_usd ${self.max_usd:g} is spent; one more call may take ${usd:.4f}"
                raise Outage(Missing(type="budget", message=message))
            if self._settled is None:
                self._settled = asyncio.Event()
            await self._settled.wait()
        self._book(usd)
        self._held += usd
        self._in_flight += 1

    def settle(self, held: float, usd: float) -> None:
        """Give back what was put aside and book what it took."""
        self._in_flight -= 1
        self._held = self._held - held if self._in_flight else 0.0
        self.spent += usd
        if self._settled is not None:
            self._settled.set()
            self._settled = None
        self._book(usd - held)

    def charge(self, usd: float, what: str) -> None:
        """Book dollars that were not put aside, once for each `what` (a training's job)."""
        if what not in self._charged:
            self._charged.add(what)
            self.spent += usd
            self._book(usd, what)

    def close(self) -> None:
        """Close the ledger; safe to call twice."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _book(self, usd: float, what: str = "") -> None:
        """Add a line to the ledger, all of it or none: it is out of this process when this returns."""
        if self._ledger is None or not (usd or what):
            return
        line = f"{usd!r} {what}\n".encode()
        try:
            if self._file is None:
                cut_torn_line(self._ledger)
                self._file = os.open(self._ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            if (written := os.write(self._file, line)) < len(line):
                os.ftruncate(self._file, os.fstat(self._file).st_size - written)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise unwritable(self._ledger, error) from error


class Budgeted(Wrapper):
    """Calls only what can be paid. Innermost: each attempt is paid for, and only calls on their way hold money.

    Raises:
        ModelError: (at construction) the price is not known, so that a bound cannot be kept.
    """

    def __init__(self, model: Model, budget: Budget, price: Price) -> None:
        if not price.known:
            raise ModelError(
                Problem(
                    f"run.max_usd is set, but the price of {model.name} is not known: {price.reason}",
                    path="model",
                    fix="give the model `usd_per_mtok: {input: ..., output: ...}` (0 if it is free; of a tuned "
                    "one `tuned_input`, `tuned_output`), or drop max_usd",
                )
            )
        super().__init__(model)
        self._budget = budget
        self._price = price

    async def generate(self, request: Request) -> Completion:
        """The inner model's answer. Raises `Outage` (type budget) when it cannot be paid."""
        held = cost(bound(request), self._price) or 0.0
        await self._budget.hold(held)
        spent = Usage()
        try:
            completion = await self.model.generate(request)
            spent = completion.usage
            return completion
        except Failed as failed:
            spent = failed.failure.usage
            raise
        except Outage as outage:
            spent = outage.missing.usage
            raise
        finally:
            self._budget.settle(held, cost(spent, self._price) or 0.0)


def _booked(ledger: Path) -> list[tuple[float, str]]:
    """The amounts of a ledger with what they were for; a line that a crash cut off is passed over."""
    found: list[tuple[float, str]] = []
    try:
        text = ledger.read_text("utf-8", "replace")
    except FileNotFoundError:
        return found
    for line in text.splitlines(keepends=True):
        amount, space, what = line.partition(" ")
        try:
            usd = float(amount)
        except ValueError:
            continue
        if space and line.endswith("\n") and isfinite(usd):
            found.append((usd, what.strip()))
    return found


def bound(request: Request) -> Usage:
    """More tokens than this request can be billed: a token has at least a byte, a message under 16 of frame."""
    prompt = 16 + sum(16 + len(m.content.encode("utf-8", "replace")) for m in request.messages)
    return Usage(input=prompt, output=request.max_tokens)
