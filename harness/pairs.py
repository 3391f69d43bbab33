"""Gates that hold an arm's scores against others of the same examples: another arm's, or the committed baseline's.

Joined on example id. Against an arm the verdict's own interval and rules decide; against the baseline the rule of
`stats.decide_gate`. What is not sure to be the same question (other examples, another scorer) is refused, not compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import numpy as np

from harness import baselines, stats
from harness.agreement import Corrected
from harness.compare import Paired, paired
from harness.errors import HarnessError
from harness.finished import FinishedRun
from harness.gating import (
    LOCKED,
    SHOWN_IDS,
    Asked,
    GateOutcome,
    Status,
    Unanswerable,
    enough,
    few_clusters,
    flips,
    more_examples,
    would_decide,
)  # fmt: skip
from harness.references import MEASURED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness.baselines import Baseline, SavedArm
    from harness.spec import GateSpec

NOISE = 1e-3  # an embedder's scores of the same answer differ by less between machines
BLESS = 'next: if that is meant, harness bless FILE --reason "..."'


def points(mean: float, low: float, high: float) -> str:
    """A difference of scores with its interval."""
    return f"{100 * mean:+.1f} points [{100 * low:+.1f}, {100 * high:+.1f}]"


def against_arm(asked: Asked) -> GateOutcome:
    """`beats` and `not_worse_than` another arm of the same run: the verdict's own interval and rules."""
    gate, run, arm, on = asked.gate, asked.run, asked.arm, asked.gate.on or ""
    rivals, name = rivals_of(asked, gate.beats or gate.not_worse_than or "")
    if rivals == [arm]:
        if gate.beats is not None:
            raise Unanswerable(f"{arm} is the baseline itself and cannot beat it", "next: name another arm")
        return asked.said("pass", f"{arm} is the baseline itself")
    if on in MEASURED and on not in run.board.metrics:
        from harness import ratios

        return ratios.against_arms(asked, rivals)
    if on not in run.board.metrics:
        raise Unanswerable(f"there is no metric {on} in the run", f"metrics: {', '.join(run.board.metrics)}")
    pairs, alpha = [paired(run.board, on, arm, other) for other in rivals], run.benchmark.verdict.alpha
    for other, pair in zip(rivals, pairs, strict=True):
        enough(asked, np.isnan(pair.d), f"pairs of {arm} and {other} on {on}")
    ds, ends, levels = [_trusted(pair) for pair in pairs], [pair.ends for pair in pairs], [p.levels for p in pairs]
    limit = gate.by if gate.beats is not None else gate.margin
    if gate.beats is not None:
        binary = run.board.binary[on]
        answer, made = stats.beats_all(
            ds, run.board.clusters, binary=binary, min_effect=gate.by, alpha=alpha, ends=ends,
            levels=levels, max_missing=asked.most_missing,
        )  # fmt: skip
        bound = gate.by
    else:
        made = tuple(
            stats.not_worse(d, run.board.clusters, margin=gate.margin, alpha=alpha, ends=e, levels=of,
                            max_missing=asked.most_missing)
            for d, e, of in zip(ds, ends, levels, strict=True)
        )  # fmt: skip
        answers = [m.answer for m in made]
        answer = "no" if "no" in answers else "yes" if set(answers) == {"yes"} else "inconclusive"
        bound = -gate.margin
    hardest = min(range(len(made)), key=lambda i: (made[i].low, rivals[i]))
    found, rival = made[hardest], rivals[hardest]
    fixed, broken, line = flips(asked, pairs[hardest].d)
    more = None
    if answer == "inconclusive" and "few_clusters" not in found.flags:
        half = max(found.high - found.mean, found.mean - found.low)
        more = more_examples(found.n, (half, abs(found.mean - bound)))
    status: Status = {"yes": "pass", "no": "fail", "inconclusive": "inconclusive"}[answer]  # type: ignore[assignment]
    verb = {
        "pass": "beats" if gate.beats is not None else "is not worse than",
        "fail": "does not beat" if gate.beats is not None else "is worse than",
    }.get(status, "is not settled against")
    held = f"by more than {100 * limit:g} points " if limit else ""
    return asked.said(
        status,
        f"{arm} {verb} {name or rival} {held}on {on}: {points(found.mean, found.low, found.high)}, n = {found.n}",
        *flag_lines(asked, found.flags, found.n_missing),
        _would_pass(gate, found.low) if status != "pass" else "",
        line,
        would_decide(more),
        unit="score", value=found.mean, low=found.low, high=found.high, limit=limit, n=found.n,
        margin_needed=None if gate.beats is not None else max(0.0, -found.low), more=more, fixed=fixed, broken=broken,
        labelled=found.n_labelled or 0,
    )  # fmt: skip


