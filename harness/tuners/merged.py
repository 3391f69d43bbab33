"""A tuned model as a directory of weights: the base with a checkpoint's adapter merged in, made whole or not at all.

It can be made again at any time from base and adapter, so that one that was removed for its half gigabyte, or came to
harm, is no loss.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.errors import ModelError, Problem
from harness.models import weights

SOURCE = "merged"
Locate = Callable[[str], Path]
Merge = Callable[[Path, Path, Path], Any]


def make(folder: Path, base: str, locate: Locate, merge: Merge) -> Path:
    """Merge `adapters/ID` of a job into its base as `models/ID`, unless it is there and whole.

    Args:
        folder: the job's directory / models / the checkpoint's id.
        base: the reference of the base model.
        locate: a reference -> its directory.
        merge: (base directory, adapter directory, directory to make) -> None.
    """
    part = folder.with_name(f"{folder.name}.{os.getpid()}.part")
    with weights.locked(folder.parents[1] / "merging.lock"):
        if folder.is_dir() and not weights.fault(folder, SOURCE):
            return folder
        shutil.rmtree(part, ignore_errors=True)
        part.parent.mkdir(exist_ok=True)
        merge(locate(base), _adapter(folder), part)
        weights.seal(part, SOURCE)
        _base(folder).write_text(base, encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(part, folder)
    return folder


def found(folder: Path, locate: Locate, merge: Merge) -> Path:
    """A merged model that a stored fit names, made again where it is not there or not whole.

    Raises:
        ModelError: it cannot be made again; says what to do.
    """
    wrong = weights.fault(folder, SOURCE) if folder.is_dir() else "it is not there"
    if not wrong:
        return folder
    if not (_base(folder).is_file() and _adapter(folder).is_dir()):
        fix = "delete `fits` and what follows it in the run's directory, and run again: it is trained again"
        what = f"a tuned model cannot be used: {wrong}, and its adapter is not there to make it again"
        raise ModelError(Problem(what, where=str(folder), fix=fix))
    return make(folder, _base(folder).read_text("utf-8"), locate, merge)


def _adapter(folder: Path) -> Path:
    return folder.parents[1] / "adapters" / folder.name


def _base(folder: Path) -> Path:
    """Where the reference of the base is kept."""
    return folder.parents[1] / "base.txt"
