"""The answer: did the fine-tune beat the baseline? A pure function of stored numbers, with its reason.

A bare mean is never an answer: `yes` needs the interval above the smallest effect worth having and the exact test, and
every guardrail to hold; anything else that the data cannot settle is `inconclusive`, said with what would settle it.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import numpy as np

from harness import power, reasons, stats
from harness.board import Board
from harness.compare import Cell, Comparison, cell, compare, comparison, paired
from harness.models.base import Struct
from harness.reasons import points as points
from harness.reasons import signed as signed
from harness.records import Frozen, Judging, SeedRuns, Standing

if TYPE_CHECKING:
    from numpy.typing import NDArray

Reason = Literal["", "missing", "few_clusters", "labels", "locked", "guardrail", "leakage", "nothing_to_compare"]
MISSING = "no pair of answers: all of them are missing"
FEWEST = 5  # fewer pairs cannot say how much examples vary


class Guardrail(Struct, frozen=True):
    """A metric that must not get worse: non-inferiority of the candidate at its margin.

    With `best_of_all` it is held against every other arm; `comparison` is then the one that is furthest from holding.
    """

    metric: str
    margin: float
    answer: stats.Answer
    comparison: Comparison


class Settle(Struct, frozen=True):
    """What would settle an inconclusive answer: the smallest effect found 4 times in 5, and the examples needed.

    `metric` is the primary one, or the guardrail that is open (`expect` is then 0: no true difference). `usd` is what
    the `more` examples would cost: asking candidate and baseline, and labelling at the declared price; None when a
    price is not known.
    """

    detectable: float
    expect: float
    needed: int | None
    more: int | None
    usd: float | None = None
    metric: str = ""


class Leakage(Struct, frozen=True):
    """The verdict once more, without the test rows that hygiene flagged (`ids`)."""

    ids: tuple[str, ...]
    answer: stats.Answer
    comparison: Comparison | None = None


class Seed(Struct, frozen=True):
    """One training seed of the candidate's recipe: its mean on test, and its difference from the baseline."""

    seed: int
    mean: float
    dev_score: float | None
    comparison: Comparison | None


class Payoff(Struct, frozen=True):
    """The answer to "is it worth it?", by the terms of the benchmark file; filled in when the report is written.

    `unknown` where a price or the volume is not known: `sentence` says which. `usd_a_month` is what the fine-tune saves
    a month, all counted, with its interval; None in months or requests is never. Break-even is a volume over the whole
    life from which (`at`) or up to which (`until`) the fine-tune is the cheaper arm; an upper end of None may be never.
    """

    answer: Literal["yes", "no", "inconclusive", "depends", "unknown"]
    sentence: str
    usd_a_month: float | None = None
    low: float | None = None
    high: float | None = None
    payback_months: float | None = None
    payback_low: float | None = None
    payback_high: float | None = None
    break_even: Literal["at", "until", "never", "from_first"] | None = None
    break_even_requests: float | None = None
    break_even_low: float | None = None
    break_even_high: float | None = None
    life_months: float | None = None


class Verdict(Struct, frozen=True):
    """The answer to "did the fine-tune beat the baseline?", ready to be shown.

    `reason` is what keeps the answer from being what the interval says, empty when nothing does. `others` are the
    other candidates (each at its Holm level), or with `best_of_all` every other arm. `standing` says of a metric how
    far its scorer may be believed, `judged` what is known of those that a model judges.
    """

    beat: stats.Answer
    sentence: str
    because: str
    metric: str
    min_effect: float
    alpha: float
    candidate: str | None
    baseline: str | None
    comparison: Comparison | None = None
    guardrails: tuple[Guardrail, ...] = ()
    settle: Settle | None = None
    others: tuple[Comparison, ...] = ()
    would_change: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    reason: Reason = ""
    leakage: Leakage | None = None
    seeds: tuple[Seed, ...] = ()
    test_looks: int = 1
    payoff: Payoff | None = None
    standing: dict[str, Standing] = {}
    judged: tuple[Judging, ...] = ()