def _trusted(pair: Paired) -> NDArray[np.float64] | Corrected:
    """The judge's differences corrected, where there are labels enough; else as the judge gave them, and so marked."""
    return pair.d if isinstance(pair.asked, Corrected) and not pair.asked.enough else pair.asked


def _would_pass(gate: GateSpec, low: float) -> str:
    if gate.beats is None:
        return f"it would pass with a margin above {max(0.0, -100 * low):.1f} points"
    return f"it would pass with `by` below {100 * low:.1f} points" if low > 0 else "no lead at all is proven"


def flag_lines(asked: Asked, flags: Sequence[str], n_missing: int) -> list[str]:
    """What the statistics want said."""
    lines: list[str] = []
    if "missing" in flags:
        lines.append(f"{n_missing} pairs are missing, and what they could have been would turn the answer")
    if "few_clusters" in flags:
        lines.append(few_clusters(asked))
    if "locked" in flags:
        lines.append(LOCKED)
    return lines


def rivals_of(asked: Asked, rival: str) -> tuple[list[str], str]:
    """The arms that stand behind a rival's name, and how to call them together (empty: by their own name)."""
    frozen = asked.run.frozen
    if rival != "baseline":
        if rival not in asked.run.board.arms:
            raise Unanswerable(f"there is no arm {rival} in the run", f"arms: {', '.join(asked.run.board.arms)}")
        return [rival], ""
    if frozen is None or (frozen.baseline is None and frozen.rule != "best_of_all"):
        raise Unanswerable("the run froze no baseline", "next: name the arm to hold it against")
    if frozen.baseline is not None:
        return [frozen.baseline], f"the baseline ({frozen.baseline})" if frozen.baseline != asked.arm else ""
    return [a for a in asked.run.board.arms if a != asked.arm], "every other arm"


def ends_of(now: NDArray[np.float64], then: NDArray[np.float64]) -> stats.Ends:
    """What a missing difference of scores could be at the ends of the range."""
    low = np.nan_to_num(now, nan=0.0) - np.nan_to_num(then, nan=1.0)
    return low, np.nan_to_num(now, nan=1.0) - np.nan_to_num(then, nan=0.0)


def against_saved(asked: Asked) -> GateOutcome:
    """`not_worse_than: saved`: now against the committed baseline, example by example."""
    gate, run, on = asked.gate, asked.run, asked.gate.on or ""
    saved, then = comparable(asked)
    if on in MEASURED and on not in run.board.metrics:
        from harness import ratios

        return ratios.against_saved(asked, saved, then)
    _same_scorer(asked, saved, then)
    before = baselines.aligned(saved, then.scores[on], run.board.ids, on)
    now = run.board.oriented(asked.arm, on)
    d = now - before
    enough(asked, np.isnan(d), f"pairs of {asked.arm} now and then on {on}")
    same = [a == b for a, b in zip(run.outputs(asked.arm), reordered(saved, then.outputs, run), strict=True)]
    found = stats.decide_gate(
        d, run.board.clusters, margin=gate.margin, identical=all(same), ends=ends_of(now, before),
        max_missing=asked.most_missing,
    )  # fmt: skip
    moved = [id for id, s, x in zip(run.board.ids, same, d, strict=True) if s and abs(x) > NOISE]
    if moved and found.answer != "fail" and run.benchmark.metrics[on].judge is None:
        raise Unanswerable(
            f"{asked.arm} gave saved answers word for word, but they got other scores on {on} ({len(moved)} of "
            f"{len(same)}): " + ", ".join(moved[:SHOWN_IDS]),
            "scores.jsonl was changed, or the scorer does not score the same answer the same way",
            "next: run the benchmark again; if it stays, bless the run and say why",
        )
    return _saved_outcome(asked, saved, then, found, d, all(same))


