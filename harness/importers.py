"""The tools whose task sets can be read: `harness import promptfoo|openai-evals FILE`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from harness import hygiene, openai_evals, promptfoo, rows, template
from harness.errors import DataError, Problem
from harness.imported import Imported, Note, divided, told, write
from harness.paths import shown
from harness.prices import token_price
from harness.spec import ModelSpec
from harness.splits import SPLITS
from harness.taskset import Example, TaskSet

Kind = Literal["promptfoo", "openai-evals"]
KINDS: tuple[Kind, ...] = ("promptfoo", "openai-evals")


def read(kind: Kind, file: Path) -> Imported:
    """Read another tool's task set.

    Raises:
        HarnessError: the file cannot be read, or nothing of it can be scored here.
    """
    found = promptfoo.read(file) if kind == "promptfoo" else openai_evals.read(file)
    if not found.rows:
        raise DataError(
            Problem("no row can be carried over", shown(file), fix="see what was said of each row"),
            *[Problem(line) for line in told(found.notes)],
        )
    return _priced(_near(_distinct(found)))


def _distinct(found: Imported) -> Imported:
    """Each input once: in two splits it would be a leak."""
    first: dict[str, str] = {}
    kept: list[Mapping[str, Any]] = []
    notes = list(found.notes)
    for row in found.rows:
        key = hygiene.key(template.render(found.input, _columns(found, row)))
        if key in first:
            notes.append(Note(f"left out, its input is that of row {first[key]}", path=f"row {row['id']}"))
        else:
            first[key] = row["id"]
            kept.append(row)
    return replace(found, rows=kept, notes=notes)


def _near(found: Imported) -> Imported:
    """Rows that differ by a few letters would stop a check: they are let through, and said."""
    parts = divided(found.rows)
    train, dev, test = (
        tuple(Example(row["id"], _columns(found, row), "", split) for row in parts[split]) for split in SPLITS
    )
    errors = [f for f in hygiene.find_leaks(TaskSet(train, dev, test, digest="")) if f.severity == "error"]
    if not errors:
        return found
    said = f"{len(errors)} test rows are nearly the same as another row, such as {' and '.join(errors[0].ids)}"
    note = Note(f"{said}; run.allow_near_duplicates lets them through: better to keep one of each")
    return replace(found, run={**found.run, "allow_near_duplicates": True}, notes=[*found.notes, note])


def _priced(found: Imported) -> Imported:
    """Without a price there is no limit in dollars to hold a run to."""
    model = ModelSpec(id=found.model) if isinstance(found.model, str) else ModelSpec.model_validate(found.model)
    price = token_price(model)
    if price.known or (model.id.startswith(("local/", "hf/")) and model.base_url is None):
        return found
    note = Note(f"no price of {model.id} is known: with the model's usd_per_mtok, run.max_usd can set a limit")
    return replace(found, priced=False, notes=[*found.notes, note])


def _columns(found: Imported, row: Mapping[str, Any]) -> dict[str, str]:
    return {c: rows.text(row[c]) for c in sorted(template.columns(found.input))}


__all__ = ["KINDS", "Imported", "Kind", "read", "write"]
