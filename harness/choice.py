"""What is decided before the first test call, from dev alone: the baseline, and the candidates in their order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf

import msgspec

from harness.records import Fit, Frozen
from harness.references import is_tuned, tuned_by
from harness.spec import Benchmark
from harness.techniques import Cascade


def ordered(benchmark: Benchmark) -> list[str]:
    """Arms, each after those that it stands on; otherwise as written."""
    done: list[str] = []

    def visit(name: str) -> None:
        if name in done:
            return
        for other in benchmark.arms[name].stands_on:
            if other in benchmark.arms:
                visit(other)
        done.append(name)

    for name in benchmark.arms:
        visit(name)
    return done


def frozen_choice(benchmark: Benchmark, fits: Mapping[str, Fit]) -> Frozen:
    """Baseline and candidates, from dev scores and nothing else (ties: the cheaper arm)."""
    tuned = [n for n in benchmark.arms if is_tuned(n, benchmark.arms)]
    plain = [n for n in benchmark.arms if n not in tuned]
    digests = {n: f.digest for n, f in fits.items()}
    candidates = [benchmark.candidate] if benchmark.candidate else best_on_dev(tuned, fits)
    names = tuple(c for c in candidates if c)
    if benchmark.baseline not in ("auto", "best_of_all"):
        return Frozen(benchmark.baseline, names, "named", "named in the benchmark file", digests)
    scored = [n for n in plain if fits[n].dev_score is not None]
    if benchmark.baseline == "best_of_all" or (plain and not scored):
        return Frozen(None, names, "best_of_all", "no choice on dev: the candidate must beat every other arm", digests)
    if not scored:
        return Frozen(None, names, "auto", "no arm without fine-tuning", digests)
    best = best_on_dev(scored, fits)[0]
    because = f"the best mean on dev without fine-tuning: {fits[best].dev_score:.3f}"
    return Frozen(best, names, "auto", because, digests)


def with_tuning(name: str, fit: Fit, fits: Mapping[str, Fit], benchmark: Benchmark) -> Fit:
    """An arm's fit with what the tuned models that it answers on cost: none of them is had for nothing.

    Labelled rows are not added up: the arms share the train rows.
    """
    technique, tuned = benchmark.arms[name], tuned_by(name, benchmark.arms)
    shared = {*tuned, *(technique.stands_on if isinstance(technique, Cascade) else ())}
    rows = [fit.cost.labelled_rows, *(fits[o].cost.labelled_rows for o in shared if o in fits)]
    cost = msgspec.structs.replace(fit.cost, labelled_rows=max(rows))
    for other in tuned:
        made = fits.get(other)
        if other == name or made is None or (made.artifact and made.artifact.tuner == "existing"):
            continue
        known = cost.train_usd is not None and made.cost.train_usd is not None
        cost = msgspec.structs.replace(
            cost,
            trained_tokens=cost.trained_tokens + made.cost.trained_tokens,
            train_seconds=cost.train_seconds + made.cost.train_seconds,
            train_usd=(cost.train_usd or 0.0) + (made.cost.train_usd or 0.0) if known else None,
        )
    return msgspec.structs.replace(fit, cost=cost)


def best_on_dev(arms: Sequence[str], fits: Mapping[str, Fit]) -> list[str]:
    """Arms by their dev score, the best first; of equal ones the cheaper, then the one written first.

    Arms on one model are cheaper by prompt tokens, which have no noise; arms on several by what a dev row cost.
    """
    several = len({fits[n].model for n in arms} - {"none"}) > 1

    def rank(name: str) -> tuple[float, float, float]:
        kept = next((t for t in fits[name].trials if t.kept), None)
        usd = 0.0 if kept is None or not several else inf if kept.usd is None else kept.usd / max(kept.n, 1)
        return (-round(fits[name].dev_score or 0.0, 12), usd, kept.input_tokens if kept else 0.0)

    return sorted(arms, key=rank)
