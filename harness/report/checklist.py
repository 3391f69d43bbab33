"""The lesson's checklist: nine questions before a fine-tune, each answered with a figure that this run measured.

What was not measured says so, with the line of the benchmark file that would measure it, or the step that would.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from harness.report import figures
from harness.report.figures import Fact
from harness.report.money import Bill, Worth, retirement
from harness.report.stored import Stored
from harness.report.text import one_line
from harness.spec import ModelSpec

NOT = "not measured"
INVENTED = {
    "unsupported_items": "invented",
    "hallucination": "hallucinated",
    "abstention": "answered or abstained where it should",
}


@dataclass(frozen=True)
class Question:
    """One row: the topic, the question, and the figures that answer it."""

    topic: str
    question: str
    facts: tuple[Fact, ...]


def checklist(stored: Stored, billed: Mapping[str, Bill], worth: Worth | str) -> tuple[Question, ...]:
    """The nine rows, in the lesson's order."""
    return (
        Question("Use case", "What should improve?", _use_case(stored)),
        Question("Alternatives", "Were prompt, few-shot and RAG tried?", _alternatives(stored, billed)),
        Question("Tunability", "Can this model be tuned?", _tunability(stored)),
        Question("Effort", "Preparing, evaluating, refining?", _effort(stored, billed)),
        Question("Compute", "Jobs and serving?", _compute(stored, billed)),
        Question("Data", "Are there enough good examples?", _data(stored)),
        Question("Quality", "Is it better than the baseline?", _quality(stored)),
        Question("Cost", "Does it need fewer tokens?", _cost(stored, billed, worth)),
        Question("Extensibility", "Can the base be used again?", _extensibility(stored)),
    )


def _score(stored: Stored, arm: str, metric: str = "") -> str:
    cell = stored.cells[arm, metric or stored.primary]
    if not cell.n:
        return "no score"
    between = figures.score_interval(cell.low, cell.high)
    return f"{figures.score(cell.mean, cell.low, cell.high)} of 100 ({between})"


def _plain_arms(stored: Stored, kind: str) -> list[str]:
    return [a for a in stored.board.arms if stored.benchmark.arms[a].kind == kind and a not in stored.tuned]


def _best(stored: Stored, arms: list[str]) -> str | None:
    def mean(arm: str) -> float:
        cell = stored.cells[arm, stored.primary]
        return cell.mean if stored.board.metrics[stored.primary] else -cell.mean

    return max(arms, key=mean, default=None)


def _use_case(stored: Stored) -> tuple[Fact, ...]:
    aim = stored.benchmark.use_case
    facts = [
        Fact("aim", one_line(aim.improve, 300), f"because {one_line(aim.because, 300)}" if aim.because else "")
        if aim
        else Fact("aim", "not said", yaml='use_case: {improve: "what should get better"}')
    ]
    prompt = _best(stored, _plain_arms(stored, "prompt"))
    if prompt is None:
        facts.append(Fact("score with a prompt alone", NOT, yaml='arms: {prompt: {technique: prompt, system: "..."}}'))
    else:
        facts.append(Fact("score with a prompt alone", _score(stored, prompt), f"arm {prompt}, {stored.primary}"))
        facts.append(Fact("its errors", *_errors(stored, prompt)))
        rule = _best(stored, _plain_arms(stored, "rule"))
        top = stored.cells[prompt, stored.primary]
        if rule is None:
            line = 'arms: {rule: {technique: rule, call: "rule.py:answer"}}'
            facts.append(Fact("a rule without a model", NOT, yaml=line))
        else:
            floor = stored.cells[rule, stored.primary].mean
            gap = 100 * (top.mean - floor)
            said = f"the prompt is {abs(gap):.0f} points {'above' if gap >= 0 else 'below'} it"
            facts.append(Fact("a rule without a model", _score(stored, rule), said))
        facts += _classifier(stored, top.mean)
        agreement: Any = stored.extras.get("agreement")
        best = float(agreement["mean"]) if isinstance(agreement, dict) else 1.0
        room = 100 * (best - top.mean) if stored.board.metrics[stored.primary] else 100 * top.mean
        to = "to the agreement of two labelling passes" if best < 1 else "to a perfect score"
        facts.append(Fact("headroom", f"{room:.0f} points", to))
    return tuple(facts)


