"""Look before spending: what endpoints, the price book and dates say of every hosted model, by reads alone.

Nothing is written at a provider, nothing billed. What only money would tell stays unknown and is said to be: that an
organisation is closed to fine-tuning, a service says at submit.
"""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from harness import prices
from harness.asked import HOSTED, asked
from harness.errors import ModelError
from harness.judging import judge_of
from harness.models import listing
from harness.models.base import Struct
from harness.models.calls import Limits
from harness.models.endpoint import Endpoint
from harness.models.listing import Listing
from harness.prices import Price, Rate
from harness.tuners import control, deployments, leftovers
from harness.tuners.base import Finding
from harness.tuners.openai import LAST_JOBS
from harness.tuners.service import CLOSED, OTHERS

if TYPE_CHECKING:
    from harness.spec import ModelSpec
    from harness.store import RunDirectory
    from harness.workbench import Workbench

Answer = Literal["yes", "no", "unknown"]


class Look(Struct, frozen=True):
    """One hosted model before anything is spent.

    Args:
        model: its reference; `arms`: who asks it, or tunes on it.
        key_env: the variable of its key, empty where none is sent; `key_set`: whether it holds one.
        listing: what the endpoint said; None where it was not asked.
        tunable: as far as dates and listings tell, and `why`; empty where no arm tunes on it.
        retires: the day it is shut down, with its fine-tunes; `days` are left.
        price: of its tokens, `price_days` old; `train` and `hosting`: of tuning on it.
        requests_per_minute, tokens_per_minute: the limits, as the file or the endpoint says them.
        findings: what stands in the way, or should be known.
    """

    model: str
    arms: tuple[str, ...]
    url: str = ""
    key_env: str = ""
    key_set: bool = False
    listing: Listing | None = None
    tunable: Answer | Literal[""] = ""
    why: str = ""
    retires: date | None = None
    days: int | None = None
    price: Price = Price()
    price_days: int | None = None
    train: Rate | None = None
    hosting: Rate | None = None
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    findings: tuple[Finding, ...] = ()


class Outlook(Struct, frozen=True):
    """All of it: every hosted model, and what earlier runs left at a provider that still goes on or bills."""

    models: tuple[Look, ...] = ()
    left: tuple[str, ...] = ()

    @property
    def errors(self) -> list[str]:
        """What would stop the run."""
        return [f"{look.model}: {f.message}" for look in self.models for f in look.findings if f.severity == "error"]


async def keep(bench: Workbench, directory: RunDirectory) -> None:
    """Store as `outlook.json` what is said of models that a run is yet to tune, for its report.

    What stands in the way stops nothing here: the tuning tells it.
    """
    arms = [n for n, t in bench.benchmark.arms.items() if t.uses_model and asked(bench.benchmark, n).tuner in HOSTED]
    if any(directory.fit(arm) is None for arm in arms):
        directory.save("outlook.json", await look(bench))


async def look(bench: Workbench) -> Outlook:
    """Look at every hosted model of a benchmark, all at once."""
    today = datetime.now(UTC).date()
    users: dict[str, list[str]] = {}
    tuned: dict[str, str] = {}
    away: dict[str, list[Finding]] = {}
    for name, technique in bench.benchmark.arms.items():
        if technique.uses_model:
            its = asked(bench.benchmark, name)
            if its.tuner or not its.made:  # what answers is there already, or is tuned on
                users.setdefault(its.model, []).append(name)
            if its.tuner in HOSTED:
                tuned[its.model] = its.tuner
            elif its.tuner and bench.is_hosted(its.model):
                what = f"{name}: `tuner: {its.tuner}` trains weights on this machine, and this model is at an endpoint"
                fix = "give the arm `model: local/...` or a folder of weights, or another tuner"
                away.setdefault(its.model, []).append(Finding("error", f"{what} ({fix})"))
    for name, metric in bench.benchmark.metrics.items():
        if metric.judge is not None:
            users.setdefault(judge_of(metric), []).append(name)
    hosted = {model: tuple(names) for model, names in users.items() if bench.is_hosted(model)}
    looks = await asyncio.gather(*(_look(bench, m, names, tuned.get(m, ""), today) for m, names in hosted.items()))
    looks = [
        msgspec.structs.replace(f, findings=(*f.findings, *away[f.model])) if f.model in away else f for f in looks
    ]
    left = [str(job) for job in leftovers.pending(bench.home)]
    left += [f"deployment {d.name} of {d.model}: {deployments.HOURLY}" for d in deployments.live(bench.home)]
    return Outlook(tuple(looks), tuple(left))


