"""What a fine-tuning service says of a job, read into our terms: reasons, progress, checkpoints.

Beside it the small calls that need no `TuneJob`: listing, cancelling, deleting uploads, waiting for a model to answer.
"""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from harness.errors import Problem, TuneError
from harness.tuners.base import Checkpoint, Progress, Report
from harness.tuners.hosted_files import Curve, State
from harness.tuners.service import Pace, Refused, Service

if TYPE_CHECKING:
    import openai
    from openai.types.fine_tuning import FineTuningJob

PAGES = 5
"""Pages of 100 that are looked through for what a kill left without an id."""
_STEP = re.compile(r"step (\d+)(?:/(\d+))?.*?loss=([\d.]+)", re.IGNORECASE)


def auto_epochs(rows: int) -> int:
    """Epochs of `auto`, as OpenAI's cookbook estimates them: 3, more for few rows, fewer for many."""
    if rows * 3 < 100:
        return min(25, 100 // max(rows, 1))
    return max(1, 25_000 // rows) if rows * 3 > 25_000 else 3


def pauses(pace: Pace) -> Iterator[float]:
    """Seconds between polls: doubling up to the longest, with jitter."""
    pause = pace.first
    while True:
        yield pause * random.uniform(0.9, 1.1)
        pause = min(pause * 1.5, pace.longest)


async def every(
    service: Service, doing: str, first: Callable[[openai.AsyncOpenAI], Awaitable[Any]]
) -> AsyncIterator[Any]:
    """The items of a list, page after page, in the service's order."""
    page = await service.ask(doing, first)
    for _ in range(PAGES):
        for item in page.data or ():
            yield item
        if not page.data or not page.has_next_page():
            return
        following = page
        page = await service.ask(doing, lambda _, p=following: p.get_next_page())


async def ended(service: Service, id: str, report: Report) -> FineTuningJob:
    """The job once it has ended; its events are told meanwhile. An unknown status is waited through.

    Raises:
        TuneError: it succeeded, and no model of it is named within the patience.
    """
    waits, done, total, nameless = pauses(service.pace), 0, 0, 0.0
    while True:
        known = await service.ask("asking for the job", lambda c: c.fine_tuning.jobs.retrieve(id))
        if known.status in ("succeeded", "failed", "cancelled") and (
            known.status != "succeeded" or known.fine_tuned_model
        ):
            return known
        if known.status == "succeeded":  # its model has no name yet
            nameless = nameless or time.monotonic()
            if time.monotonic() - nameless > service.pace.patience:
                what = f"the job {id} succeeded, but the service names no model that came of it"
                fix = "run the same command again: the job is found again; or ask the provider what became of it"
                raise TuneError(Problem(what, where=service.endpoint.url, fix=fix))
        message, loss = "", None
        try:
            page = await service.ask(
                "asking for events", lambda c: c.fine_tuning.jobs.list_events(id, limit=20), patience=0.0
            )
            message, step, of, loss = told(page.data or [])
            done, total = max(done, step), max(total, of)
        except TuneError:  # news are nice to have
            pass
        if str(known.status) == "paused":
            message = "paused: resume it at the provider, or cancel it"
        report(Progress(str(known.status), min(done, total), total, loss, service.scrub(message)))
        await asyncio.sleep(next(waits))


def told(events: Sequence[Any]) -> tuple[str, int, int, float | None]:
    """(message, step, steps in all, training loss) of the newest events; 0 and None for what they do not say."""
    message, step, total, loss = "", 0, 0, None
    for event in events:
        message = message or str(event.message or "")
        data: Any = event.data if isinstance(event.data, dict) else {}
        found = _STEP.search(str(event.message or ""))
        at = int(_number(data.get("step")) or (found[1] if found else 0))
        if at > step:
            step, total = at, int(_number(data.get("total_steps")) or (found[2] if found and found[2] else 0))
            loss = _number(data["train_loss"] if "train_loss" in data else found[3] if found else None)
    return message, step, total, loss


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def reason(job: FineTuningJob, service: Service) -> Problem:
    """Why a job gave no model. The `error` of a healthy job may be null, {} or an object of nulls."""
    if job.status == "cancelled":
        what = f"the job {job.id} was cancelled; what it trained until then may be billed"
        return Problem(what, where=service.endpoint.url, fix="run the same command again to submit a new job")
    said: Any = job.error.model_dump() if job.error else {}
    message = service.scrub(str(said.get("message") or "the service gave no reason"))
    where = f" ({service.scrub(str(said['param']))})" if said.get("param") else ""
    what = f"the job {job.id} failed: {message}{where}"
    fix = "mend what it names and run the same command again: a new job is submitted; a failed one is not billed"
    return Problem(what, where=service.endpoint.url, got=service.scrub(str(said.get("code") or "")), fix=fix)


def epochs_of(job: FineTuningJob) -> float | None:
    """Epochs as the finished job states them (`auto` is a number by then)."""
    method = job.method.supervised if job.method else None
    for hyper in (method.hyperparameters if method else None, job.hyperparameters):
        epochs: Any = getattr(hyper, "n_epochs", None)
        if isinstance(epochs, int) and epochs > 0:
            return float(epochs)
    return None


def checkpoints(model: str, listed: Sequence[Any], curve: Curve, epochs: float) -> tuple[Checkpoint, ...]:
    """Every model that can be served, by step; the final one is last and stands once, whatever the list says."""
    losses = {step: (train, valid) for step, train, valid in curve}
    named = {c.step_number: c for c in listed if c.fine_tuned_model_checkpoint and c.step_number is not None}
    last = max([*losses, *named], default=1)
    same = [step for step, c in named.items() if c.fine_tuned_model_checkpoint == model]
    final = same[0] if same else last
    made: list[Checkpoint] = []
    for step in sorted({*named, final}):
        found = named.get(step)
        metrics: Any = found.metrics.model_dump() if found and found.metrics else {}
        train, valid = losses.get(step, (None, None))
        seen = metrics.get("full_valid_loss")
        made.append(
            Checkpoint(
                id=found.id if found else "final",
                step=step,
                epoch=round(epochs * step / last, 3),
                model=model if step == final or found is None else found.fine_tuned_model_checkpoint,
                train_loss=metrics.get("train_loss") or train,
                valid_loss=metrics.get("valid_loss") or valid if seen is None else seen,
            )
        )
    return tuple(made)


def not_ready(refused: Refused) -> bool:
    """Whether a file that was just uploaded is still being read."""
    said = f"{refused.code} {refused.problems[0].what}".lower()
    return refused.status in (400, 404, 409) and ("not ready" in said or "file_not_ready" in said or "process" in said)


def is_of(known: FineTuningJob, key: str, state: State) -> bool | None:
    """Whether a listed job is the one of this key; None where it tells neither its key nor our file.

    The file is ours alone: its name carries the key.
    """
    metadata: Any = known.metadata
    if isinstance(metadata, Mapping) and "harness_key" in metadata:
        return metadata["harness_key"] == key
    return known.training_file == state.train_file if state.train_file is not None else None


async def seek(service: Service, key: str, state: State) -> str | None:
    """The id of the running or finished job of a key that a kill left without one, or None."""
    async for known in every(service, "listing jobs", lambda c: c.fine_tuning.jobs.list(limit=100)):
        if known.status not in ("failed", "cancelled") and is_of(known, key, state):
            return known.id
    return None


async def cancel(service: Service, id: str) -> str:
    """Cancel a job unless it has ended; returns its status."""
    try:
        return str((await service.ask("cancelling the job", lambda c: c.fine_tuning.jobs.cancel(id))).status)
    except Refused:
        known = await service.ask("asking for the job", lambda c: c.fine_tuning.jobs.retrieve(id))
        if known.status not in ("succeeded", "failed", "cancelled"):
            raise
        return str(known.status)


async def delete_files(service: Service, state: State) -> State:
    """Delete a job's uploads; those that are gone are no error. Returns the state without them."""
    for id in (state.train_file, state.valid_file):
        if id is None:
            continue
        try:
            await service.ask("deleting an upload", lambda c, id=id: c.files.delete(id))
        except Refused as refused:
            if refused.status != 404:
                raise
    return msgspec.structs.replace(state, train_file=None, valid_file=None)


async def answers(service: Service, model: str) -> None:
    """Wait until a new model answers one short question. Raises `TuneError` when it does not within the patience."""
    await service.ask(
        f"waiting for {model} to answer",
        lambda c: c.chat.completions.create(model=model, messages=[{"role": "user", "content": "Hi"}], max_tokens=1),
        passing=lambda r: r.status == 404 or r.code in ("DeploymentNotReady", "DeploymentNotFound"),
    )