def _classifier(stored: Stored, prompt: float) -> list[Fact]:
    """The other floor, where answers are labels."""
    if stored.benchmark.task.answer.format != "label":
        return []
    name, arm = "a classifier without a language model", _best(stored, _plain_arms(stored, "classifier"))
    if arm is None:
        return [Fact(name, NOT, yaml="arms: {classifier: {technique: classifier, C: [1, 10]}}")]
    gap = 100 * (prompt - stored.cells[arm, stored.primary].mean)
    said = f"the prompt is {abs(gap):.0f} points {'above' if gap >= 0 else 'below'} it"
    return [Fact(name, _score(stored, arm), said)]


def _errors(stored: Stored, arm: str) -> tuple[str, str]:
    failures = stored.board.efforts[arm].failures
    values = stored.board.oriented(arm, stored.primary)
    n = int((~np.isnan(values)).sum())
    good = int((values >= 0.999).sum())
    failed = sum(failures.values())
    classes = ", ".join(f"{count} {name}" for name, count in failures.items()) or "none failed"
    return (
        f"{figures.share(n - good, n)} not fully right",
        f"{good} right, {n - good - failed} partly or wrong; {classes}",
    )


def _alternatives(stored: Stored, billed: Mapping[str, Bill]) -> tuple[Fact, ...]:
    facts: list[Fact] = []
    lines = {
        "prompt": 'arms: {prompt: {technique: prompt, system: ["...", "..."]}}',
        "few_shot": "arms: {few_shot: {technique: few_shot, k: [3, 6], select: [random, nearest]}}",
        "rag": "arms: {rag: {technique: rag, documents: documents.jsonl, top_k: [3, 6]}}",
    }
    for kind, line in lines.items():
        arms = _plain_arms(stored, kind)
        for arm in arms:
            effort, fit = stored.board.efforts[arm], stored.fits.get(arm)
            cost = billed[arm].usd_a_task
            each = "price unknown" if cost is None else f"{figures.usd(1000 * cost)} per 1,000 tasks"
            trials = figures.many(fit.cost.trials if fit else 0, "dev trial")
            note = f"{effort.input_tokens:,.0f} prompt tokens a task, {each}, {trials}"
            if (found := stored.recall(arm)) is not None:
                note += f"; its {found.k} passages hold {100 * found.mean:.1f} % of the relevant documents"
            facts.append(Fact(arm, _score(stored, arm), note))
        if not arms:
            facts.append(Fact(kind.replace("_", "-"), NOT, yaml=line))
    return tuple(facts)


def _tunability(stored: Stored) -> tuple[Fact, ...]:
    made = [(a, f) for a, f in stored.fits.items() if f.artifact]
    facts: list[Fact] = []
    if not made:
        facts.append(Fact("trained here", NOT, yaml="arms: {fine_tuned: {technique: fine_tune, tuner: trl}}"))
    for arm, fit in made:
        assert fit.artifact
        if fit.artifact.tuner == "existing":
            facts.append(Fact(arm, "yes", f"a tuned model that was there before: {one_line(fit.artifact.model, 80)}"))
            continue
        spent = f"{figures.count(fit.cost.trained_tokens)} tokens in {figures.seconds(fit.cost.train_seconds)}"
        facts.append(
            Fact(arm, "yes, it was trained", f"{fit.artifact.tuner} on {one_line(fit.artifact.base, 60)}: {spent}")
        )
    ends = retirement(stored)
    model = stored.benchmark.model
    name = model if isinstance(model, str) else model.id
    if ends is not None:
        left = max((ends - stored.day).days, 0)
        facts.append(
            Fact("life left", figures.many(left, "day"), f"{one_line(name, 60)} is shut down on {ends:%d %B %Y}")
        )
    elif name.startswith(("openai/", "azure/")) or isinstance(model, ModelSpec):
        line = f'model: {{id: {one_line(name, 60)}, retires: "2027-01-31"}}'
        facts.append(Fact("life left", "no date known", yaml=line))
    else:
        facts.append(Fact("life left", "no end", "the weights are files of your own"))
    own = name.startswith(("local/", "hf/", ".", "/"))
    served = "anyone with the weights" if own else "the provider alone" if "/" in name else "its endpoint"
    facts.append(Fact("who may serve it", served))
    return tuple(facts)


def _effort(stored: Stored, billed: Mapping[str, Bill]) -> tuple[Fact, ...]:
    facts: list[Fact] = []
    spec = stored.benchmark.economics
    for arm in stored.board.arms:
        fit = stored.fits.get(arm)
        if fit is None:
            continue
        took = figures.seconds(fit.cost.seconds) if fit.cost.seconds else "no time worth naming"
        labels = f", {figures.many(fit.cost.labelled_rows, 'labelled row')}" if fit.cost.labelled_rows else ""
        facts.append(Fact(arm, figures.many(fit.cost.trials, "dev trial"), f"{took} to fit{labels}"))
    if spec.effort_hours is not None and spec.usd_per_hour is not None:
        cost = figures.usd(spec.effort_hours * spec.usd_per_hour)
        facts.append(
            Fact("declared work", f"{spec.effort_hours:g} h", f"at {figures.usd(spec.usd_per_hour)} an hour: {cost}")
        )
    else:
        facts.append(Fact("declared work", "not said", yaml="economics: {effort_hours: 6, usd_per_hour: 60}"))
    return tuple(facts)


