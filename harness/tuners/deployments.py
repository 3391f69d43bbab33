"""Azure deployments that bill by the hour: made, waited for, and deleted whatever happens to us in between.

Each has a record on disk before the request that makes it goes out, and a lock that its process holds. A record
whose lock is free belongs to a dead process: the next start deletes what it left (`sweep`).
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from harness.errors import HarnessError, Problem, TuneError
from harness.models.base import Struct
from harness.tuners.control import Control, Reply
from harness.tuners.lock import Lock
from harness.tuners.service import Pace
from harness.tuners.trl_files import write_whole

FOLDER = "deployments"
NOWHERE = ("ParentResourceNotFound", "ResourceGroupNotFound", "SubscriptionNotFound")
"""Codes of a 404 for the resource itself; any other one says that the deployment is not there yet."""
HOURLY = "it is billed by the hour ($1.70 for standard and globalstandard) until it is deleted"
LONGEST = 4.0
"""How long a deployment may be in the making, as a multiple of the patience: an hour where it is not set."""
SECONDS_TO_GO = 30.0
"""How long a deletion is waited for; what stands then is told, and tried again at the next start."""
_held: dict[Path, Lock] = {}
"""The records that this process is responsible for."""


class Deployment(Struct, frozen=True):
    """One deployment. `path` is its resource on the control plane, without host; `arm` the host that it was made at."""

    name: str
    model: str
    sku: str
    capacity: int
    arm: str
    path: str
    since: str = ""
    live: bool = True

    @property
    def body(self) -> dict[str, Any]:
        """What the PUT asks for."""
        model = {"format": "OpenAI", "name": self.model, "version": "1"}
        return {"sku": {"name": self.sku, "capacity": self.capacity}, "properties": {"model": model}}


async def deploy(folder: Path, wanted: Deployment, pace: Pace) -> None:
    """Make a deployment and wait until it is provisioned; one that stands already is taken as it is.

    Args:
        folder: the job's directory, where the record goes before anything is asked for.
        wanted: what to make.
        pace: how patiently.

    Raises:
        TuneError: the control plane refused, or provisioning failed (the remains are deleted).
    """
    file = folder / FOLDER / f"{wanted.name}.json"
    lock = _held.setdefault(file, Lock(file.with_suffix(".lock")))
    if not lock.take():  # another process has it, and will delete it; until then it may be used
        async with Control(wanted.arm) as control:
            await _provisioned(control, wanted, pace)
        return
    wanted = msgspec.structs.replace(wanted, live=True, since=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}")
    async with Control(wanted.arm) as control:  # refused here, nothing was made that would have to be deleted
        known = await _call(control, "GET", wanted, pace)
    _write(file, wanted)
    try:
        async with Control(wanted.arm) as control:
            if known.status == 404 or _model(known) != wanted.model:
                await _call(control, "PUT", wanted, pace)
            await _provisioned(control, wanted, pace)
    except BaseException:
        await _delete(file, wanted, pace)
        raise


async def allowed(wanted: Deployment, pace: Pace) -> None:
    """Whether a deployment could be made, as far as reading tells: asked before a training is paid for.

    Raises:
        ModelError: there is no token.
        TuneError: the control plane refuses it, or does not know the resource.
    """
    async with Control(wanted.arm) as control:
        known = await _call(control, "GET", wanted, pace)
    if _code(known) in NOWHERE:
        raise TuneError(_refusal(known, "GET", wanted)[0])


async def ready(home: Path, name: str, pace: Pace | None = None) -> None:
    """Bring a deployment of ours back when a model reference is opened again; foreign names are left alone."""
    for file in home.glob(f"tuned/*/{FOLDER}/{name}.json"):
        known = _read(file)
        if known is not None and file not in _held:
            await deploy(file.parents[1], known, pace or Pace())


async def delete(folder: Path, keep: str = "", pace: Pace | None = None) -> list[str]:
    """Delete a job's deployments, those of other living processes and `keep` excepted. Returns what could not be."""
    notes: list[str] = []
    for file in sorted((folder / FOLDER).glob("*.json")):
        known = _read(file)
        if known is None or not known.live or known.name == keep:
            continue
        if not _held.setdefault(file, Lock(file.with_suffix(".lock"))).take():
            continue
        note = await _delete(file, known, pace or Pace())
        notes += [note] if note else []
    return notes


async def sweep(home: Path, pace: Pace | None = None) -> list[str]:
    """At a start: delete what killed runs left. At the end: delete what this process made. Returns what could not be.

    Args:
        home: the project's `.harness`.
        pace: how patiently.
    """
    notes: list[str] = []
    for folder in sorted({file.parents[1] for file in home.glob(f"tuned/*/{FOLDER}/*.json")}):
        notes += await delete(folder, pace=pace)
    return notes


def live(home: Path) -> list[Deployment]:
    """The deployments that bill, as far as this project knows."""
    known = [_read(file) for file in sorted(home.glob(f"tuned/*/{FOLDER}/*.json"))]
    return [d for d in known if d is not None and d.live]


async def _delete(file: Path, known: Deployment, pace: Pace) -> str:
    """Delete one, and write down that it is gone. Returns why not, or empty; never raises what a service says."""
    pace = replace(pace, patience=min(pace.patience, 60.0))
    try:
        async with Control(known.arm) as control:
            await _call(control, "DELETE", known, pace)
            gone = await _gone(control, known, pace)
    except HarnessError as error:
        return f"the Azure deployment {known.name} could not be deleted: {HOURLY}. {error.problems[0]}"
    if not gone:
        return f"Azure took the deletion of the deployment {known.name}, but it still stands there: {HOURLY}"
    _write(file, msgspec.structs.replace(known, live=False))
    lock = _held.pop(file, None)
    if lock is not None:
        lock.release()
    return ""


