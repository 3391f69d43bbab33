"""What can go wrong, told to people: what, where, what was read, what is valid, what to do next.

HarnessError            exit 2; nothing was run and nothing spent
|-- SpecError           a benchmark file cannot be read as one question
|-- DataError           a task set, baseline or run directory cannot be used
|-- ModelError          a model, its weights or its key is not to be had
|-- TuneError           a tuning job was refused or failed (what it was billed is kept)
|-- Incomplete          exit 4; the run stopped early (budget, outage) and can be resumed
Failed                  one answer failed: it scores 0 in its arm and is shown (a value: `Failure`)
Outage                  no answer was to be had: the example is missing, not wrong (a value: `Missing`)
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.models.base import Failure, Missing


MAX_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake, as a person needs it.

    Args:
        what: the mistake in one sentence.
        where: `file:line:column`, as far as known.
        path: the path inside the YAML or row, such as `arms.few_shot.k`.
        got: what was read, as `repr`, shortened.
        valid: what would have been valid.
        fix: the next step.
    """

    what: str
    where: str = ""
    path: str = ""
    got: str = ""
    valid: str = ""
    fix: str = ""

    def __str__(self) -> str:
        head = f"{self.where}: " if self.where else ""
        head += f"{self.path}: " if self.path else ""
        lines = [head + self.what]
        for name, text in (("got", self.got), ("valid", self.valid), ("next", self.fix)):
            if text:
                lines.append(f"    {name}: {text}")
        return "\n".join(lines)


def near(got: str, valid: Iterable[str]) -> str:
    """The next step for a name that is not known: `did you mean `k`?`, or empty when nothing is near."""
    choices = {v.casefold(): v for v in valid}
    found = difflib.get_close_matches(got.casefold(), choices, n=1, cutoff=0.6)
    return f"did you mean `{choices[found[0]]}`?" if found else ""


def capped(problems: Sequence[Problem]) -> list[Problem]:
    """The first 20 problems, and how many more there are."""
    more = len(problems) - MAX_SHOWN
    if more <= 0:
        return list(problems)
    return [*problems[:MAX_SHOWN], Problem(f"and {more:,} more mistake{'s' if more > 1 else ''}")]


class HarnessError(Exception):
    """The base of all that ends a command with a message instead of a traceback."""

    exit_code = 2

    def __init__(self, *problems: Problem | str | Iterable[Problem]) -> None:
        flat: list[Problem] = []
        for problem in problems:
            if isinstance(problem, str):
                flat.append(Problem(problem))
            elif isinstance(problem, Problem):
                flat.append(problem)
            else:
                flat.extend(problem)
        self.problems: tuple[Problem, ...] = tuple(flat)
        super().__init__("\n".join(str(p) for p in flat))


class SpecError(HarnessError):
    """A benchmark file cannot be read as one question."""


class DataError(HarnessError):
    """A task set, a baseline or a run directory cannot be used as it is."""


class ModelError(HarnessError):
    """A model, its weights or its key is not to be had."""


class TuneError(HarnessError):
    """A tuning job was refused or failed; what it was billed is kept in the run directory."""


class Incomplete(HarnessError):
    """The run stopped before its end; what is finished is stored and a second run goes on."""

    exit_code = 4


class Failed(Exception):
    """One answer failed. The arm scores 0 on it; the run goes on."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(f"{failure.boundary}/{failure.type}: {failure.message}")
        self.failure = failure


class Outage(Exception):
    """No answer was to be had after retries. The example is missing from the comparison, not wrong."""

    def __init__(self, missing: Missing) -> None:
        super().__init__(f"{missing.type}: {missing.message}")
        self.missing = missing


def first_told(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The one error of a group that people are told: ours before all others."""
    flat: list[BaseException] = []
    queue: list[BaseException] = [group]
    while queue:
        error = queue.pop(0)
        if isinstance(error, BaseExceptionGroup):
            queue.extend(error.exceptions)  # type: ignore[arg-type]
        else:
            flat.append(error)
    return next((e for e in flat if isinstance(e, HarnessError)), flat[0])
