"""A model around a model: all that a wrapper does not change is passed on."""

from __future__ import annotations

from harness.models.base import Completion, Message, Model, Request


class Wrapper:
    """Passes everything on; a wrapper overrides `generate` (the contract's one method with behaviour)."""

    def __init__(self, model: Model) -> None:
        self.model = model

    @property
    def name(self) -> str:
        """The inner model's."""
        return self.model.name

    @property
    def digest(self) -> str:
        """The inner model's: wrapping changes no answer."""
        return self.model.digest

    @property
    def context(self) -> int | None:
        """The inner model's."""
        return self.model.context

    def count_tokens(self, messages: tuple[Message, ...]) -> int:
        """The inner model's."""
        return self.model.count_tokens(messages)

    async def generate(self, request: Request) -> Completion:
        """The inner model's answer."""
        return await self.model.generate(request)

    async def close(self) -> None:
        """Close the inner model."""
        await self.model.close()
