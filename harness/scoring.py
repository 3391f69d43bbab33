"""Every metric on every stored trial, a chunk at a time: neither trials nor examples are ever all in memory.

Scores are written by arm, repeat and row, whatever the order in which the trials ended, so that a run that was killed
leaves the same file as one that was not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

import msgspec
import numpy as np

from harness.lines import read_lines
from harness.models.base import whole
from harness.records import Score, Trial
from harness.scorers.base import Mark, Scorer
from harness.store import Log
from harness.taskset import Example
from harness.trials import Trials

CHUNK = 2048  # trials a call of a scorer: embedders and judges want batches


class _Score(msgspec.Struct):
    """What is looked at of a score in passing."""

    arm: str
    example: str
    metric: str
    repeat: int = 0


class Scored:
    """Which trials are scored already, a bit each."""

    def __init__(self, path: Path, ids: Sequence[str]) -> None:
        row = {id: i for i, id in enumerate(ids)}
        self._done: dict[tuple[str, str, int], np.ndarray[tuple[int], np.dtype[np.bool_]]] = {}
        for score in read_lines(path, _Score):
            key = (score.arm, score.metric, score.repeat)
            if key not in self._done:
                self._done[key] = np.zeros(len(ids), dtype=np.bool_)
            if score.example in row:
                self._done[key][row[score.example]] = True

    def has(self, trial: Trial, row: int, metric: str) -> bool:
        """Whether this trial has a score of that metric."""
        done = self._done.get((trial.arm, metric, trial.repeat))
        return done is not None and bool(done[row])

    def count(self, metric: str, arms: Sequence[str]) -> int:
        """How many trials of these arms have one."""
        return sum(int(d.sum()) for (arm, name, _), d in self._done.items() if name == metric and arm in arms)


async def score(
    trials: Trials,
    examples: Sequence[Example],
    scorers: Mapping[str, Scorer],
    done: Scored,
    log: Log,
    show: Callable[[int], None],
) -> None:
    """Append what is not scored yet; a failed trial gets the metric's worst value, a missing one none."""
    walked = 0
    for part in chunks(trials.walk()):
        asked = [(examples[row], row, trial) for row, trial in part if trial.missing is None]
        for metric, scorer in scorers.items():
            todo = [(e, t) for e, row, t in asked if not done.has(t, row, metric)]
            pairs = [(e, t.completion) for e, t in todo if t.completion]
            marks = iter(await scorer.score(pairs)) if pairs else iter(())
            worst = 0.0 if scorer.higher_is_better else 1.0
            made: list[Score] = []
            for _, t in todo:
                m = Mark(worst, t.failure.type) if t.failure else next(marks)
                said = (whole(m.label), whole(m.reason))
                made.append(Score(t.arm, t.example, metric, m.value, t.repeat, *said, m.usage, m.compute_seconds))
            log.append(*made)
        walked += len(part)
        show(walked)


def chunks(walk: Iterator[tuple[int, Trial]]) -> Iterator[list[tuple[int, Trial]]]:
    """The walk, a list of trials at a time."""
    while part := list(islice(walk, CHUNK)):
        yield part
