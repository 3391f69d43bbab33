"""Fine-tuning as OpenAI and Azure sell it: upload, create, follow, with nothing paid twice however often we are killed.

What cannot be taken back is written down before it is done and looked for after a kill: files carry the job's key in
their name, jobs in their metadata and suffix. So even a lost directory finds its job again. `openai.py` and `azure.py`
say how the two differ.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import msgspec

from harness import prices
from harness.errors import ModelError, Problem, TuneError
from harness.models.endpoint import Endpoint, EndpointSpec
from harness.models.listing import look_up
from harness.prices import PricedSpec
from harness.tuners import hosted_files, hosted_jobs, training_file
from harness.tuners.base import Checkpoint, Estimate, Finding, Report, Tuned, TuneJob
from harness.tuners.control import Place
from harness.tuners.hosted_files import Curve, State
from harness.tuners.lock import Lock
from harness.tuners.service import Doubt, Pace, Refused, Service, Unsure

if TYPE_CHECKING:
    from openai.types.fine_tuning import FineTuningJob

    from harness.models.budgeted import Budget

LIMITS = {"gpt-4o": 65_536, "gpt-4.1": 65_536, "gpt-3.5-turbo": 16_385}
"""Tokens of one training example, by the beginning of the model's name."""
ROUGH = (0.7, 1.4)
"""Tokens are counted as four bytes each: the provider's own count lies within this of it."""
SECONDS = (300.0, 7200.0)
"""A job of some hundred rows, the queue in it; no provider promises a figure."""
SILENT = {
    "learning_rate": "use learning_rate_multiplier",
    "max_length": "rows are refused over the model's limit, not cut",
}


class HostedSpec(EndpointSpec, PricedSpec, Protocol):
    """What of a model's YAML is used here (`harness.spec.ModelSpec` has all of it)."""

    @property
    def hosting_usd_per_hour(self) -> float | None:
        """What keeping a tuned model deployed costs."""
        ...

    @property
    def retires(self) -> str | None:
        """The day on which the provider shuts the model down; wins over the price book's."""
        ...

    @property
    def azure(self) -> Place:
        """Where an Azure resource stands on the control plane."""
        ...


