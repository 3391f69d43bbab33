"""What the columns of a data file are: input, target, id, split; guessed from their names and from all of their values.

One pass, in which only the first rows are kept.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from harness import rows, template
from harness.errors import DataError, Problem, capped
from harness.paths import shown
from harness.splits import ALIASES, DataFile

LOOK = 2000  # rows that are kept, to tell formats by
MAX_LABELS = 30
TARGETS = (
    "target", "label", "labels", "answer", "answers", "output", "completion", "expected", "ideal", "response",
    "category", "class", "intent", "sentiment", "sql", "summary", "gold",
)  # fmt: skip
IDS = ("id", "_id", "uuid", "key", "nr", "row_id", "example_id", rows.NUMBER)
ASIDE = ("split", "cluster", "tags", "group", "source", "link", "url", "created_at", "date", rows.NUMBER)

Format = Literal["list", "label", "json", "sql", "text"]


class Guess(NamedTuple):
    """What the columns of a data file were taken for, and why.

    `names` holds the name that each input and the target has in templates; `renamed` new names and old ones;
    `optional` the inputs that some rows lack; `id` the column of the ids, None where there is none that is unique;
    `train` how many rows are train rows by the data itself.
    """

    target: str
    why: str
    format: Format
    labels: tuple[str, ...]
    inputs: tuple[str, ...]
    optional: frozenset[str]
    names: dict[str, str]
    renamed: dict[str, str]
    id: str | None
    cluster: bool
    splits: frozenset[str]
    rows: int
    train: int


class Survey:
    """All rows of some files, looked at once."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []
        self.rows = 0
        self.train = 0
        self.columns: dict[str, int] = {}  # how many rows have a value in it
        self._short: dict[str, Counter[str] | None] = {}  # None: too many or too long to be labels
        self._keys: dict[str, set[int] | None] = {}  # None: a value stands twice

    def read(self, files: Sequence[DataFile]) -> None:
        """Look at every row.

        Raises:
            DataError: rows that cannot be read.
        """
        problems: list[Problem] = []
        for file in files:
            for row in rows.read(file.path):
                if isinstance(row, Problem):
                    problems.append(row)
                else:
                    self._row(row.data)
                    said = file.split or ALIASES.get(rows.text(row.data.get("split")).strip().lower())
                    self.train += said == "train"
        if problems:
            raise DataError(capped(problems))

    def _row(self, data: dict[str, Any]) -> None:
        self.rows += 1
        if len(self.seen) < LOOK:
            self.seen.append(data)
        for name, value in data.items():
            self.columns.setdefault(name, 0)
            if value is None or (text := rows.text(value).strip()) == "":
                continue
            self.columns[name] += 1
            counts = self._short.setdefault(name, Counter())
            if counts is not None:
                counts[text] += 1
                if len(counts) > 2 * MAX_LABELS or isinstance(value, list | dict):
                    self._short[name] = None
            if name in IDS and (known := self._keys.setdefault(name, set())) is not None:
                if hash(text) in known:
                    self._keys[name] = None
                else:
                    known.add(hash(text))

    def whole(self, name: str) -> bool:
        """Whether every row has a value in the column."""
        return self.columns.get(name) == self.rows

    def unique(self, name: str) -> bool:
        """Whether every row has another value in the column (one of `IDS`)."""
        return self.whole(name) and self._keys.get(name) is not None

    def values(self, name: str) -> list[Any]:
        """The values of the column in the rows that are kept."""
        return [r[name] for r in self.seen if r.get(name) is not None]

    def distinct(self, name: str) -> frozenset[str]:
        """The texts that stand in a column of few short ones; empty for any other column."""
        return frozenset(self._short.get(name) or ())

    def labels(self, name: str) -> tuple[str, ...]:
        """The labels of a column of labels, spelt as most rows spell them; empty for any other column."""
        counts = self._short.get(name)
        if not counts or not labels_of(list(counts.elements())):
            return ()
        spelt: dict[str, str] = {}
        for text, _ in counts.most_common():
            spelt.setdefault(text.casefold(), text)
        return tuple(sorted(spelt.values()))


def labels_of(values: Sequence[Any]) -> tuple[str, ...]:
    """The distinct values of a column of labels, or nothing: few, short, each used twice on average."""
    if any(isinstance(v, list | dict) for v in values):
        return ()
    found = sorted({rows.text(v).strip() for v in values})
    short = all(0 < len(v) <= 40 and "\n" not in v for v in found)
    return tuple(found) if short and 1 < len(found) <= min(MAX_LABELS, len(values) / 2) else ()


