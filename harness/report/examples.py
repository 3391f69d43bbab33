"""Examples, flips first: what the fine-tune fixed and broke, the largest changes before the small ones."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.report.stored import Stored
from harness.report.text import Piece, difference, one_line, shown
from harness.taskset import Example

SHOWN = 6  # of each kind, in the page that needs no script and in the summary


@dataclass(frozen=True)
class Said:
    """One arm's answer to an example. `score` is None when it is missing."""

    arm: str
    score: float | None
    failure: str
    pieces: tuple[Piece, ...]
    shots: tuple[str, ...]
    passages: tuple[str, ...]


@dataclass(frozen=True)
class Flip:
    """An example whose score changed between baseline and candidate; `change` > 0 was fixed, < 0 broken."""

    id: str
    title: str
    input: str
    target: str
    change: float
    answers: tuple[Said, ...]

    @property
    def kind(self) -> str:
        """Fixed or broken."""
        return "fixed" if self.change > 0 else "broken"


def written(target: str | tuple[str, ...]) -> str:
    """A target as a reader wants it: a list one item a line."""
    return target if isinstance(target, str) else "\n".join(target)


def titled(example: Example) -> str:
    """What an example is called: its title, else the start of its input."""
    for column in ("title", "name", "question"):
        if example.input.get(column, "").strip():
            return one_line(example.input[column], 100)
    return one_line(next((v for v in example.input.values() if v.strip()), example.id), 100)


def columns(stored: Stored) -> tuple[str, ...]:
    """The input's columns in the order in which the prompt names them."""
    names = list(stored.examples[0].input) if stored.examples else []
    template = stored.benchmark.task.input
    at = {n: found.start() if (found := re.search(rf"{{{{\s*{re.escape(n)}\b", template)) else 10**9 for n in names}
    return tuple(sorted(names, key=lambda n: at[n]))


def asked(example: Example, names: Sequence[str]) -> str:
    """The input, column by column."""
    if len(names) == 1:
        return example.input.get(names[0], "")
    pairs = [(n, example.input[n]) for n in names if n in example.input]
    return "\n".join(f"{n}: {v}" if "\n" not in v else f"{n}:\n{v}" for n, v in pairs)


def changes(stored: Stored) -> np.ndarray | None:
    """Candidate less baseline on the primary metric, one an example (NaN: missing), or None without both."""
    verdict, board = stored.verdict, stored.board
    if verdict.candidate not in board.arms or verdict.baseline not in board.arms:
        return None
    assert verdict.candidate is not None
    assert verdict.baseline is not None
    return board.oriented(verdict.candidate, stored.primary) - board.oriented(verdict.baseline, stored.primary)


def tally(stored: Stored) -> dict[str, int]:
    """How many examples were fixed, broken, left as they were, and missing."""
    d = changes(stored)
    if d is None:
        return {}
    return {
        "fixed": int((d > 0).sum()),
        "broken": int((d < 0).sum()),
        "same": int((d == 0).sum()),
        "missing": int(np.isnan(d).sum()),
    }


def flips(stored: Stored, most: int = SHOWN) -> tuple[Flip, ...]:
    """The largest losses and the largest gains: broken first, because those are what a reader must know."""
    d = changes(stored)
    if d is None:
        return ()
    order = np.argsort(np.nan_to_num(d), kind="stable")
    broken = [int(i) for i in order[:most] if d[i] < 0]
    fixed = [int(i) for i in order[::-1][:most] if d[i] > 0]
    return tuple(_flip(stored, stored.examples[i], float(d[i])) for i in (*broken, *fixed))


def _flip(stored: Stored, example: Example, change: float) -> Flip:
    target = written(example.target)
    arms = [a for a in (stored.verdict.baseline, stored.verdict.candidate) if a]
    return Flip(
        id=one_line(example.id),
        title=titled(example),
        input=shown(asked(example, columns(stored))),
        target=shown(target),
        change=change,
        answers=tuple(said(stored, arm, example) for arm in arms),
    )


def said(stored: Stored, arm: str, example: Example) -> Said:
    """What an arm answered, word by word against the target."""
    text, failure = stored.text_of(arm, example.id)
    repeats = stored.trials.get((arm, example.id), [])
    completion = repeats[0].completion or repeats[0].failure if repeats else None
    i = stored.board.ids.index(example.id)
    score = float(stored.board.values[arm, stored.primary][i])
    ordered = stored.benchmark.task.answer.format != "list"
    return Said(
        arm=arm,
        score=None if np.isnan(score) else score,
        failure=failure,
        pieces=tuple(Piece(p.kind, shown(p.text)) for p in difference(text, written(example.target), ordered=ordered)),
        shots=tuple(one_line(s, 60) for s in (completion.shots if completion else ())),
        passages=tuple(one_line(s, 60) for s in (completion.passages if completion else ())),
    )