async def _look(bench: Workbench, model: str, arms: tuple[str, ...], tuner: str, today: date) -> Look:
    spec = bench.spec_of(model)
    found = Look(model, arms, requests_per_minute=spec.requests_per_minute, tokens_per_minute=spec.tokens_per_minute)
    findings: list[Finding] = []
    try:
        endpoint = Endpoint.of(spec)
    except ModelError as error:
        problem = error.problems[0]
        return msgspec.structs.replace(found, findings=(Finding("error", f"{problem.what} ({problem.fix})"),))
    found = msgspec.structs.replace(
        found, url=endpoint.url, key_env=endpoint.key_env or "", **_money(spec, tuner, today)
    )
    try:
        key = endpoint.key()
    except ModelError as error:
        findings.append(Finding("error", error.problems[0].what))
    else:
        found = msgspec.structs.replace(found, key_set=key is not None)
        seen = await listing.look_up(endpoint)
        if endpoint.api == "azure":
            seen, refused = await _deployed(endpoint, spec.azure, seen, tuner)
            if refused and tuner:  # the run would say so too, before it uploads
                findings.append(Finding("error", f"what is tuned could not be deployed: {refused}"))
        findings += _said(seen, endpoint)
        found = msgspec.structs.replace(_limited(found, seen.limits), listing=seen)
        if tuner:
            can, why = await _tunable(endpoint, model, seen, today)
            found = msgspec.structs.replace(found, tunable=can, why=why)
            if can == "no":
                findings.append(Finding("error", f"cannot be tuned: {why}"))
    ends = _retires(spec, found.listing)
    days = None if ends is None else (ends - today).days
    if days is not None and days <= 0:
        findings.append(Finding("error", f"was shut down on {ends}"))
    if warned := found.price.warning(today):
        findings.append(Finding("warning", warned))
    return msgspec.structs.replace(found, retires=ends, days=days, findings=tuple(findings))


def _money(spec: ModelSpec, tuner: str, today: date) -> dict[str, Any]:
    price = prices.token_price(spec)
    made: dict[str, Any] = {"price": price, "price_days": price.age_days(today)}
    if tuner:
        known = prices.hosting_price(tuner, "standard" if tuner == "azure" else "")
        own = spec.hosting_usd_per_hour
        made["train"] = prices.train_price(spec)
        made["hosting"] = known if own is None else Rate(usd=own, source="hosting_usd_per_hour")
    return made


def _retires(spec: ModelSpec, seen: Listing | None) -> date | None:
    """The file's word, else the endpoint's, else our table's."""
    if spec.retires:
        return date.fromisoformat(spec.retires)
    return (seen.retires if seen else None) or prices.retirement(spec.id)


def _limited(found: Look, limits: Limits | None) -> Look:
    """With the endpoint's limits where the file sets none."""
    if limits is None:
        return found
    requests = found.requests_per_minute or limits.requests_limit
    tokens = found.tokens_per_minute or limits.tokens_limit
    return msgspec.structs.replace(found, requests_per_minute=requests, tokens_per_minute=tokens)


