"""The splits of a task set, and which file holds which: train, dev, test, and the names that other tools give them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal, NamedTuple

from harness import rows
from harness.errors import DataError, Problem
from harness.paths import shown

SplitName = Literal["train", "dev", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "dev", "test")
ALIASES: dict[str, SplitName] = {
    "train": "train", "training": "train", "dev": "dev", "valid": "dev", "validation": "dev", "val": "dev",
    "test": "test",
}  # fmt: skip


def share(text: str) -> SplitName:
    """The split of a row without one: 60 % train, 15 % dev, 25 % test, by the hash of a text that it is known by.

    Equal texts stay together, and new rows move no old ones.
    """
    part = int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:4]) / 2**32
    return "train" if part < 0.6 else "dev" if part < 0.75 else "test"


class DataFile(NamedTuple):
    """A file of rows; `split` is None where a column of it says the split."""

    path: Path
    split: SplitName | None


def files(data: Path) -> list[DataFile]:
    """The files of a task set: the splits in a folder, or one file with a `split` column.

    Raises:
        DataError: there is none, or two for one split.
    """
    if not data.exists():
        raise DataError(Problem("no such file or folder", shown(data)))
    if not data.is_dir():
        if problem := rows.unreadable(data):
            raise DataError(problem)
        return [DataFile(data, None)]
    found: dict[SplitName, DataFile] = {}
    problems: list[Problem] = []
    for path in sorted(data.iterdir()):
        split = ALIASES.get(path.stem.lower())
        if split is None or path.suffix.lower() not in rows.SUFFIXES or not path.is_file():
            continue
        if split in found:
            other = found[split].path.name
            problems.append(Problem(f"two files for the {split} split: {other} and {path.name}", shown(data),
                                    fix="keep one of them"))  # fmt: skip
        elif path.stat().st_size == 0:
            problems.append(Problem(f"the {split} split is empty", shown(path), fix="write rows into it, or remove it"))
        found.setdefault(split, DataFile(path, split))
    if "test" not in found:
        names = [p.name for p in sorted(data.iterdir())][:8]
        problems.append(Problem("the folder has no test split", shown(data), got=", ".join(names) or "an empty folder",
                                valid="train.jsonl, dev.jsonl, test.jsonl (or .json, .csv, .tsv, .parquet)",
                                fix="add test.jsonl, or name one file with a `split` column"))  # fmt: skip
    if problems:
        raise DataError(problems)
    return [found[s] for s in SPLITS if s in found]
