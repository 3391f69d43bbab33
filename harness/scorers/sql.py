"""`sql_execution`: does the model's query give the rows of the target's, on every fill of the database?

A wrong query that gives the right rows by luck on one fill gives other rows on the next (Zhong et al. 2020,
"Semantic evaluation for text-to-SQL with distilled test suites").
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from pydantic import Field

from harness.answer import Unreadable
from harness.models.base import Completion
from harness.scorers.base import Mark, PairScorer, could_not_say
from harness.scorers.sandbox import Cell, Databases, Row, Sandbox, Stopped
from harness.taskset import Example, digest


class SqlExecution(PairScorer):
    """1 if answer and target give the same rows on all fills, else 0; names of columns do not count.

    Rows are a multiset, unless the row's `ordered` column is true: then their order counts too. Numbers are equal
    within a millionth.
    """

    databases: Path = Field(description="A folder with NAME/schema.sql and NAME/fill_*.sql, from the benchmark file.")
    db: str = Field("db", description="The kept column with the database's name.")
    ordered: str = Field("ordered", description="The kept column that is true where the question asks for an order.")

    @property
    def needs(self) -> tuple[str, ...]:
        """The database's name is in a kept column."""
        return (self.db,)

    @property
    def digest(self) -> str:
        """Content hash of version, settings and all databases."""
        return digest([type(self).__name__, self.version, self.db, self.ordered, Databases(self.databases).digest])

    async def score(self, pairs: Sequence[tuple[Example, Completion]]) -> list[Mark]:
        """One mark a pair, in order, made in a thread: queries take time."""
        return await asyncio.to_thread(self._score, pairs)

    def _score(self, pairs: Sequence[tuple[Example, Completion]]) -> list[Mark]:
        databases = Databases(self.databases)
        marks: list[Mark] = []
        with Sandbox(databases) as sandbox:
            for example, completion in pairs:
                try:
                    marks.append(self._mark(example, completion, sandbox, databases))
                except Unreadable as error:
                    marks.append(Mark(value=0.0, label="unparseable", reason=str(error)[:500]))
                except Exception as error:
                    marks.append(could_not_say(error))
        return marks

    def _mark(self, example: Example, completion: Completion, sandbox: Sandbox, databases: Databases) -> Mark:
        answer = self.answer.read(completion.text)
        name = example.kept.get(self.db) or example.input.get(self.db, "")
        target = sandbox.run(name, self.answer.write(example.target))
        if isinstance(target, Stopped):
            return could_not_say(f"the target's query gives no rows: {target.label}: {target.reason}")
        given = sandbox.run(name, answer if isinstance(answer, str) else "; ".join(answer))
        if isinstance(given, Stopped):
            return Mark(value=0.0, label=given.label, reason=given.reason)
        ordered = example.kept.get(self.ordered, "").casefold() in ("true", "yes", "1")
        right: list[str] = []
        for fill, wanted, rows in zip(databases.fills(name), target, given, strict=True):
            if differs := difference(wanted, rows, ordered=ordered):
                label, reason = differs
                before = f"right on {', '.join(right)}; " if right else ""
                return Mark(value=0.0, label=label, reason=f"{before}on {fill}: {reason}"[:500])
            right.append(fill)
        return Mark(value=1.0, label="same rows")


def difference(wanted: Sequence[Row], rows: Sequence[Row], *, ordered: bool = False) -> tuple[str, str] | None:
    """How a result differs from the target's, as a label and a reason; None if it does not."""
    if wanted and rows and len(wanted[0]) != len(rows[0]):
        return "other columns", f"{len(rows[0])} columns, not {len(wanted[0])}"
    missed, added = unmatched(wanted, rows)
    if missed or added:
        parts = [f"missed {_shown(missed)}"] if missed else []
        parts += [f"added {_shown(added)}"] if added else []
        return "other rows", "; ".join(parts)
    if ordered and not all(map(same, wanted, rows)):
        return "other order", f"{_shown(rows)}, not {_shown(wanted)}"
    return None


def unmatched(wanted: Sequence[Row], rows: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """The rows of each side that the other has no partner for: equal ones go first, then those that are close."""
    left, right = Counter(wanted), Counter(rows)  # 1 and 1.0 are one key
    missed, added = list((left - right).elements()), list((right - left).elements())
    for row in [*missed]:
        partner = next((i for i, other in enumerate(added) if same(row, other)), None)
        if partner is not None:
            missed.remove(row)
            del added[partner]
    return missed, added


def same(a: Row, b: Row) -> bool:
    """Whether two rows are equal, numbers within a millionth."""
    return len(a) == len(b) and all(map(_equal, a, b))


def _equal(a: Cell, b: Cell) -> bool:
    if isinstance(a, int | float) and isinstance(b, int | float):
        return math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-9)
    return a == b


def _shown(rows: Sequence[Row]) -> str:
    """The first rows, for people."""
    some = ", ".join("(" + ", ".join("NULL" if c is None else repr(c)[:40] for c in row) + ")" for row in rows[:3])
    return some + (f" and {len(rows) - 3} more" if len(rows) > 3 else "")