async def _deployed(endpoint: Endpoint, place: control.Place, seen: Listing, tuner: str) -> tuple[Listing, str]:
    """At Azure a chat goes to a deployment, which only the control plane lists; asked where it can be signed in to.

    Returns the listing with what that plane says, and why it lets nobody in; empty where it does.
    """
    if not (tuner or os.environ.get("AZURE_MANAGEMENT_TOKEN", "").strip()) or control.signed_in():
        return seen, control.signed_in()
    try:
        path = f"{control.account(endpoint.url, place)}/deployments/{endpoint.model}"
        async with control.Control(control.arm(place)) as plane:
            reply = await plane.send("GET", path)
    except ModelError as error:
        return seen, str(error.problems[0].what)
    error = reply.body.get("error")
    code, text = (str(error.get(k) or "") for k in ("code", "message")) if isinstance(error, dict) else ("", reply.said)
    said = f"the control plane says {reply.status} {code} {text}".rstrip()[:300]
    if reply.status in (401, 403) or code in deployments.NOWHERE:
        return seen, said
    if reply.status == 404:
        said = f"there is no deployment {endpoint.model}: arms that ask it will get no answer (training needs none)"
        return msgspec.structs.replace(seen, listed=False, said=said), ""
    if reply.status != 200:
        return msgspec.structs.replace(seen, said=said), ""
    rates: Any = (reply.body.get("properties") or {}).get("rateLimits")
    counts = {
        str(r.get("key")): round(60 * r["count"] / r["renewalPeriod"])
        for r in (rates if isinstance(rates, list) else [])
        if isinstance(r, dict) and r.get("count") and r.get("renewalPeriod")
    }
    own = Limits(requests_limit=counts.get("request"), tokens_limit=counts.get("token")) if counts else seen.limits
    return msgspec.structs.replace(seen, listed=True, limits=own, said=""), ""


def _said(seen: Listing, endpoint: Endpoint) -> list[Finding]:
    """What an endpoint's word means for a run."""
    if not seen.reached:
        return [Finding("error", f"{endpoint.url} does not answer: {seen.said}")]
    if seen.accepted is False:
        key = endpoint.key_env or "a key (`api_key_env` names its variable)"
        return [Finding("error", f"{endpoint.url} does not accept {key} ({seen.said})")]
    if seen.listed is False:
        near = f"; it lists {', '.join(seen.near)}" if seen.near else ""
        return [Finding("warning", seen.said or f"{endpoint.model} is not listed at {endpoint.url}{near}")]
    if seen.listed is None:
        return [Finding("info", f"whether {endpoint.model} is there shows the first call ({seen.said})")]
    return []


async def _tunable(endpoint: Endpoint, model: str, seen: Listing, today: date) -> tuple[Answer, str]:
    """Whether a job would be taken, as far as dates and listings tell."""
    if seen.tunable is False:
        return "no", "the endpoint lists it without fine-tuning in this region"
    if seen.tuned_until is not None and seen.tuned_until <= today:
        return "no", f"its tuning ended on {seen.tuned_until}"
    official = endpoint.api == "openai" and endpoint.source == "default"
    if official and today > LAST_JOBS:
        return "no", f"OpenAI takes no new jobs after {LAST_JOBS}; use {OTHERS}"
    jobs = await listing.get(endpoint, "/fine_tuning/jobs?limit=1")
    code, message = jobs.error
    if jobs.status == 403:
        closed = (
            f"{CLOSED} ({message}); use {OTHERS}" if endpoint.api == "openai" else f"this key may not tune ({message})"
        )
        return "no", closed
    if jobs.status in (404, 405, 501):
        return "no", f"{endpoint.url} has no fine-tuning API ({jobs.status})"
    if jobs.status != 200:
        return "unknown", f"its jobs cannot be listed ({jobs.status or jobs.said} {code})".replace(" )", ")")
    facts = ["the endpoint says so"] if seen.tunable else []
    if any(model in (base, base[:-11]) for base in prices.tunable()):
        facts.append("the price book lists it among the tunable ones")
    rows: Any = jobs.fields.get("data")
    before = "an earlier job was seen" if isinstance(rows, list) and rows else "no earlier job was seen"
    if official:
        before += "; an organisation that is new since 2026-05-07 is refused at submit"
    if not facts:
        return "unknown", f"no list that we know names it; {before}"
    return "yes", f"{' and '.join(facts)}; {before}"
