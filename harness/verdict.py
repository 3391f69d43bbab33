"""The answer: did the fine-tune beat the baseline? A pure function of stored numbers, with its reason.

A bare mean is never an answer: `yes` needs the interval above the smallest effect worth having and the exact test, and
every guardrail to hold; anything else that the data cannot settle is `inconclusive`, said with what would settle it.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from harness import power, stats
from harness.compare import Board, Cell, Comparison, cell, compare, comparison, paired
from harness.models.base import Struct
from harness.records import Frozen


class Guardrail(Struct, frozen=True):
    """A metric that must not get worse: non-inferiority of the candidate at its margin."""

    metric: str
    margin: float
    answer: stats.Answer
    comparison: Comparison


class Settle(Struct, frozen=True):
    """What would settle an inconclusive answer: the smallest effect found 4 times in 5, and the examples needed."""

    detectable: float
    expect: float
    needed: int | None
    more: int | None
    usd: float | None = None


class Verdict(Struct, frozen=True):
    """The answer to "did the fine-tune beat the baseline?", ready to be shown."""

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


class Rules(Struct, frozen=True):
    """What was decided before the run: the primary metric, the effect worth having, guardrails and their margins."""

    primary: str
    min_effect: float
    expect: float
    alpha: float
    max_missing: float
    guardrails: dict[str, float] = {}


def decide(board: Board, frozen: Frozen, rules: Rules) -> Verdict:
    """Hold the candidates against the frozen baseline.

    Of several candidates the one with the best dev score was frozen first and speaks; each is shown at its Holm level.
    `best_of_all` (no dev split): yes only if the candidate beats every other arm (intersection-union, Berger 1982).
    """
    candidates = [c for c in frozen.candidates if c in board.arms]
    if not candidates or (frozen.baseline is None and frozen.rule != "best_of_all"):
        return _nothing_to_compare(board, frozen, rules)
    candidate = candidates[0]
    if frozen.rule == "best_of_all":
        made, others = _best_of_all(board, candidate, rules), []
    else:
        assert frozen.baseline is not None
        all_made = compare(
            board, rules.primary, candidates, frozen.baseline,
            min_effect=rules.min_effect, alpha=rules.alpha, max_missing=rules.max_missing,
        )  # fmt: skip
        made, others = all_made[0], all_made[1:]
    if made.n_pairs == 0:
        return _nothing_to_compare(board, frozen, rules, "no pair of answers: all of them are missing")
    guards = tuple(
        _guardrail(board, metric, margin, candidate, made.baseline, rules)
        for metric, margin in rules.guardrails.items()
    )
    answer = made.answer
    failed_guards = [g for g in guards if g.answer != "yes"]
    if answer == "yes" and any(g.answer == "no" for g in failed_guards):
        answer = "no"
    elif answer == "yes" and failed_guards:
        answer = "inconclusive"
    settle = _settle(made, rules) if answer == "inconclusive" else None
    return Verdict(
        beat=answer,
        sentence=sentence(answer, made, rules),
        because=_because(answer, made, failed_guards, rules),
        metric=rules.primary,
        min_effect=rules.min_effect,
        alpha=made.alpha,
        candidate=candidate,
        baseline=made.baseline,
        comparison=made,
        guardrails=guards,
        settle=settle,
        others=tuple(others),
        would_change=_would_change(answer, made, settle, rules),
        flags=made.flags,
    )


def sentence(answer: stats.Answer, made: Comparison, rules: Rules) -> str:
    """The answer in one sentence, with its number and interval in points (hundredths of the metric)."""
    number = f"{points(abs(made.delta))} points [{signed(made.low)}, {signed(made.high)}]"
    against = f"the baseline ({made.baseline})"
    match answer:
        case "yes":
            return f"Yes: {made.candidate} beats {against} by {number} of {made.metric}."
        case "no" if made.delta < 0:
            return f"No: {made.candidate} is {number} of {made.metric} behind {against}."
        case "no":
            return f"No: {made.candidate} leads {against} by only {number} of {made.metric}."
        case "inconclusive":
            if points(abs(made.delta)) == points(0):
                level = f"{made.candidate} is level with {against}"
                return f"Inconclusive: {level}, {number} of {made.metric}: not settled."
            side = "ahead of" if made.delta > 0 else "behind"
            return f"Inconclusive: {made.candidate} is {number} of {made.metric} {side} {against}: not settled."


def points(value: float) -> str:
    """A difference in points, one decimal."""
    return f"{100 * value:.1f}"


def signed(value: float) -> str:
    """A difference in points with its sign."""
    return f"{100 * value:+.1f}"


def _best_of_all(board: Board, candidate: str, rules: Rules) -> Comparison:
    others = [a for a in board.arms if a != candidate]
    pairs = [paired(board, rules.primary, candidate, a) for a in others]
    answer, made = stats.beats_all(
        [d for d, _ in pairs],
        board.clusters,
        binary=board.binary[rules.primary],
        min_effect=rules.min_effect,
        alpha=rules.alpha,
        ends=[ends for _, ends in pairs],
        max_missing=rules.max_missing,
    )
    hardest = min(range(len(others)), key=lambda i: (made[i].low, others[i]))
    found = comparison(board, rules.primary, candidate, others[hardest], pairs[hardest][0], made[hardest])
    return msgspec.structs.replace(found, answer=answer)


def _guardrail(board: Board, metric: str, margin: float, candidate: str, baseline: str, rules: Rules) -> Guardrail:
    d, ends = paired(board, metric, candidate, baseline)
    made = stats.not_worse(
        d, board.clusters, margin=margin, alpha=rules.alpha, ends=ends, max_missing=rules.max_missing
    )
    return Guardrail(metric, margin, made.answer, comparison(board, metric, candidate, baseline, d, made))


def _settle(made: Comparison, rules: Rules) -> Settle | None:
    if made.n_pairs < 5:  # fewer cannot say how much examples vary
        return None
    difference = stats.Difference(
        n=made.n_pairs, mean=made.delta, low=made.low, high=made.high, p=made.p, method=made.method, answer=made.answer,
        label=made.label, flags=made.flags, min_effect=rules.min_effect, alpha=made.alpha, se=made.se, df=made.df,
        n_missing=made.n_missing, n_clusters=made.n_clusters, won=made.won, lost=made.lost, tied=made.tied,
        lost_half=made.lost_half,
    )  # fmt: skip
    found = power.needed(difference, rules.expect)
    return Settle(found.detectable, rules.expect, found.n, found.more)


def _because(answer: stats.Answer, made: Comparison, guards: Sequence[Guardrail], rules: Rules) -> str:
    interval = f"the {100 * (1 - made.alpha):.3g} % interval [{signed(made.low)}, {signed(made.high)}] points"
    bar = f"the smallest effect worth having ({signed(rules.min_effect)})" if rules.min_effect else "zero"
    if "missing" in made.flags:
        pairs = made.n_missing + made.n_pairs
        return f"{made.n_missing} of {pairs} pairs are missing: too many, or enough to turn the answer."
    if "few_clusters" in made.flags:
        return f"only {made.n_clusters} clusters: fewer than 6 cannot carry an interval."
    if guards and made.answer == "yes":
        names = ", ".join(f"{g.metric} ({g.answer})" for g in guards)
        return f"{interval} lies above {bar}, but a guardrail does not hold: {names}."
    match answer:
        case "yes":
            return f"{interval} lies above {bar} and the exact test agrees (p = {made.p:.2g}, n = {made.n_pairs})."
        case "no":
            return f"{interval} lies below {bar} (n = {made.n_pairs})."
        case "inconclusive" if "locked" in made.flags:
            return f"{interval} would settle it, but the exact test does not agree (p = {made.p:.2g})."
        case "inconclusive":
            return f"{interval} holds {bar} (p = {made.p:.2g}, n = {made.n_pairs})."


def _would_change(answer: stats.Answer, made: Comparison, settle: Settle | None, rules: Rules) -> tuple[str, ...]:
    lines: list[str] = []
    if settle is not None:
        lines.append(f"This test finds a true effect of {points(settle.detectable)} points 4 times in 5.")
        if settle.more:
            wanted = f"To find {points(settle.expect)} points that often"
            lines.append(f"{wanted} it needs {settle.needed} examples: {settle.more} more.")
    if answer == "yes":
        lines.append(f"It would no longer be yes if the effect worth having were above {points(made.low)} points.")
    if answer == "no" and made.high > 0:
        lines.append(f"It would no longer be no if an effect of {points(made.high)} points were worth having.")
    return tuple(lines)


def _nothing_to_compare(board: Board, frozen: Frozen, rules: Rules, what: str = "") -> Verdict:
    tuned = [c for c in frozen.candidates if c in board.arms]
    what = what or ("no arm to hold it against" if tuned else "no fine-tuned arm")
    best = max(board.arms, key=lambda a: cell(board, a, rules.primary).mean, default=None)
    return Verdict(
        beat="inconclusive",
        sentence=f"Not asked: the benchmark has {what}.",
        because=f"{what}; the arms are shown side by side" + (f", {best} first" if best else "") + ".",
        metric=rules.primary,
        min_effect=rules.min_effect,
        alpha=rules.alpha,
        candidate=next(iter(frozen.candidates), None),
        baseline=frozen.baseline,
        would_change=("Add an arm with `technique: fine_tune` and one without.",),
        flags=("nothing to compare",),
    )


__all__ = ["Cell", "Guardrail", "Rules", "Settle", "Verdict", "decide", "points", "sentence", "signed"]