def _compute(stored: Stored, billed: Mapping[str, Bill]) -> tuple[Fact, ...]:
    facts: list[Fact] = []
    for arm in stored.tuned:
        fit, bill = stored.fits.get(arm), billed.get(arm)
        if fit is None or bill is None or not fit.artifact:
            continue
        cost = "price unknown" if bill.training is None else figures.usd(bill.training)
        tokens = f"{figures.count(fit.cost.trained_tokens)} tokens (rows x epochs)"
        if fit.artifact.tuner == "existing":
            facts.append(Fact(f"training {arm}", "not counted", "it was trained before this run"))
        else:
            took = f"{tokens} in {figures.seconds(fit.cost.train_seconds)}{_guessed(stored, arm)}"
            facts.append(Fact(f"training {arm}", cost, took))
        hosting = bill.hosting_month
        said = "unknown" if hosting is None else f"{figures.usd(hosting)} a month" if hosting else "none"
        note = "" if hosting else "the machine is charged by the seconds that tasks take; a reserved one is not counted"
        line = "" if hosting else "economics: {hosting_usd_per_hour: 1.70}"
        facts.append(Fact(f"hosting {arm}", said, note, line))
    facts += _estimated(stored)
    if not facts:
        facts.append(Fact("training", NOT, yaml="arms: {fine_tuned: {technique: fine_tune, tuner: trl}}"))
    return tuple(facts)


def _guessed(stored: Stored, arm: str) -> str:
    """What the estimate said of an arm's training, where one was stored."""
    found: Any = stored.extras.get("estimate")
    arms: list[dict[str, Any]] = found.get("arms", []) if isinstance(found, dict) else []
    guess = next((a.get("train_seconds") for a in arms if a.get("arm") == arm), None)
    return f"; estimated {figures.seconds(float(guess))}" if guess else ""


def _estimated(stored: Stored) -> list[Fact]:
    """Estimate beside actual, where the run wrote one down."""
    found: Any = stored.extras.get("estimate") or stored.manifest.estimate
    actual = stored.manifest.actual.get("seconds")
    span = found.get("seconds") if isinstance(found, dict) else None  # pyright: ignore[reportUnknownMemberType]
    facts: list[Fact] = []
    if isinstance(span, list | tuple) and len(span) == 2 and isinstance(actual, int | float):
        low, high = (float(s) for s in span)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        note = f"estimated {figures.seconds(low)} to {figures.seconds(high)}"
        facts.append(Fact("whole run", figures.seconds(float(actual)), note))
    elif isinstance(actual, int | float):
        facts.append(Fact("whole run", figures.seconds(float(actual)), "no estimate was stored"))
    return facts


def _agreement(stored: Stored) -> Fact:
    """How far two labelling passes agree: what no arm can be expected to exceed."""
    name, found = "agreement of two labelling passes", stored.extras.get("agreement")
    if not isinstance(found, dict):
        return Fact(name, NOT, "label 60 rows again from the guide alone, as `second_pass.jsonl` beside the rows")
    got = cast("dict[str, float]", found)
    value = figures.score(got["mean"], got["low"], got["high"])
    return Fact(name, f"{value} of 100 ({figures.score_interval(got['low'], got['high'])})", f"{got['n']:.0f} rows")


