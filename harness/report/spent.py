"""What was spent: the checklist's rows on effort, compute and cost, beside what was estimated or declared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from harness.records import Fit
from harness.report import figures
from harness.report.figures import Fact
from harness.report.money import HOURS_A_MONTH, Bill, Worth
from harness.report.stored import NOT, Stored
from harness.report.text import one_line
from harness.spec import ModelSpec

TUNE = "arms: {fine_tuned: {technique: fine_tune, tuner: trl}}"


def per_thousand(usd: float | None) -> str:
    """Dollars a task as dollars per 1,000."""
    return "price unknown" if usd is None else f"{figures.usd(1000 * usd)} per 1,000 tasks"


def effort(stored: Stored) -> tuple[Fact, ...]:
    """Preparing, evaluating, refining: trials and minutes an arm, the training file, jobs, retries, declared hours."""
    facts: list[Fact] = []
    for arm in stored.board.arms:
        if (fit := stored.fits.get(arm)) is not None:
            took = figures.seconds(fit.cost.seconds) if fit.cost.seconds else "no time worth naming"
            spent = "" if not fit.cost.usd else f", {figures.usd(fit.cost.usd)}"
            labels = f", {figures.many(fit.cost.labelled_rows, 'labelled row')}" if fit.cost.labelled_rows else ""
            facts.append(Fact(arm, figures.many(fit.cost.trials, "dev trial"), f"{took} to fit{spent}{labels}"))
    for arm, fit in stored.trained:
        facts += [_file(arm, fit), _jobs(stored, arm, fit)]
    calls = sum(e.attempts for e in stored.board.efforts.values())
    again = calls - sum(e.n for e in stored.board.efforts.values())
    retried = f"{again:,} of them tried again" if again > 0 else "none was tried again"
    facts.append(Fact("calls on test", figures.count(calls), retried))
    spec = stored.benchmark.economics
    if spec.effort_hours is not None and spec.usd_per_hour is not None:
        each, total = figures.usd(spec.usd_per_hour), figures.usd(spec.effort_hours * spec.usd_per_hour)
        facts.append(Fact("declared work", f"{spec.effort_hours:g} h", f"at {each} an hour: {total}"))
    else:
        facts.append(Fact("declared work", "not said", yaml="economics: {effort_hours: 6, usd_per_hour: 60}"))
    return tuple(facts)


def _file(arm: str, fit: Fit) -> Fact:
    """What was found in the training file before the job was started."""
    name, rows = f"training file of {arm}", figures.many(fit.cost.labelled_rows, "row")
    found: Any = (fit.artifact.info if fit.artifact else {}).get("findings")
    if not isinstance(found, list):
        return Fact(name, rows, "checked before the job; an error would have stopped it")
    said = "; ".join(one_line(str(f), 120) for f in found[:3])  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    return Fact(name, f"{rows}, {figures.many(len(found), 'finding')}", said or "nothing to say of it")  # pyright: ignore[reportUnknownArgumentType]


def _jobs(stored: Stored, arm: str, fit: Fit) -> Fact:
    """How many trainings, and the wall time of a step."""
    curve, seeds = stored.learning.get(arm), stored.seed_runs.get(arm)
    beside = [f"{len(curve.points)} for the learning curve"] if curve else []
    beside += [f"{len(seeds.runs)} for other seeds"] if seeds else []
    steps = fit.artifact.curve[-1][0] if fit.artifact and fit.artifact.curve else 0
    took = figures.seconds(fit.cost.train_seconds)
    step = f": {figures.seconds(fit.cost.train_seconds / steps)} a step, {steps:,} steps" if steps else ""
    said = f"{took}{step}" + (f"; beside it {' and '.join(beside)}" if beside else "")
    return Fact(f"training of {arm}", "1 job", said)


def compute(stored: Stored, billed: Mapping[str, Bill]) -> tuple[Fact, ...]:
    """Jobs and serving: tokens and seconds at their prices, the estimate beside the actual, hosting."""
    facts: list[Fact] = []
    for arm in stored.tuned:
        fit, bill = stored.fits.get(arm), billed.get(arm)
        if fit is None or bill is None or not fit.artifact:
            continue
        facts += [_training(stored, arm, fit, bill), _hosting(stored, arm, bill)]
    base = billed.get(stored.verdict.baseline or "")
    if facts and base is not None and base.hosting_month:
        facts.append(_hosting(stored, base.arm, base))
    facts += [*_extras(stored), *_whole(stored, billed)]
    if not stored.tuned:
        facts.insert(0, Fact("training", NOT, yaml=TUNE))
    return tuple(facts)


def _training(stored: Stored, arm: str, fit: Fit, bill: Bill) -> Fact:
    assert fit.artifact
    if fit.artifact.tuner == "existing":
        return Fact(f"training {arm}", "not counted", "it was trained before this run")
    tokens, seconds = fit.cost.trained_tokens, fit.cost.train_seconds
    rate = stored.benchmark.economics.local_usd_per_hour
    if fit.cost.train_usd is not None and fit.cost.train_usd > 0 and tokens:
        per = figures.usd(1e6 * fit.cost.train_usd / tokens)
        made = f"{figures.count(tokens)} tokens (rows x epochs) at {per} per million, {figures.seconds(seconds)}"
    else:
        hours = "" if rate is None else f" at {figures.usd(rate)} an hour"
        made = f"{figures.seconds(seconds)}{hours}; {figures.count(tokens)} tokens (rows x epochs)"
    guess = next((a for a in _estimate(stored).get("arms", []) if a.get("arm") == arm), {})
    if guess.get("train_seconds"):
        made += f"; estimated {figures.seconds(float(guess['train_seconds']))}"
        made += f", {figures.usd(float(guess['train_usd']))}" if guess.get("train_usd") else ""
    return Fact(f"training {arm}", "price unknown" if bill.training is None else figures.usd(bill.training), made)


def _hosting(stored: Stored, arm: str, bill: Bill) -> Fact:
    hosting = bill.hosting_month
    if hosting:
        hourly = f"{figures.usd(hosting / HOURS_A_MONTH)} an hour, used or not"
        return Fact(f"hosting {arm}", f"{figures.usd(hosting)} a month", hourly)
    seconds, rate = stored.board.efforts[arm].compute_seconds, stored.benchmark.economics.local_usd_per_hour
    line = "economics: {hosting_usd_per_hour: 1.70}"
    if hosting is None:
        return Fact(f"hosting {arm}", "unknown", "", line)
    if seconds:
        at = "" if rate is None else f", charged at {figures.usd(rate)} an hour"
        note = f"a task takes {figures.seconds(seconds)} of this machine{at}; a machine kept for it is not counted"
    elif isinstance(stored.benchmark.model, ModelSpec) and stored.benchmark.model.base_url is not None:
        note = "the endpoint is taken to charge by the token; a machine of your own has its price an hour"
    else:
        note = "the provider charges by the token"
    return Fact(f"hosting {arm}", "$0 a month", note, line)


def _extras(stored: Stored) -> list[Fact]:
    """What the learning curve, the seeds and the second domain took, beside what was estimated."""
    asked = _estimate(stored).get("extras", [])
    guesses = {str(e.get("name")): _span(e.get("seconds"), figures.seconds) for e in asked}
    took: list[tuple[str, str, float, float | None]] = []
    for arm, curve in stored.learning.items():
        usd = [p.usd for p in curve.points]
        seconds = sum(p.seconds for p in curve.points)
        took.append((f"learning curve of {arm}", f"{len(curve.points)} trainings", seconds, _sum(usd)))
    for arm, found in stored.seed_runs.items():
        seconds, usd = sum(r.seconds for r in found.runs), [r.usd for r in found.runs]
        took.append((f"training seeds of {arm}", f"{len(found.runs)} trainings", seconds, _sum(usd)))
    if stored.forgetting is not None:
        asked = len(stored.forgetting.examples) * (1 + len(stored.forgetting.arms))
        took.append(("forgetting", f"{asked:,} answers", stored.forgetting.seconds, stored.forgetting.usd))
    facts: list[Fact] = []
    for name, what, seconds, usd in took:
        guess = guesses.get(name)
        beside = f"; {guess}, answers included" if guess else ""
        value = "price unknown" if usd is None else figures.usd(usd)
        label = "second domain" if name == "forgetting" else name
        facts.append(Fact(label, value, f"{what}, {figures.seconds(seconds)}{beside}"))
    return facts


def _whole(stored: Stored, billed: Mapping[str, Bill]) -> list[Fact]:
    """The whole run, estimate beside actual."""
    seconds, facts = stored.manifest.actual.get("seconds"), list[Fact]()
    if isinstance(seconds, int | float):
        note, starts = _band(stored, "seconds", figures.seconds), stored.manifest.actual.get("starts", 1)
        note += f"; {starts} starts together" if starts > 1 else ""
        facts.append(Fact("whole run", figures.seconds(float(seconds)), note))
    spent = _sum([_total(stored, bill) for bill in billed.values()])
    if spent is not None:
        note = f"fits, training and test; {_band(stored, 'usd', figures.usd)}"
        facts.append(Fact("spent on the arms", figures.usd(spent), note))
    return facts


def _total(stored: Stored, bill: Bill) -> float | None:
    if bill.usd_a_task is None or bill.training is None or bill.trials is None:
        return None
    return bill.usd_a_task * stored.board.efforts[bill.arm].n + bill.training + bill.trials


def _band(stored: Stored, name: str, say: Callable[[float], str]) -> str:
    return _span(_estimate(stored).get(name), say) or "not estimated"


def _span(span: Any, say: Callable[[float], str]) -> str:
    if not isinstance(span, list | tuple) or len(span) != 2:  # pyright: ignore[reportUnknownArgumentType]
        return ""
    low, high = (say(float(v)) for v in span)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    return f"estimated {low}" if low == high else f"estimated {low} to {high}"


def _sum(values: list[float | None]) -> float | None:
    return None if None in values else sum(v for v in values if v is not None)


def _estimate(stored: Stored) -> dict[str, Any]:
    found: Any = stored.extras.get("estimate") or stored.manifest.estimate
    return found if isinstance(found, dict) else {}  # pyright: ignore[reportUnknownVariableType]


def cost(stored: Stored, billed: Mapping[str, Bill], worth: Worth | str) -> tuple[Fact, ...]:
    """Prompt tokens and dollars a task and a correct answer, break-even, and what the tuned model still needs."""
    facts: list[Fact] = []
    asked = stored.best([a for kind in ("prompt", "few_shot", "rag") for a in stored.plain(kind)])
    for arm in dict.fromkeys(a for a in (stored.verdict.candidate, stored.verdict.baseline, asked) if a):
        if arm not in billed:
            continue
        tokens, bill = stored.board.efforts[arm].input_tokens, billed[arm]
        known = bill.per_correct is not None and bill.per_correct < float("inf")
        correct = figures.usd(1000 * bill.per_correct) if known and bill.per_correct is not None else ""
        right = f", {correct} per 1,000 correct answers" if correct else ""
        facts.append(Fact(arm, f"{tokens:,.0f} prompt tokens a task", per_thousand(bill.usd_a_task) + right))
    if isinstance(worth, Worth):
        at = worth.break_even
        said = {
            "at": f"after {figures.about(at.requests)} tasks",
            "never": "never",
            "from_first": "from the first task",
            "until": f"cheaper for the first {figures.about(at.requests)} tasks",
        }[at.kind]
        high = "may never" if at.high == float("inf") else figures.about(at.high)
        note = f"{figures.about(at.low)} to {high} tasks" if at.kind in ("at", "until") else ""
        note = note or ("a task costs no less than the baseline's" if at.kind == "never" else "")
        facts.append(Fact("break-even", said, note))
    else:
        facts.append(Fact("break-even", "not priced", worth))
    for arm in [a for a in stored.board.arms if stored.benchmark.arms[a].kind == "cascade"]:
        share = figures.share(stored.board.efforts[arm].handed_on, stored.board.efforts[arm].n)
        note = f"{stored.score(arm)}, {per_thousand(billed[arm].usd_a_task)}"
        facts.append(Fact(f"tasks that {arm} hands on", share, note))
    hybrids = [a for a in stored.tuned if stored.benchmark.arms[a].kind == "few_shot"]
    for arm in hybrids:
        fit = stored.fits.get(arm)
        k = fit.recipe.get("k", 0) if fit else 0
        facts.append(Fact(f"what {figures.many(k, 'shot')} in {arm} bring", *_brought(stored, arm)))
    own = next((a for a in stored.tuned if stored.benchmark.arms[a].kind == "fine_tune"), "")
    if not hybrids and own:
        line = f"arms: {{tuned_shots: {{technique: few_shot, model: {own}, k: [1, 3]}}}}"
        facts.append(Fact("shots that the tuned model still needs", NOT, yaml=line))
    return tuple(facts)


def _brought(stored: Stored, arm: str) -> tuple[str, str]:
    """What shots bring to a tuned model that needs none: the difference to the arm that it answers on."""
    on = stored.benchmark.arms[arm].model
    made = stored.against(arm, on) if isinstance(on, str) and on in stored.board.arms else None
    if made is None:
        return stored.score(arm), ""
    read = {"better": "beyond chance", "worse": "they harm"}.get(made.label, "not beyond chance")
    mine, alone = (stored.board.efforts[a].input_tokens for a in (arm, made.baseline))
    note = f"{read}, against {made.baseline} without: {mine:,.0f} prompt tokens a task instead of {alone:,.0f}"
    return figures.gained(made.delta, made.low, made.high), note
