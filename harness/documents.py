"""The documents that RAG retrieves from: a file with id, title and text a row, read whole and checked."""

from __future__ import annotations

from pathlib import Path

from harness import rows
from harness.errors import DataError, Problem, capped, near
from harness.paths import shown
from harness.rows import text
from harness.taskset import Document


def read(file: Path) -> tuple[Document, ...]:
    """The documents of a file with the columns id, title (may be missing) and text.

    Raises:
        DataError: every mistake, with its line.
    """
    made: list[Document] = []
    problems: list[Problem] = []
    seen: dict[str, int] = {}
    for row in rows.read(file):
        if isinstance(row, Problem):
            problems.append(row)
            continue
        where = f"{shown(file)}:{row.line}"
        for column in ("id", "text"):
            if not text(row.data.get(column)).strip():
                hint = "" if column in row.data else near(column, row.data) or f"add a column `{column}`"
                state = "is empty" if column in row.data else "is missing"
                problems.append(Problem(f"`{column}` {state}", where, path=column, valid="id, title, text", fix=hint))
        id = text(row.data.get("id")).strip()
        if id and id in seen:
            what = f"the id {id!r} stands twice (first on line {seen[id]})"
            problems.append(Problem(what, where, path="id", fix="give each document its own id"))
        seen.setdefault(id, row.line)
        made.append(Document(id=id, title=text(row.data.get("title")), text=text(row.data.get("text"))))
    if not made and not problems:
        problems.append(Problem("no documents in it", shown(file), fix="write one object a line: id, title, text"))
    if problems:
        raise DataError(capped(problems))
    return tuple(made)