def look(survey: Survey, data: Path, files: Sequence[DataFile]) -> Guess:
    """What the columns are.

    Raises:
        DataError: there are not two columns to choose from.
    """
    id = next((c for c in IDS if c in survey.columns and survey.unique(c)), None)
    splits, renamed = _splits(survey, files), dict[str, str]()
    if "split" in survey.columns and not splits and files[0].split is None:
        renamed[_word("part", survey.columns)] = "split"
    if "id" in survey.columns and id is None and survey.columns["id"]:
        renamed[_word("not_an_id", survey.columns)] = "id"
    free = [c for c in survey.columns if c != id and c.lower() not in ASIDE and _shown(survey.values(c))]
    free = [c for c in free if c not in renamed.values()]
    if len(free) < 2:
        raise DataError(
            Problem(
                "an input and a target column are needed", shown(data), got=", ".join(survey.columns) or "no columns",
                fix="add a column with the right answers",
            )
        )  # fmt: skip
    target, why = _target(free, survey)
    format, labels = _format(survey, target)
    names: dict[str, str] = {}
    for column in free:
        names[column] = column if _usable(column) else _word(column, {*survey.columns, *names.values()})
        if names[column] != column:
            renamed[names[column]] = column
    inputs = tuple(c for c in free if c != target)
    missing = frozenset(c for c in inputs if survey.columns[c] < survey.rows and not _blank(survey, c))
    cluster = "cluster" in survey.columns and survey.whole("cluster")
    return Guess(
        target, why, format, labels, inputs, missing, names, renamed, id, cluster, frozenset(splits), survey.rows,
        survey.train,
    )  # fmt: skip


def _blank(survey: Survey, name: str) -> bool:
    """Whether a row without a value has an empty text there, as a table has: that renders as it is."""
    return all(isinstance(r.get(name), str) for r in survey.seen if not rows.text(r.get(name)).strip())


def _splits(survey: Survey, files: Sequence[DataFile]) -> set[str]:
    """The splits that the data names, or nothing if they are not ours, lack test or are not in every row."""
    if files[0].split is not None:
        return {str(f.split) for f in files}
    if not survey.whole("split"):
        return set()
    values = {v.lower() for v in survey.distinct("split")}
    found = {ALIASES[v] for v in values if v in ALIASES}
    return set(found) if values <= ALIASES.keys() and "test" in found else set()


def _shown(values: Sequence[Any]) -> bool:
    """Whether a column has anything that is text: no empty one, no picture."""
    pictures = any(isinstance(v, bytes) or (isinstance(v, dict) and "bytes" in v) for v in values)
    return not pictures and any(rows.text(v).strip() for v in values)


def _target(free: Sequence[str], survey: Survey) -> tuple[str, str]:
    by_name = {c.lower(): c for c in free}
    for name in TARGETS:
        if name in by_name:
            return by_name[name], f"taken for the target by its name; the columns: {', '.join(free)}"
    values = {c: survey.values(c) for c in free}
    lists = [c for c in free if values[c] and all(isinstance(v, list) for v in values[c])]
    if lists:
        return lists[-1], "taken for the target because it holds lists; is that so?"
    labels = [c for c in free if survey.labels(c)]
    if labels:
        return labels[-1], "taken for the target because few short values come again and again; is that so?"
    return free[-1], "taken for the target because it is the last column; is that so?"


def _format(survey: Survey, target: str) -> tuple[Format, tuple[str, ...]]:
    values = survey.values(target)
    if values and all(isinstance(v, list) and all(not isinstance(i, list | dict) for i in v) for v in values):
        return "list", ()
    if values and all(isinstance(v, dict) for v in values):
        return "json", ()
    if labels := survey.labels(target):
        return "label", labels
    texts = [rows.text(v).strip() for v in values]
    if all(t.startswith("{") and t.endswith("}") for t in texts):
        return "json", ()
    if all(re.match(r"(?i)(select|with)\s", t) for t in texts):
        return "sql", ()
    return "text", ()


def _usable(column: str) -> bool:
    """Whether a template can name the column as it is."""
    written = f"{{{{ {column} }}}}"
    sound = column.isidentifier() and template.mistake(written) is None
    return sound and template.columns(written) == frozenset({column})


def _word(column: str, taken: Iterable[str]) -> str:
    """A name that a template can hold, and that no other column has."""
    word = re.sub(r"\W+", "_", column).strip("_").lower()
    word = word if _usable(word) else f"column_{word}".rstrip("_")
    taken = set(taken)
    return next(w for n in range(1, len(taken) + 2) if (w := word if n == 1 else f"{word}_{n}") not in taken)
