"""What `TrlTuner` and its worker process tell each other: files in the job's directory, each whole or absent."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from harness.models.base import Struct

BUSY, CANCELLED = 75, 76
"""Exit codes of the worker: another process trains in this directory; `cancel` was asked for or the parent died."""
VALID_ROWS = 24
"""Dev rows whose loss is computed after an epoch, for the curve; checkpoints are chosen by the metric on all of dev."""


class Plan(Struct, frozen=True):
    """All that the worker must know: `plan.json`."""

    id: str
    base: str
    train: str
    valid: str | None
    epochs: int
    batch_size: int
    learning_rate: float
    r: int
    alpha: int
    dropout: float
    target_modules: str | tuple[str, ...]
    quantization: str
    max_length: int | None
    seed: int
    threads: int


class Result(Struct, frozen=True):
    """What the worker leaves: `done.json`. `curve` holds (step, training loss, validation loss or None)."""

    steps: int
    tokens: int
    seconds: float
    curve: tuple[tuple[int, float | None, float | None], ...]
    epochs: tuple[tuple[int, int], ...]
    info: dict[str, Any]


class Line(Struct, frozen=True):
    """One line of `progress.jsonl`."""

    status: str
    step: int = 0
    total: int = 0
    loss: float | None = None
    left: float | None = None
    message: str = ""


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that it is there whole or not at all."""
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)
