"""A task set: the examples that every arm is held to, read once, checked whole.

Files in (JSONL, one a split, or one file with a `split` column), examples out: ids unique, splits disjoint, a digest of
the content. An input holds only the columns that the task's input template names; the target goes round the arms.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from array import array
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from harness import hub, rows, template
from harness.errors import DataError, Problem, capped, near
from harness.lines import Lines
from harness.models.base import Struct
from harness.paths import shown
from harness.rows import text
from harness.splits import ALIASES, SPLITS, DataFile, SplitName, files, share
from harness.task import Task
from harness.template import render

MAX_ID = 200
CHOOSES = {"dev": ": arms choose on them"}
_WORDS = re.compile(r"[\W_]+")


class Example(Struct, frozen=True):
    """One task. `input` maps column to text (a list is joined by newlines); `target` is a text or a tuple of texts.

    `relevant` holds the ids of the documents that answer it, where the data says so; `kept` further columns that only
    scorers see (`task.keep`); `key` the text by which it is held to be another row's (`task.key`; empty: its input).
    """

    id: str
    input: Mapping[str, str]
    target: str | tuple[str, ...]
    split: SplitName
    cluster: str | None = None
    tags: tuple[str, ...] = ()
    where: str = ""
    relevant: tuple[str, ...] = ()
    kept: Mapping[str, str] = {}
    key: str = ""


class Document(Struct, frozen=True):
    """A text that RAG may retrieve. Never a labelled row."""

    id: str
    title: str
    text: str


class TaskSet(Struct, frozen=True):
    """All examples by split, and what was read of them. Those that were loaded lie on disk (`Lines`)."""

    train: Sequence[Example]
    dev: Sequence[Example]
    test: Sequence[Example]
    digest: str
    name: str = ""
    notes: tuple[str, ...] = ()

    def split(self, name: SplitName) -> Sequence[Example]:
        """The examples of one split."""
        return getattr(self, name)


def digest(value: Any) -> str:
    """Content hash (sha256, 16 hex digits) of anything that JSON can hold; the order of keys does not count."""
    return hashlib.sha256(msgspec.json.encode(value, order="deterministic")).hexdigest()[:16]


def load(
    task: Task, folder: Path, project: Path, *, allow_outside: bool = False, need: Sequence[SplitName] = ("test",)
) -> TaskSet:
    """Read a task set whole, in one pass, and check it.

    Args:
        task: the data's path, the templates and column names.
        folder: where the path starts.
        project: what the path may not leave, unless `allow_outside`.
        need: splits that must not be missing.

    Raises:
        SpecError: the path leaves the project.
        DataError: every mistake, with its line; 20 are shown, the rest is counted.
    """
    data = hub.locate(task.data, folder, project, allow_outside=allow_outside)
    reader = _Reader(task, task.answer.labels)
    for file in files(data):
        reader.file(file)
    reader.finish(data, need)
    if reader.problems:
        raise DataError(capped(reader.problems))
    split = {s: reader.split[s].cut(task.limit.get(s)) for s in SPLITS}
    return TaskSet(
        train=split["train"], dev=split["dev"], test=split["test"],
        digest=_content(e for s in SPLITS for e in split[s]), name=data.stem, notes=tuple(reader.notes),
    )  # fmt: skip


def _content(examples: Iterable[Example]) -> str:
    """The digest of the list of all examples, one after the other; where a row stands is not part of what it is."""
    hashed, before = hashlib.sha256(b"["), b""
    for e in examples:
        row = [e.id, dict(e.input), e.target, e.split, e.cluster, e.tags, *e.relevant, *([e.kept] if e.kept else [])]
        hashed.update(before + msgspec.json.encode(row, order="deterministic"))
        before = b","
    hashed.update(b"]")
    return hashed.hexdigest()[:16]


def targets(task: Task, file: Path) -> dict[str, str | tuple[str, ...]]:
    """The targets of a file by id: a second labelling of rows that have an input elsewhere.

    Raises:
        DataError: every mistake, with its line.
    """
    reader = _Reader(task, task.answer.labels)
    found: dict[str, str | tuple[str, ...]] = {}
    for row in rows.read(file):
        if isinstance(row, Problem):
            reader.problems.append(row)
        elif (target := reader.target(row.data, f"{shown(file)}:{row.line}")) is not None:
            found[text(row.data.get(task.id))] = target
    if reader.problems:
        raise DataError(capped(reader.problems))
    return found


def key(text: str) -> str:
    """The form in which two inputs are the same: NFKC, casefold, every run of non-alphanumerics one space."""
    return _WORDS.sub(" ", unicodedata.normalize("NFKC", text).casefold()).strip() or text


class _Reader:
    """One pass over all files; what must be known of all rows together is settled in `finish`."""

    def __init__(self, task: Task, labels: Sequence[str]) -> None:
        self.split: dict[SplitName, Lines[Example]] = {s: Lines[Example].spooled(Example) for s in SPLITS}
        self.problems: list[Problem] = [
            Problem(m.what, "", f"task.{name}", m.got, m.valid, m.fix)
            for name, t in (("input", task.input), ("target", task.target), ("key", task.key))
            if t is not None and (m := template.mistake(t))
        ]
        self.notes: list[str] = []
        self._task = task
        self._labels = {label.strip().casefold() for label in labels}
        self._valid = ", ".join(labels)
        self._broken = bool(self.problems)
        self._input = () if self._broken else sorted(template.columns(task.input))
        self._lone = template.lone(task.target)
        # Rows are not held: an id or input is known by its 64-bit hash, a place by its file or split and a number.
        self._files: list[str] = []
        self._ids: dict[int, int] = {}
        self._inputs: dict[int, int] = {}
        self._named: set[SplitName] = set()
        self._nameless = array("q")
        self._clusterless: dict[SplitName, array[int]] = {s: array("q") for s in SPLITS}
        self._read: dict[SplitName, int] = dict.fromkeys(SPLITS, 0)

    def file(self, file: DataFile) -> None:
        """Read one file."""
        name = shown(file.path)
        if self._broken:
            return
        self._files.append(name)
        if file.split is not None:
            self._named.add(file.split)
        for row in rows.read(file.path):
            if isinstance(row, Problem):
                self.problems.append(row)
                continue
            place = _packed(len(self._files) - 1, row.line)
            where = self._where(place)
            data = row.data
            if self._task.columns:
                renamed = {n: data[o] for n, o in self._task.columns.items() if o in data}
                data = {k: v for k, v in data.items() if k not in self._task.columns.values()} | renamed
            split = file.split or self._which(data, where)
            if split is not None:
                self._example(data, split, where, place)
            if self._full():
                return

    def _full(self) -> bool:
        """Whether a divided file has given every split what it may have: the rest needs no reading."""
        limit = self._task.limit
        return self._task.divide and all(s in limit and len(self.split[s]) >= limit[s] for s in SPLITS)

    def _where(self, place: int) -> str:
        file, line = _unpacked(place)
        return f"{self._files[file]}:{line}"

    def _which(self, data: Mapping[str, Any], where: str) -> SplitName | None:
        fix = "write `divide: true` in the task, add a column `split`, or put train, dev and test files in a folder"
        if "split" not in data:
            if self._task.divide:
                return share(self._known_by(data))
            self.problems.append(Problem("the row has no `split`", where, "split", fix=near("split", data) or fix))
            return None
        value = text(data["split"]).strip()
        if value.lower() not in ALIASES:
            self.problems.append(Problem("no such split", where, "split", repr(value)[:60], ", ".join(SPLITS),
                                         near(value, ALIASES)))  # fmt: skip
        return ALIASES.get(value.lower())

    def _known_by(self, data: Mapping[str, Any]) -> str:
        """What rows that must stay in one split have in common: the cluster, else the text by which rows are equal."""
        cluster = text(data.get(self._task.cluster)).strip() if self._task.cluster else ""
        written = self._task.key or self._task.input
        given = {c: text(data[c]) for c in template.columns(written) if data.get(c) is not None}
        try:
            return cluster or key(render(written, given))
        except DataError:
            return ""  # the row is no good, which is said where it is read

    def _example(self, data: Mapping[str, Any], split: SplitName, where: str, place: int) -> None:
        problems = self.problems
        before = len(problems)
        self._read[split] += 1
        id = self._id(data, split, where, place)
        input = {c: text(data[c]) for c in self._input if data.get(c) is not None}
        shown_input = self._rendered(self._task.input, "input", data, where)
        if shown_input is not None and not "".join(input.values()).strip():
            problems.append(Problem("the input is empty", where, fix="fill the row or remove it"))
        target = self.target(data, where)
        cluster = text(data.get(self._task.cluster)).strip() if self._task.cluster else ""
        if self._task.cluster and not cluster:
            self._clusterless[split].append(place)
        tags = _items(data.get("tags"))
        relevant = _items(data.get(self._task.relevant)) if self._task.relevant else ()
        same_by = self._rendered(self._task.key, "key", data, where) if self._task.key else ""
        if len(problems) > before or shown_input is None or target is None or same_by is None:
            return
        example = Example(
            id=id, input=input, target=target, split=split, cluster=cluster or None,
            tags=tags, where=where, relevant=relevant, key=same_by,
            kept={c: text(data[c]) for c in self._task.keep if data.get(c) is not None},
        )  # fmt: skip
        here = _packed(SPLITS.index(split), len(self.split[split]))
        there, i = _unpacked(self._inputs.setdefault(hash(key(same_by or shown_input)), here))
        if SPLITS[there] != split:
            same = self.split[SPLITS[there]][i]
            what = f"the row is in two splits: here in {split}, and in {same.split} at {same.where} (id {same.id!r})"
            problems.append(Problem(what, where, fix="remove it from one of them; a test row in train is a leak"))
        self.split[split].append(example)

    def _id(self, data: Mapping[str, Any], split: SplitName, where: str, place: int) -> str:
        written = data.get(self._task.id)
        id = text(written).strip()
        if isinstance(written, list | dict):
            kind = "a list" if isinstance(written, list) else "an object"
            what, valid = f"{kind} is no id", "a text or a number"
            self.problems.append(Problem(what, where, self._task.id, repr(written)[:60], valid))
        if not id:
            self._nameless.append(place)
            return f"{split}-{_unpacked(place)[1]}"
        if len(id) > MAX_ID or not id.isprintable():
            valid = f"at most {MAX_ID} printable characters"
            self.problems.append(Problem("not a usable id", where, self._task.id, repr(id)[:60], valid))
        first = self._ids.setdefault(hash(id), place)
        if first != place:
            what = f"the id {id!r} stands twice (first at {self._where(first)})"
            self.problems.append(Problem(what, where, self._task.id, fix="ids are unique over all splits"))
        return id

    def _rendered(self, written: str, name: str, data: Mapping[str, Any], where: str) -> str | None:
        names = template.columns(written)
        try:
            return render(written, {c: text(data[c]) for c in names if data.get(c) is not None})
        except DataError as error:
            missing = sorted(c for c in names if data.get(c) is None)
            for column in missing:
                what = f"`{column}` is null" if column in data else f"the row has no column `{column}`"
                fix = near(column, [c for c in data if c != column]) or "fill it, or remove the row"
                self.problems.append(Problem(what, where, column, valid=", ".join(map(str, data)), fix=fix))
            if not missing:
                self.problems.append(Problem(error.problems[0].what, where, f"task.{name}"))
            return None

    def target(self, data: Mapping[str, Any], where: str) -> str | tuple[str, ...] | None:
        """A row's target, or None with the mistake noted."""
        value = data.get(self._lone) if self._lone else None
        target: str | tuple[str, ...] | None
        if isinstance(value, list | tuple):
            if self._task.answer.format == "list" and any(isinstance(v, list | dict) for v in value):
                what, valid = "an item of the target is no text", "a list of texts"
                self.problems.append(Problem(what, where, self._lone or "", repr(value)[:60], valid))
                return None
            target = tuple(text(v).strip() for v in value)
            empty = not target or not all(target)
        else:
            target = self._rendered(self._task.target, "target", data, where)
            if target is None:
                return None
            empty = not target.strip()
        column = self._lone or ""
        if empty:
            got = repr(value)[:60] if self._lone else ""
            fix = "label the row, or remove it; that there is no answer is said by task.answer.abstain"
            self.problems.append(Problem("the target is empty, or an item of it", where, column, got, fix=fix))
            return None
        if self._labels:
            for item in (target,) if isinstance(target, str) else target:
                if item.strip().casefold() not in self._labels:
                    self.problems.append(Problem("the target is none of task.answer.labels", where, column,
                                                 repr(item)[:60], self._valid, near(item, self._labels)))  # fmt: skip
        return target

    def finish(self, data: Path, need: Sequence[SplitName]) -> None:
        """What only all rows together show."""
        if self._broken:
            return
        if self._nameless and len(self._nameless) == sum(self._read.values()):
            self.notes.append(f"the rows have no `{self._task.id}`: their split and line number stands for it")
        else:
            fix = f"give every row a `{self._task.id}`, or none (split and line number are used then)"
            what = f"`{self._task.id}` is missing"
            self.problems += [Problem(what, self._where(p), self._task.id, fix=fix) for p in self._nameless]
        for split, rows_without in self._clusterless.items():
            if self._task.cluster and 0 < len(rows_without) < self._read[split]:
                what = f"the row has no cluster, but others of {split} have"
                fix = "give every row its cluster, or write `cluster: null` in the task"
                self.problems += [Problem(what, self._where(p), self._task.cluster, fix=fix) for p in rows_without]
        for split in SPLITS:
            if (split in need or split in self._named) and not self.split[split] and not self.problems:
                what, got = f"the {split} split is empty", ""
                if data.is_dir() and split not in self._named:  # a misspelt name, a folder or a pipe with the name
                    what += ": no file of the folder is named for it"
                    got = ", ".join(p.name + "/" * p.is_dir() for p in sorted(data.iterdir())[:8])
                fix = f"add {split} rows{CHOOSES.get(split, '')}"
                self.problems.append(Problem(what, shown(data), got=got, fix=fix))


def _packed(which: int, number: int) -> int:
    return which << 40 | number


def _unpacked(place: int) -> tuple[int, int]:
    return place >> 40, place & ((1 << 40) - 1)


def _items(value: Any) -> tuple[str, ...]:
    """A list column, or a text with commas, as texts."""
    items = value if isinstance(value, list | tuple) else text(value).split(",")
    return tuple(t for item in items if (t := text(item).strip()))


__all__ = ["ALIASES", "SPLITS", "Document", "Example", "SplitName", "TaskSet", "digest", "key",
           "load", "render"]  # fmt: skip
