"""Can I trust this, and what exactly was run: the facts that a careful reader looks for after the answer."""

from __future__ import annotations

from typing import Any

import msgspec

from harness import prices
from harness.records import Judging, Standing
from harness.report import figures
from harness.report.figures import Fact
from harness.report.stored import Stored
from harness.report.text import one_line
from harness.spec import ModelSpec

FLAGS = {
    "missing": "answers are missing, too many or enough to turn the answer",
    "few_clusters": "fewer than 6 clusters: no interval can be carried",
    "some_clusters": "fewer than 20 clusters, or so uneven that they say no more than 15: the interval is rough",
    "indicative": "fewer than 50 examples: indicative only",
    "labels": "under 100 labels of an arm: a judge decides nothing by itself",
    "locked": "the interval alone would have answered; the exact test, or losses too rare to be seen, speak against it",
}


def trust(stored: Stored) -> tuple[Fact, ...]:
    """n, clusters, failures, leakage, dev trials per arm, test looks, judge agreement, price dates."""
    made, board = stored.verdict.comparison, stored.board
    facts = [Fact("test examples", figures.count(len(board.ids)), _grouped(stored))]
    if made is not None:
        facts.append(
            Fact("method", made.method, f"paired by example; {figures.p_value(made.p)}, level {made.alpha:.3g}")
        )
        facts.append(Fact("pairs missing", figures.count(made.n_missing), "left out of the comparison and counted"))
    facts.append(Fact("failed answers", *_failed(stored)))
    frozen = stored.frozen
    if frozen is not None:
        facts.append(Fact("baseline", one_line(frozen.baseline or "every other arm"), one_line(frozen.because, 200)))
    trials = ", ".join(f"{a} {f.cost.trials}" for a, f in stored.fits.items())
    if trials:
        facts.append(Fact("dev trials an arm", trials, "each arm chose its knobs on dev, never on test"))
    looks = stored.looks
    luck = "by that many configurations; each look makes luck likelier" if looks > 1 else "by this configuration alone"
    facts.append(Fact("test set used", figures.many(looks, "time"), luck))
    facts.append(_leaks(stored))
    facts += [Fact(one_line(m, 40), *_standing(s)) for m, s in stored.standing.items()]
    facts += [Fact(one_line(j.metric, 40), *_judged(j)) for j in stored.verdict.judged]
    facts.append(Fact("prices", *_priced(stored)))
    for flag in stored.verdict.flags:
        if flag in FLAGS:
            facts.append(Fact("mind", FLAGS[flag]))
    return tuple(facts)


def _standing(found: Standing) -> tuple[str, str]:
    """How often a metric's scorer is right, and by what that is known."""
    if found.right is None or found.low is None or found.high is None:
        return "", found.note
    right = figures.score(found.right, found.low, found.high)
    return f"right on {right} % ({figures.score_interval(found.low, found.high)})", found.note


def _judged(found: Judging) -> tuple[str, str]:
    """By whom a metric was judged, and what people's labels say of it."""
    value = "by judge only" if found.by_judge_only else f"{figures.many(found.labelled, 'label')}"
    return value, one_line(found.note, 900)


def _grouped(stored: Stored) -> str:
    names = {c for c in stored.board.clusters or () if c}
    return f"in {figures.many(len(names), 'cluster')}" if names else "each on its own (no clusters named)"


def _failed(stored: Stored) -> tuple[str, str]:
    efforts = stored.board.efforts
    total = sum(e.n for e in efforts.values())
    failed = {a: sum(e.failures.values()) for a, e in efforts.items() if e.failures}
    each = ", ".join(f"{a} {n}" for a, n in failed.items())
    return f"{sum(failed.values())} of {total:,}", (
        f"{each}; each counts as wrong" if each else "no arm failed to answer"
    )


def _leaks(stored: Stored) -> Fact:
    """What hygiene found, and whether the answer stands without the rows that may have been seen."""
    found: Any = stored.extras.get("hygiene")
    if not isinstance(found, list):
        return Fact("leakage", "not stored with this run", "`harness check FILE` lists leaks")
    value, leakage = figures.many(len(found), "finding"), stored.verdict.leakage  # pyright: ignore[reportUnknownArgumentType]
    if leakage is None:
        return Fact("leakage", value, "no test row is like a row of train, dev or a document")
    rows = figures.many(len(leakage.ids), "test row")
    same = leakage.answer == stored.verdict.beat
    said = "the same" if same else f"another: {leakage.answer}"
    return Fact("leakage", value, f"without the {rows} that may have been seen the answer is {said}")


def _priced(stored: Stored) -> tuple[str, str]:
    model = stored.benchmark.model
    spec = model if isinstance(model, ModelSpec) else ModelSpec(id=model)
    local = any(e.compute_seconds for e in stored.board.efforts.values())
    if local:
        rate = stored.benchmark.economics.local_usd_per_hour
        if rate is None:
            return "unknown", "no price of this machine's time; `economics: {local_usd_per_hour: 0.20}` sets one"
        return f"{figures.usd(rate)} an hour", "this machine's time, as the benchmark file says"
    found = stored.extras.get("prices")
    kept = msgspec.convert(found, dict[str, prices.Price]) if found else {"": prices.token_price(spec)}
    known = [p for p in kept.values() if p.known]
    if not known:
        return "unknown", next((p.reason for p in kept.values()), "")
    named = {p.source: "as the benchmark file says" if p.source == "usd_per_mtok" else p.source for p in known}
    said = sorted({f"{named[p.source]}, {p.dated}" if p.dated else named[p.source] for p in known})
    return "; ".join(said), " ".join(sorted({w for p in known if (w := p.warning(stored.day))}))


def receipt(stored: Stored) -> tuple[Fact, ...]:
    """Versions, digests, seeds and the exact command."""
    m = stored.manifest
    machine = ", ".join(f"{k} {v}" for k, v in sorted(m.machine.items()))
    facts = [
        Fact("command", one_line(m.command, 300)),
        Fact("run", one_line(m.run)),
        Fact("finished", one_line(m.finished)),
        Fact("machine", one_line(machine, 200)),
        Fact("seeds", ", ".join(f"{k} {v}" for k, v in m.seeds.items())),
    ]
    facts += [Fact(f"digest of {k}", one_line(v)) for k, v in sorted(m.digests.items())]
    facts += [Fact(f"digest of arm {a}", f.digest) for a, f in stored.fits.items() if f.digest]
    facts.append(Fact("versions", ", ".join(f"{k} {v}" for k, v in sorted(m.versions.items()))))
    return tuple(f for f in facts if f.value)
