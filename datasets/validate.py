"""Is a task set fit to compare arms on? `python datasets/validate.py [folder...]` prints every finding; any is exit 1.

Every set is checked for encoding, JSON, ids, keys, sizes, repeated lines, near-duplicates; `SETS` says what one adds.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

from harness.answer import Answer
from harness.errors import Problem
from harness.hygiene import ALIKE, NEAR
from harness.rows import read as read_rows
from harness.taskset import SPLITS
from harness.techniques.rule import load

_BROKEN = re.compile(  # half read, or read in another encoding, or not seen at all
    "\ufffd|[\u00c2\u00c3][\u0080-\u00bf]|\u00e2\u20ac|[\u0000-\u0008\u000b-\u001f\u007f\u00ad\u200b\ufeff]"
)
_JOINED = re.compile(r"(?!hundreds and thousands)(.* (and|or) .*|\d+ (?!flour).*)")  # two things, or an amount
_WORD = re.compile(r"\w+(?:[-'\u2019]\w+)*")


@dataclass(frozen=True)
class Row:
    """One line of a file: `where` is `file:line`."""

    where: str
    data: Mapping[str, Any]

    @property
    def id(self) -> str:
        """The row's id, empty if it has none."""
        return str(self.data.get("id", ""))


Splits = Mapping[str, Sequence[Row]]


@dataclass(frozen=True)
class Rules:
    """What one set asks of its rows beyond what every set must keep.

    Args:
        target: the column that holds the answer; empty: not known, no check of labels.
        answer: its format and normaliser.
        keys: the columns that every row has; empty: those of the first row.
        optional: columns that a row may have.
        empty: columns whose list may be empty.
        least: the fewest rows of each split, documents and second pass.
        plural: last words of labels that the normaliser would shorten and the guide does not.
        hook: more checks of the whole set.
        splits: the splits that it has; the second task set of `forgetting` is never trained on.
    """

    target: str = ""
    answer: Answer = field(default_factory=Answer)
    keys: tuple[str, ...] = ()
    optional: tuple[str, ...] = ("cluster", "tags")
    empty: tuple[str, ...] = ()
    least: Mapping[str, int] = field(default_factory=dict)
    splits: tuple[str, ...] = SPLITS
    plural: frozenset[str] = frozenset()
    hook: Callable[[Path, Splits, Rules], Iterable[Problem]] | None = None


def read(path: Path, problems: list[Problem]) -> list[Row]:
    """The rows of a JSONL file; what cannot be read goes to `problems`."""
    good: list[Row] = []
    if path.is_file() and path.read_bytes().startswith(b"\xef\xbb\xbf"):
        problems.append(Problem("a byte order mark", f"{path.name}:1:1", fix="save the file as UTF-8 without one"))
    for row in read_rows(path):
        if isinstance(row, Problem):
            problems.append(row)
        else:
            good.append(Row(f"{path.name}:{row.line}", row.data))
    return good


def shape(splits: Splits, rules: Rules) -> Iterator[Problem]:
    """Sizes, keys, types, ids that are unique over all splits."""
    seen: dict[str, str] = {}
    keys = rules.keys or next((tuple(r.data) for rows in splits.values() for r in rows), ())
    for split, rows in splits.items():
        least = rules.least.get(split, 1)
        if len(rows) < least:
            yield Problem("too few rows", f"{split}.jsonl", got=str(len(rows)), valid=f"at least {least}")
        for row in rows:
            missing = [k for k in keys if k not in row.data]
            unknown = [k for k in row.data if k not in keys and k not in rules.optional]
            if missing or unknown:
                yield Problem(
                    "wrong columns", row.where, got=f"missing {missing}, unknown {unknown}", valid=", ".join(keys)
                )
            for key, value in row.data.items():
                if isinstance(value, bool) and key in rules.optional:
                    continue  # a mark
                texts = value if isinstance(value, list) else [value]
                none = value == [] and key in rules.empty
                if not none and (not texts or not all(isinstance(t, str) and t.strip() for t in texts)):
                    yield Problem(
                        "not a text or a list of texts, or an empty one", row.where, key, got=repr(value)[:60]
                    )
                elif any(_BROKEN.search(t) or (isinstance(value, list) and "\n" in t) for t in texts):
                    yield Problem("a broken character or a line break inside a line", row.where, key)
            if row.id in seen:
                yield Problem("an id that stands twice", row.where, got=row.id, valid=f"first at {seen[row.id]}")
            seen.setdefault(row.id, row.where)


