"""One contract for whoever trains: validate, estimate, submit, follow, attach, checkpoints, serve, clean.

A tuner turns a training file into models that can be opened. It survives being killed: `submit` is called at most
once for a job's key, its id is stored before the first poll, and a second run finds the same job.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, Protocol

from harness.models.base import Struct


class TuneJob(Struct, frozen=True):
    """All that decides a training. `key` is the content hash of it: the same key is the same job, paid once.

    Args:
        base: the base model's reference (`local/...`, `openai/...`, a directory).
        train: chat JSONL, one `{"messages": [...]}` a row; the last message is the assistant's.
        valid: the dev rows in the same form, or None.
        params: the tuner's hyperparameters, resolved (no sweep, no `auto`).
        workdir: a directory that belongs to this job alone and outlives the run.
    """

    key: str
    base: str
    train: Path
    valid: Path | None
    params: dict[str, Any]
    seed: int
    suffix: str
    workdir: Path


class Finding(Struct, frozen=True):
    """One thing said about a training file; an error stops the job before anything is uploaded."""

    severity: Literal["error", "warning", "info"]
    message: str
    line: int | None = None


class Estimate(Struct, frozen=True):
    """What a job will take: trained tokens (epochs counted), dollars and seconds as (low, high) bands."""

    trained_tokens: int
    epochs: float
    usd: tuple[float, float] | None
    seconds: tuple[float, float] | None
    why: str = ""


class Checkpoint(Struct, frozen=True):
    """A model that came out of a job, not yet chosen. `model` opens it (after `serve`)."""

    id: str
    step: int
    epoch: float | None = None
    model: str = ""
    train_loss: float | None = None
    valid_loss: float | None = None


class Tuned(Struct, frozen=True):
    """A finished job: every checkpoint that can be served, and what it was billed."""

    job: str
    checkpoints: tuple[Checkpoint, ...]
    trained_tokens: int
    seconds: float
    usd: float | None
    curve: tuple[tuple[int, float | None, float | None], ...] = ()
    info: dict[str, Any] = {}


class Progress(Struct, frozen=True):
    """How far a job is: `done` of `total` steps (0 when unknown), with the latest loss."""

    status: str
    done: int = 0
    total: int = 0
    loss: float | None = None
    message: str = ""


Report = Callable[[Progress], None]


class Tuner(Protocol):
    """A system that fine-tunes. All methods may be called again after a kill."""

    kind: str

    def validate(self, job: TuneJob) -> list[Finding]:
        """Everything wrong with the training file and parameters, at once; touches no network."""
        ...

    def estimate(self, job: TuneJob) -> Estimate:
        """What the job will take; touches no network."""
        ...

    async def find(self, job: TuneJob) -> str | None:
        """The id of a job with this key that was submitted before, or None."""
        ...

    async def submit(self, job: TuneJob) -> str:
        """Start the job and store its id in `job.workdir` before returning it. Raises `TuneError`."""
        ...

    async def follow(self, job: TuneJob, id: str, report: Report) -> Tuned:
        """Wait until it ends. Raises `TuneError` with the system's own reason when it failed."""
        ...

    async def serve(self, job: TuneJob, checkpoint: Checkpoint) -> str:
        """Make a checkpoint callable (Azure: deploy it) and return the model reference that opens it."""
        ...

    async def cancel(self, job: TuneJob, id: str) -> None:
        """Stop a running job."""
        ...

    async def clean(self, job: TuneJob, keep: str = "") -> None:
        """Remove what bills by the hour (Azure: the deployments), also what a killed run left; safe to call twice.

        `keep` is the reference, as `serve` gave it, of a model that is still needed.
        """
        ...
