"""Fine-tuning at Azure OpenAI: the same jobs, then a deployment that bills by the hour and must be deleted.

Differences from OpenAI: files start with a byte order mark, the training type is a field of its own, automatic epochs
are -1, suffixes are short, and a tuned model answers only once it is deployed.
"""

from __future__ import annotations

import re
from typing import Any, Literal

from harness import prices
from harness.errors import ModelError, Problem, TuneError
from harness.tuners import control, deployments
from harness.tuners.base import Checkpoint, Finding, TuneJob
from harness.tuners.deployments import Deployment
from harness.tuners.hosted import HostedTuner
from harness.tuners.hosted_jobs import answers
from harness.tuners.service import Service

TRAINING = "Standard"
"""Where the YAML says nothing: the rows stay in the resource's region."""
SKU = {"Standard": "standard", "GlobalStandard": "globalstandard", "Developer": "developertier"}


class AzureTuner(HostedTuner):
    """Trains at Azure OpenAI (v1 and classic surface), and deploys what it trained."""

    kind = "azure"
    suffix_limit = 18
    marked = True

    def epochs(self, epochs: int | Literal["auto"]) -> int | Literal["auto"]:
        """Automatic epochs are -1 here."""
        return -1 if epochs == "auto" else epochs

    def extra(self, job: TuneJob) -> dict[str, Any]:
        """The training type: without one Azure may say that the model cannot be tuned."""
        return {"extra_body": {"trainingType": job.params.get("training_type") or TRAINING}}

    def tier(self, job: TuneJob) -> str:
        """Developer training is half price."""
        return str(job.params.get("training_type") or TRAINING)

    def parameters(self, job: TuneJob) -> list[Finding]:
        """What is common, the deployment's settings, and what keeping it costs."""
        findings = super().parameters(job)
        try:
            place = self._spec_of(job.base).azure
            control.arm(place)
            control.account(self.endpoint(job).url, place)
        except ModelError as error:
            findings.append(Finding("error", str(error.problems[0])))
        if why := control.signed_in():
            findings.append(Finding("error", why))
        sku = _sku(job)
        rate = self._spec_of(job.base).hosting_usd_per_hour
        known = prices.hosting_price("azure", sku)
        rate = known.usd if rate is None else rate
        said = f"${rate:g} an hour" if rate is not None else known.reason
        findings.append(
            Finding("info", f"each checkpoint's deployment ({sku}) costs {said}; all are deleted when the run ends")
        )
        return findings

    async def submit(self, job: TuneJob) -> str:
        """As everywhere, once the control plane lets us in: a training that cannot be deployed is paid for nothing."""
        await deployments.allowed(self.deployment(job, Checkpoint(id="", step=0)), self._pace)
        return await super().submit(job)

    async def serve(self, job: TuneJob, checkpoint: Checkpoint) -> str:
        """Deploy a checkpoint and wait until it answers; the deployment's name begins with the base's, as its price."""
        wanted = self.deployment(job, checkpoint)
        await deployments.deploy(job.workdir, wanted, self._pace)
        async with Service(self.endpoint(job), self._pace) as service:
            await answers(service, wanted.name)
        return f"azure/{wanted.name}"

    async def clean(self, job: TuneJob, keep: str = "") -> None:
        """Delete the job's deployments but `keep`. Raises `TuneError` for one that still bills."""
        notes = await deployments.delete(job.workdir, keep.removeprefix("azure/"), self._pace)
        if notes:
            raise TuneError(*(Problem(n, fix="delete it in the Azure portal, or run again") for n in notes))

    def deployment(self, job: TuneJob, checkpoint: Checkpoint) -> Deployment:
        """What a checkpoint is deployed as. Raises `ModelError` where the control plane's settings are missing."""
        base = job.base.partition("/")[2]
        name = f"{re.sub(r'[^A-Za-z0-9_.-]', '-', base)[:30]}.ft-harness-{job.key[:8]}-{checkpoint.step}"
        place = self._spec_of(job.base).azure
        path = f"{control.account(self.endpoint(job).url, place)}/deployments/{name}"
        capacity = int(job.params.get("deployment_capacity") or 100)
        return Deployment(name, checkpoint.model, _sku(job), capacity, control.arm(place), path)


def _sku(job: TuneJob) -> str:
    return str(job.params.get("deployment_sku") or SKU[str(job.params.get("training_type") or TRAINING)])
