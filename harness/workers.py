"""Where requests are answered and weights are trained: in this process, or on workers elsewhere.

Everything else of a run stays with it, wherever its workers are: prompts, cache, budget, pace and retries, the run
directory, scores and verdict. It is their one writer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from harness.models.base import Message, Model
    from harness.models.engines import Choice, Wanted
    from harness.models.openings import OnLimits, Opening
    from harness.tuners.base import Progress, Tuner


class Workers(Protocol):
    """What a run asks of them. All methods may be called again after `close`, except `lend`ed models."""

    @property
    def count(self) -> int:
        """How many work side by side; a run keeps `max_concurrency` requests under way for each."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the run should know of them."""
        ...

    async def start(self, *, weights: bool, concurrency: int, show: Callable[[Progress], None]) -> None:
        """Make them ready. Raises `HarnessError` where they are not to be had.

        Args:
            weights: models are loaded or trained on them, so that each wants a GPU or a machine's processors.
            concurrency: requests under way for each of them.
            show: told what is waited for.
        """
        ...

    def lend(self, model: Model, opening: Callable[[], Opening], on_limits: OnLimits | None = None) -> Model:
        """The model, answered by the workers. `model` counts its tokens here; `opening` says how it is opened there."""
        ...

    async def choose(
        self,
        directory: Path,
        wanted: Wanted,
        prompts: Sequence[tuple[Message, ...]] = (),
        targets: Sequence[str] | None = None,
    ) -> Choice:
        """The engine for these weights on the machines that will run them (see `engines.settle`)."""
        ...

    def tuner(self, tuner: Tuner, locate: Callable[[str], Path]) -> Tuner:
        """The tuner, its trainings made by the workers where they can. `locate`: a base model's directory here."""
        ...

    async def close(self) -> None:
        """Give them back; safe to call twice."""
        ...


class Here:
    """This process and the engine processes that it starts itself."""

    count = 1
    notes: tuple[str, ...] = ()

    async def start(self, *, weights: bool, concurrency: int, show: Callable[[Progress], None]) -> None:
        """Nothing to do."""

    def lend(self, model: Model, opening: Callable[[], Opening], on_limits: OnLimits | None = None) -> Model:
        """The model itself."""
        return model

    async def choose(
        self,
        directory: Path,
        wanted: Wanted,
        prompts: Sequence[tuple[Message, ...]] = (),
        targets: Sequence[str] | None = None,
    ) -> Choice:
        """The engine on this machine."""
        from harness.models.engines import settle

        return await settle(directory, wanted, prompts, targets)

    def tuner(self, tuner: Tuner, locate: Callable[[str], Path]) -> Tuner:
        """The tuner itself."""
        return tuner

    async def close(self) -> None:
        """Nothing to do."""