def _data(stored: Stored) -> tuple[Fact, ...]:
    rows = max((f.cost.labelled_rows for f in stored.fits.values()), default=0)
    dev = max((t.n for f in stored.fits.values() for t in f.trials), default=0)
    test = len(stored.board.ids)
    clusters = len({c for c in stored.board.clusters or () if c})
    grouped = f" in {figures.many(clusters, 'cluster')}" if clusters else ""
    facts = [
        Fact(
            "examples",
            f"{rows:,} to train on, {dev:,} dev, {test:,} test",
            f"test examples{grouped}" if grouped else "",
        )
    ]
    found: Any = stored.extras.get("hygiene")
    if isinstance(found, list):
        kinds = [str(f.get("severity", "")) for f in found if isinstance(f, dict)]  # pyright: ignore
        errors = kinds.count("error")
        said = "none" if not kinds else f"{errors} certain, {len(kinds) - errors} for review"
        facts.append(Fact("duplicates and leaks", said, "test rows seen in train, dev, shots or documents"))
    else:
        facts.append(Fact("duplicates and leaks", NOT, "`harness check FILE` lists them"))
    facts.append(_agreement(stored))
    shots = [t for f in stored.fits.values() for t in f.trials if "rows" in t.config]
    if shots:
        best = max(shots, key=lambda t: t.score)
        facts.append(Fact("more data", f"dev score {100 * best.score:.1f} at {best.config['rows']} rows"))
    else:
        line = f"arms: {{half: {{technique: fine_tune, tuner: trl, rows: {max(rows // 2, 10)}}}}}"
        facts.append(Fact("gain expected from more data", NOT, "an arm on half of the rows shows it", line))
    return tuple(facts)


def _quality(stored: Stored) -> tuple[Fact, ...]:
    made, facts = stored.verdict.comparison, list[Fact]()
    if made is None:
        return (Fact("difference", NOT, yaml="arms: {fine_tuned: {technique: fine_tune, tuner: trl}}"),)
    between = figures.points_interval(made.low, made.high)
    note = f"{between}; {figures.p_value(made.p)}; {made.candidate} against {made.baseline}, {made.metric}"
    facts.append(Fact("difference", f"{figures.points(made.delta, made.low, made.high)} points", note))
    lost = f"{figures.share(made.lost_half, 1)} of examples lost half or more"
    facts.append(Fact("won and lost", f"{made.won} won, {made.lost} lost, {made.tied} tied", lost))
    for metric, spec in stored.benchmark.metrics.items():
        if spec.scorer in INVENTED and metric in stored.board.metrics:
            other = stored.cells[made.baseline, metric].mean
            note = f"{100 * other:.1f} with {made.baseline}"
            note += "" if stored.board.metrics[metric] else "; less is better"
            facts.append(Fact(INVENTED[spec.scorer], _score(stored, made.candidate, metric), note))
    if not any(s.scorer in ("unsupported_items", "hallucination") for s in stored.benchmark.metrics.values()):
        facts.append(Fact("invented", NOT, yaml="metrics: {invented: {scorer: unsupported_items}}"))
    if not stored.benchmark.task.answer.abstain:
        line = 'task: {answer: {abstain: "I do not know"}}'
        facts.append(Fact("abstained", NOT, "answers have no way to abstain", line))
    fit = stored.fits.get(made.candidate)
    if fit and fit.artifact and fit.artifact.checkpoint:
        tried = figures.many(len(fit.trials), "checkpoint")
        facts.append(Fact("best checkpoint", one_line(fit.artifact.checkpoint, 60), f"chosen on dev among {tried}"))
    return tuple(facts)


def _cost(stored: Stored, billed: Mapping[str, Bill], worth: Worth | str) -> tuple[Fact, ...]:
    facts: list[Fact] = []
    for arm in dict.fromkeys(a for a in (stored.verdict.candidate, stored.verdict.baseline) if a):
        if arm not in billed:
            continue
        effort, bill = stored.board.efforts[arm], billed[arm]
        each = "price unknown" if bill.usd_a_task is None else f"{figures.usd(1000 * bill.usd_a_task)} per 1,000 tasks"
        right = "" if bill.per_correct is None else f", {figures.usd(bill.per_correct)} a correct answer"
        facts.append(Fact(arm, f"{effort.input_tokens:,.0f} prompt tokens a task", each + right))
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
        facts.append(Fact("break-even", said, note))
    else:
        facts.append(Fact("break-even", "not priced", worth))
    hybrids = [a for a in stored.tuned if stored.benchmark.arms[a].kind == "few_shot"]
    for arm in hybrids:
        fit = stored.fits.get(arm)
        k = fit.recipe.get("k", 0) if fit else 0
        facts.append(Fact(f"shots that {arm} still uses", str(k), _score(stored, arm)))
    own = next((a for a in stored.tuned if stored.benchmark.arms[a].kind == "fine_tune"), "")
    if not hybrids and own:
        line = f"arms: {{tuned_shots: {{technique: few_shot, model: {own}, k: [1, 3]}}}}"
        facts.append(Fact("shots that the tuned model still needs", NOT, yaml=line))
    return tuple(facts)


def _extensibility(stored: Stored) -> tuple[Fact, ...]:
    advice = "run a benchmark of a second domain twice, with the base and with the tuned model, and `harness compare`"
    return (Fact("second domain before and after", NOT, advice),)
