"""Prompt engineering: one system prompt, chosen among the written ones on dev."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec
from pydantic import Field

from harness.models.base import Model
from harness.taskset import Example
from harness.techniques.base import Kit, Recipe, Solver, Sweep, Technique
from harness.techniques.chat import ChatSolver


class Prompt(Technique):
    """`technique: prompt`. `system` is a text or `file://...`, or a list of them to try."""

    technique: Literal["prompt"] = Field(description="One system prompt, chosen among the written ones on dev.")
    system: Sweep[str] | None = Field(default=None, description="System prompt, or several to try on dev.")

    def candidates(self, start: Recipe, kit: Kit) -> list[Recipe]:
        """One recipe a prompt."""
        return [msgspec.structs.replace(start, system=s) for s in systems(self.system, start, kit)]

    async def solver(self, recipe: Recipe, train: Sequence[Example], model: Model | None, kit: Kit) -> Solver:
        """System prompt and input."""
        assert model is not None
        return ChatSolver(model, kit, recipe.system)


def systems(written: tuple[str, ...] | None, start: Recipe, kit: Kit) -> list[str]:
    """The system prompts to try, files read and the answer format in its place; `start`'s own where none is written."""
    if written is None:
        return [start.system or kit.answer.ask()]
    texts: list[str] = []
    for value in written:
        text = kit.read(value).strip()
        if "{{ answer_format }}" in text:
            text = text.replace("{{ answer_format }}", kit.answer.ask())
        elif kit.answer.ask():
            text = f"{text}\n{kit.answer.ask()}".strip()
        texts.append(text)
    return texts