def schema() -> dict[str, Any]:
    """The JSON schema of `verdict.json`."""
    made = msgspec.json.schema(Verdict)
    for part in made["$defs"].values():
        part["description"] = inspect.cleandoc(part.get("description", ""))
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "verdict.schema.json"} | made


class Rules(Struct, frozen=True):
    """What was decided before the run: the primary metric, the effect worth having, guardrails and their margins.

    `labelling_usd` is the declared price of one labelled row, None when it was not said.
    """

    primary: str
    min_effect: float
    expect: float
    alpha: float
    max_missing: float
    guardrails: dict[str, float] = {}
    labelling_usd: float | None = None


def decide(
    board: Board,
    frozen: Frozen,
    rules: Rules,
    *,
    flagged: AbstractSet[str] = frozenset(),
    seeds: Mapping[str, SeedRuns] | None = None,
    test_looks: int = 1,
) -> Verdict:
    """Hold the candidates against the frozen baseline.

    Of several candidates the one with the best dev score was frozen first and speaks; each is shown at its Holm level.
    `best_of_all` (no dev split): yes only if the candidate beats every other arm (intersection-union, Berger 1982).

    Args:
        flagged: test rows that may have been seen before; the answer must be the same without them.
        seeds: further training seeds by arm.
        test_looks: different configurations that were asked these test rows, this one among them.
    """
    found = _answered(board, frozen, rules)
    ids = tuple(sorted(i for i in board.ids if i in flagged))
    made = found.comparison
    if ids and made is not None:
        without = _answered(board.without(flagged), frozen, rules)
        leakage = Leakage(ids, without.beat, without.comparison)
        found = msgspec.structs.replace(found, leakage=leakage)
        if without.beat != found.beat:
            found = msgspec.structs.replace(
                found,
                beat="inconclusive",
                reason="leakage",
                sentence=reasons.sentence("inconclusive", "leakage", made, found.guardrails),
                because=reasons.leaked(found.beat, leakage),
                settle=None,
                would_change=(reasons.NO_LEAK,),
            )
    runs = (seeds or {}).get(found.candidate or "")
    return msgspec.structs.replace(found, seeds=_seeds(board, runs, found, rules), test_looks=test_looks)


def _answered(board: Board, frozen: Frozen, rules: Rules) -> Verdict:
    """The answer on these rows."""
    candidates = [c for c in frozen.candidates if c in board.arms]
    everyone = frozen.rule == "best_of_all"
    rivals = [a for a in board.arms if candidates and a != candidates[0]] if everyone else [frozen.baseline or ""]
    rivals = [a for a in rivals if a in board.arms]
    if not candidates or not rivals:
        return _nothing_to_compare(board, frozen, rules)
    candidate = candidates[0]
    asked = [candidate] if everyone else candidates
    pairs = [paired(board, rules.primary, c, r).d for c in asked for r in rivals]
    if any(bool(np.isnan(d).all()) for d in pairs):
        return _nothing_to_compare(board, frozen, rules, MISSING)
    if everyone:
        made, others = _best_of_all(board, candidate, rivals, rules)
    else:
        made, *others = compare(
            board, rules.primary, candidates, rivals[0],
            min_effect=rules.min_effect, alpha=rules.alpha, max_missing=rules.max_missing,
        )  # fmt: skip
    guards = tuple(
        _guardrail(board, metric, margin, candidate, rivals, rules) for metric, margin in rules.guardrails.items()
    )
    answer = made.answer
    if answer == "yes" and any(g.answer != "yes" for g in guards):
        answer = "no" if any(g.answer == "no" for g in guards) else "inconclusive"
    reason = _reason(made, answer)
    settle = _settle(board, made, guards, rules) if answer == "inconclusive" else None
    return Verdict(
        beat=answer,
        sentence=reasons.sentence(answer, reason, made, guards),
        because=reasons.because(answer, reason, made, guards, rules),
        metric=rules.primary,
        min_effect=rules.min_effect,
        alpha=made.alpha,
        candidate=candidate,
        baseline=made.baseline,
        comparison=made,
        guardrails=guards,
        settle=settle,
        others=tuple(others),
        would_change=reasons.would_change(answer, reason, made, settle, guards, rules),
        flags=made.flags,
        reason=reason,
    )


