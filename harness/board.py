"""Trials and scores become arrays over the test examples: a `Board`, all that comparing reads.

Joined on example id, never on position; repeats are averaged within an example first, so that n counts examples. A
failed trial is in its arm's mean as the worst value; a missing one is NaN.
"""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.errors import DataError, Problem
from harness.limits import Dearest
from harness.models.base import Completion, Failure, Missing, Struct, Usage, billed
from harness.records import Labels, Limits, Mark, Score, Trial

if TYPE_CHECKING:
    from numpy.typing import NDArray

CostOf = Callable[[str, Usage, float], float | None]


class Effort(Struct, frozen=True):
    """What an arm's answers took: means over the answers that came, all attempts counted.

    `n` counts the trials, missing ones too, `attempts` their calls, `handed_on` those that a cascade's second arm
    answered; `usd` is None when a price is unknown.
    """

    arm: str
    n: int
    input_tokens: float
    cached_tokens: float
    output_tokens: float
    seconds_p50: float
    seconds_p95: float
    compute_seconds: float
    usd: float | None
    failures: dict[str, int]
    estimated_usage: bool = False
    attempts: int = 0
    handed_on: int = 0


@dataclass(frozen=True)
class Board:
    """Every score of a run as arrays over the test examples, in the order of `ids`; NaN where a score is missing.

    `values[arm, metric]` are means over repeats; `failed[arm]` marks examples with a failed trial; `usd[arm]` are
    dollars an example (NaN when unknown) and `seconds[arm]` its latency (NaN when nothing answered); `binary[metric]`
    says that all scores are 0 or 1 from one repeat; `dearest[arm]` is the most that a task could cost, or None.
    `labels[metric]` correct a judge; a judged metric that decides has them, if only empty ones.
    """

    ids: tuple[str, ...]
    clusters: tuple[str | None, ...] | None
    arms: tuple[str, ...]
    metrics: Mapping[str, bool]
    values: Mapping[tuple[str, str], NDArray[np.float64]]
    failed: Mapping[str, NDArray[np.bool_]]
    usd: Mapping[str, NDArray[np.float64]]
    efforts: Mapping[str, Effort]
    binary: Mapping[str, bool]
    seconds: Mapping[str, NDArray[np.float64]]
    dearest: Mapping[str, float | None] = field(default_factory=dict[str, "float | None"])
    labels: Mapping[str, Labels] = field(default_factory=dict[str, Labels])

    def oriented(self, arm: str, metric: str) -> NDArray[np.float64]:
        """Values turned so that more is better."""
        values = self.values[arm, metric]
        return values if self.metrics[metric] else 1.0 - values

    def without(self, ids: AbstractSet[str]) -> Board:
        """The board of the other examples. `efforts` stay those of all: they are what was paid."""
        rest = np.array([i not in ids for i in self.ids], dtype=bool)
        clusters = self.clusters
        return replace(
            self,
            ids=tuple(i for i in self.ids if i not in ids),
            clusters=None if clusters is None else tuple(c for c, keep in zip(clusters, rest, strict=True) if keep),
            values={key: column[rest] for key, column in self.values.items()},
            failed={arm: column[rest] for arm, column in self.failed.items()},
            usd={arm: column[rest] for arm, column in self.usd.items()},
            seconds={arm: column[rest] for arm, column in self.seconds.items()},
        )


def join(
    ids: Sequence[str],
    clusters: Sequence[str | None],
    arms: Sequence[str],
    metrics: Mapping[str, bool],
    trials: Iterable[Trial],
    scores: Iterable[Score | Mark],
    price: CostOf,
    limits: Limits | None = None,
) -> Board:
    """Join trials and scores into arrays. `metrics` maps a name to its higher_is_better.

    With `limits` it is known what a task could have cost at most.

    Raises:
        DataError: a trial or score that belongs to no example, twice the same one, or a score outside [0, 1].
    """
    row = {id: i for i, id in enumerate(ids)}
    if len(row) != len(ids):
        raise DataError(Problem("two test examples have the same id", fix="give every row its own id"))
    n = len(ids)
    tally = {a: _Tally(n) for a in arms}
    for trial in trials:
        found = tally.get(trial.arm)
        if found is None:
            continue
        i = row.get(trial.example)
        if i is None or not found.seen.first(i, trial.repeat):
            what = "a trial of no test example" if i is None else "twice the same trial"
            raise DataError(Problem(f"{what}: {trial.arm}/{trial.example}", fix="move the run away and run again"))
        found.add(i, trial.outcome, price)
    marks = {(a, m): _Marks(n) for a in arms for m in metrics}
    for score in scores:
        value, column = score.value, marks.get((score.arm, score.metric))
        if value is None or column is None:
            continue
        i = row.get(score.example)
        if i is None or not 0.0 <= value <= 1.0 or not column.seen.first(i, score.repeat):
            raise DataError(
                Problem(
                    f"score {score.metric} of {score.arm}/{score.example} cannot be used",
                    got=repr(value),
                    valid="one score in [0, 1] for each trial of a test example",
                )
            )
        if not tally[score.arm].seen.has(i, score.repeat):
            continue  # of an answer that is not there (any more) a score says nothing: it is missing
        column.add(i, score.repeat, value)
        if score.repeat or value not in (0.0, 1.0):
            column.whole = False
    return Board(
        ids=tuple(ids),
        clusters=tuple(clusters) if any(c is not None for c in clusters) else None,
        arms=tuple(arms),
        metrics=dict(metrics),
        values={key: column.means() for key, column in marks.items()},
        failed={a: np.frombuffer(t.failed, dtype=np.bool_) for a, t in tally.items()},
        usd={a: _means(t.usd, t.calls) for a, t in tally.items()},
        efforts={a: t.effort(a) for a, t in tally.items()},
        binary={m: all(marks[a, m].whole for a in arms) for m in metrics},
        seconds={a: _means(t.latency, t.calls) for a, t in tally.items()},
        dearest={a: t.dearest.usd(limits, price) for a, t in tally.items()},
    )


