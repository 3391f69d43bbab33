"""Retrieval: passages of documents put before the input, how many chosen on dev. It never retrieves labelled rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
from pydantic import Field

from harness.models.base import Model
from harness.retrieval import Retrieve
from harness.taskset import Example
from harness.techniques.base import Kit, Recipe, Solver, Sweep, Technique
from harness.techniques.chat import ChatSolver
from harness.techniques.few_shot import shots
from harness.techniques.prompt import systems


class Rag(Technique):
    """`technique: rag`. It may stand on few_shot (`extends`), so that it is no straw man."""

    technique: Literal["rag"] = Field(description="Passages of documents put before the input.")
    system: Sweep[str] | None = Field(
        default=None, description="System prompt, or several to try on dev; default: `extends`'."
    )
    documents: str = Field(description="JSONL with id, title, text.")
    top_k: Sweep[Annotated[int, Field(ge=1)]] = Field(
        default=(4,),
        validate_default=False,
        description="How many passages are shown, or several numbers to try on dev.",
    )

    def candidates(self, start: Recipe, kit: Kit) -> list[Recipe]:
        """Every prompt x top_k, few passages first."""
        return [
            msgspec.structs.replace(start, system=s, documents=self.documents, top_k=top_k)
            for s in systems(self.system, start, kit)
            for top_k in sorted(self.top_k)
        ]

    async def solver(self, recipe: Recipe, train: Sequence[Example], model: Model | None, kit: Kit) -> Solver:
        """System prompt, inherited shots, passages and input."""
        assert model is not None
        index = await kit.index(recipe.documents)
        picked = await shots(recipe, train, kit)
        return ChatSolver(model, kit, recipe.system, picked, Retrieve(index, recipe.top_k))
