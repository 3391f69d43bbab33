"""What to do: the step that the answer asks for, in a sentence or two, and how the candidate stands to the other arms.

The verdict says what is so and the money says what it costs; whoever decides also wants to hear what follows from both.
"""

from __future__ import annotations

from harness.report import figures
from harness.report.drawing import spoken
from harness.report.money import Bill, Worth
from harness.report.stored import Stored
from harness.verdict import Guardrail

NAMED = 3  # arms named one by one beside the baseline
MUTE = 0.5  # a share of failed answers beyond which these are what stands in the way
LOW = 0.5  # a score under which a yes still needs a word about the level


def advice(stored: Stored, worth: Worth | str, billed: dict[str, Bill]) -> str:
    """The next step, as a sentence that begins with what to do."""
    verdict, made = stored.verdict, stored.verdict.comparison
    if made is None:
        return _unasked(stored)
    keep = f"Keep {made.baseline} ({_standing(stored, billed, made.baseline)})"
    match verdict.beat:
        case "yes":
            return _better(worth, made.candidate, made.baseline, keep) + _level(stored, made.candidate)
        case "no":
            return _not_better(stored, worth, made.candidate, keep)
        case "inconclusive":
            return _open(stored, made.candidate, keep)


def _unasked(stored: Stored) -> str:
    best = stored.best([a for a in stored.board.arms if stored.cells[a, stored.primary].n])
    best = f" Until then {best} scores highest." if best and len(stored.board.arms) > 1 else ""
    if stored.verdict.candidate in stored.board.arms:
        return f'Name an arm to hold it against: `arms: {{prompt: {{technique: prompt, system: "..."}}}}`.{best}'
    return f"Add what is to be decided on: `arms: {{fine_tuned: {{technique: fine_tune, tuner: trl}}}}`.{best}"


def _better(worth: Worth | str, candidate: str, baseline: str, keep: str) -> str:
    gate = "and hold it there with a gate (`harness bless RUN`)"
    if isinstance(worth, str):
        return f"Price it before you decide: {worth}."
    match worth.answer:
        case "yes":
            return f"Use {candidate}, {gate}."
        case "depends" if worth.quadrant.usd_per_correct is not None:
            rate = figures.usd(worth.quadrant.usd_per_correct)
            return f"Use {candidate} if one more correct answer is worth {rate} to you, {gate}; else keep {baseline}."
        case "no" if worth.payback.months > worth.terms.months and worth.flips.requests is not None:
            more = figures.about(worth.flips.requests)
            return f"{keep}: what it gains costs more than it is worth, up to about {more} requests a month."
        case "no":
            return f"{keep}: what it gains costs more than it is worth."
        case _:
            return f"Settle the money first: {candidate} is better, and whether that is worth its cost stays open."


def _level(stored: Stored, candidate: str) -> str:
    """Better is not good: a word where even the winner scores low."""
    cell = stored.cells[candidate, stored.primary]
    if not stored.board.metrics[stored.primary] or cell.mean >= LOW:
        return ""
    return f" Mind the level: even {candidate} scores {figures.score(cell.mean, cell.low, cell.high)} of 100."


def _not_better(stored: Stored, worth: Worth | str, candidate: str, keep: str) -> str:
    if isinstance(worth, Worth) and worth.quadrant.name == "dominates" and worth.answer == "yes":
        return f"Use {candidate} for its price alone: as good as {worth.baseline}, and cheaper."
    guards = [g for g in stored.verdict.guardrails if g.answer == "no"] if stored.verdict.reason == "guardrail" else []
    if guards:
        return f"{keep}: mend {_failing(guards)} before another try."
    if isinstance(worth, Worth) and worth.quadrant.name == "cheaper_worse" and worth.quadrant.usd_per_correct:
        rate = figures.usd(worth.quadrant.usd_per_correct)
        return f"{keep}, unless you would give up a correct answer for {rate} saved."
    return f"{keep}."


