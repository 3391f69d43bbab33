"""Is it worth it, for this run: what each arm costs, and what `harness.economics` makes of the difference.

Fixed costs are training, the trials on dev, labelled rows at their price, and for a fine-tune the declared hours. What
a page moves (volume, prices, hosting, value) is kept as moments of the examples, so that the page computes the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
from numpy.typing import NDArray

from harness import economics, prices
from harness.economics import BreakEven, Flips, Life, NetBenefit, Payback, Quadrant, Terms
from harness.intervals import Interval
from harness.moments import Moments, combine
from harness.report.stored import Stored
from harness.spec import ModelSpec
from harness.special import stdtrit
from harness.verdict import Payoff

HOURS_A_MONTH = 730


@dataclass(frozen=True)
class Bill:
    """What one arm costs. None is unknown, with `reason`."""

    arm: str
    usd_a_task: float | None
    per_correct: float | None
    training: float | None
    labelling: float | None
    trials: float | None
    effort: float | None
    hosting_month: float | None
    reason: str = ""

    @property
    def fixed(self) -> float | None:
        """Training, labelling, trials and effort together; None when one of them is unknown."""
        parts = (self.training, self.labelling, self.trials, self.effort)
        return None if None in parts else sum(p for p in parts if p is not None)


@dataclass(frozen=True)
class Ledger:
    """The candidate against one arm, boiled down to what a page needs to move the terms. `label`: quality."""

    baseline: str
    found: Moments
    label: str
    quantile: float


@dataclass(frozen=True)
class Worth:
    """The economic answer, with all that it was made of. `month`: dollars a month that are saved, all counted."""

    candidate: str
    baseline: str
    answer: str
    sentence: str
    terms: Terms
    life: Life
    saved: Interval
    month: Interval
    break_even: BreakEven
    payback: Payback
    net: NetBenefit
    quadrant: Quadrant
    flips: Flips
    volume_for_hosting: float


def bills(stored: Stored) -> dict[str, Bill]:
    """The bill of every arm."""
    return {arm: _bill(stored, arm) for arm in stored.board.arms}


def _bill(stored: Stored, arm: str) -> Bill:
    spec, fit = stored.benchmark.economics, stored.fits.get(arm)
    usd, scores = stored.board.usd[arm], stored.board.oriented(arm, stored.primary)
    effort = stored.board.efforts[arm]
    per_correct = None
    if effort.usd is not None and len(usd):
        there = ~np.isnan(scores)
        per_correct = economics.cost_per_correct(usd[there], scores[there])
    if fit is None:
        return Bill(arm, effort.usd, per_correct, 0.0, 0.0, 0.0, 0.0, 0.0, _reason(stored, arm, effort.usd))
    cost, rate = fit.cost, spec.local_usd_per_hour
    training = 0.0 if fit.artifact and fit.artifact.tuner == "existing" else cost.train_usd  # what was paid before
    if training is None and cost.train_seconds and rate is not None:
        training = cost.train_seconds / 3600 * rate
    price = spec.labelling_usd_per_row
    labelling = 0.0 if not cost.labelled_rows else None if price is None else price * cost.labelled_rows
    tuned = arm in stored.tuned
    hours = 0.0 if not tuned else spec.effort_hours or 0.0
    hourly = None if hours and spec.usd_per_hour is None else hours * (spec.usd_per_hour or 0.0)
    return Bill(
        arm=arm,
        usd_a_task=effort.usd,
        per_correct=per_correct,
        training=training,
        labelling=labelling,
        trials=cost.usd,
        effort=hourly,
        hosting_month=_hosting(stored, arm),
        reason=_reason(stored, arm, effort.usd),
    )


def _hosting(stored: Stored, arm: str) -> float | None:
    """Dollars a month that the arm's model costs whether it is asked or not.

    A model of the user's own endpoint costs its machine before it is tuned too; a provider's only once it is.
    """
    model, name = stored.benchmark.model, stored.fits[arm].model if arm in stored.fits else ""
    own = model.hosting_usd_per_hour if isinstance(model, ModelSpec) else None
    if arm not in stored.tuned:
        asked = isinstance(model, ModelSpec) and model.base_url is not None and name == model.id
        return (own or 0.0) * HOURS_A_MONTH if asked and not name.startswith("azure/") else 0.0
    for hourly in (stored.benchmark.economics.hosting_usd_per_hour, own):
        if hourly is not None:
            return hourly * HOURS_A_MONTH
    if name.startswith("azure/"):
        hourly = prices.hosting_price("azure").usd
        return None if hourly is None else hourly * HOURS_A_MONTH
    return 0.0


def _reason(stored: Stored, arm: str, usd: float | None) -> str:
    if usd is not None:
        return ""
    if stored.board.efforts[arm].compute_seconds:
        return "no price of this machine's time; `economics: {local_usd_per_hour: 0.20}` sets one"
    name = stored.fits[arm].model if arm in stored.fits else ""
    return (
        f"no price of {name or 'this model'} is known; `model: {{usd_per_mtok: {{input: ..., output: ...}}}}` sets one"
    )


def ledgers(stored: Stored) -> dict[str, Ledger]:
    """The candidate against every other arm; an unknown price is a column of zeros, for a page to fill in."""
    candidate, made = stored.verdict.candidate, dict[str, Ledger]()
    if candidate is None or candidate not in stored.board.arms:
        return made
    for arm in stored.board.arms:
        comparison = None if arm == candidate else stored.against(candidate, arm)
        if comparison is None:
            continue
        d = stored.board.oriented(candidate, stored.primary) - stored.board.oriented(arm, stored.primary)
        theirs, ours = (_priced(stored, a) for a in (arm, candidate))
        most = stored.board.dearest
        found = economics.ledger(d, theirs, ours, stored.board.clusters, (most.get(arm), most.get(candidate)))
        verdict = stored.verdict.comparison
        chosen = verdict if verdict is not None and arm == stored.verdict.baseline else comparison
        quantile = float(stdtrit(found.df, 1 - stored.benchmark.verdict.alpha / 2))
        seen = stored.verdict.reason == "leakage"  # what was seen before shows no quality
        made[arm] = Ledger(arm, found, "unclear" if seen else chosen.label, quantile)
    return made


def _priced(stored: Stored, arm: str) -> NDArray[np.float64]:
    return stored.board.usd[arm] if stored.board.efforts[arm].usd is not None else np.zeros(len(stored.board.ids))


def retirement(stored: Stored) -> date | None:
    """The day on which the base model of the fine-tune is shut down, where one is known."""
    model = stored.benchmark.model
    candidate = stored.verdict.candidate
    fit = stored.fits.get(candidate) if candidate else None
    artifact = fit.artifact if fit else None
    own = artifact is None or artifact.base in ("", model if isinstance(model, str) else model.id)
    if own and isinstance(model, ModelSpec) and model.retires:
        return date.fromisoformat(model.retires)
    if artifact and artifact.info.get("retires"):  # the provider's word, read when it was tuned
        return date.fromisoformat(str(artifact.info["retires"]))
    return prices.retirement(fit.model if fit else model if isinstance(model, str) else model.id)


def terms_of(stored: Stored, billed: Mapping[str, Bill], baseline: str) -> tuple[Terms, Life] | str:
    """The terms as the benchmark states them, or what is lacking."""
    candidate, spec = stored.verdict.candidate, stored.benchmark.economics
    assert candidate is not None
    ours, theirs = billed[candidate], billed[baseline]
    lived = economics.life(spec.horizon_months, stored.day, retirement(stored), spec.retrain_every_months)
    if spec.requests_per_month is None:
        return "the volume is not said; `economics: {requests_per_month: 10000}` says it"
    for bill in (ours, theirs):
        if bill.usd_a_task is None:
            return f"{bill.arm}: {bill.reason}"
        if bill.fixed is None:
            lacking = {
                "labelled rows": ("labelling", "labelling_usd_per_row: 0.80"),
                "training": ("training", "local_usd_per_hour: 0.20"),
                "the dev trials": ("trials", "local_usd_per_hour: 0.20"),
                "an hour of work": ("effort", "usd_per_hour: 60"),
            }
            name, line = next((n, y) for n, (f, y) in lacking.items() if getattr(bill, f) is None)
            return f"no price of {name} ({bill.arm}); `economics: {{{line}}}` sets one"
        if bill.hosting_month is None:
            return f"no hosting price of {bill.arm}; `economics: {{hosting_usd_per_hour: 1.70}}` sets one"
    assert ours.fixed is not None
    assert theirs.fixed is not None
    hosting = (ours.hosting_month or 0.0) - (theirs.hosting_month or 0.0)
    terms = Terms(
        fixed=ours.fixed - theirs.fixed,
        hosting=hosting,
        requests=spec.requests_per_month,
        months=lived.months,
        value=spec.value_per_correct or 0.0,
    )
    return terms, lived


def worth(stored: Stored, billed: Mapping[str, Bill], ledger: Ledger | None) -> Worth | str:
    """The answer to "is it worth it?", or what is lacking for one."""
    if ledger is None or stored.verdict.candidate is None:
        return "there is no fine-tuned arm and baseline to hold against each other"
    lacking = terms_of(stored, billed, ledger.baseline)
    if isinstance(lacking, str):
        return lacking
    terms, lived = lacking
    alpha = stored.benchmark.verdict.alpha
    saved = economics.saving(ledger.found, alpha)
    net = economics.net_benefit(ledger.found, terms, alpha)
    after = combine(ledger.found, (0.0, 1.0, -1.0), -terms.overhead, alpha)
    stands = economics.quadrant(ledger.label, ledger.found.mean[0], after)  # type: ignore[arg-type]
    answer = net.answer if terms.value else stands.answer
    bound = {"yes": "low", "no": "high"}.get(answer, "mean")
    month = replace(after, **{k: getattr(after, k) * terms.requests for k in ("mean", "low", "high", "middle", "se")})
    paid = economics.payback(saved, terms)
    return Worth(
        candidate=stored.verdict.candidate,
        baseline=ledger.baseline,
        answer=answer,
        sentence=_sentence(answer, terms, net, stands, month) + _paid(paid, terms, stands, stored.day),
        terms=terms,
        life=lived,
        saved=saved,
        month=month,
        break_even=economics.break_even(saved, terms),
        payback=paid,
        net=net,
        quadrant=stands,
        flips=economics.flips(ledger.found, terms, bound, alpha),  # type: ignore[arg-type]
        volume_for_hosting=economics.hosting_first(saved.mean, terms.hosting),
    )


def payoff(found: Worth | str) -> Payoff:
    """The answer as `verdict.json` keeps it."""
    if isinstance(found, str):
        return Payoff("unknown", found)

    def known(value: float) -> float | None:
        return value if math.isfinite(value) else None

    return Payoff(
        answer=found.answer,  # type: ignore[arg-type]
        sentence=found.sentence,
        usd_a_month=found.month.mean,
        low=known(found.month.low),
        high=known(found.month.high),
        payback_months=known(found.payback.months),
        payback_low=known(found.payback.low),
        payback_high=known(found.payback.high),
        break_even=found.break_even.kind,
        break_even_requests=known(found.break_even.requests),
        break_even_low=known(found.break_even.low),
        break_even_high=known(found.break_even.high),
        life_months=float(found.terms.months),
    )


def _sentence(answer: str, terms: Terms, net: NetBenefit, stands: Quadrant, month: Interval) -> str:
    from harness.report.figures import about, months, usd

    span = f"over {months(terms.months)}"
    if terms.value:
        total = f"{usd(net.per_task * terms.requests)} a month"
        between = _between(net.low * terms.requests, net.high * terms.requests)
        word = {"yes": "Worth it", "no": "Not worth it"}.get(answer, "Whether it is worth it stays open")
        return f"{word}: at {usd(terms.value)} a correct answer the net benefit is {total}{between} {span}."
    lower, upper = sorted((abs(month.low), abs(month.high)))
    money = f"{usd(abs(month.mean))} a month{_between(lower, upper)}"
    volume = f"at {about(terms.requests)} requests a month {span}"
    match stands.name:
        case "dominates":
            return f"Worth it: at least as good and {money} cheaper {volume}, all counted."
        case "dominated":
            return f"Not worth it: no better and {money} dearer {volume}, all counted."
        case "dearer_better":
            rate = usd(stands.usd_per_correct)
            return f"It depends: better and {money} dearer {volume}: {rate} for each extra correct answer."
        case "cheaper_worse":
            rate = usd(stands.usd_per_correct)
            return f"It depends: worse and {money} cheaper {volume}: it saves {rate} for each correct answer given up."
        case "inconclusive":
            word, sign = ("saves", 1) if month.mean >= 0 else ("costs", -1)
            lower, upper = sorted((sign * month.low, sign * month.high))
            each = f"{usd(sign * month.mean)} a month{_between(lower, upper)}{' more' if sign < 0 else ''}"
            return f"Whether it is worth it stays open: it {word} {each} {volume}, all counted."


def _between(low: float, high: float) -> str:
    """An interval in dollars, where its ends are not the same figure."""
    from harness.report.figures import usd

    return f" [{usd(low)}, {usd(high)}]" if usd(low) != usd(high) else ""


def _paid(paid: Payback, terms: Terms, stands: Quadrant, day: date) -> str:
    """When what is saved earns the fixed cost back, in a sentence of its own, where that is the question."""
    from harness.report.figures import day_after, months

    if not paid.months or terms.value or stands.name == "dominated":
        return ""
    if paid.months == float("inf"):
        return " It does not pay back."
    if paid.months > terms.months:
        return f" It would pay back in {months(paid.months)} and lives {months(terms.months)}."
    when = f"{months(paid.months)}, by {day_after(day, paid.months)}"
    sure = paid.answer == "yes"
    return f" It pays back in {when}." if sure else f" On average it pays back in {when}; that is not sure."