def texts_of(row: Row, rules: Rules) -> list[str]:
    """The input's texts: every column but the id, the target and the optional ones."""
    values = [v for k, v in row.data.items() if k not in {"id", rules.target, *rules.optional}]
    return [t for v in values for t in (v if isinstance(v, list) else [v])]


def lines_of(row: Row, rules: Rules) -> list[str]:
    """The lines of the input's lists; no title."""
    lists = [v for k, v in row.data.items() if k not in {rules.target, *rules.optional} and isinstance(v, list)]
    return [line for lines in lists for line in lines]


def repeated_lines(splits: Splits, rules: Rules) -> Iterator[Problem]:
    """Two rows that share over half of the lines of the shorter one (only letters count: no amounts)."""
    holders: dict[str, list[int]] = defaultdict(list)
    rows = [row for part in splits.values() for row in part]
    size: list[int] = []
    for i, row in enumerate(rows):
        bare = {b for t in lines_of(row, rules) if (b := " ".join(re.findall(r"[^\W\d_]+", t.casefold())))}
        size.append(len(bare))
        for line in bare:
            holders[line].append(i)
    shared = Counter(pair for who in holders.values() for pair in combinations(who, 2))
    for (i, j), n in shared.items():
        if n > 1 and 2 * n > min(size[i], size[j]):
            got = f"{rows[i].id} and {rows[j].id} share {n} of {min(size[i], size[j])} lines"
            yield Problem("two rows that share over half of their lines", rows[j].where, got=got)


def duplicates(splits: Splits, rules: Rules) -> tuple[list[Problem], list[str]]:
    """Titles that stand twice, near-duplicates across splits (errors), and pairs worth a look (notes)."""
    from sklearn.feature_extraction.text import CountVectorizer

    problems: list[Problem] = []
    rows = [(split, row) for split, part in splits.items() for row in part]
    titles: dict[str, Row] = {}
    for _, row in rows:
        title = " ".join(_WORD.findall(str(row.data.get("title", "")).casefold()))
        if title and title in titles:
            problems.append(
                Problem("a title that stands twice", row.where, got=f"{titles[title].id}, {row.id}: {title}")
            )
        titles.setdefault(title, row)
    texts = [" ".join("\n".join(texts_of(row, rules)).casefold().split()) for _, row in rows]
    if len(texts) < 2 or not any(len(t) >= 5 for t in texts):
        return problems, []
    grams = CountVectorizer(analyzer="char", ngram_range=(5, 5), binary=True, lowercase=False).fit_transform(texts)
    counts = grams.getnnz(axis=1)
    both = (grams @ grams.T).tocoo()
    notes: list[str] = []
    for i, j, n in zip(both.row, both.col, both.data, strict=True):
        if i >= j or rows[i][0] == rows[j][0]:
            continue
        alike = n / (counts[i] + counts[j] - n)
        said = f"{rows[i][1].id} ({rows[i][0]}) and {rows[j][1].id} ({rows[j][0]}): {alike:.2f}"
        if alike >= NEAR:
            problems.append(
                Problem("near-duplicates in two splits", rows[j][1].where, got=said, fix="drop or move one")
            )
        elif alike >= ALIKE:
            notes.append(f"alike: {said}")
    return problems, notes


def found(label: str, lines: Sequence[str], answer: Answer) -> bool:
    """Whether the label's words stand in one line, side by side, after each word went through the normaliser."""
    wanted = f" {_words(label, answer)} "
    return any(wanted in f" {_words(line, answer)} " for line in lines)


def _words(text: str, answer: Answer) -> str:
    return " ".join(answer.normalise(word) for word in _WORD.findall(unicodedata.normalize("NFKC", text)))


