"""The tools whose task sets can be read: `harness import promptfoo|openai-evals FILE`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from harness import openai_evals, promptfoo
from harness.errors import DataError, Problem
from harness.imported import Imported, write
from harness.paths import shown

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
            *[Problem(note) for note in found.notes],
        )
    return found


__all__ = ["KINDS", "Imported", "Kind", "read", "write"]
