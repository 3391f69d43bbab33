"""What the reader of a task set asks of a task: where its rows are, and how one becomes an input and a target.

`spec.TaskSpec` fits; nothing of a benchmark file is known here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from harness.splits import SplitName


class Answer(Protocol):
    """The part of the answer format that rows are held to."""

    @property
    def format(self) -> str:
        """What an answer is: list, text, label, json or sql."""
        ...

    @property
    def labels(self) -> Sequence[str]:
        """The valid targets of a label task; empty for every other task."""
        ...


class Task(Protocol):
    """Where the rows are and how one becomes an input and a target (`spec.TaskSpec` fits)."""

    @property
    def data(self) -> str:
        """Folder or file, as written."""
        ...

    @property
    def answer(self) -> Answer:
        """The answer format."""
        ...

    @property
    def input(self) -> str:
        """Template of the input."""
        ...

    @property
    def target(self) -> str:
        """Template of the target."""
        ...

    @property
    def id(self) -> str:
        """The column of the ids."""
        ...

    @property
    def cluster(self) -> str | None:
        """The column of the clusters."""
        ...

    @property
    def relevant(self) -> str | None:
        """The column of the relevant documents' ids."""
        ...

    @property
    def key(self) -> str | None:
        """Template of the text by which two rows are the same; None: the input."""
        ...

    @property
    def keep(self) -> Sequence[str]:
        """Columns that scorers see and arms do not."""
        ...

    @property
    def columns(self) -> Mapping[str, str]:
        """New column names and the old ones."""
        ...

    @property
    def divide(self) -> bool:
        """Whether rows without a split are divided."""
        ...

    @property
    def limit(self) -> Mapping[SplitName, int]:
        """At most so many rows of a split."""
        ...
