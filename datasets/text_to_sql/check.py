"""What the text-to-SQL set keeps beside the rules of every set: queries run, say something, and are not hit by luck.

Every query runs on every fill in the scorer's sandbox. A query that answers a row and should not (a table's rows, their
number, another row's query, its own with a clause taken out) must give other rows on at least one fill.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from harness.errors import DataError, Problem
from harness.hygiene import key
from harness.scorers.sandbox import Databases, Sandbox, Stopped
from harness.scorers.sandbox import Row as Cells
from harness.scorers.sql import difference

FILLS = 2
EMPTY = 0.15  # the largest share of queries that may find nothing on any fill
# Clauses that are there for a reason: without one, the rows must differ on some fill.
CLAUSES = {
    "DISTINCT": r"DISTINCT ",
    "WHERE": r" WHERE .*?(?= GROUP BY| ORDER BY|\)|$)",
    "the last condition": r" AND [^()]*?(?= GROUP BY| ORDER BY|$)",
    "HAVING": r" HAVING .*?(?= ORDER BY|$)",
    "LIMIT": r" LIMIT \d+",
    "DESC": r" DESC",
}
REVERSED = """
CREATE TEMP TABLE turned AS SELECT * FROM {0} ORDER BY rowid DESC;
DELETE FROM {0};
INSERT INTO {0} SELECT * FROM turned ORDER BY rowid;
DROP TABLE turned;
"""
Fills = list[list[Cells]]


class Example(Protocol):
    """A row of a split."""

    id: str
    where: str
    data: Mapping[str, Any]


class Turned(Databases):
    """The same databases with every table's rows the other way round: what a query may not depend on."""

    def fills(self, name: str) -> dict[str, str]:
        """The script of each fill, its rows turned at the end."""
        return {
            fill: script + "".join(REVERSED.format(table) for table in tables(script))
            for fill, script in super().fills(name).items()
        }


def tables(script: str) -> list[str]:
    """The tables that a script makes."""
    return re.findall(r"CREATE TABLE (\w+)", script)


def check(folder: Path, splits: Mapping[str, Sequence[Example]]) -> Iterator[Problem]:
    """Every finding about the rows and their databases."""
    databases = Databases(folder / "databases")
    rows = [row for part in splits.values() for row in part]
    yield from _questions(rows)
    yield from _spread(databases, splits)
    sound: list[Example] = []
    for row in rows:
        found = list(_form(row, databases))
        yield from found
        if not found:
            sound.append(row)
    with Sandbox(databases) as sandbox, Sandbox(Turned(databases.folder)) as turned:
        try:
            yield from _queries(sound, databases, sandbox, turned)
        except DataError as error:
            yield from error.problems


def _questions(rows: Sequence[Example]) -> Iterator[Problem]:
    seen: dict[str, Example] = {}
    for row in rows:
        first = seen.setdefault(key(str(row.data["question"])), row)
        if first is not row:
            yield Problem("a question that stands twice", row.where, "question", got=f"{first.id}, {row.id}")


def _spread(databases: Databases, splits: Mapping[str, Sequence[Example]]) -> Iterator[Problem]:
    """Every database has rows in every split, and enough fills."""
    for name in databases.names():
        if len(databases.fills(name)) < FILLS:
            yield Problem("too few fills", name, valid=f"at least {FILLS}")
        for split, part in splits.items():
            if not any(row.data["db"] == name for row in part):
                yield Problem("a database without rows of a split", f"{split}.jsonl", "db", got=name)


def _form(row: Example, databases: Databases) -> Iterator[Problem]:
    name, sql = str(row.data["db"]), str(row.data["sql"])
    if not re.fullmatch(rf"{re.escape(name)}-\d\d", row.id) or row.data["cluster"] != name:
        valid = "<db>-<two digits>, cluster the db"
        yield Problem("an id of another form", row.where, "id", got=f"{row.id}, {row.data['cluster']}", valid=valid)
    file = databases.folder / name / "schema.sql"
    if not file.is_file():
        yield Problem("no such database", row.where, "db", got=name)
    elif file.read_text("utf-8").strip() != row.data["schema"]:
        yield Problem("not the schema of the database", row.where, "schema")
    if sql != " ".join(sql.split()) or sql.endswith(";") or not sql.startswith("SELECT "):
        yield Problem("not one SELECT on one line without an end mark", row.where, "sql", got=sql)
    if row.data.get("ordered", False) not in (True, False) or (row.data.get("ordered") and "ORDER BY" not in sql):
        yield Problem("`ordered` is true or absent, and the query then has an ORDER BY", row.where, "ordered")


def _queries(rows: Sequence[Example], databases: Databases, sandbox: Sandbox, turned: Sandbox) -> Iterator[Problem]:
    found: dict[str, Fills] = {}
    for row in rows:
        name, sql = str(row.data["db"]), str(row.data["sql"])
        result = sandbox.run(name, sql)
        if isinstance(result, Stopped):
            yield Problem("a query that does not run", row.where, "sql", got=f"{result.label}: {result.reason}")
            continue
        found[row.id] = result
        other = turned.run(name, sql)
        if isinstance(other, Stopped) or not same(result, other, ordered=bool(row.data.get("ordered"))):
            yield Problem("a query whose rows depend on how the table is stored", row.where, "sql", got=sql)
        yield from _lucky(row, result, sandbox, databases)
    yield from _twins(rows, found)
    empty = [id for id, result in found.items() if not any(result)]
    if len(empty) > EMPTY * len(found):
        yield Problem("too many queries that find nothing", got=", ".join(empty), valid=f"at most {EMPTY:.0%}")


def _lucky(row: Example, result: Fills, sandbox: Sandbox, databases: Databases) -> Iterator[Problem]:
    """Wrong queries that give a row's result on every fill."""
    name, sql = str(row.data["db"]), str(row.data["sql"])
    trivial = [q for t in tables(str(row.data["schema"])) for q in (f"SELECT * FROM {t}", f"SELECT COUNT(*) FROM {t}")]
    for query in trivial:
        rows = sandbox.run(name, query)
        if not isinstance(rows, Stopped) and same(result, rows):
            yield Problem("a trivial query is right", row.where, "sql", got=query, fix="change a fill")
    for clause, pattern in CLAUSES.items():
        without = re.sub(pattern, "", sql, count=1)
        rows = sandbox.run(name, without) if without != sql else None
        ordered = bool(row.data.get("ordered"))
        if rows is not None and not isinstance(rows, Stopped) and same(result, rows, ordered=ordered):
            yield Problem("a query that is right without a clause", row.where, "sql", got=clause, fix="change a fill")


def _twins(rows: Sequence[Example], found: Mapping[str, Fills]) -> Iterator[Problem]:
    """Rows of one database with the same result on all fills: one's query would be right for the other."""
    by_db: defaultdict[str, list[Example]] = defaultdict(list)
    for row in rows:
        if row.id in found:
            for other in by_db[str(row.data["db"])]:
                if same(found[row.id], found[other.id]):
                    got = f"{other.id}, {row.id}"
                    yield Problem("two rows of a database with one result", row.where, "sql", got=got)
            by_db[str(row.data["db"])].append(row)


def same(a: Fills, b: Fills, *, ordered: bool = False) -> bool:
    """Whether two results are the same on every fill."""
    return all(difference(x, y, ordered=ordered) is None for x, y in zip(a, b, strict=True))