async def _gone(control: Control, known: Deployment, pace: Pace) -> bool:
    """Whether a deployment is away: Azure only accepts a deletion at first, and carries it out later."""
    pause, until = pace.first, time.monotonic() + min(pace.patience, SECONDS_TO_GO)
    while (await _call(control, "GET", known, pace)).status != 404:
        if time.monotonic() > until:
            return False
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, pace.longest)
    return True


async def _provisioned(control: Control, wanted: Deployment, pace: Pace) -> None:
    """Wait for provisioningState Succeeded; an unknown state is waited through, but no state for ever."""
    pause, started = pace.first, time.monotonic()
    while True:
        known = await _call(control, "GET", wanted, pace)
        if known.status == 404 and time.monotonic() - started > pace.patience:
            raise TuneError(Problem(f"the Azure deployment {wanted.name} is gone while it was made", where=wanted.arm))
        properties = known.body.get("properties") or {}
        state = str(properties.get("provisioningState", ""))
        if state == "Succeeded":
            return
        if state in ("Failed", "Canceled"):
            said = str(known.body.get("error") or properties.get("error") or "Azure gave no reason")[:300]
            fix = "run the same command again: the training is kept; or try another `deployment_sku`"
            what = f"the Azure deployment {wanted.name} could not be provisioned: {said}"
            raise TuneError(Problem(what, where=wanted.arm, fix=fix))
        if time.monotonic() - started > LONGEST * pace.patience:
            fix = "run the same command again: the training is kept; or try another `deployment_sku`"
            waited = f"after {LONGEST * pace.patience / 60:.0f} minutes ({state or 'no state'})"
            what = f"the Azure deployment {wanted.name} is still not ready {waited}"
            raise TuneError(Problem(what, where=wanted.arm, fix=fix))
        await asyncio.sleep(pause * random.uniform(0.9, 1.1))
        pause = min(pause * 1.5, pace.longest)


async def _call(control: Control, method: str, wanted: Deployment, pace: Pace) -> Reply:
    """One request of the control plane, repeated while it may pass: all three methods may be sent twice."""
    started, pause = time.monotonic(), pace.first
    while True:
        reply = await control.send(method, wanted.path, wanted.body if method == "PUT" else None)
        if 200 <= reply.status < 300 or (reply.status == 404 and method in ("GET", "DELETE")):
            return reply
        problem, passes = _refusal(reply, method, wanted)
        wait = max(reply.after or 0.0, pause)
        if not passes or time.monotonic() - started + wait > pace.patience:
            raise TuneError(problem)
        await asyncio.sleep(wait)
        pause = min(pause * 2, pace.longest)


def _refusal(reply: Reply, method: str, wanted: Deployment) -> tuple[Problem, bool]:
    """A status of the control plane in one sentence, and whether it may pass."""
    error: Any = reply.body.get("error") or {}
    code = _code(reply)
    said = str(error.get("message") or "") if isinstance(error, dict) else str(error)
    said = said[:300] or reply.said or f"HTTP {reply.status}"
    what = f"Azure deployment {wanted.name}"
    got = f"{method} {wanted.path}: {reply.status} {code}".strip()
    if reply.status == 429 and "quota" in f"{code} {said}".lower():
        fix = f"ask for more quota, delete other deployments, or lower deployment_capacity ({wanted.capacity} now)"
        return Problem(f"{what}: no quota left for {wanted.sku} ({said})", where=wanted.arm, got=got, fix=fix), False
    if reply.status == 409 and method == "PUT" and "another operation" not in said.lower():
        fix = "delete or rename the deployment of that name in the Azure resource"
        return Problem(f"{what}: the name is taken ({said})", where=wanted.arm, got=got, fix=fix), False
    if reply.status in (401, 403):
        fix = (
            "the token may have expired: set AZURE_MANAGEMENT_TOKEN anew (`az account get-access-token`), or sign in "
            "with `az login`; the role needed is Cognitive Services Contributor"
        )
        return Problem(f"{what}: not allowed ({said})", where=wanted.arm, got=got, fix=fix), False
    if reply.status == 404:
        fix = "check AZURE_SUBSCRIPTION_ID, AZURE_RESOURCE_GROUP and AZURE_OPENAI_ACCOUNT"
        return Problem(f"{what}: no such resource ({said})", where=wanted.arm, got=got, fix=fix), False
    passes = reply.status in (0, 408, 409, 429) or reply.status >= 500
    return Problem(f"{what}: {said}", where=wanted.arm, got=got), passes


def _code(reply: Reply) -> str:
    error: Any = reply.body.get("error")
    return str(error.get("code") or "") if isinstance(error, dict) else ""


def _model(reply: Reply) -> str:
    properties: Any = reply.body.get("properties") or {}
    return str((properties.get("model") or {}).get("name", ""))


def _read(file: Path) -> Deployment | None:
    try:
        return msgspec.json.decode(file.read_bytes(), type=Deployment)
    except (OSError, msgspec.DecodeError):
        return None


def _write(file: Path, record: Deployment) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    write_whole(file, msgspec.json.encode(record))
