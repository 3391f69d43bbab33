"""The answer in words: the sentence, why, and what would change it. Pure functions of the numbers that were decided."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness import stats
from harness.agreement import FEWEST_LABELS

if TYPE_CHECKING:
    from harness.compare import Comparison
    from harness.verdict import Guardrail, Leakage, Reason, Rules, Settle

NO_LEAK = "Test rows that stand in no train, dev, few-shot or document row would settle it."


def points(value: float) -> str:
    """A difference in points (hundredths of a metric), one decimal."""
    return f"{100 * value:.1f}"


def signed(value: float) -> str:
    """A difference in points with its sign."""
    return f"{100 * value:+.1f}"


def count(n: int, noun: str) -> str:
    """1 cluster, 2 clusters."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def sentence(answer: stats.Answer, reason: Reason, made: Comparison, guards: Sequence[Guardrail]) -> str:
    """The answer in one sentence, with its number and interval in points."""
    number = f"{points(abs(made.delta))} points {_between(made)}"
    few = _by(made) + (" (indicative: under 50 examples)" if "indicative" in made.flags else "")
    against = f"the baseline ({made.baseline})"
    side = "ahead of" if made.delta > 0 else "behind"
    lead = f"{made.candidate} is {number} of {made.metric} {side} {against}"
    if reason == "guardrail":
        names = ", ".join(g.metric for g in guards if g.answer != "yes")
        return f"{'No' if answer == 'no' else 'Inconclusive'}: {lead}, but {names} may be worse{few}."
    match answer:
        case "yes":
            return f"Yes: {made.candidate} beats {against} by {number} of {made.metric}{few}."
        case "no" if made.delta < 0:
            return f"No: {lead}{few}."
        case "no":
            return f"No: {made.candidate} leads {against} by only {number} of {made.metric}{few}."
        case "inconclusive":
            if points(abs(made.delta)) == points(0):
                lead = f"{made.candidate} is level with {against}, {number} of {made.metric}"
            named = {"missing": "answers are missing", "few_clusters": "too few clusters", "leakage": "leakage"}
            named["labels"] = "too few labels"
            why = f" ({named[reason]})" if reason in named else ""
            return f"Inconclusive{why}: {lead}: not settled{few}."


def _by(made: Comparison) -> str:
    """By whom, where a judge scored."""
    if made.n_labelled is None:
        return ""
    if not made.n_labelled:
        return ", by judge only"
    labels = "labels marked synthetic" if made.synthetic else "human labels"
    return f", by a judge that {labels} of {count(made.n_labelled, 'example')} correct"


def _between(made: Comparison) -> str:
    """The interval as the sentence counts: points behind where it is behind; signs only where it holds zero."""
    low, high = (made.low, made.high) if made.delta >= 0 else (-made.high, -made.low)
    say = points if low >= 0 else signed
    return f"[{say(low)}, {say(high)}]"


def because(answer: stats.Answer, reason: Reason, made: Comparison, guards: Sequence[Guardrail], rules: Rules) -> str:
    """Why this is the answer."""
    interval = f"the {100 * (1 - made.alpha):.3g} % interval [{signed(made.low)}, {signed(made.high)}] points"
    test = "exact test" if made.n_labelled is None else "sign-flip test of the corrected differences"
    bar = f"the smallest effect worth having ({signed(rules.min_effect)})" if rules.min_effect else "zero"
    match reason:
        case "missing":
            pairs = made.n_missing + made.n_pairs
            return f"{made.n_missing} of {pairs} pairs are missing: too many, or enough to turn the answer."
        case "few_clusters":
            return f"only {count(made.n_clusters or 0, 'cluster')}: fewer than 6 cannot carry an interval."
        case "labels":
            return (
                f"{count(made.n_labelled or 0, 'example')} with both answers labelled, and at least "
                f"{FEWEST_LABELS} labels of each arm's answers are needed: a judge decides nothing by itself."
            )
        case "guardrail":
            return f"{interval} lies above {bar}, but a guardrail does not hold: {_guards(guards)}."
        case "locked" if made.p > made.alpha:
            return f"{interval} would settle it, but the {test} does not agree (p = {made.p:.2g})."
        case "locked":
            return f"{interval} would settle it, but large differences too rare to be seen could undo it."
        case _:
            pass
    match answer:
        case "yes":
            return f"{interval} lies above {bar} and the {test} agrees (p = {made.p:.2g}, n = {made.n_pairs})."
        case "no":
            return f"{interval} lies below {bar} (n = {made.n_pairs})."
        case "inconclusive":
            held = f"{interval} holds {bar} (p = {made.p:.2g}, n = {made.n_pairs})."
            few = f" Of {count(made.n_clusters or 0, 'cluster')}, ones that are lost whole may be too rare to be seen."
            return held + (few if stats.WIDENED in made.method else "")


