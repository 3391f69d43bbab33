"""A tuner that trains nothing: its model is a scripted one, named after the rows and the seed. It keeps a log."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.tuners.base import Checkpoint, Estimate, Finding, Progress, Report, Tuned, TuneJob


class FakeTuner:
    """Implements `tuners.base.Tuner`. `.harness/trainings.log` has a line for each training that was begun."""

    kind = "trl"

    def validate(self, job: TuneJob) -> list[Finding]:
        """Nothing to find."""
        return []

    def estimate(self, job: TuneJob) -> Estimate:
        """A tenth of a second a row."""
        rows = _rows(job)
        return Estimate(trained_tokens=10 * rows, epochs=2.0, usd=None, seconds=(0.05 * rows, 0.15 * rows))

    async def find(self, job: TuneJob) -> str | None:
        """No job goes on."""
        return None

    async def submit(self, job: TuneJob) -> str:
        """Write the log."""
        with (job.workdir.parent.parent / "trainings.log").open("a") as log:
            log.write(f"{_rows(job)}_{job.seed}\n")
        return f"fake-{job.key[:8]}"

    async def follow(self, job: TuneJob, id: str, report: Report) -> Tuned:
        """Wait a little, if so told."""
        await asyncio.sleep(float(os.environ.get("FAKE_TUNER_SECONDS", "0")))
        report(Progress(status="running", done=1, total=1))
        checkpoints = tuple(Checkpoint(id=f"epoch-{n}", step=n, epoch=float(n)) for n in (1, 2))
        return Tuned(id, checkpoints, 10 * _rows(job), seconds=1.0, usd=None)

    async def serve(self, job: TuneJob, checkpoint: Checkpoint) -> str:
        """Both checkpoints are the same model."""
        return f"scripted/fake.py:m{_rows(job)}_{job.seed}"

    async def cancel(self, job: TuneJob, id: str) -> None:
        """Nothing runs."""

    async def clean(self, job: TuneJob, keep: str = "") -> None:
        """Nothing bills."""


def _rows(job: TuneJob) -> int:
    return len(Path(job.train).read_text().splitlines())


def open_tuner(kind: str, weights: Callable[[str], Path], spec_of: Any, *_: Any) -> FakeTuner:
    """In place of `harness.tuners.open_tuner`."""
    return FakeTuner()
