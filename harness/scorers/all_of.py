"""`all_of`: several things at once, such as right *and* in style, where either alone is worth nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.models.base import Completion
from harness.scorers.base import Mark, Scorer
from harness.taskset import Example, digest


class AllOf:
    """The least of what other metrics give, each turned so that more is better; of 0/1 metrics: 1 if all are.

    Args:
        parts: the scorers by the names of their metrics, two at least.
    """

    higher_is_better = True

    def __init__(self, name: str, parts: Mapping[str, Scorer]) -> None:
        self.name = name
        self._parts = dict(parts)

    @property
    def standing(self) -> None:
        """Its parts are metrics of the benchmark, which say their own."""

    @property
    def digest(self) -> str:
        """Content hash of the parts' digests, in order."""
        return digest(["all_of", [[name, part.digest] for name, part in self._parts.items()]])

    async def score(self, pairs: Sequence[tuple[Example, Completion]]) -> list[Mark]:
        """One mark a pair, in order."""
        marks = {name: await part.score(pairs) for name, part in self._parts.items()}
        return [self._least({name: column[i] for name, column in marks.items()}) for i in range(len(pairs))]

    def _least(self, marks: Mapping[str, Mark]) -> Mark:
        """The least mark names itself; one that could not say leaves all open. A judge is billed in its own metric."""
        silent = next((n for n, m in marks.items() if m.value is None), None)
        if silent is not None:
            return Mark(None, "scorer_error", f"{silent}: {marks[silent].reason}"[:500])
        values = {
            name: m.value if self._parts[name].higher_is_better else 1.0 - m.value
            for name, m in marks.items()
            if m.value is not None
        }
        least = min(values, key=lambda name: values[name])
        if values[least] == 1.0:
            return Mark(1.0, "all")
        mark = marks[least]
        return Mark(values[least], f"{least}: {mark.label}" if mark.label else least, mark.reason)
