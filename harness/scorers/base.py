"""What a scorer is: the only place where a target meets an answer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar, Protocol

from pydantic import BaseModel, ConfigDict

from harness.answer import Answer, Unreadable
from harness.models.base import Completion, Struct, Usage
from harness.records import Standing
from harness.taskset import Example, digest


class Mark(Struct, frozen=True):
    """A scorer's word on one answer: a value in [0, 1] or None (could not say), a label, a reason, a judge's cost."""

    value: float | None
    label: str = ""
    reason: str = ""
    usage: Usage = Usage()
    compute_seconds: float = 0.0


class Scorer(Protocol):
    """Scores answers. `higher_is_better` is its natural direction (the YAML may not turn it round)."""

    @property
    def name(self) -> str:
        """The metric that it scores, as the YAML names it."""
        ...

    @property
    def higher_is_better(self) -> bool:
        """Whether 1 is the best mark (else it is the worst)."""
        ...

    @property
    def digest(self) -> str:
        """Content hash of all that decides its marks: version, settings, embedder or judge."""
        ...

    @property
    def standing(self) -> Standing | None:
        """How far its marks may be believed, where that is measured; None for what is plain counting."""
        ...

    async def score(self, pairs: Sequence[tuple[Example, Completion]]) -> list[Mark]:
        """One mark a pair, in order. A batch, because embedders and judges are faster so; each pair is marked alone."""
        ...


def could_not_say(error: BaseException | str) -> Mark:
    """The mark of a scorer that failed: missing, never 0, because the arm is not to blame."""
    reason = error if isinstance(error, str) else f"{type(error).__name__}: {error}"
    return Mark(value=None, label="scorer_error", reason=reason[:500])


def checked(value: float, label: str = "", reason: str = "", usage: Usage = Usage()) -> Mark:  # noqa: B008  (frozen)
    """A mark with this value, or one that could not say if the value is NaN or lies outside [0, 1]."""
    if math.isnan(value):
        return could_not_say("the scorer gave NaN")
    if not 0.0 <= value <= 1.0:
        return could_not_say(f"the scorer gave {value!r}, outside [0, 1]")
    return Mark(value=value, label=label, reason=reason, usage=usage)


class PairScorer(BaseModel):
    """A scorer that needs nothing but the pair: a subclass gives `mark`, its fields are the metric's `settings`.

    `version` counts up whenever the same pair would get another mark, so that a stored baseline is seen to be
    incomparable.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
    version: ClassVar[int] = 1
    better: ClassVar[bool] = True

    name: str
    answer: Answer

    @property
    def higher_is_better(self) -> bool:
        """Whether 1 is the best mark."""
        return self.better

    @property
    def needs(self) -> tuple[str, ...]:
        """Columns beside input and target without which it cannot score (`task.keep`)."""
        return ()

    @property
    def digest(self) -> str:
        """Content hash of class, version, settings and of what the answer format does to both sides."""
        a = self.answer
        settings = self.model_dump(mode="json", exclude={"name", "answer"})
        return digest([type(self).__name__, self.version, settings, a.format, a.labels, a.abstain, a.singular])

    @property
    def standing(self) -> Standing | None:
        """None: what needs no examples and no judge is plain counting."""
        return None

    def mark(self, example: Example, completion: Completion) -> Mark:
        """The mark of one pair. May raise: `Unreadable` is the answer's fault, anything else is the scorer's."""
        raise NotImplementedError

    async def score(self, pairs: Sequence[tuple[Example, Completion]]) -> list[Mark]:
        """One mark a pair, in order."""
        return [self._guarded(example, completion) for example, completion in pairs]

    def _guarded(self, example: Example, completion: Completion) -> Mark:
        try:
            return self.mark(example, completion)
        except Unreadable as error:  # the runner has turned these into failures; if one comes by, it counts as one
            return Mark(value=0.0 if self.better else 1.0, label="unparseable", reason=str(error)[:500])
        except Exception as error:
            return could_not_say(error)

    def items(self, completion: Completion) -> frozenset[str]:
        """The answer's items as the task's normaliser leaves them."""
        return self.answer.items(self.answer.read(completion.text))
