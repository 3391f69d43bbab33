"""What one task of an arm could cost at most: the range that the interval of a saving needs.

A rare dear retry that no example showed is invisible in the sample, but what a task can cost is known beforehand:
the calls allowed for one answer, each with the longest prompt and a whole answer. See `harness.economics`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from harness.models.base import Completion, Failure, Missing, Part, Usage, billed
from harness.records import Limits


@dataclass
class _Model:
    """What was seen of one model: its longest prompt and slowest answer, and what all answers took."""

    prompt: int = 0
    slowest: float = 0.0
    compute: float = 0.0
    output: int = 0


class Dearest:
    """Follows an arm's outcomes; `usd` is the most that one of its tasks could cost."""

    def __init__(self) -> None:
        self._models: dict[str, _Model] = {}

    def add(self, outcome: Completion | Failure | Missing) -> None:
        """One more outcome."""
        parts = billed(outcome)
        calls = max(outcome.attempts - len(parts) + 1, 1)  # of the answering model; the others made one each at least
        for part in parts:
            seen = self._models.setdefault(part.model, _Model())
            seen.prompt = max(seen.prompt, -(-part.usage.input // calls))
            seen.slowest = max(seen.slowest, part.compute_seconds / calls)
            seen.compute += part.compute_seconds
            seen.output += part.usage.output
            calls = 1

    def usd(self, limits: Limits | None, price: Callable[[str, Usage, float], float | None]) -> float | None:
        """Dollars, or None where limits or a price are not known. An arm that asks two models may have to pay both."""
        if limits is None:
            return None
        total = 0.0
        for model, seen in self._models.items():
            part = self._most(model, seen, limits)
            one = price(part.model, part.usage, part.compute_seconds)
            if one is None:
                return None
            total += one * (1 if seen.compute else limits.attempts)  # an engine of this machine is asked once
        return total

    def _most(self, model: str, seen: _Model, limits: Limits) -> Part:
        """A call with the longest prompt and a whole answer; its seconds on top of the slowest that was seen."""
        usage = Usage(input=seen.prompt, output=limits.max_tokens)
        each = seen.compute / seen.output if seen.output else 0.0
        return Part(model, usage, seen.slowest + limits.max_tokens * each if seen.compute else 0.0)
