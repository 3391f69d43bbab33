"""How often do the rules err? Simulates worlds whose truth is known and writes results.md (seeded; minutes on 2 cores).

    python benchmarks/calibration/run.py              the whole table
    python benchmarks/calibration/run.py --quick      fewer worlds and draws, under 30 s, writes nothing
    python benchmarks/calibration/run.py --share .2   all worlds, a fifth of the draws
    python benchmarks/calibration/run.py --minutes 4  stop after 4 minutes; the same command goes on from there

Beside each rule of Harness stand the two that it replaces: ranking by mean ("the higher mean wins") and bars that do
not overlap ("each arm's 95 % interval, no overlap, so they differ"). Exit code 1 when a promise is broken.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent.parent)]

from leaks import KINDS, planted  # noqa: E402
from worlds import (  # noqa: E402
    JUDGES,
    Bills,
    Judge,
    Sample,
    World,
    as_one,
    binary,
    clustered,
    lost_clusters,
    rare_failures,
    set_f1,
    total_losses,
    treasured,
)

from harness import economics, power, stats  # noqa: E402
from harness.agreement import corrected  # noqa: E402
from harness.curve import fit_curve  # noqa: E402
from harness.hygiene import find_leaks, flagged_test_ids  # noqa: E402
from harness.moments import combine  # noqa: E402

SEED = 20260101
SIZES = (20, 50, 100, 200, 500)
DRAWS, SLOW, FEW = 3000, 2000, 400
MARK = "<!-- table -->"
CODE = {
    "stats",
    "evidence",
    "intervals",
    "exact",
    "moments",
    "economics",
    "power",
    "agreement",
    "curve",
    "hygiene",
    "levels",
}


@dataclass(frozen=True)
class Row:
    """One line of a table: its cells, and the promises that it breaks."""

    table: str
    cells: tuple[object, ...]
    broken: tuple[str, ...] = ()


def by_bars(sample: Sample) -> str:
    """The rule "no overlap of the two 95 % bars", clusters unknown to it."""
    a, b = stats.bar(sample.candidate), stats.bar(sample.baseline)
    return "yes" if a.low > b.high else "no" if a.high < b.low else "inconclusive"


def decide(world: World, sample: Sample, min_effect: float = 0.0) -> stats.Difference:
    levels = stats.levels_of(sample.candidate, sample.baseline)
    return stats.decide_difference(sample.d, sample.clusters, binary=world.binary, min_effect=min_effect, levels=levels)


def promise(table: str, name: str, rate: float, limit: float, draws: int, below: bool = True) -> tuple[str, ...]:
    """Empty when the rate keeps its limit. Short runs are allowed three standard errors of the simulation."""
    slack = 0.0 if draws >= SLOW else 3 * np.sqrt(limit * (1 - limit) / draws)
    kept = rate <= limit + slack if below else rate >= limit - slack
    return () if kept else (f"{table}, {name}: {rate:.3f} against {limit}",)


def no_difference(world: World, min_effect: float, draws: int, rng: np.random.Generator) -> Row:
    """The truth is exactly min_effect: every yes is false."""
    yes = no = inside = mean = bars = 0
    for _ in range(draws):
        sample = world.draw(rng, min_effect)
        found = decide(world, sample, min_effect)
        yes += found.answer == "yes"
        no += found.answer == "no"
        inside += found.low <= min_effect <= found.high
        mean += found.mean > min_effect
        bars += by_bars(sample) == "yes"
    name = f"{world.name}, n = {world.n}" + (f", min_effect {min_effect}" if min_effect else "")
    broken = promise("false yes", name, yes / draws, 0.05, draws) + promise("false no", name, no / draws, 0.05, draws)
    broken += promise("coverage", name, inside / draws, 0.93, draws, below=False)
    return Row("false", (name, yes / draws, no / draws, inside / draws, mean / draws, bars / draws), broken)


def at_stated_effect(world: World, min_effect: float, draws: int, rng: np.random.Generator) -> Row:
    """The truth is the effect that the tool itself says it finds 4 times in 5: a fixed point of saying and being."""
    effect, asked = min_effect + 0.1, max(40, draws // 4)
    for _ in range(7):
        samples = [world.draw(rng, effect) for _ in range(asked)]
        stated = [power.detectable(decide(world, sample, min_effect)) for sample in samples]
        effect = (effect + min(float(np.mean(stated)), 1.0)) / 2  # half-way: some worlds change with their effect
    yes = mean = bars = inside = 0
    for _ in range(draws):
        sample = world.draw(rng, effect)
        found = decide(world, sample, min_effect)
        yes += found.answer == "yes"
        inside += found.low <= effect <= found.high
        mean += found.mean > min_effect
        bars += by_bars(sample) == "yes"
    name = f"{world.name}, n = {world.n}" + (f", min_effect {min_effect}" if min_effect else "")
    firm = "indicative" not in decide(world, world.draw(rng, effect)).flags
    name += "" if firm else " (indicative)"
    broken = promise("power", name, yes / draws, 0.78, draws, below=False) if firm else ()
    broken += promise("coverage at effect", name, inside / draws, 0.93, draws, below=False)
    return Row("power", (name, effect, yes / draws, inside / draws, mean / draws, bars / draws), broken)


def guardrail(world: World, draws: int, rng: np.random.Generator) -> Row:
    """The candidate is worse by exactly the margin of 3 points: who says that it is as good, who that it is worse?"""
    kept = lost = inside = mean = 0
    for _ in range(draws):
        sample = world.draw(rng, -0.03)
        levels = stats.levels_of(sample.candidate, sample.baseline)
        found = stats.not_worse(sample.d, sample.clusters, margin=0.03, levels=levels)
        kept += found.answer == "yes"
        lost += found.answer == "no"
        inside += found.low <= -0.03 <= found.high
        mean += found.mean > -0.03
    name = f"{world.name}, n = {world.n}"
    broken = promise("guardrail passes", name, kept / draws, 0.05, draws)
    broken += promise("guardrail fails", name, lost / draws, 0.05, draws)
    broken += promise("coverage of a guardrail", name, inside / draws, 0.93, draws, below=False)
    return Row("guardrail", (name, kept / draws, lost / draws, inside / draws, mean / draws), broken)


def gate(n: int, rare: bool, draws: int, rng: np.random.Generator) -> Row:
    """False alarms on an unchanged system and drops found, margin .03, beside a naive "dropped by over 2 points"."""
    world = rare_failures(n, 0.02, "baseline") if rare else binary(n, 0.2)
    rates: list[float] = []
    for drop in (0.0, 0.05, 0.10):
        failed = naive = passed = 0
        for _ in range(draws):
            d = world.draw(rng, -drop).d
            found = stats.decide_gate(d, margin=0.03)
            failed += found.answer == "fail"
            passed += found.answer == "pass"
            naive += found.mean < -0.02
        rates += [failed / draws, passed / draws, naive / draws]
    limit = 0.045 if rare else 0.03
    broken = promise("gate", f"{world.name}, n = {n}", rates[0], limit, draws)
    broken += promise("gate passes a drop of 5", f"{world.name}, n = {n}", rates[4], 0.05, draws)
    return Row("gate", (f"{world.name}, n = {n}", rates[0], rates[1], rates[3], rates[6], rates[4], rates[2]), broken)


def saving(bills: Bills, draws: int, rng: np.random.Generator) -> Row:
    """Coverage of the saving a task, hence of the break-even that is its image, by five methods."""
    from scipy.special import stdtrit
    from scipy.stats import bootstrap

    truth, fixed = bills.saving(), 1000.0
    scores = binary(bills.n, 0.2) if bills.whole is None else lost_clusters(*bills.whole, "scores", 0.05)
    names = ("t", "percentile", "BCa", "bootstrap-t")
    hits, inside, width, benefit = dict.fromkeys(names, 0), 0, 0.0, 0
    rivals = min(draws, max(50, draws // 5))
    for i in range(draws):
        base, tuned = bills.draw(rng)
        d = scores.draw(rng, 0.05).d
        found = economics.ledger(d, base, tuned, bills.clusters, dearest=bills.dearest)
        saved = economics.saving(found)
        point = economics.break_even(saved, economics.Terms(fixed, 0.0, 1.0, 1.0))
        inside += point.low <= fixed / truth <= point.high
        width += (saved.high - saved.low) / truth / draws
        net = combine(found, (0.5, 1.0, -1.0))
        benefit += net.low <= 0.5 * 0.05 + truth <= net.high
        if i >= rivals:
            continue
        x, n = base - tuned, bills.n
        half = float(stdtrit(n - 1, 0.975)) * x.std(ddof=1) / np.sqrt(n)
        hits["t"] += abs(x.mean() - truth) <= half
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for name, method in (("percentile", "percentile"), ("BCa", "BCa")):
                it = bootstrap((x,), np.mean, n_resamples=499, method=method, rng=rng).confidence_interval
                hits[name] += bool(it.low <= truth <= it.high)
        resampled = x[rng.integers(0, n, (499, n))]
        t = (resampled.mean(1) - x.mean()) / np.maximum(resampled.std(1, ddof=1), 1e-12)
        low, high = np.quantile(t, [0.025, 0.975])
        hits["bootstrap-t"] += x.mean() - high * x.std(ddof=1) <= truth <= x.mean() - low * x.std(ddof=1)
    name = f"{bills.name}, n = {bills.n}"
    broken = promise("break-even", name, inside / draws, 0.93, draws, below=False)
    broken += promise("net benefit", name, benefit / draws, 0.93, draws, below=False)
    return Row("saving", (name, inside / draws, benefit / draws, width / 2, *(hits[k] / rivals for k in names)), broken)


def several(arms: int, draws: int, rng: np.random.Generator) -> Row:
    """Equal fine-tunes against an equal baseline on 200 examples: is any one said to beat it?"""
    holm = picked = mean = best = 0
    for _ in range(draws):
        ease = rng.random(200)
        scores = (rng.random((arms + 1, 200)) < ease).astype(float)
        ds = list(scores[1:] - scores[0])
        holm += any(found.answer == "yes" for found in stats.decide_holm(ds, binary=True))
        chosen = max(ds, key=lambda d: d.mean())
        picked += stats.decide_difference(chosen, binary=True).answer == "yes"
        mean += chosen.mean() > 0
        best += not stats.may_be_best(scores.T)[0]
    name = f"{arms} equal fine-tunes, n = 200"
    broken = promise("several", name, holm / draws, 0.05, draws) + promise("best set", name, best / draws, 0.05, draws)
    return Row("several", (name, holm / draws, picked / draws, mean / draws, best / draws), broken)


def judged(world: World, judge: Judge, draws: int, rng: np.random.Generator) -> Row:
    """No true difference, scores by a judge, labels of 100 examples: who says that there is one?"""
    yes = no = inside = alone = 0
    widths = np.zeros(2)
    for _ in range(draws):
        sample = world.draw(rng, 0.0)
        by_judge, label = judge.judged(sample, rng)
        found = stats.decide_difference(corrected(by_judge, label), sample.clusters)
        yes += found.answer == "yes"
        no += found.answer == "no"
        inside += found.low <= 0 <= found.high
        alone += stats.plus_two(by_judge, sample.clusters).low > 0
        there = ~np.isnan(label)
        names = None if sample.clusters is None else [sample.clusters[i] for i in np.flatnonzero(there)]
        plain = stats.plus_two(label[there], names)
        widths += (found.high - found.low, plain.high - plain.low)
    name = f"{judge.name}; {world.name}, n = {world.n}"
    broken = promise("judge, false yes", name, yes / draws, 0.05, draws)
    broken += promise("judge, false no", name, no / draws, 0.05, draws)
    broken += promise("judge, coverage", name, inside / draws, 0.93, draws, below=False)
    return Row("judge", (name, yes / draws, no / draws, inside / draws, alone / draws, *(widths / draws)), broken)


def learning(exponent: float, draws: int, rng: np.random.Generator) -> Row:
    """Gain from twice the data: 5 sizes, 2 seeds, 120 examples, a true power law and .01 of noise by training seed."""
    sizes = np.array([15, 30, 60, 120, 240])

    def level(m: float) -> float:
        return 0.85 - 0.9 * m**-exponent

    truth, inside, width = level(480) - level(240), 0, 0.0
    for _ in range(draws):
        ease = rng.normal(0, 0.15, 120)
        noise = rng.normal(0, 0.01, (5, 2, 1))
        means = np.array([level(m) for m in sizes])[:, None, None] + noise + ease
        scores = np.clip(means + rng.normal(0, 0.1, (5, 2, 120)), 0, 1)
        found = fit_curve(sizes.tolist(), scores, draws=300)
        inside += found.gain_low <= truth <= found.gain_high
        width += (found.gain_high - found.gain_low) / draws
    return Row("curve", (f"exponent {exponent}", truth, inside / draws, width))


def leaks(kind: str, draws: int, rng: np.random.Generator) -> Row:
    """30 test rows copied into train and changed a little, among 96 honest ones: how many are found, how many more?"""
    found = hits = wrong = naive = 0
    for _ in range(draws):
        tasks, documents, copied = planted(kind, 30, rng)
        flagged = flagged_test_ids(find_leaks(tasks, documents))
        found += len(flagged)
        hits += len(flagged & copied)
        wrong += len(flagged - copied)
        texts = {"\n".join(e.input.values()) for e in tasks.train}
        naive += sum("\n".join(e.input.values()) in texts for e in tasks.test if e.id in copied)
    recall, precision = hits / (30 * draws), 1 - wrong / max(found, 1)
    broken = promise("leaks found", kind, recall, 0.95, SLOW, below=False)
    broken += promise("leaks rightly found", kind, precision, 0.95, SLOW, below=False)
    return Row("leaks", (kind, recall, precision, naive / (30 * draws)), broken)


Job = tuple[Callable[..., Row], tuple[object, ...], int]


def jobs(quick: bool, share: float) -> list[Job]:
    """Every cell: what it runs, on what, how often."""
    draws, slow, few = (150, 50, 30) if quick else (round(share * DRAWS), round(share * SLOW), round(share * FEW))
    sizes = (20, 100) if quick else SIZES
    fails = ((0.01, "candidate"), (0.02, "candidate"), (0.05, "candidate"), (0.02, "baseline"))
    null: list[World] = []
    for n in sizes:
        null += [binary(n, 0.05), binary(n, 0.2), binary(n, 0.5), set_f1(n)]
        null += [rare_failures(n, rate, whose) for rate, whose in fails]
        null += [total_losses(n, count) for count in (3, 4.4) if n >= 50]
    kinds = [(sizes, kind) for sizes in ("equal", "uneven") for kind in ("binary", "set F1")]
    groups = [clustered(count, *kind) for count in ((15,) if quick else (8, 10, 15, 20, 30, 80)) for kind in kinds]
    groups += [
        as_one(
            count + (5 if count == 20 and sizes == "lognormal" else 0), sizes
        )  # of 20 the stated effect is 75 points
        for count in ((40,) if quick else (20, 40, 60))
        for sizes in ("equal", "lognormal")
    ]
    fail_whole = [
        lost_clusters(count, *kind, rate)
        for count in ((30,) if quick else (15, 30, 80))
        for kind in ((s, k) for s in ("equal", "uneven") for k in ("binary", "scores"))
        for rate in (0.02, 0.05, 0.1)
    ]
    fail_whole += [
        lost_clusters(count, *kind, rate, "largest")
        for count in ((30,) if quick else (30, 60, 120))
        for kind in ((s, k) for s in ("uneven", "lognormal") for k in ("binary", "scores"))
        for rate in (0.05, 0.1, 0.2)
    ]
    fail_whole += [
        treasured(count, sizes, rate)
        for count in ((30,) if quick else (30, 60, 120))
        for sizes in ("equal", "uneven")
        for rate in (0.02, 0.05)
    ]
    todo: list[Job] = [(no_difference, (w, 0.0), draws) for w in null + groups + fail_whole]
    todo += [(no_difference, (w, 0.02), draws) for n in sizes for w in (binary(n, 0.2), set_f1(n))]
    able = [w for n in sizes for w in (binary(n, 0.2), binary(n, 0.5), binary(n, 0.7), set_f1(n))]
    able += [rare_failures(n, 0.02, whose) for n in sizes if n >= 50 for whose in ("baseline", "candidate")] + groups
    able += [total_losses(n, count) for n in sizes if n >= 50 for count in (1, 5)]
    able += [w for w in fail_whole if "5% fail" in w.name or "10% of the largest" in w.name]
    todo += [(at_stated_effect, (w, e), slow) for e in (0.0, 0.02) for w in able]
    guarded = [w for n in sizes if n >= 100 for w in (binary(n, 0.2), rare_failures(n, 0.02, "candidate"))]
    todo += [(guardrail, (w,), draws) for w in guarded + [w for w in groups + fail_whole if "F1" not in w.name]]
    todo += [(gate, (n, rare), draws) for n in ((100,) if quick else (100, 200, 400, 1000)) for rare in (False, True)]
    rates = (
        ("no retries", 0.0, 0.0),
        ("1 % dear retries, fine-tune", 0.0, 0.01),
        ("2 % dear retries, baseline", 0.02, 0.0),
        ("1 % dear retries, both", 0.01, 0.01),
        ("5 % dear retries, baseline", 0.05, 0.0),
        ("2 % fail to the end, baseline", 0.02, 0.0, 1.0),
        ("2 % fail to the end, fine-tune", 0.0, 0.02, 1.0),
        ("0.5 % fail to the end, baseline", 0.005, 0.0, 1.0),
        ("0.5 % fail to the end, fine-tune", 0.0, 0.005, 1.0),
    )
    todo += [(saving, (Bills(name, n, *rest),), slow) for n in sizes for name, *rest in rates]
    todo += [
        (saving, (Bills.of_clusters(name, count, sizes, *rest),), slow)
        for count in ((40,) if quick else (20, 40, 80))
        for sizes in ("equal", "uneven")
        for name, *rest in (rates[2], rates[4], rates[5], rates[6])
    ]
    todo += [(several, (k,), slow) for k in (4, 8)]
    asked = [binary(500, 0.3), binary(1000, 0.3), set_f1(500), clustered(80, "uneven", "binary")]
    asked += [lost_clusters(80, "equal", "scores", 0.05)]
    todo += [(judged, (w, j), slow) for w in asked for j in JUDGES if not j.whole or "clusters" in w.name]
    todo += [(learning, (c,), few) for c in (0.3, 0.6, 1.0)]
    todo += [(leaks, (kind,), max(2, few // 20)) for kind in KINDS]
    return todo


def one(numbered: tuple[int, bool, float]) -> tuple[int, Row]:
    """A cell by its number: worlds hold functions, which do not travel between processes."""
    i, quick, share = numbered
    cell, arguments, draws = jobs(quick, share)[i]
    return i, cell(*arguments, draws, np.random.default_rng([SEED, i]))


TABLES: dict[str, tuple[str, str, Sequence[str]]] = {
    "false": (
        "No true difference: who says that there is one?",
        "The true difference is exactly 0 (or exactly min_effect), so every `yes` is false. Promise: false yes at most"
        " 5 % in every cell and 3 % on average; the 95 % interval holds the truth at least 93 % of the time.",
        ("world", "Harness: false yes", "false no", "interval holds truth", "higher mean wins", "bars do not overlap"),
    ),
    "power": (
        "The effect that Harness says it finds 4 times in 5",
        "`effect` is the smallest one that Harness itself states for this world and n. Promise: found at least 78 % of"
        " the time, but for n < 50, which the tool marks as indicative.",
        ("world", "effect", "Harness finds it", "interval holds truth", "higher mean wins", "bars do not overlap"),
    ),
    "guardrail": (
        "Guardrails, margin 3 points",
        "The candidate is worse by exactly the margin. Promise: it passes, or fails, at most 5 % of the time, and the"
        " interval holds the truth at least 93 %.",
        ("world", "passes", "fails", "interval holds truth", "mean within the margin"),
    ),
    "gate": (
        "Gates, margin 3 points",
        "Promise: at most 3 % false alarms on an unchanged system, 4.5 % with rare failures.",
        ("world", "false alarm", "passes unchanged", "finds a drop of 5", "finds a drop of 10", "passes a drop of 5",
         "naive: false alarm at 2 points"),
    ),
    "saving": (
        "Break-even and net benefit, with rare dear retries",
        "How often the 95 % interval holds the true break-even (the image of the saving a task) and the true net"
        " benefit. Promise: at least 93 %. The other methods see only the retries that happened. Of clusters all is"
        " retried, or lost, or nothing.",
        ("world", "break-even", "net benefit", "half width / saving", "plain t", "percentile", "BCa", "bootstrap-t"),
    ),
    "several": (
        "Several equal fine-tunes",
        "No arm is better than any other: is one said to beat the baseline?",
        ("world", "Holm: false yes", "best on test, tested alone", "higher mean wins", "best set drops one falsely"),
    ),
    "judge": (
        "A judge, corrected by 100 labels",
        "Two arms that are equally good, scored by a judge that errs, on 100 random examples (or the examples of random"
        " clusters, about 100) the labels as well. Promise: false yes and no at most 5 %, and the interval holds the"
        " true difference of 0 at least 93 % of the time.",
        ("judge; world", "corrected: false yes", "false no", "interval holds truth", "by the judge alone: false yes",
         "width, corrected", "width, labels alone"),
    ),
    "leaks": (
        "Planted leaks",
        "30 of 126 test rows of the recipes stand in train (or in a document) once more, changed a little. Promise:"
        " found, and nothing else found, at least 95 % of the time.",
        ("how the copy differs", "found (recall)", "rightly (precision)", "found by equal texts"),
    ),
    "curve": (
        "Learning curve: the gain from twice the data",
        "No promise: five sizes and two seeds say little; the interval is shown for what it is.",
        ("world", "true gain", "interval holds truth", "width"),
    ),
}  # fmt: skip


def shown(cell: object) -> str:
    if not isinstance(cell, float | np.floating):
        return str(cell)
    return f"{cell:.3f}"


def summary(rows: Sequence[Row]) -> list[str]:
    """The short table: each promise, what was measured in the worst world, and what the two other rules do there."""

    def column(table: str, k: int, firm: bool = False) -> list[float]:
        asked = [r for r in rows if r.table == table and not (firm and "indicative" in str(r.cells[0]))]
        return [float(str(r.cells[k])) for r in asked]

    yes, means, bars = (column("false", k) for k in (1, 4, 5))
    finds, seen = column("power", 2, firm=True), column("power", 5, firm=True)
    holds = [*column("false", 3), *column("power", 3), *column("guardrail", 3)]
    money, plain = [*column("saving", 1), *column("saving", 2)], column("saving", 4)
    found, rightly, equal = (column("leaks", k) for k in (1, 2, 3))
    trusted, guards = column("judge", 1), column("guardrail", 1)
    head = ["what", "promise", "Harness", "ranking by mean", "bars that do not overlap"]
    worlds, able = len(yes), len(finds)
    lines = [
        (f'says "better" when nothing is: mean of {worlds} worlds', "at most 3 %", *map(np.mean, (yes, means, bars))),
        ("the same, worst world", "at most 5 %", *map(max, (yes, means, bars))),
        (f"finds the effect it states, n >= 50: worst of {able} worlds", "at least 78 %", min(finds), "", min(seen)),
        ("its 95 % interval holds the truth: worst world", "at least 93 %", min(holds), "no interval", "no interval"),
        (f"a guardrail passes what is worse by its margin: worst of {len(guards)} worlds", "at most 5 %", max(guards),
         max(column("guardrail", 4)), ""),
        ("break-even and net benefit, rare dear retries: worst world", "at least 93 %", min(money),
         f"plain t: {min(plain):.1%}", ""),
        (f'a judge corrected by 100 labels says "better": worst of {len(trusted)} worlds', "at most 5 %", max(trusted),
         f"judge alone: {max(column('judge', 4)):.1%}", ""),
        ("its corrected 95 % interval holds the truth: worst world", "at least 93 %", min(column("judge", 3)), "", ""),
        ("planted leaks found: worst kind", "at least 95 %", min(found), f"equal texts: {min(equal):.1%}", ""),
        ("and nothing else: worst kind", "at least 95 %", min(rightly), "", ""),
    ]  # fmt: skip
    table = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    return table + ["| " + " | ".join(c if isinstance(c, str) else f"{c:.1%}" for c in line) + " |" for line in lines]


def page(rows: Sequence[Row], broken: Sequence[str], share: float) -> str:
    """The tables in Markdown, a summary first."""
    command = "python benchmarks/calibration/run.py" + ("" if share == 1 else f" --share {share:g}")
    lines = [
        "# How often the rules err",
        "",
        f"Written by `{command}` (seeded: the same numbers each time). {share * DRAWS:,.0f} draws a cell without"
        f" difference and for gates, {share * SLOW:,.0f} elsewhere, {share * FEW:,.0f} for the bootstraps and curves:"
        f" a rate of .05 is known to +-{1.96 * np.sqrt(0.05 * 0.95 / share / DRAWS):.3f}"
        + ("." if share == 1 else "; a promise counts as broken when it is missed by 3 standard errors of that."),
        "",
        *summary(rows),
        "",
        "Every promise is kept." if not broken else "**Broken promises:** " + "; ".join(broken),
    ]
    for key, (title, text, heads) in TABLES.items():
        lines += ["", f"## {title}", "", text, "", "| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
        lines += ["| " + " | ".join(shown(c) for c in row.cells) + " |" for row in rows if row.table == key]
    return "\n".join(lines) + "\n"


def into_readme(rows: Sequence[Row]) -> None:
    """The short table, between its two marks in the README beside this file."""
    file = HERE / "README.md"
    head, rest = file.read_text("utf-8").split(MARK + "\n", 1)
    tail = rest.split(MARK + "\n", 1)[1]
    file.write_text(head + MARK + "\n" + "\n".join(summary(rows)) + "\n" + MARK + "\n" + tail, "utf-8")


class Kept:
    """Finished cells on disk, so that a run may be made in parts. Other code or another share begins anew."""

    def __init__(self, kind: tuple[bool, float]) -> None:
        sources = [*HERE.glob("*.py"), *(HERE.parents[1] / "harness").glob("*.py")]
        code = b"".join(p.read_bytes() for p in sorted(sources) if p.stem in CODE or p.parent == HERE)
        key = hashlib.sha256(code + repr((SEED, kind)).encode()).hexdigest()[:12]
        self._file = HERE / ".cells" / f"{key}.jsonl"

    def read(self) -> dict[int, Row]:
        """What was finished before."""
        lines = self._file.read_text("utf-8").splitlines() if self._file.exists() else []
        raw = [json.loads(line) for line in lines]
        return {r["i"]: Row(r["table"], tuple(r["cells"]), tuple(r["broken"])) for r in raw}

    def add(self, i: int, row: Row) -> None:
        """Keep one cell."""
        self._file.parent.mkdir(exist_ok=True)
        cells = [float(c) if isinstance(c, np.floating) else c for c in row.cells]
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"i": i, "table": row.table, "cells": cells, "broken": row.broken}) + "\n")


def main() -> int:
    parser = argparse.ArgumentParser(description="How often do the rules err?")
    parser.add_argument("--quick", action="store_true", help="fewer worlds and draws, under 30 s, writes nothing")
    parser.add_argument("--share", type=float, default=1.0, help="share of the draws; all promises are exact at 1")
    parser.add_argument("--minutes", type=float, help="stop after so many; the same command goes on from there")
    parser.add_argument("--out", type=Path, default=HERE / "results.md")
    arguments = parser.parse_args()
    started = time.monotonic()
    kind = (arguments.quick, arguments.share)
    todo = [(i, *kind) for i in range(len(jobs(*kind)))]
    kept = Kept(kind)
    done = {} if arguments.quick else kept.read()
    with get_context("spawn").Pool(min(2, os.cpu_count() or 1)) as pool:
        for i, row in pool.imap_unordered(one, [t for t in todo if t[0] not in done]):
            done[i] = row
            if not arguments.quick:
                kept.add(i, row)
            seconds = time.monotonic() - started
            print(f"\r{len(done)}/{len(todo)} cells, {seconds:.0f} s", end="", file=sys.stderr)
            if arguments.minutes is not None and seconds > 60 * arguments.minutes:
                break
    print(file=sys.stderr)
    if len(done) < len(todo):
        print(f"{len(done)} of {len(todo)} cells; the same command goes on from there", file=sys.stderr)
        return 4
    rows = [done[i] for i in sorted(done)]
    broken = [b for row in rows for b in row.broken]
    yes = [float(str(r.cells[1])) for r in rows if r.table == "false"]
    broken += promise("false yes", "mean of all cells", float(np.mean(yes)), 0.03, 2000)
    text = page(rows, broken, arguments.share)
    if arguments.quick:
        print(text)
    else:
        arguments.out.write_text(text, encoding="utf-8")
        if arguments.share == 1:
            into_readme(rows)
    for line in broken:
        print(f"broken: {line}", file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
