"""A cascade: the cheap arm answers first, the dear one only where the first is unsure.

Unsure is an answer whose mean log-probability a token lies below a threshold chosen on dev, or one that the task's
format cannot read. An example that goes on pays for both arms. Source: FrugalGPT (Chen 2023, arXiv 2305.05176).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, TypeVar

import msgspec
from pydantic import Field

from harness.answer import Answer, Unreadable
from harness.errors import DataError, Failed, ModelError, Outage, Problem
from harness.models.base import Completion, Failure, Model, billed
from harness.records import Fit
from harness.taskset import Example, digest
from harness.techniques.base import Kit, Recipe, Solver, Sweep, Technique, choose


class Cascade(Technique):
    """`technique: cascade`. Every share in `escalate` is a trial on dev; of equal ones the cheaper is taken."""

    technique: Literal["cascade"] = Field(description="One arm answers first, another where the first is unsure.")
    first: str = Field(description="The arm that answers first, such as the fine-tuned small model.")
    then: str = Field(description="The arm that is asked where the first is unsure.")
    escalate: Sweep[Annotated[float, Field(gt=0, le=1)]] = Field(
        default=(0.1, 0.25, 0.5),
        validate_default=False,
        description="Share of the dev rows on which the second arm is asked, or several to try on dev.",
    )

    @property
    def uses_model(self) -> bool:
        """It asks no model of its own, only through its two arms."""
        return False

    @property
    def stands_on(self) -> tuple[str, ...]:
        """The two arms."""
        return (self.first, self.then)

    def candidates(self, start: Recipe, kit: Kit) -> list[Recipe]:
        """One recipe a share, the fewest second answers first. `fit` makes a threshold of each."""
        arms = {"first": self.first, "then": self.then}
        return [Recipe(extra={**arms, "escalate": share}) for share in sorted(self.escalate)]

    async def solver(self, recipe: Recipe, train: Sequence[Example], model: Model | None, kit: Kit) -> Solver:
        """The two arms' own solvers behind the threshold."""
        first, then = await kit.arm(self.first), await kit.arm(self.then)
        return CascadeSolver(first, then, float(recipe.extra["threshold"]), kit.answer)

    async def fit(
        self, arm: str, train: Sequence[Example], dev: Sequence[Example], model: Model | None, start: Recipe, kit: Kit
    ) -> Fit:
        """Turn each share into a threshold by the first arm's log-probabilities on dev, and choose one there.

        Raises:
            DataError: there are no dev rows to choose on.
            ModelError: the first arm's model gives no log-probabilities.
        """
        if not dev:
            fix = "add a dev split, or leave the arm out"
            raise DataError(Problem("the threshold of a cascade is chosen on dev, and there is none", arm, fix=fix))
        seen = await kit.score(await kit.arm(self.first), dev, f"{arm}: {self.first}")
        if seen.failures < len(seen.values) and all(p is None for p in seen.logprobs):  # what failed has none anyway
            what = f"{self.first} gives no log-probabilities, so that a cascade cannot tell when it is unsure"
            raise ModelError(Problem(what, path=f"arms.{arm}.first", fix="name an arm on a model that gives them"))
        recipes = [
            msgspec.structs.replace(r, extra={**r.extra, "threshold": threshold(seen.logprobs, r.extra["escalate"])})
            for r in self.candidates(start, kit)
        ]

        async def build(recipe: Recipe) -> Solver:
            return await self.solver(recipe, train, None, kit)

        chosen = await choose(recipes, build, dev, kit, arm, together=False)
        return Fit(
            arm=arm,
            technique=self.kind,
            model="none",
            recipe=msgspec.to_builtins(chosen.recipe),
            cost=chosen.cost,
            dev_score=chosen.score,
            trials=chosen.trials,
            digest=digest([self.kind, msgspec.to_builtins(chosen.recipe)]),
        )


def threshold(logprobs: Sequence[float | None], share: float) -> float:
    """The log-probability below which this share of rows lies; rows without one lie below any.

    A share that cuts between equal values takes all of them in: more is asked, never less.
    """
    ordered = sorted(-math.inf if p is None else p for p in logprobs)
    cut = math.ceil(share * len(ordered) - 1e-9)
    top = ordered[-1]
    value = ordered[cut] if cut < len(ordered) else top + 1.0
    if cut < len(ordered) and value == ordered[cut - 1]:
        value = next((p for p in ordered[cut:] if p > value), top + 1.0)
    return value if math.isfinite(value) else next((p for p in ordered if math.isfinite(p)), 0.0)


class CascadeSolver:
    """Asks the first arm, and the second where the first failed, cannot be read, or is unsure."""

    def __init__(self, first: Solver, then: Solver, threshold: float, answer: Answer) -> None:
        self._first = first
        self._then = then
        self._threshold = threshold
        self._answer = answer

    async def solve(self, input: Mapping[str, str], *, repeat: int = 0) -> Completion:
        """The first arm's answer, or the second's with what both took."""
        try:
            one: Completion | Failure = await self._first.solve(input, repeat=repeat)
        except Failed as failed:
            one = failed.failure
        if isinstance(one, Completion) and self.sure(one):
            return one
        try:
            return _both(one, await self._then.solve(input, repeat=repeat))
        except Failed as failed:
            raise Failed(_both(one, failed.failure)) from failed
        except Outage as outage:
            missing = msgspec.structs.replace(outage.missing, others=(*billed(one), *outage.missing.others))
            raise Outage(missing) from outage

    def sure(self, completion: Completion) -> bool:
        """Whether the first arm's answer stands."""
        if completion.finish != "stop" or completion.logprob is None or completion.logprob < self._threshold:
            return False
        try:
            self._answer.read(completion.text)
        except Unreadable:
            return False
        return bool(completion.text.strip())


Outcome = TypeVar("Outcome", Completion, Failure)


def _both(one: Completion | Failure, two: Outcome) -> Outcome:
    """The second outcome with the tokens, seconds and calls of both; the first arm's part is billed at its model."""
    return msgspec.structs.replace(
        two,
        usage=one.usage + two.usage,
        seconds=one.seconds + two.seconds,
        compute_seconds=one.compute_seconds + two.compute_seconds,
        attempts=one.attempts + two.attempts,
        others=(*billed(one), *two.others),
    )
