"""The stored trials of a run by key, each read from its file when it is asked for.

A run of a million trials is known by where each line starts: what is finished, what is missing, and any one of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np

from harness.errors import DataError, Problem
from harness.lines import Lines, numbered
from harness.records import Trial


class _Part(msgspec.Struct):
    """A model that had a part in an answer."""

    model: str = ""


class _Answer(msgspec.Struct):
    """What is looked at of an answer in passing."""

    model: str = ""
    others: tuple[_Part, ...] = ()


class _Trial(msgspec.Struct):
    """What is looked at of a trial in passing."""

    arm: str
    example: str
    repeat: int = 0
    completion: _Answer | None = None
    failure: _Answer | None = None


def _refused(what: str, trial: _Trial) -> DataError:
    return DataError(Problem(f"{what}: {trial.arm}/{trial.example}", fix="move the run away and run again"))


class Trials(Mapping[tuple[str, str], list[Trial]]):
    """One trial of each key: an outage that was answered later is replaced. Maps (arm, example id) to its repeats.

    Args:
        path: `trials.jsonl`; no file holds no trials.
        arms: those that are looked at; trials of others are passed over.
        ids: the test examples' ids, in order.

    Attributes:
        models: the models that answered.

    Raises:
        DataError: a line is no trial, or of no test example, or a second answer to one.
    """

    def __init__(self, path: Path, arms: Sequence[str], ids: Sequence[str]) -> None:
        self.arms = tuple(arms)
        self.ids = ids
        self.models: set[str] = set()
        self._row = {id: i for i, id in enumerate(ids)}
        self._lines = Lines.opened(path, Trial, scan=False) if path.exists() else None
        # By arm and repeat, an entry an example: where its line starts (-1: nowhere), and whether it is an answer.
        self._starts: dict[str, list[np.ndarray[tuple[int], np.dtype[np.int64]]]] = {a: [] for a in arms}
        self._answers: dict[str, list[np.ndarray[tuple[int], np.dtype[np.bool_]]]] = {a: [] for a in arms}
        for start, trial in numbered(path, _Trial):
            if trial.arm in self._starts:
                self._add(start, trial)

    def _add(self, start: int, trial: _Trial) -> None:
        row = self._row.get(trial.example)
        if row is None:
            raise _refused("a trial of no test example", trial)
        starts, answers = self._starts[trial.arm], self._answers[trial.arm]
        while len(starts) <= trial.repeat:
            starts.append(np.full(len(self.ids), -1, dtype=np.int64))
            answers.append(np.zeros(len(self.ids), dtype=np.bool_))
        answer = trial.completion or trial.failure
        if answers[trial.repeat][row]:
            if answer is not None:  # which one counts is not ours to choose
                raise _refused("twice the same trial", trial)
            return
        starts[trial.repeat][row] = start
        answers[trial.repeat][row] = answer is not None
        if answer is not None:
            self.models |= {answer.model, *(part.model for part in answer.others)}

    def answered(self, arm: str, row: int, repeat: int) -> bool:
        """Whether there is an answer (or its failure) to the example of that row."""
        answers = self._answers[arm]
        return repeat < len(answers) and bool(answers[repeat][row])

    def count(self, arm: str) -> int:
        """How many answers an arm has."""
        return sum(int(a.sum()) for a in self._answers[arm])

    @property
    def total(self) -> int:
        """How many trials there are, the missing ones among them."""
        return sum(int((s >= 0).sum()) for starts in self._starts.values() for s in starts)

    @property
    def missing(self) -> int:
        """How many of them came to no answer."""
        return self.total - sum(self.count(arm) for arm in self.arms)

    def walk(self) -> Iterator[tuple[int, Trial]]:
        """Every trial with its example's row, by arm, repeat, row: whatever the order in which they ended."""
        for arm in self.arms:
            for starts in self._starts[arm]:
                for row in np.flatnonzero(starts >= 0).tolist():
                    assert self._lines is not None
                    yield row, self._lines.at(int(starts[row]))

    def __getitem__(self, key: tuple[str, str]) -> list[Trial]:
        arm, id = key
        row = self._row[id]
        found = [int(starts[row]) for starts in self._starts[arm] if starts[row] >= 0]
        if not found or self._lines is None:
            raise KeyError(key)
        return [self._lines.at(start) for start in found]

    def __contains__(self, key: object) -> bool:
        match key:
            case (str(arm), str(id)) if arm in self._starts and id in self._row:
                return any(starts[self._row[id]] >= 0 for starts in self._starts[arm])
            case _:
                return False

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return ((arm, id) for arm in self.arms for id in self.ids if (arm, id) in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)
