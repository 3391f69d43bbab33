"""The lesson's checklist: nine questions before a fine-tune, each answered with a figure that this run measured.

What was not measured says so, with the line of the benchmark file that would measure it, or the step that would.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.records import DevTrial
from harness.report import figures
from harness.report.figures import Fact
from harness.report.learned import data, extensibility, quality
from harness.report.money import Bill, Worth, retirement
from harness.report.spent import compute, cost, effort, per_thousand
from harness.report.stored import NOT, Stored
from harness.report.text import one_line
from harness.spec import ModelSpec


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
        Question("Effort", "Preparing, evaluating, refining?", effort(stored)),
        Question("Compute", "Jobs and serving?", compute(stored, billed)),
        Question("Data", "Are there enough good examples?", data(stored)),
        Question("Quality", "Is it better than the baseline?", quality(stored)),
        Question("Cost", "Does it need fewer tokens?", cost(stored, billed, worth)),
        Question("Extensibility", "Can the base be used again?", extensibility(stored)),
    )


def _use_case(stored: Stored) -> tuple[Fact, ...]:
    aim = stored.benchmark.use_case
    facts = [
        Fact("aim", one_line(aim.improve, 300), f"because {one_line(aim.because, 300)}" if aim.because else "")
        if aim
        else Fact("aim", "not said", yaml='use_case: {improve: "what should get better"}')
    ]
    prompt = stored.best(stored.plain("prompt"))
    if prompt is None:
        facts.append(Fact("score with a prompt alone", NOT, yaml='arms: {prompt: {technique: prompt, system: "..."}}'))
        return tuple(facts)
    facts.append(Fact("score with a prompt alone", stored.score(prompt), f"arm {prompt}, {stored.primary}"))
    facts.append(Fact("its errors", *_errors(stored, prompt)))
    up, top = stored.board.metrics[stored.primary], stored.cells[prompt, stored.primary].mean
    floor = stored.best([*stored.plain("rule"), *stored.plain("classifier")])
    if floor is None:
        line = 'arms: {rule: {technique: rule, call: "rule.py:answer"}}'
        facts.append(Fact("a rule without a model", NOT, yaml=line))
    else:
        gap = 100 * (top - stored.cells[floor, stored.primary].mean) * (1 if up else -1)
        said = f"the prompt is {abs(gap):.0f} points {'above' if gap >= 0 else 'below'} it"
        facts.append(Fact(f"{floor}, without a language model", stored.score(floor), said))
    agreement: Any = stored.extras.get("agreement")
    best = float(agreement["mean"]) if isinstance(agreement, dict) else 1.0
    to = f"to the agreement of two labelling passes ({100 * best:.0f})" if best < 1 else "to a perfect score"

    def room(arm: str) -> str:
        found = stored.cells[arm, stored.primary].mean
        return f"{max(100 * (best - found if up else found), 0):.0f} points above {arm}"

    facts.append(Fact("headroom", " and ".join(room(a) for a in (prompt, floor) if a), to))
    return tuple(facts)


def _errors(stored: Stored, arm: str) -> tuple[str, str]:
    failures = stored.board.efforts[arm].failures
    values = stored.board.oriented(arm, stored.primary)
    n = int((~np.isnan(values)).sum())
    good = int((values >= 0.999).sum())
    failed = sum(failures.values())
    classes = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in failures.items()) or "none failed"
    return (
        f"{figures.share(n - good, n)} not fully right",
        f"{good} right, {max(n - good - failed, 0)} partly or wrong; {classes}",
    )


def _alternatives(stored: Stored, billed: Mapping[str, Bill]) -> tuple[Fact, ...]:
    facts: list[Fact] = []
    lines = {
        "prompt": 'arms: {prompt: {technique: prompt, system: ["...", "..."]}}',
        "few_shot": "arms: {few_shot: {technique: few_shot, k: [3, 6], select: [random, nearest]}}",
        "rag": "arms: {rag: {technique: rag, documents: documents.jsonl, top_k: [3, 6]}}",
    }
    for kind, line in lines.items():
        arms = stored.plain(kind)
        for arm in arms:
            tokens, fit = stored.board.efforts[arm].input_tokens, stored.fits.get(arm)
            trials = figures.many(fit.cost.trials if fit else 0, "dev trial")
            note = f"{tokens:,.0f} prompt tokens a task, {per_thousand(billed[arm].usd_a_task)}, {trials}"
            if (found := stored.recall(arm)) is not None:
                note += f"; its {found.k} passages hold {100 * found.mean:.1f} % of the relevant documents"
            facts.append(Fact(arm, stored.score(arm), note))
            facts += _against_k(stored, arm) if kind == "few_shot" else []
        if not arms:
            facts.append(Fact(kind.replace("_", "-"), NOT, yaml=line))
    return tuple(facts)


def _against_k(stored: Stored, arm: str) -> list[Fact]:
    """Score, tokens and dollars at every k that dev saw, the best of each; what did not fit the context says so."""
    fit = stored.fits.get(arm)
    tried = [t for t in fit.trials if isinstance(t.config.get("k"), int)] if fit else []
    best: dict[int, DevTrial] = {}
    for t in sorted(tried, key=lambda t: t.score):
        best[t.config["k"]] = t
    if len(best) < 3:
        line = f"arms: {{{arm}: {{k_curve: [1, 3, 6, 12, 24]}}}}"
        return [Fact("score against k", NOT, f"dev saw {figures.many(len(best), 'k', 'different k')}", line)]
    parts: list[str] = []
    for k, t in sorted(best.items()):
        usd = figures.usd(None if t.usd is None else 1000 * t.usd / max(t.n, 1))
        failed = f", {t.failures} of {t.n} failed" if t.failures else ""
        parts.append(f"{k}: {100 * t.score:.0f}, {t.input_tokens:,.0f}, {usd}{failed}")
    top = max(best.values(), key=lambda t: t.score)
    rows = figures.many(min(t.n for t in best.values()), "dev row")
    note = f"k: score on at least {rows}, prompt tokens a task, per 1,000 tasks: {'; '.join(parts)}"
    return [Fact("score against k", f"highest at k {top.config['k']}", note)]


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
    facts += _outlook(stored)
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


def _outlook(stored: Stored) -> list[Fact]:
    """What providers said of the models to be tuned before anything was spent."""
    found: Any = stored.extras.get("outlook")
    looks = found.get("models", []) if isinstance(found, dict) else []
    facts: list[Fact] = []
    for look in looks:
        if not look.get("tunable"):
            continue
        value = {"yes": "can be tuned", "no": "cannot be tuned"}.get(look["tunable"], "not said before a job")
        listed = (look.get("listing") or {}).get("listed")
        there = "" if listed is None else "listed; " if listed else "not listed; "
        days = look.get("days")
        left = "" if days is None else f"; {figures.many(max(days, 0), 'day')} of life left then"
        facts.append(Fact("asked before", value, one_line(f"{look['model']}: {there}{look.get('why', '')}{left}", 300)))
    return facts