def _bar(rules: Rules) -> str:
    return signed(rules.min_effect) if rules.min_effect else "zero"


def _guards(guards: Sequence[Guardrail]) -> str:
    said: list[str] = []
    for g in guards:
        if g.answer == "yes":
            continue
        c = g.comparison
        word = "worse" if g.answer == "no" else "not shown to be as good"
        said.append(
            f"{g.metric} {word} ([{signed(c.low)}, {signed(c.high)}] points, margin {points(g.margin)}{_by(c)}"
            f"{', but large losses may be too rare to be seen' if 'locked' in c.flags else ''})"
        )
    return ", ".join(said)


def leaked(answer: stats.Answer, leakage: Leakage) -> str:
    """Why leakage keeps the answer open."""
    rows = count(len(leakage.ids), "test row")
    return f"with the {rows} that may have been seen before the answer is {answer}, without it is {leakage.answer}."


def would_change(
    answer: stats.Answer,
    reason: Reason,
    made: Comparison,
    settle: Settle | None,
    guards: Sequence[Guardrail],
    rules: Rules,
) -> tuple[str, ...]:
    """What would settle the answer, or turn it."""
    lines: list[str] = []
    if reason == "missing":
        lines.append(
            f"{count(made.n_missing, 'missing answer')} would settle it: the same command asks for them again."
        )
    if reason == "few_clusters":
        lines.append(f"At least 6 clusters would carry an interval, and 20 a firm one; there are {made.n_clusters}.")
    if reason == "labels":
        lines.append(f"Labels of this run's own answers, {FEWEST_LABELS} of each arm, would let it answer.")
    if settle is not None:
        lines += _settling(made, settle)
    if answer == "yes":
        lines.append(f"It would no longer be yes if the effect worth having were above {points(made.low)} points.")
    if answer == "no" and reason == "guardrail":
        needed = ", ".join(f"{g.metric} {points(-g.comparison.low)} points" for g in guards if g.answer == "no")
        lines.append(f"It would be yes if so much worse were allowed: {needed}.")
    elif answer == "no" and made.high > 0:
        lines.append(f"It would no longer be no if an effect of {points(made.high)} points were worth having.")
    elif answer == "no":
        more = f"{points(rules.min_effect - made.low)} points more"
        lines.append(f"It would be yes with {more}: the whole interval must lie above {_bar(rules)}.")
    return tuple(lines)


def _settling(made: Comparison, settle: Settle) -> list[str]:
    if settle.metric and settle.metric != made.metric:
        if not settle.more:
            return []
        return [
            f"If {settle.metric} is truly no worse, {settle.needed:,} examples show it 4 times in 5: {_more(settle)}."
        ]
    lines: list[str] = []
    if settle.detectable < 1:
        lines.append(f"This test finds a true effect of {points(settle.detectable)} points 4 times in 5.")
    else:
        lines.append("This test is too small to find any effect 4 times in 5.")
    if settle.more:
        share = f", the same {made.n_labelled / made.n_pairs:.0%} of them labelled" if made.n_labelled else ""
        lines.append(
            f"To find {points(settle.expect)} points that often it needs {settle.needed:,} examples{share}: "
            f"{_more(settle)}{_in_clusters(made, settle.more)}."
        )
    elif settle.more == 0:
        lines.append(f"It has examples enough to find {points(settle.expect)} points: a true effect is likely smaller.")
    return lines


def _in_clusters(made: Comparison, more: int) -> str:
    """How many clusters those examples are, of sizes like these; fewer do where they are alike in size."""
    if made.n_clusters is None:
        return ""
    return f", in {count(max(round(made.n_clusters * more / made.n_pairs), 1), 'cluster')} of such sizes"


def _more(settle: Settle) -> str:
    cost = (
        ""
        if settle.usd is None
        else f", about ${settle.usd:,.2f}"
        if settle.usd < 100
        else f", about ${settle.usd:,.0f}"
    )
    return f"{settle.more:,} more{cost}"