def levers(stored: Stored) -> tuple[str, ...]:
    """What another try could start from, after a no: failed answers, more rows, or the line that measures these."""
    verdict, made = stored.verdict, stored.verdict.comparison
    if made is None or verdict.beat != "no":
        return ()
    arm, said = made.candidate, list[str]()
    cell, failed = stored.cells[arm, stored.primary], _failed(stored, arm)
    gain = (cell.completed_mean or 0.0) - cell.mean if stored.board.metrics[stored.primary] else 0.0
    if failed and gain >= 0.005:
        said.append(f"{figures.many(failed, 'failed answer')} cost {arm} about {100 * gain:.0f} points.")
    curve = stored.learning.get(arm)
    if curve is not None and curve.fit is not None:
        low, high = 100 * curve.fit.gain_low, 100 * curve.fit.gain_high
        said.append(f"Twice the training rows are expected to bring {low:.1f} to {high:.1f} points.")
    elif curve is None and arm in dict(stored.trained):
        said.append(f"`arms: {{{arm}: {{learning_curve: true}}}}` measures what more training rows would bring.")
    return tuple(said)


def _open(stored: Stored, candidate: str, keep: str) -> str:
    verdict, settle = stored.verdict, stored.verdict.settle
    match verdict.reason:
        case "missing":
            return "Run the same command again: it asks for the missing answers and for nothing else."
        case "leakage":
            return f"{keep} for now, and take the test rows out that may have been seen before (`harness check FILE`)."
        case "few_clusters":
            return f"{keep} for now, and add test examples of other clusters."
        case "labels":
            return f"{keep} for now, and have people label test answers: a judge alone decides nothing."
        case _:
            pass
    mute = [a for a in (verdict.baseline, candidate) if a and _failed(stored, a) > MUTE * stored.board.efforts[a].n]
    if mute:
        counts = spoken(f"{_failed(stored, a):,} of {stored.board.efforts[a].n:,} answers of {a}" for a in mute)
        return f"Mend what failed first: {counts}. More examples would only show more of that."
    failing = [g for g in verdict.guardrails if g.answer == "no"]
    if failing:
        return f"{keep}: {_failing(failing)} fails its guardrail, so no number of examples makes this a yes."
    if settle is not None and settle.more:
        cost = "" if settle.usd is None else f" (about {figures.usd(settle.usd)})"
        return f"{keep} for now. Label {settle.more:,} more test examples{cost} and run again: this set cannot tell."
    if settle is not None and settle.more == 0:
        return f"{keep}: the set is large enough for the effect that was hoped for, and did not show it."
    return f"{keep} for now: this set cannot tell."


def _failed(stored: Stored, arm: str) -> int:
    return sum(stored.board.efforts[arm].failures.values())


def _failing(guards: list[Guardrail]) -> str:
    return spoken(g.metric for g in guards)


def _standing(stored: Stored, billed: dict[str, Bill], arm: str) -> str:
    """What an arm gives and takes, in a few words."""
    cell, usd = stored.cells[arm, stored.primary], billed[arm].usd_a_task
    price = "price unknown" if usd is None else f"{figures.usd(1000 * usd)} per 1,000 tasks"
    return f"{figures.score(cell.mean, cell.low, cell.high)} of 100, {price}"


def others(stored: Stored) -> str:
    """How the candidate stands to the arms that are not the baseline, each at its Bonferroni level."""
    verdict, rest = stored.verdict, list[str]()
    if verdict.comparison is None or verdict.candidate is None:
        return ""
    rest = [a for a in stored.board.arms if a not in (verdict.candidate, verdict.baseline)]
    level = stored.benchmark.verdict.alpha / max(len(rest), 1)
    made = [c for a in rest if (c := stored.against(verdict.candidate, a, alpha=level)) is not None]
    groups = {"ahead of": "better", "behind": "worse"}
    parts: list[str] = []
    for words, label in groups.items():
        found = sorted((c for c in made if c.label == label), key=lambda c: abs(c.delta))
        if found:
            near = found[0]
            sign = 1 if near.delta >= 0 else -1
            low, high = sorted((100 * sign * near.low, 100 * sign * near.high))
            by = f"{near.baseline} by {100 * abs(near.delta):.1f} points [{low:.1f}, {high:.1f}]"
            more = [c.baseline for c in found[1:]]
            tail = f", and of {_some(more)} by more" if more and label == "better" else ""
            tail = f", and {_some(more)} by more" if more and label == "worse" else tail
            parts.append(f"{words} {by}{tail}")
    level_with = [c.baseline for c in made if c.label not in groups.values()]
    if level_with:
        parts.append(f"not told apart from {_some(level_with)}")
    return f"Of the other arms it is {'; '.join(parts)}." if parts else ""


def _some(names: list[str]) -> str:
    rest = len(names) - NAMED
    return spoken(names) if rest <= 1 else f"{', '.join(names[:NAMED])} and {rest} more"
