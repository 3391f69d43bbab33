"""Fine-tuning at OpenAI: a tuned model is called by its id and costs nothing while nobody asks it.

Closing: no new organisations since 2026-05-07, no new jobs after 2027-01-06, gpt-4o and gpt-4.1 with their fine-tunes
are shut down on 2027-01-14.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

from harness.tuners.base import Checkpoint, Finding, TuneJob
from harness.tuners.hosted import HostedTuner
from harness.tuners.hosted_jobs import answers
from harness.tuners.service import OTHERS, Service

LAST_JOBS = date(2027, 1, 6)
"""After it, OpenAI takes no new jobs."""


class OpenAITuner(HostedTuner):
    """Trains at OpenAI, or at any service with its fine-tuning API (`base_url`, `OPENAI_BASE_URL`)."""

    kind = "openai"
    suffix_limit = 64
    marked = False

    def extra(self, job: TuneJob) -> dict[str, Any]:
        """The key, by which a second run finds the job."""
        return {"metadata": {"harness_key": job.key}}

    def parameters(self, job: TuneJob) -> list[Finding]:
        """What is common, and how long OpenAI still takes jobs."""
        findings = super().parameters(job)
        if self.endpoint(job).source == "default":
            days = (LAST_JOBS - datetime.now(UTC).date()).days
            said = f"OpenAI takes no new jobs after {LAST_JOBS}"
            left = f"{said}: {days} days from now" if days > 0 else f"{said}; use {OTHERS}"
            findings.append(Finding("warning" if days > 0 else "error", left))
        return findings

    async def serve(self, job: TuneJob, checkpoint: Checkpoint) -> str:
        """Wait until the model answers: a new one says 404 or 500 for minutes after its job succeeded."""
        async with Service(self.endpoint(job), self._pace) as service:
            await answers(service, checkpoint.model)
        # A gateway whose base was named without API gives tuned models of its own: they are not at OpenAI.
        return f"openai/{checkpoint.model}" if job.base.startswith("openai/") else checkpoint.model

    async def clean(self, job: TuneJob, keep: str = "") -> None:
        """Nothing bills by the hour here."""