def _reason(made: Comparison, answer: stats.Answer) -> Reason:
    """What keeps the answer from being the interval's."""
    if made.answer != answer:
        return "guardrail"
    for flag in ("missing", "few_clusters", "labels", "locked"):
        if flag in made.flags and answer == "inconclusive":
            return flag
    return ""


def _best_of_all(
    board: Board, candidate: str, rivals: Sequence[str], rules: Rules
) -> tuple[Comparison, list[Comparison]]:
    """The comparison that decides, with the answer over all, and the others.

    `yes` is decided by the rival that comes nearest; `no` by the one that is surest to be better, shown at the level
    at which it says so (alpha over the number of rivals); else by the nearest of those that stay open.
    """
    pairs = [paired(board, rules.primary, candidate, a) for a in rivals]

    def ask(alpha: float) -> tuple[stats.Answer, tuple[stats.Difference, ...]]:
        return stats.beats_all(
            [pair.asked for pair in pairs],
            board.clusters,
            binary=board.binary[rules.primary],
            min_effect=rules.min_effect,
            alpha=alpha,
            ends=[pair.ends for pair in pairs],
            levels=[pair.levels for pair in pairs],
            max_missing=rules.max_missing,
        )

    answer, made = ask(rules.alpha)
    sure = ask(rules.alpha / len(rivals))[1]
    every = range(len(rivals))
    if answer == "no":
        chosen = min((i for i in every if sure[i].answer == "no"), key=lambda i: (sure[i].high, rivals[i]))
    else:
        open_ = [i for i in every if answer == "yes" or made[i].answer == "inconclusive"]
        chosen = min(open_ or every, key=lambda i: (made[i].low, rivals[i]))
    # A rival that is better at alpha alone, and not at its share of it, is shown at the level that leaves it open.
    made = [s if answer != "yes" and m.answer == "no" else m for m, s in zip(made, sure, strict=True)]
    shown = [comparison(board, rules.primary, candidate, rivals[i], pairs[i].d, made[i]) for i in every]
    decided = msgspec.structs.replace(shown[chosen], answer=answer)
    return decided, [c for i, c in enumerate(shown) if i != chosen]


def _guardrail(
    board: Board, metric: str, margin: float, candidate: str, rivals: Sequence[str], rules: Rules
) -> Guardrail:
    order: dict[stats.Answer, int] = {"no": 0, "inconclusive": 1, "yes": 2}
    found: list[Guardrail] = []
    for rival in rivals:
        d, asked, ends, levels = paired(board, metric, candidate, rival)
        none = bool(np.isnan(d).all())
        made = stats.not_worse(
            np.where(np.arange(len(d)) == 0, 0.0, d) if none else asked,  # a lone tie leaves all open
            board.clusters,
            margin=margin,
            alpha=rules.alpha,
            ends=ends,
            levels=levels,
            max_missing=rules.max_missing,
        )
        against = comparison(board, metric, candidate, rival, d, made)
        if none:
            against = msgspec.structs.replace(against, n_pairs=0, n_missing=len(d), tied=0)
        found.append(Guardrail(metric, margin, made.answer, against))
    return min(found, key=lambda g: (order[g.answer], g.comparison.low, g.comparison.baseline))


