"""Few-shot: labelled train rows shown in the prompt, how many and which chosen on dev."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
import numpy as np
from pydantic import Field

from harness.models.base import Model
from harness.records import DevTrial, Fit
from harness.taskset import Example
from harness.techniques.base import Kit, Recipe, Solver, Sweep, Technique, dev_trial
from harness.techniques.chat import ChatSolver, Shots
from harness.techniques.prompt import systems

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness.retrieval import Embedder

CURVE = "curve"  # the note of a dev trial that belongs to the curve over k and to no choice
CURVE_ROWS = 16
Select = Literal["random", "nearest", "diverse"]


class FewShot(Technique):
    """`technique: few_shot`. `random` and `diverse` show every input the same rows, `nearest` the most similar."""

    technique: Literal["few_shot"] = Field(description="Labelled train rows shown in the prompt.")
    system: Sweep[str] | None = Field(
        default=None, description="System prompt, or several to try on dev; default: `extends`'."
    )
    k: Sweep[Annotated[int, Field(ge=1)]] = Field(
        default=(3,), validate_default=False, description="How many rows are shown, or several numbers to try on dev."
    )
    select: Sweep[Select] = Field(
        default=("random",),
        validate_default=False,
        description="Which rows: random, diverse (both fixed) or nearest to the input; or several to try.",
    )
    k_curve: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        (), description="Shown in the report, never chosen from: score, tokens and dollars at these k, on dev."
    )

    def candidates(self, start: Recipe, kit: Kit) -> list[Recipe]:
        """Every prompt x selection x k, few shots first."""
        return [
            msgspec.structs.replace(start, system=s, k=k, select=select)
            for s in systems(self.system, start, kit)
            for k in sorted(self.k)
            for select in self.select
        ]

    async def solver(self, recipe: Recipe, train: Sequence[Example], model: Model | None, kit: Kit) -> Solver:
        """System prompt, shots and input."""
        assert model is not None
        return ChatSolver(model, kit, recipe.system, await shots(recipe, train, kit))

    async def fit(
        self, arm: str, train: Sequence[Example], dev: Sequence[Example], model: Model | None, start: Recipe, kit: Kit
    ) -> Fit:
        """Choose on dev, then score the curve over k beside it: nothing is chosen from the curve."""
        fit = await super().fit(arm, train, dev, model, start, kit)
        chosen, curve = msgspec.convert(fit.recipe, Recipe), list[DevTrial]()
        for k in self.k_curve if dev else ():
            recipe = msgspec.structs.replace(chosen, k=k, select="random")
            solver = await self.solver(recipe, train, model, kit)
            scored = await kit.score(solver, dev[:CURVE_ROWS], f"{arm} with {k} shots")
            curve.append(dev_trial(recipe, len(dev[:CURVE_ROWS]), scored, note=CURVE))
        return msgspec.structs.replace(fit, trials=(*fit.trials, *curve))


async def shots(recipe: Recipe, train: Sequence[Example], kit: Kit) -> Shots | None:
    """How the recipe's shots are picked, or None without any."""
    if recipe.k == 0:
        return None
    if recipe.select == "random":
        order = random.Random(kit.seed).sample(range(len(train)), len(train))
        return Fixed([train[i] for i in order[: recipe.k]])
    embedder = await kit.embedder()
    vectors = embedder.embed([kit.render(e.input) for e in train])
    if recipe.select == "diverse":
        return Fixed([train[i] for i in spread(vectors, recipe.k)])
    return Nearest(train, vectors, embedder, recipe.k)


class Fixed:
    """The same rows for every input."""

    def __init__(self, rows: Sequence[Example]) -> None:
        self._rows = tuple(rows)

    def pick(self, text: str) -> Sequence[Example]:
        """The rows."""
        return self._rows


class Nearest:
    """The k train rows with the most similar inputs, the most similar last, next to the input (Liu et al. 2022)."""

    def __init__(self, rows: Sequence[Example], vectors: NDArray[np.float32], embedder: Embedder, k: int) -> None:
        self._rows = rows
        self._vectors = vectors
        self._embedder = embedder
        self._k = k

    def pick(self, text: str) -> Sequence[Example]:
        """The rows for one input."""
        similarity = self._vectors @ self._embedder.embed([text])[0]
        best = np.argsort(-similarity, kind="stable")[: self._k]
        return [self._rows[i] for i in best[::-1]]


def spread(vectors: NDArray[np.float32], k: int) -> list[int]:
    """Indices of k rows that cover the set: the most central first, then always the one farthest from those taken.

    Greedy k-centre (Gonzalez 1985); no seed, so the same rows every time. `vectors`: (rows, dimensions), unit length.
    """
    first = int(np.argmax(vectors @ vectors.mean(axis=0)))
    taken = [first]
    nearest = vectors @ vectors[first]
    while len(taken) < min(k, len(vectors)):
        farthest = int(np.argmin(nearest))
        taken.append(farthest)
        nearest = np.maximum(nearest, vectors @ vectors[farthest])
    return taken
