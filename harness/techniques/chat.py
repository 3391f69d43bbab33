"""The one solver of every arm that asks a language model: system, shots, passages, input, in that order.

What examples share stands in front, so that a prefix cache can reuse it: the system prompt, then fixed shots.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from harness.errors import Failed, Outage
from harness.models.base import Completion, Message, Model, Request
from harness.retrieval import Passage
from harness.taskset import Example
from harness.techniques.base import Asking


class Shots(Protocol):
    """Chooses the labelled train rows to show for an input."""

    def pick(self, text: str) -> Sequence[Example]:
        """The rows, in the order in which they are shown."""
        ...


class Retriever(Protocol):
    """Chooses the document chunks to show for an input."""

    def search(self, text: str) -> Sequence[Passage]:
        """The passages, best first."""
        ...


class ChatSolver:
    """Renders one input into a chat and asks the model."""

    def __init__(
        self, model: Model, kit: Asking, system: str, shots: Shots | None = None, retriever: Retriever | None = None
    ) -> None:
        self._model = model
        self._kit = kit
        self._system = system
        self._shots = shots
        self._retriever = retriever

    async def solve(self, input: Mapping[str, str], *, repeat: int = 0) -> Completion:
        """Answer one input."""
        text = self._kit.render(input)
        examples: Sequence[Example] = ()
        passages: Sequence[Passage] = ()
        if self._shots:
            examples = await asyncio.to_thread(self._shots.pick, text)
        if self._retriever:
            passages = await asyncio.to_thread(self._retriever.search, text)
        request = Request(
            messages=chat(self._system, examples, passages, text, self._kit),
            max_tokens=self._kit.max_tokens,
            temperature=self._kit.temperature,
            seed=self._kit.seed,
            repeat=repeat,
            logprobs=self._kit.logprobs,
        )
        # What was shown, and the model by the name that prices know: on failures too, they are billed and shown.
        seen = {
            "model": self._model.name,
            "shots": tuple(e.id for e in examples),
            "passages": tuple(p.id for p in passages),
        }
        try:
            return msgspec.structs.replace(await self._model.generate(request), **seen)
        except Failed as error:
            raise Failed(msgspec.structs.replace(error.failure, **seen)) from error
        except Outage as error:
            raise Outage(msgspec.structs.replace(error.missing, model=self._model.name)) from error


def chat(
    system: str, shots: Sequence[Example], passages: Sequence[Passage], text: str, kit: Asking
) -> tuple[Message, ...]:
    """The messages of one request."""
    messages = [Message("system", system)] if system else []
    for example in shots:
        messages.append(Message("user", kit.render(example.input)))
        messages.append(Message("assistant", kit.answer.write(example.target)))
    if passages:
        notes = "\n".join(f"- {p.title}: {p.text}" if p.title else f"- {p.text}" for p in passages)
        text = f"Reference notes:\n{notes}\n\n{text}"
    messages.append(Message("user", text))
    return tuple(messages)