def _settle(board: Board, made: Comparison, guards: Sequence[Guardrail], rules: Rules) -> Settle | None:
    """How many examples would settle what is open: the comparison, or the guardrail that keeps a yes from being one."""
    open_ = [g for g in guards if g.answer == "inconclusive"]
    guard = min(open_, key=lambda g: g.comparison.low) if made.answer == "yes" and open_ else None
    at = guard.comparison if guard else made
    if at.n_pairs < FEWEST or stats.BARRING & set(at.flags):
        return None
    expect = 0.0 if guard else rules.expect
    found = power.needed(_difference(at, -guard.margin if guard else rules.min_effect), expect)
    usd = None
    if found.more and rules.labelling_usd is not None:
        asked = [board.efforts[a].usd for a in (made.candidate, made.baseline)]
        usd = None if None in asked else found.more * (rules.labelling_usd + sum(u for u in asked if u is not None))
    return Settle(found.detectable, expect, found.n, found.more, usd, at.metric)


def _difference(made: Comparison, min_effect: float) -> stats.Difference:
    return stats.Difference(
        n=made.n_pairs, mean=made.delta, low=made.low, high=made.high, p=made.p, method=made.method, answer=made.answer,
        label=made.label, flags=made.flags, min_effect=min_effect, alpha=made.alpha, se=made.se, df=made.df,
        n_missing=made.n_missing, n_clusters=made.n_clusters, won=made.won, lost=made.lost, tied=made.tied,
        lost_half=made.lost_half, skew=made.skew, rare=made.rare,
    )  # fmt: skip


def _seeds(board: Board, runs: SeedRuns | None, found: Verdict, rules: Rules) -> tuple[Seed, ...]:
    """Every seed against the baseline, the arm's own first; exploratory: no answer is taken from it."""
    candidate, baseline = found.candidate, found.baseline
    if runs is None or not runs.runs or candidate is None or baseline not in board.arms:
        return ()
    assert baseline is not None
    values: dict[int, tuple[NDArray[np.float64], float | None]] = {
        runs.first: (board.oriented(candidate, rules.primary), None)
    }
    for run in runs.runs:
        by_id = dict(zip(runs.examples, run.values, strict=True))
        scores = np.array([np.nan if (v := by_id.get(i)) is None else v for i in board.ids])
        values[run.seed] = (scores, run.dev_score)
    made: list[Seed] = []
    for seed, (scores, dev) in values.items():
        d = scores - board.oriented(baseline, rules.primary)
        if np.isnan(d).all():
            made.append(Seed(seed, 0.0, dev, None))
            continue
        difference = stats.decide_difference(
            d,
            board.clusters,
            levels=stats.levels_of(scores, board.oriented(baseline, rules.primary)),
            min_effect=rules.min_effect,
            alpha=rules.alpha,
            max_missing=rules.max_missing,
        )
        against = comparison(board, rules.primary, candidate, baseline, d, difference)
        made.append(Seed(seed, float(np.nanmean(scores)), dev, against))
    return tuple(made)


def _nothing_to_compare(board: Board, frozen: Frozen, rules: Rules, what: str = "") -> Verdict:
    tuned = [c for c in frozen.candidates if c in board.arms]
    what = what or ("no arm to hold it against" if tuned else "no fine-tuned arm")
    best = max(board.arms, key=lambda a: cell(board, a, rules.primary).mean, default=None)
    return Verdict(
        beat="inconclusive",
        sentence=f"Not asked: {what}." if what == MISSING else f"Not asked: the benchmark has {what}.",
        because=f"{what}; the arms are shown side by side" + (f", {best} first" if best else "") + ".",
        metric=rules.primary,
        min_effect=rules.min_effect,
        alpha=rules.alpha,
        candidate=next(iter(frozen.candidates), None),
        baseline=frozen.baseline,
        would_change=(
            "The same command asks for the missing answers again."
            if what == MISSING
            else "Add an arm to hold it against."
            if tuned
            else "Add an arm with `technique: fine_tune`.",
        ),
        flags=("nothing to compare",),
        reason="nothing_to_compare",
    )


__all__ = ["Cell", "Guardrail", "Leakage", "Rules", "Seed", "Settle", "Verdict", "decide", "points", "signed"]
