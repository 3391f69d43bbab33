"""The answer as it is first read: one word, one sentence, the figures behind it, why, and what would change it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from harness.compare import Comparison
from harness.report import figures
from harness.report.advice import advice, levers, others
from harness.report.figures import Fact
from harness.report.money import Bill, Worth
from harness.report.stored import Stored
from harness.report.text import one_line

WORDS = {"yes": "Yes", "no": "No", "inconclusive": "Inconclusive"}


@dataclass(frozen=True)
class Answer:
    """The first thing that is read: one word, one sentence, what to do, why, and what would change it."""

    status: str
    word: str
    sentence: str
    because: str
    others: str
    worth: str
    worth_status: str
    advice: str
    would_change: tuple[str, ...]
    figures: tuple[Fact, ...]
    comparison: Comparison | None


def answer(stored: Stored, worth: Worth | str, billed: dict[str, Bill]) -> Answer:
    """The answer of a run, with the money's beside it, and what follows from both."""
    verdict, made = stored.verdict, stored.verdict.comparison
    word = WORDS[verdict.beat] if made is not None else "Not asked"
    facts = [_difference(made)] if made is not None else _best(stored)
    if isinstance(worth, Worth):
        facts += [_month(worth), *_payback(stored, worth)]
    return Answer(
        status=verdict.beat if made is not None else "unasked",
        word=word,
        sentence=_plain(verdict.sentence, word, stored.board.arms),
        because=_capital(verdict.because, stored.board.arms),
        others=others(stored),
        worth=worth.sentence if isinstance(worth, Worth) else "",
        worth_status=worth.answer if isinstance(worth, Worth) else "unknown",
        advice=advice(stored, worth, billed),
        would_change=(*verdict.would_change, *levers(stored), *_money_changes(worth)),
        figures=tuple(facts),
        comparison=made,
    )


def _plain(sentence: str, word: str, arms: Collection[str]) -> str:
    """The sentence after its first word, which stands beside it."""
    reason, _, rest = sentence.removeprefix(word).partition(": ")
    rest = f"{reason.strip(' ()')}: {rest}" if reason.strip(" ()") else rest
    return _capital(one_line(rest, 400), arms)


def _capital(text: str, arms: Collection[str]) -> str:
    """A sentence starts large, unless it starts with an arm's name, which stays as it is spelt."""
    return text if text.split(" ", 1)[0] in arms else text[:1].upper() + text[1:]


def _difference(made: Comparison) -> Fact:
    between = figures.points_interval(made.low, made.high)
    note = f"{100 * (1 - made.alpha):.3g} % interval {between}; {figures.many(made.n_pairs, 'example')}"
    return Fact(f"difference in {made.metric}", f"{figures.points(made.delta, made.low, made.high)} points", note)


def _best(stored: Stored) -> list[Fact]:
    """The arm that scores highest, where there is nothing to hold against each other."""
    up = stored.board.metrics[stored.primary]
    cells = [c for a in stored.board.arms if (c := stored.cells[a, stored.primary]).n]
    if not cells:
        return []
    best = max(cells, key=lambda c: c.mean if up else -c.mean)
    value, between = figures.score(best.mean, best.low, best.high), figures.score_interval(best.low, best.high)
    return [Fact(f"best {stored.primary}: {best.arm}", f"{value} of 100", f"interval {between}")]


def _month(worth: Worth) -> Fact:
    """Dollars a month, all counted, and what the tasks alone save."""
    month, tasks = worth.month, worth.saved
    sign = 1 if month.mean >= 0 else -1
    lower, upper = (figures.usd(v) for v in sorted((sign * month.low, sign * month.high)))
    value = figures.usd(abs(month.mean))
    each = f"{figures.usd(1000 * abs(tasks.mean))} {'' if tasks.mean >= 0 else 'more '}per 1,000"
    alone = f"the tasks alone {'save' if tasks.mean > 0 else 'cost'} {each if tasks.mean else 'the same'}"
    label = f"a month, all counted, at {figures.about(worth.terms.requests)} requests"
    said = f"saves {value}" if sign > 0 else f"costs {value} more"
    between = f"interval {lower} to {upper}; " if lower != upper else ""
    return Fact(label, said, between + alone)


def _payback(stored: Stored, worth: Worth) -> list[Fact]:
    """When the fixed cost is earned back, where there is one."""
    terms, paid = worth.terms, worth.payback
    if not paid.months:
        return []
    lasts = f"it lives {figures.months(terms.months)} ({worth.life.ends})"
    if paid.months == float("inf"):
        why = "each task costs more" if worth.saved.mean < 0 else "no task costs less"
        why = why if worth.saved.mean <= 0 else "the saving does not cover the hosting"
        return [Fact("pays back by what it saves", "never", f"{why}; {lasts}")]
    day = figures.day_after(stored.day, paid.months)
    parts = [f"on {day}"] if day else []
    if paid.low != paid.high:
        parts.append(f"interval {figures.months(paid.low)} to {figures.months(paid.high)}")
    parts.append(lasts if paid.months <= terms.months else f"too late: {lasts}")
    return [Fact("pays back by what it saves in", figures.months(paid.months), "; ".join(parts))]


def _money_changes(worth: Worth | str) -> tuple[str, ...]:
    """Where the economic answer flips, each with all else as it is."""
    if isinstance(worth, str):
        return ()
    lines: list[str] = []
    at = worth.flips
    if at.requests is not None:
        lines.append(f"The money flips at {figures.about(at.requests)} requests a month.")
    if at.price is not None and at.price > 0 and abs(at.price - 1) > 0.005:
        lines.append(f"The money flips if a fine-tuned task costs {at.price:.2g} times what it does.")
    if at.value is not None and at.value > 0:
        lines.append(f"It flips where a correct answer is worth {figures.usd(at.value)}.")
    return tuple(lines)
