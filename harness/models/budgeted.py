"""Never spend more than `max_usd`: each call's upper bound is put aside before it goes out, its price settled after.

Where the bound of one more call does not fit beside what is put aside, it waits for calls in flight to settle; where
none is in flight, the budget is used up and the example is missing, not wrong.
"""

from __future__ import annotations

import asyncio

from harness.errors import Failed, ModelError, Outage, Problem
from harness.models.base import Completion, Missing, Model, Request, Usage
from harness.models.wrapper import Wrapper
from harness.prices import Price, cost


class Budget:
    """The money of one run, shared by all of its models and trainings.

    Args:
        max_usd: dollars that may be spent.
        spent: dollars that earlier starts of the same run have spent.
    """

    def __init__(self, max_usd: float, spent: float = 0.0) -> None:
        self.max_usd = max_usd
        self.spent = spent
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

    def charge(self, usd: float) -> None:
        """Book dollars that were not put aside (a training, hosting)."""
        self.spent += usd


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
                    fix="give the model `usd_per_mtok: {input: ..., output: ...}` (0 if it is free), or drop max_usd",
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


def bound(request: Request) -> Usage:
    """More tokens than this request can be billed: a token has at least a byte, a message under 16 of frame."""
    prompt = 16 + sum(16 + len(m.content.encode("utf-8", "replace")) for m in request.messages)
    return Usage(input=prompt, output=request.max_tokens)