class HostedTuner:
    """The protocol that OpenAI and Azure share; not used by itself.

    Args:
        spec_of: a model's reference -> its YAML (endpoint, key, prices).
        budget: the run's purse: a training that does not fit in it is not started, and what it cost is charged.
        pace: how patiently the service is asked.
    """

    kind: str
    suffix_limit: int
    marked: bool
    """Whether uploads start with a byte order mark."""

    def __init__(
        self, spec_of: Callable[[str], HostedSpec], budget: Budget | None = None, pace: Pace | None = None
    ) -> None:
        self._spec_of = spec_of
        self._budget = budget
        self._pace = pace or Pace()

    # What differs

    def epochs(self, epochs: int | Literal["auto"]) -> int | Literal["auto"]:
        """The service's way to say so."""
        return epochs

    def extra(self, job: TuneJob) -> dict[str, Any]:
        """Further arguments of `jobs.create`."""
        raise NotImplementedError

    def tier(self, job: TuneJob) -> str:
        """The training tier, for its price."""
        return "standard"

    async def serve(self, job: TuneJob, checkpoint: Checkpoint) -> str:
        """Make a checkpoint callable and return its reference."""
        raise NotImplementedError

    async def clean(self, job: TuneJob, keep: str = "") -> None:
        """Delete what bills by the hour."""
        raise NotImplementedError

    # Before anything is spent

    def endpoint(self, job: TuneJob) -> Endpoint:
        """Where the job's base model is tuned. Raises `ModelError`."""
        return Endpoint.of(self._spec_of(job.base))

    def validate(self, job: TuneJob) -> list[Finding]:
        """Everything wrong with the files, the parameters and the endpoint, at once; touches no network."""
        name = job.base.partition("/")[2]
        limit = next((tokens for start, tokens in LIMITS.items() if name.startswith(start)), None)
        findings = training_file.check(job.train, limit=limit, bom="allow" if self.marked else "refuse")
        if job.valid:
            checked = training_file.check(job.valid, limit=limit, bom="allow" if self.marked else "refuse", min_rows=0)
            findings += [msgspec.structs.replace(f, message=f"{job.valid.name}: {f.message}") for f in checked]
        try:
            key = self.endpoint(job).key()
        except ModelError as error:
            return [*findings, Finding("error", str(error.problems[0]))]
        if key and any(key.encode() in file.read_bytes() for file in (job.train, job.valid) if file and file.exists()):
            findings.append(Finding("error", "holds the endpoint's key: it would be uploaded with the rows"))
        return findings + self.parameters(job)

    def estimate(self, job: TuneJob) -> Estimate:
        """Trained tokens, counted at four bytes each, and dollars at the listed training price."""
        try:
            rows = training_file.read(job.train)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise TuneError(Problem(f"the training file cannot be read: {error}", where=str(job.train))) from None
        asked = job.params.get("epochs", "auto")
        epochs = hosted_jobs.auto_epochs(len(rows)) if asked in ("auto", None) else int(asked)
        tokens = sum(training_file.count_tokens(row) for row in rows) * epochs
        rate = prices.train_price(self._spec_of(job.base), tier=self.tier(job))
        low, high = (tokens * share * (rate.usd or 0.0) / prices.MTOK for share in ROUGH)
        said = "auto is " if asked in ("auto", None) else ""
        price = f"${rate.usd:g} per million ({rate.source})" if rate.usd is not None else rate.reason
        why = f"{len(rows)} rows, {said}{epochs} epochs, about {tokens:,} tokens (four bytes each); {price}"
        return Estimate(tokens, float(epochs), None if rate.usd is None else (low, high), SECONDS, why)

    def parameters(self, job: TuneJob) -> list[Finding]:
        """What parameters and dates give rise to."""
        params = job.params
        findings = [
            Finding("warning", f"{name} does nothing with tuner: {self.kind}: {why}")
            for name, why in SILENT.items()
            if params.get(name) is not None
        ]
        if params.get("quantization", "none") != "none":
            findings.append(Finding("warning", f"quantization does nothing with tuner: {self.kind}"))
        said = self._spec_of(job.base).retires
        retires = date.fromisoformat(said) if said else prices.retirement(job.base)
        if retires is not None:
            days = (retires - datetime.now(UTC).date()).days
            said = f"is shut down, with its fine-tunes, on {retires}: {days} days from now"
            findings.append(Finding("warning" if days > 0 else "error", f"{job.base} {said}"))
        return findings

    # The job

    async def find(self, job: TuneJob) -> str | None:
        """The id of this key's job, stored or looked for at the service; failed and cancelled ones do not count."""
        endpoint = self.endpoint(job)
        state = hosted_files.load(job.workdir) or State.at(endpoint)
        async with Service(endpoint, self._pace) as service:
            if (id := state.job) is not None:
                try:
                    known = await service.ask("looking for the job", lambda c: c.fine_tuning.jobs.retrieve(id))
                except Refused as refused:
                    if refused.status != 404:
                        raise
                else:
                    return None if known.status in ("failed", "cancelled") else id
            found = await self._look(service, job, state)
        if found is not None:
            hosted_files.save(job.workdir, msgspec.structs.replace(state, job=found, creating=False, ended=""))
        return found

    async def submit(self, job: TuneJob) -> str:
        """Upload what is not uploaded, create the job, store its id. Another process's submission is joined."""
        endpoint = self.endpoint(job)
        self._afford(job)
        lock = Lock(job.workdir / "submit.lock")
        while not lock.take():  # noqa: ASYNC110  # another process holds it
            await asyncio.sleep(self._pace.first)
        try:
            state = hosted_files.load(job.workdir) or State.at(endpoint)
            if (state.job or state.creating) and not state.ended and (found := await self.find(job)):
                return found
            async with Service(endpoint, self._pace) as service:
                for which, file in (("train_file", job.train), ("valid_file", job.valid)):
                    if file is not None and file.stat().st_size:
                        state = await self._uploaded(service, job, state, which, file)
                return await self._create(service, job, state)
        finally:
            lock.release()

    async def follow(self, job: TuneJob, id: str, report: Report) -> Tuned:
        """Poll until it ends. An unknown status keeps polling; leaving (Ctrl-C) does not stop the job."""
        async with Service(self.endpoint(job), self._pace) as service:
            found = await hosted_jobs.ended(service, id, report)
            if found.status != "succeeded":
                state = hosted_files.load(job.workdir) or State.at(self.endpoint(job))
                hosted_files.save(job.workdir, msgspec.structs.replace(state, job=id, ended=found.status))
                raise TuneError(hosted_jobs.reason(found, service))
            tuned = await self._tuned(service, job, found)
        if self._budget is not None and tuned.usd is not None:
            self._budget.charge(tuned.usd, id)
        return tuned

    async def cancel(self, job: TuneJob, id: str) -> None:
        """Stop a running job; what it trained so far may be billed. One that has ended is left as it is."""
        async with Service(self.endpoint(job), self._pace) as service:
            await hosted_jobs.cancel(service, id)

    # Its steps

    def _afford(self, job: TuneJob) -> None:
        """Raises `TuneError` where `run.max_usd` may not hold with this training."""
        if self._budget is None:
            return
        estimate = self.estimate(job)
        if estimate.usd is None:
            what = f"run.max_usd is set, but what the training costs is not known ({estimate.why})"
            raise TuneError(
                Problem(what, path="run.max_usd", fix="give the model `usd_per_mtok: {train: ...}`, or drop max_usd")
            )
        if estimate.usd[1] > self._budget.left:
            what = (
                f"the training may cost up to ${estimate.usd[1]:.4g}; ${self._budget.left:.4g} of run.max_usd is left"
            )
            fix = "raise max_usd, or train on fewer `rows`"
            raise TuneError(Problem(what, path="run.max_usd", got=estimate.why, fix=fix))

    async def _uploaded(self, service: Service, job: TuneJob, state: State, which: str, file: Path) -> State:
        """The state with a file's id: uploaded now, or before a kill and recognised by its name; waited for."""
        name = f"harness-{job.key[:16]}-{which.removesuffix('_file')}.jsonl"
        content = file.read_bytes().removeprefix(b"\xef\xbb\xbf")
        content = (b"\xef\xbb\xbf" if self.marked else b"") + content
        id: str | None = getattr(state, which)
        stored, unsure = id is not None, Doubt(service, f"uploading {file.name}")
        if id is None:
            id = await self._seek_file(service, name, len(content))
        while id is None:
            try:
                sent = await service.ask(
                    f"uploading {file.name}",
                    lambda c: c.files.create(file=(name, content, "application/jsonl"), purpose="fine-tune"),
                    twice=False,
                )
                if not sent.id:
                    raise Unsure("a file without an id")
                id = sent.id
            except Unsure as said:
                await unsure.wait(said)
                id = await self._seek_file(service, name, len(content))
        state = hosted_files.save(job.workdir, msgspec.structs.replace(state, **{which: id}))
        pauses, until = hosted_jobs.pauses(self._pace), time.monotonic() + self._pace.patience
        while True:
            try:
                known = await service.ask(f"waiting for {file.name}", lambda c: c.files.retrieve(str(id)))
            except Refused as refused:
                if refused.status != 404 or not stored:
                    raise
                # deleted since (by hand, by the service's retention): the rows go up again
                state = hosted_files.save(job.workdir, msgspec.structs.replace(state, **{which: None}))
                return await self._uploaded(service, job, state, which, file)
            if known.status == "error":
                hosted_files.save(job.workdir, msgspec.structs.replace(state, **{which: None}))
                said = service.scrub(known.status_details or "no reason given")
                raise TuneError(Problem(f"the service could not read {file.name}: {said}", where=str(file)))
            # Some services never say so: where the file is really not ready, creating the job is what shows it.
            if known.status in ("processed", None) or time.monotonic() > until:
                return state
            await asyncio.sleep(next(pauses))

    async def _seek_file(self, service: Service, name: str, size: int) -> str | None:
        async for file in hosted_jobs.every(
            service, "listing files", lambda c: c.files.list(purpose="fine-tune", limit=100)
        ):
            if file.filename == name and file.bytes == size and file.status != "error":
                return file.id
        return None

    async def _create(self, service: Service, job: TuneJob, state: State) -> str:
        """Create the job once: after a broken call it is looked for before it is tried again."""
        state = hosted_files.save(job.workdir, msgspec.structs.replace(state, job=None, creating=True, ended=""))
        arguments = self.arguments(job, state)
        unsure = Doubt(service, "creating the job")
        while True:
            try:
                made = await service.ask(
                    "creating the job",
                    lambda c: c.fine_tuning.jobs.create(**arguments),
                    twice=False,
                    passing=hosted_jobs.not_ready,
                )
                if not made.id:
                    raise Unsure("a job without an id")
                id = made.id
                break
            except Unsure as said:
                await unsure.wait(said)
                found = await self._look(service, job, state)
                if found is not None:
                    id = found
                    break
        hosted_files.save(job.workdir, msgspec.structs.replace(state, job=id, creating=False))
        return id

    def arguments(self, job: TuneJob, state: State) -> dict[str, Any]:
        """What `jobs.create` is given."""
        params = job.params
        asked = params.get("epochs") or "auto"
        hyper: dict[str, Any] = {"n_epochs": self.epochs(asked)}
        if isinstance(params.get("batch_size"), int):
            hyper["batch_size"] = params["batch_size"]
        if params.get("learning_rate_multiplier") is not None:
            hyper["learning_rate_multiplier"] = params["learning_rate_multiplier"]
        arguments: dict[str, Any] = {
            "model": state.model,
            "training_file": state.train_file,
            "suffix": self.suffix(job),
            "seed": job.seed,
            **self.extra(job),
        }
        if state.valid_file:
            arguments["validation_file"] = state.valid_file
        if state.api_version:  # Azure's classic surface knows the older form only
            return {**arguments, "hyperparameters": hyper}
        return {**arguments, "method": {"type": "supervised", "supervised": {"hyperparameters": hyper}}}

    def suffix(self, job: TuneJob) -> str:
        """The suffix with the key in it, so that a job can be recognised by it."""
        mark = job.key[:8]
        clean = re.sub(r"[^A-Za-z0-9_-]+", "-", job.suffix).strip("-")
        if mark in clean and len(clean) <= self.suffix_limit:
            return clean
        return f"{clean[: self.suffix_limit - len(mark) - 1]}-{mark}".lstrip("-")

    async def _look(self, service: Service, job: TuneJob, state: State) -> str | None:
        """The id of a job with this key among the service's jobs, the newest first."""
        async for known in hosted_jobs.every(service, "listing jobs", lambda c: c.fine_tuning.jobs.list(limit=100)):
            if known.status not in ("failed", "cancelled") and self._is(known, job, state):
                return known.id
        return None

    def _is(self, known: FineTuningJob, job: TuneJob, state: State) -> bool:
        """Whether a listed job is this one; where the key and the file are not known, by what it was given."""
        sure = hosted_jobs.is_of(known, job.key, state)
        if sure is not None:
            return sure
        said = known.model_dump()
        given = [said.get("user_provided_suffix"), said.get("suffix")]
        return self.suffix(job) in given and known.model == state.model and known.seed == job.seed

    async def _tuned(self, service: Service, job: TuneJob, ended: FineTuningJob) -> Tuned:
        """The finished job with all of its checkpoints, the final model last."""
        info: dict[str, Any] = {"model": ended.fine_tuned_model, "base": ended.model}
        curve: Curve = ()
        try:
            if ended.result_files:
                name = ended.result_files[0]
                got = await service.ask("reading the result file", lambda c: c.files.content(name))
                curve = hosted_files.read_curve(got.content)
        except (Refused, ValueError) as error:
            info["curve"] = f"the result file could not be read: {service.scrub(str(error))[:200]}"
        listed: list[Any] = []
        try:
            pages = hosted_jobs.every(
                service, "asking for checkpoints", lambda c: c.fine_tuning.jobs.checkpoints.list(ended.id)
            )
            listed = [c async for c in pages]
        except Refused as error:
            info["checkpoints"] = f"none but the last: {error.problems[0].what}"
        estimate = self.estimate(job)
        epochs = hosted_jobs.epochs_of(ended) or estimate.epochs
        tokens = ended.trained_tokens
        if tokens is None:
            tokens, info["trained_tokens"] = estimate.trained_tokens, "estimated: the service did not say"
        rate = prices.train_price(self._spec_of(job.base), tier=self.tier(job))
        if (ends := (await look_up(service.endpoint)).retires) is not None:
            info["retires"] = f"{ends}"
        info["estimate"] = {"trained_tokens": estimate.trained_tokens, "usd": estimate.usd}
        return Tuned(
            job=ended.id,
            checkpoints=hosted_jobs.checkpoints(str(ended.fine_tuned_model), listed, curve, epochs),
            trained_tokens=tokens,  # epochs are in it already
            seconds=float(max((ended.finished_at or 0) - (ended.created_at or ended.finished_at or 0), 0)),
            usd=None if rate.usd is None else tokens * rate.usd / prices.MTOK,
            curve=curve,
            info=info,
        )