def labels(splits: Splits, rules: Rules, exceptions: Sequence[Row]) -> Iterator[Problem]:
    """Labels are normalised, stand once, and are found in a line unless an exception says why not."""
    excused = {(e.id, str(e.data.get("label"))): e for e in exceptions}
    if len(excused) < len(exceptions):
        yield Problem("an exception that stands twice", "exceptions.jsonl")
    reasons = ("brand", "misspelling", "shorthand", "split phrase")
    for e in exceptions:
        if set(e.data) != {"id", "label", "why"} or e.data["why"] not in reasons:
            yield Problem("not an exception", e.where, got=repr(dict(e.data))[:90], valid=f"id, label, why: {reasons}")
    needed: set[tuple[str, str]] = set()
    for row in (row for part in splits.values() for row in part):
        target = row.data.get(rules.target)
        if not isinstance(target, list):
            yield Problem("no list of labels", row.where, rules.target)
            continue
        yield from unclean(target, row.where, rules)
        for label in target:
            if not found(label, lines_of(row, rules), rules.answer):
                needed.add((row.id, label))
                if (row.id, label) not in excused:
                    fix = "mend the label or list it in exceptions.jsonl"
                    yield Problem("a label that is in no line", row.where, rules.target, got=repr(label), fix=fix)
    for key, e in excused.items():
        if key not in needed:
            yield Problem("an exception that nothing needs", e.where, got=f"{key[0]}: {key[1]!r}")


def unclean(target: Sequence[str], where: str, rules: Rules) -> Iterator[Problem]:
    """Labels that stand twice after the normaliser, or are not lower case, singular and plain."""
    folded = Counter(rules.answer.normalise(label) for label in target)
    for label, n in folded.items():
        if n > 1:
            yield Problem("a label that stands twice", where, rules.target, got=repr(label))
    for label in target:
        mass = label.split(" ")[-1] in rules.plural
        if (not mass and label != rules.answer.normalise(label)) or label != label.lower() or label != label.strip():
            got, valid = repr(label), repr(rules.answer.normalise(label))
            yield Problem("a label that is not normalised", where, rules.target, got=got, valid=valid)
        elif rules.hook is recipes and _JOINED.fullmatch(label):
            yield Problem("a label with an amount, or with two things in it", where, rules.target, got=repr(label))
        elif not all(c.isalnum() or c in " -'" for c in label) or "  " in label:
            yield Problem("a label with punctuation", where, rules.target, got=repr(label))


def documents(rows: Sequence[Row], rules: Rules) -> Iterator[Problem]:
    """Documents have id, title and text, each id and title once."""
    least = rules.least.get("documents", 1)
    if len(rows) < least:
        yield Problem("too few documents", "documents.jsonl", got=str(len(rows)), valid=f"at least {least}")
    for key in ("id", "title"):
        for value, n in Counter(str(row.data.get(key)).casefold() for row in rows).items():
            if n > 1:
                yield Problem(f"a document's {key} that stands {n} times", "documents.jsonl", got=value)
    for row in rows:
        if set(row.data) != {"id", "title", "text"} or not all(
            isinstance(v, str) and v.strip() for v in row.data.values()
        ):
            yield Problem(
                "not a document", row.where, got=repr(dict(row.data))[:60], valid="id, title, text: three texts"
            )


def ceiling(second: Sequence[Row], splits: Splits, rules: Rules) -> tuple[float, list[Problem]]:
    """Mean set F1 of the second labelling pass against the first, in [0, 1]."""
    first = {row.id: row for part in splits.values() for row in part}
    problems: list[Problem] = []
    least = rules.least.get("second_pass", 1)
    if len({row.id for row in second}) < least:
        problems.append(Problem("too few rows", "second_pass.jsonl", got=str(len(second)), valid=f"at least {least}"))
    scores: list[float] = []
    for row in second:
        target = row.data.get(rules.target)
        if row.id not in first or not isinstance(target, list):
            problems.append(Problem("not a second labelling of a row", row.where, got=row.id))
            continue
        a, b = rules.answer.items(first[row.id].data[rules.target]), rules.answer.items(target)
        scores.append(2 * len(a & b) / (len(a) + len(b)) if a or b else 1.0)
    return (sum(scores) / len(scores) if scores else 0.0), problems


def recipes(folder: Path, splits: Splits, rules: Rules) -> Iterator[Problem]:
    """Recipes: lists of 3 to 16 ingredient lines, ids that name the set."""
    for row in (row for part in splits.values() for row in part):
        lines = row.data.get("ingredients")
        if not isinstance(lines, list) or not 3 <= len(lines) <= 16:
            yield Problem("not 3 to 16 ingredient lines", row.where, "ingredients")
        elif len(set(lines)) < len(lines):
            yield Problem("a line that stands twice", row.where, "ingredients")
        if not re.fullmatch(r"recipes-[a-z]+-\d{3}", row.id):
            yield Problem(
                "an id of another form", row.where, "id", got=row.id, valid="recipes-<kitchen>-<three digits>"
            )