def _saved_outcome(
    asked: Asked, saved: Baseline, then: SavedArm, found: stats.GateResult, d: NDArray[np.float64], identical: bool
) -> GateOutcome:
    gate, arm = asked.gate, asked.arm
    of = f"the saved baseline of {saved.blessed}"
    margin, shown = f"{100 * gate.margin:g} points", points(found.mean, found.low, found.high)
    fixed, broken, line = flips(asked, d)
    if found.answer == "pass" and identical:
        sentence = f"{arm} gives the {found.n} answers of {of}, word for word"
    elif found.answer == "pass":
        drop = "a proven drop, but smaller than the margin of" if found.proven_drop else "within the margin of"
        sentence = f"{arm} on {gate.on} against {of}: {shown}, n = {found.n}: {drop} {margin}"
    elif found.answer == "fail":
        sentence = f"{arm} fell behind {of} on {gate.on}: {shown}, n = {found.n}; the margin is {margin}"
    else:
        sentence = f"{arm} on {gate.on} against {of}: {shown}, n = {found.n}: neither a drop nor its absence is proven"
    more = None
    if found.answer == "inconclusive" and not {"locked", "few_clusters"} & set(found.flags):
        to_pass, to_fail = (found.mean - found.low, found.mean + gate.margin), (found.high - found.mean, -found.mean)
        more = more_examples(found.n, to_pass, to_fail)
    honest = f"the smallest honest margin with n = {found.n} is {100 * found.honest_margin:.1f} points"
    if found.honest_margin >= 1:
        honest = f"no margin is honest with n = {found.n}: too much of it stands in too few clusters"
    changed = then.recipe != (asked.run.fits[arm].digest if arm in asked.run.fits else "")
    return asked.said(
        found.answer,
        sentence,
        *flag_lines(asked, found.flags, found.n_missing),
        ""
        if identical and found.answer == "pass"
        else f"margin needed to pass: {max(0.0, -100 * found.low):.1f} points; {honest}",
        line,
        "its recipe or model is not the one that was blessed" if changed else "",
        would_decide(more),
        unit="score", value=found.mean, low=found.low, high=found.high, limit=gate.margin, n=found.n,
        margin_needed=max(0.0, -found.low), honest_margin=found.honest_margin, more=more, fixed=fixed, broken=broken,
    )  # fmt: skip


def comparable(asked: Asked) -> tuple[Baseline, SavedArm]:
    """The saved baseline and the arm in it, once it is sure that the same examples were asked.

    Raises:
        HarnessError: the baseline is missing or cannot be trusted.
        Unanswerable: the arm was removed or is new, or the test examples changed.
    """
    saved, run, arm = asked.saved, asked.run, asked.arm
    if saved is None:
        raise Unanswerable("there is no saved baseline", 'next: harness bless FILE --reason "..."')
    if isinstance(saved, HarnessError):
        raise saved
    if Path(saved.benchmark).name != Path(run.manifest.benchmark).name:
        raise Unanswerable(f"the saved baseline is of another benchmark: {saved.benchmark}", BLESS)
    if arm not in run.board.arms:
        raise Unanswerable(f"{arm} stands in the saved baseline of {saved.blessed} and is no longer in the run", BLESS)
    if arm not in saved.arms:
        raise Unanswerable(f"{arm} is not in the saved baseline of {saved.blessed}: a new or renamed arm", BLESS)
    before, now = set(saved.ids), set(run.board.ids)
    if saved.digests.get("test examples") != run.test_digest or before != now:
        what = (
            f"{len(now - before)} new, {len(before - now)} gone"
            if now != before
            else "the ids are the same, inputs, targets or clusters are not"
        )
        raise Unanswerable(
            f"the test examples are not those of the saved baseline of {saved.blessed}: {what}; nothing is compared",
            BLESS,
        )
    return saved, saved.arms[arm]


def _same_scorer(asked: Asked, saved: Baseline, then: SavedArm) -> None:
    on, run = asked.gate.on or "", asked.run

    def refuse(sentence: str) -> NoReturn:
        raise Unanswerable(sentence, BLESS)

    if on not in run.board.metrics:
        refuse(f"there is no metric {on} in the run: removed or renamed")
    if on not in then.scores:
        have = ", ".join(then.scores)
        refuse(f"the saved baseline of {saved.blessed} has no metric {on} (it has {have}): new or renamed")
    if on not in run.scorers:
        raise Unanswerable(f"the run does not say which scorer made {on}", "next: run it again with this version")
    if saved.scorers.get(on) != run.scorers[on] or saved.higher_is_better.get(on) != run.board.metrics[on]:
        refuse(f"{on} is scored by another version of its scorer than in the saved baseline of {saved.blessed}")


def reordered(saved: Baseline, column: Sequence[str], run: FinishedRun) -> list[str]:
    """A saved column of texts in the order of the run's examples."""
    row = {id: i for i, id in enumerate(saved.ids)}
    return [column[row[id]] for id in run.board.ids]
