"""Data sets of the Hugging Face hub as files of rows: fetched once, kept in the project's `.harness/data`.

`hf://OWNER/NAME[:CONFIG][@REVISION][#SPLIT]`, or `hf://./FOLDER` for a clone of one or for what `save_to_disk` wrote.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from pathlib import Path
from typing import Any, NamedTuple

from harness import paths
from harness.errors import DataError, Problem
from harness.splits import ALIASES

PREFIX = "hf://"
FORM = "hf://OWNER/NAME, with :CONFIG, @REVISION and #SPLIT where needed"
LONE = "rows.parquet"  # a data set of one split, which the task divides
UNSHOWN = ("Image", "Audio", "Video", "Pdf")  # features that are no text
_REFERENCE = re.compile(
    r"hf://(?:datasets/)?(?P<name>[^:@#\s]+)(?::(?P<config>[^@#\s]+))?(?:@(?P<revision>[^#\s]+))?(?:#(?P<split>[\w.-]+))?"
)


class Reference(NamedTuple):
    """What a `hf://` address names. `folder` says that it is a folder here and not a name on the hub."""

    name: str
    config: str | None
    revision: str | None
    split: str | None

    @property
    def folder(self) -> bool:
        """Whether it is a folder on this machine."""
        return self.name.startswith((".", "/", "~"))


def parse(value: str) -> Reference | None:
    """The parts of an address, or None where it has another form."""
    match = _REFERENCE.fullmatch(value)
    if match is None:
        return None
    found = Reference(**match.groupdict())
    return found if found.folder or found.name.count("/") <= 1 else None


def locate(value: str, folder: Path, project: Path, *, allow_outside: bool = False) -> Path:
    """The path of a task's data. A `hf://` address is fetched where it is not here yet.

    Args:
        value: as written in the task.
        folder: where a relative path starts.
        project: what a path may not leave; its `.harness/data` keeps what was fetched.
        allow_outside: the user named it on the command line.

    Raises:
        SpecError: the path leaves the project.
        DataError: the address has no sound form, or the data set is not to be had.
    """
    if not value.startswith(PREFIX):
        return paths.locate(value, folder, project, allow_outside=allow_outside)
    wanted = parse(value)
    if wanted is None:
        raise DataError(Problem("no address of a data set", got=repr(value)[:80], valid=FORM))
    home = paths.locate(wanted.name, folder, project, allow_outside=allow_outside) if wanted.folder else None
    if home is not None and not home.is_dir():
        raise DataError(Problem("no such folder", paths.shown(home), fix=paths.siblings(home) or "check the path"))
    kept = (
        project / ".harness" / "data" / f"{home.name if home else wanted.name.replace('/', '--')}-{_key(value, home)}"
    )
    if not kept.is_dir():
        _fetch(wanted, home, kept)
    return kept / LONE if (kept / LONE).exists() else kept


def _key(value: str, home: Path | None) -> str:
    """What the kept files are known by: the address, and for a folder also what lies in it."""
    files = sorted(f for f in home.rglob("*") if f.is_file()) if home else []
    seen = [(f.name, f.stat().st_size, f.stat().st_mtime_ns) for f in files]
    return hashlib.sha256(repr((value, seen)).encode()).hexdigest()[:12]


def _fetch(wanted: Reference, home: Path | None, kept: Path) -> None:
    """Load the data set, write its splits as Parquet, and only then give the folder its name."""
    part = kept.with_name(f"{kept.name}.{os.getpid()}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        for name, rows in _chosen(wanted, _load(wanted, home, part / "cache")).items():
            _texts(rows).to_parquet(str(part / f"{name}.parquet"))
        shutil.rmtree(part / "cache", ignore_errors=True)
        if not kept.is_dir():
            part.rename(kept)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _load(wanted: Reference, home: Path | None, cache: Path) -> dict[str, Any]:
    """Every split by its name."""
    try:
        import datasets
    except ImportError:
        fix = 'pip install "harness-evals[local]", or name a file'
        raise DataError(Problem("data sets of the hub need the library `datasets`", fix=fix)) from None
    datasets.disable_progress_bars()
    try:
        if home is not None and any((home / f).exists() for f in ("dataset_dict.json", "state.json")):
            found: Any = datasets.load_from_disk(str(home))
        elif home is not None:  # its own cache: the library's would hold rows of a folder that changed since
            found = datasets.load_dataset(str(home), wanted.config, cache_dir=str(cache))
        else:
            found = datasets.load_dataset(wanted.name, wanted.config, revision=wanted.revision)
    except Exception as error:  # whatever the library, the hub or the network has to say
        why = " because ".join(_line(e) for e in (error, error.__cause__) if e is not None)
        where = paths.shown(home) if home else f"{PREFIX}{wanted.name}"
        fix = "check the name, the configuration, the network and HF_TOKEN; or name a file or folder that holds it"
        raise DataError(Problem("the data set is not to be had", where, got=why[:300], fix=fix)) from error
    return dict(found) if isinstance(found, dict) else {"rows": found}


def _line(error: BaseException) -> str:
    first = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {first}"


def _chosen(wanted: Reference, found: dict[str, Any]) -> dict[str, Any]:
    """File names and rows: train, dev and test as they are named there, or the one split that is asked for."""
    names = ", ".join(found)
    if wanted.split is not None:
        if wanted.split not in found:
            raise DataError(Problem("the data set has no such split", got=wanted.split, valid=names))
        return {Path(LONE).stem: found[wanted.split]}
    if len(found) == 1:
        return {Path(LONE).stem: next(iter(found.values()))}
    known = {ALIASES[name.lower()]: rows for name, rows in found.items() if name.lower() in ALIASES}
    if "test" not in known:
        fix = f"name one of them (hf://{wanted.name}#{next(iter(found))}) and write `divide: true` in the task"
        raise DataError(Problem("the data set has no test split", f"{PREFIX}{wanted.name}", got=names, fix=fix))
    return {str(split): rows for split, rows in known.items()}


def _texts(rows: Any) -> Any:
    """Rows whose class numbers are class names, without what cannot be shown as text."""
    import datasets

    unshown = [name for name, feature in rows.features.items() if type(feature).__name__ in UNSHOWN]
    rows = rows.remove_columns(unshown) if unshown else rows
    classes = {n: f for n, f in rows.features.items() if isinstance(f, datasets.ClassLabel)}
    if not classes:
        return rows

    def named(batch: dict[str, list[Any]]) -> dict[str, list[str | None]]:
        return {
            name: [None if v is None or v < 0 else str(feature.int2str(v)) for v in batch[name]]
            for name, feature in classes.items()
        }

    texts = {name: datasets.Value("string") for name in classes}
    features = datasets.Features({**rows.features, **texts})
    return rows.map(named, batched=True, features=features, keep_in_memory=True)