def own(folder: Path, splits: Splits, rules: Rules) -> Iterable[Problem]:
    """The set's own checks: `check(folder, splits)` in `check.py` beside its rows."""
    return load(folder / "check.py", "check")(folder, splits)


SETS = {
    "recipes": Rules(
        target="generic",
        answer=Answer(format="list", singular=True),
        keys=("id", "title", "ingredients", "generic"),
        least={"train": 240, "dev": 60, "test": 120, "documents": 350, "second_pass": 60},
        plural=frozenset(
            {"greens", "herbs", "nuts", "vegetables", "gigantes", "thousands", "guascas", "manis", "patis"}
        ),
        hook=recipes,
    ),
    "tone": Rules(
        keys=("id", "question", "answer", "must"),
        optional=("answer", "must", "cluster", "tags"),  # the question alone makes two rows near-duplicates
        least={"train": 240, "dev": 60, "test": 120},
        hook=own,
    ),
    "text_to_sql": Rules(
        keys=("id", "db", "schema", "question", "sql", "cluster"),
        optional=("db", "schema", "sql", "cluster", "ordered"),  # the question alone makes two rows near-duplicates
        least={"train": 260, "dev": 63, "test": 126},
        hook=own,
    ),
    "support": Rules(
        keys=("id", "question", "answer", "relevant", "cluster"),
        optional=("answer", "accept", "relevant", "cluster", "tags"),
        empty=("relevant",),
        least={"train": 250, "dev": 63, "test": 126, "documents": 60},
        hook=own,
    ),
    "everyday": Rules(
        keys=("id", "question", "answer", "tags"),
        least={"train": 0, "dev": 0, "test": 150},
        splits=("test",),
    ),
    "routing": Rules(
        keys=("id", "ticket", "queue", "cluster"),
        optional=("queue", "cluster"),
        least={"train": 260, "dev": 66, "test": 132},
        hook=own,
    ),
}


def validate(folder: Path) -> tuple[list[Problem], list[str]]:
    """All findings about a task set's folder, and notes that are no faults.

    Args:
        folder: holds train.jsonl, dev.jsonl and test.jsonl; its name picks the rules from `SETS`.
    """
    rules = SETS.get(folder.name, Rules())
    problems: list[Problem] = []
    splits = {s: read(folder / f"{s}.jsonl", problems) if s in rules.splits else [] for s in SPLITS}
    problems += shape(splits, rules)
    if problems:
        return problems, []  # the other checks rely on rows of the right shape
    problems += repeated_lines(splits, rules)
    found_twice, notes = duplicates(splits, rules)
    problems += found_twice
    notes.append(", ".join(f"{split} {len(rows)}" for split, rows in splits.items()))

    def extra(name: str) -> list[Row] | None:
        path = folder / f"{name}.jsonl"
        if not path.exists() and name in rules.least:
            notes.append(f"no {path.name} yet")
        return read(path, problems) if path.exists() else None

    if rules.target:
        problems += labels(splits, rules, extra("exceptions") or [])
    if (rows := extra("documents")) is not None:
        problems += documents(rows, rules)
        notes.append(f"documents {len(rows)}")
    if rules.target and (rows := extra("second_pass")) is not None:
        score, more = ceiling(rows, splits, rules)
        problems += more
        notes.append(f"consistency ceiling (set F1 of a second pass over {len(rows)} rows): {score:.3f}")
    if rules.hook:
        problems += rules.hook(folder, splits, rules)
    return problems, notes


def main(argv: Sequence[str]) -> int:
    """Check the folders, or every set beside this file. Exit code: 0 no finding, 1 findings, 2 no such folder."""
    folders = [Path(a) for a in argv] or sorted(p.parent for p in Path(__file__).parent.glob("*/test.jsonl"))
    for folder in folders:
        if not folder.is_dir():
            print(Problem("no such folder", str(folder)))
            return 2
    bad = 0
    for folder in folders:
        problems, notes = validate(folder.resolve())
        bad += len(problems)
        print(f"{folder.name}: {'; '.join(notes) or 'not read through'}: {len(problems)} findings")
        for problem in problems:
            print(problem)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