def _zeros(n: int, kind: str) -> array[Any]:
    """Numbers to add to one at a time, which an array of numpy does slowly."""
    return array(kind, bytes(8 * n))


def _means(sums: array[float] | NDArray[np.float64], counts: array[int]) -> NDArray[np.float64]:
    """Sums over counts, NaN where nothing was counted."""
    seen = np.frombuffer(counts, dtype=np.int64)
    return np.frombuffer(sums, dtype=np.float64) / np.where(seen, seen, np.nan)


class _Once:
    """Which examples were seen, repeat by repeat: a byte each."""

    def __init__(self, n: int) -> None:
        self._n = n
        self._seen: list[bytearray] = []

    def first(self, i: int, repeat: int) -> bool:
        """Whether this is the first time."""
        while len(self._seen) <= repeat:
            self._seen.append(bytearray(self._n))
        if self._seen[repeat][i]:
            return False
        self._seen[repeat][i] = 1
        return True

    def has(self, i: int, repeat: int) -> bool:
        """Whether it was seen."""
        return repeat < len(self._seen) and bool(self._seen[repeat][i])


class _Marks:
    """One arm's scores on one metric; `whole`: all are 0 or 1 from one repeat.

    Repeats are kept apart and added in their own order at the end: added as their lines come, the order of lines would
    show in the last bits of a mean.
    """

    def __init__(self, n: int) -> None:
        self._repeats: list[array[float]] = []
        self.counts = _zeros(n, "q")
        self.seen = _Once(n)
        self.whole = True

    def add(self, i: int, repeat: int, value: float) -> None:
        """The score of a repeat."""
        while len(self._repeats) <= repeat:
            self._repeats.append(_zeros(len(self.counts), "d"))
        self._repeats[repeat][i] = value
        self.counts[i] += 1

    def means(self) -> NDArray[np.float64]:
        """Of the repeats that were scored, NaN where none was."""
        sums = np.zeros(len(self.counts))
        for scores in self._repeats:
            sums += np.frombuffer(scores, dtype=np.float64)
        return _means(sums, self.counts)


class _Tally:
    """Adds up what an arm's trials took."""

    def __init__(self, n: int) -> None:
        self.seen = _Once(n)
        self.usd = _zeros(n, "d")
        self.latency = _zeros(n, "d")
        self.calls = _zeros(n, "q")
        self.failed = bytearray(n)
        self.seconds = array("d")
        self.input = self.cached = self.output = 0
        self.estimated = False
        self.attempts = self.handed_on = 0
        self.compute = 0.0
        self.failures: Counter[str] = Counter()
        self.dearest = Dearest()

    def add(self, i: int, outcome: Completion | Failure | Missing, price: CostOf) -> None:
        usage = outcome.usage
        self.calls[i] += 1
        self.dearest.add(outcome)
        for part in billed(outcome):
            usd = price(part.model, part.usage, part.compute_seconds)
            self.usd[i] += math.nan if usd is None else usd
            self.compute += part.compute_seconds
        self.input += usage.input
        self.cached += usage.cached_input
        self.output += usage.output
        self.estimated = self.estimated or usage.estimated
        self.attempts += outcome.attempts
        self.handed_on += bool(outcome.others)
        if isinstance(outcome, Missing):
            self.latency[i] = math.nan
            return
        self.latency[i] += outcome.seconds
        self.seconds.append(outcome.seconds)
        if isinstance(outcome, Failure):
            self.failed[i] = 1
            self.failures[outcome.type] += 1

    def effort(self, arm: str) -> Effort:
        n = max(len(self.seconds), 1)  # an outage is no answer for nothing: what it took is shared by those that came
        usd = math.fsum(self.usd) / n
        p50, p95 = np.percentile(self.seconds, [50, 95]) if self.seconds else (0.0, 0.0)
        return Effort(
            arm=arm,
            n=sum(self.calls),
            input_tokens=self.input / n,
            cached_tokens=self.cached / n,
            output_tokens=self.output / n,
            seconds_p50=float(p50),
            seconds_p95=float(p95),
            compute_seconds=self.compute / n,
            usd=None if math.isnan(usd) else usd,
            failures=dict(sorted(self.failures.items())),
            estimated_usage=self.estimated,
            attempts=self.attempts,
            handed_on=self.handed_on,
        )
