"""Scorers of facts: does the answer hold the fact, does it say what nobody told it.

A fact is looked up by its words, so that a right answer in a sentence is right: numbers by their value, money with its
currency, no articles. Nobody judges: the same answer gets the same mark, and a person can work it out by hand.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from typing import ClassVar

from pydantic import Field

from harness.answer import singular
from harness.models.base import Completion
from harness.scorers.base import Mark, PairScorer, could_not_say
from harness.scorers.text import abstains, holds
from harness.taskset import Example

_TOKEN = re.compile(r"[^\W\d_]+\d[^\W_]*|\d+(?:[.,:]\d+)*|[£€$₹%]|[^\W\d_]+")  # codes (A7) before numbers, words
_MINUS = re.compile(r"(?<![\w.,:])[-\u2212](?=\d)")
_GROUPED = re.compile(r"\d{1,3}(?:,\d{2})*,\d{3}(?:\.\d+)?")  # 1,200 and 1,00,000
_MONEY = re.compile(
    r"(£|€|₹|\$|\b(?:gbp|eur|inr|usd|rs\.?)) ?(\d+(?:[.,]\d+)*(?: (?:hundred|thousand|million|billion|lakh|crore)\b)?)"
)
_SAME = {
    "%": "percent", "£": "pound", "gbp": "pound", "quid": "pound", "€": "euro", "eur": "euro", "$": "dollar",
    "usd": "dollar", "₹": "rupee", "rs": "rupee", "inr": "rupee",
}  # fmt: skip
_ARTICLES = {"a", "an", "the"}
_ORDINAL = {"st", "nd", "rd", "th"}
_ONES = _TOKEN.findall(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
_TENS = _TOKEN.findall("twenty thirty forty fifty sixty seventy eighty ninety")
_VALUES = {w: n for n, w in enumerate(_ONES)} | {w: 10 * n for n, w in enumerate(_TENS, 2)}


def facts(text: str) -> list[str]:
    """The words by which facts are compared: no case, accents, articles or plurals, numbers by their value.

    £4.90 is 4.9 pound, Rs 1,00,000 is 100000 rupee, five per cent is 5 percent, 8:30 is 8.3, 26th is 26.
    """
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
    bare = "".join(c for c in plain if not unicodedata.combining(c)).replace("'", "").replace("’", "")
    bare = _MONEY.sub(r"\2 \1", _MINUS.sub("minus ", bare)).replace("per cent", "percent")
    made: list[str] = []
    last = ""
    for token in _TOKEN.findall(bare):
        counted = last[:1].isdecimal()
        if token[0].isdecimal():
            made.append(_value(token))
        elif last in _TENS and token in _ONES[1:10]:
            made[-1] = str(_VALUES[last] + _VALUES[token])
        elif token in _VALUES:
            made.append(str(_VALUES[token]))
        elif not (counted and token in _ORDINAL):
            made.append("pence" if counted and token == "p" else _SAME.get(token) or singular(token))
        last = token
    return [t for t in made if t not in _ARTICLES] or made


def _value(number: str) -> str:
    """A number without grouping, leading and trailing zeros; a comma before one or two digits is a decimal comma."""
    if _GROUPED.fullmatch(number):
        number = number.replace(",", "")
    whole, point, rest = number.replace(":", ".").replace(",", ".").partition(".")
    if "." in rest:  # a version or a date: as it stands
        return number
    rest = rest.rstrip("0")
    return (whole.lstrip("0") or "0") + (point + rest if rest else "")


# Words that carry no fact: a wrong answer made of them and of what it was shown has invented nothing.
_EMPTY = frozenset(
    facts(
        "about above after all also am and answer any are as at be been before below but by can could do does each for "
        "from has have he her here his how i if in into is it its just may more most must my need no not note of off "
        "on one only or other our out over own per please reference she should so some such than that their them then "
        "there these they this those to under up us was we were what when where which while who whom whose why will "
        "with within would yes you your dont doesnt isnt cant cannot"
    )
)


class Fact(PairScorer):
    """`fact`: 1 if the answer holds the target, or another right wording of it; where the target abstains, if it does.

    A target of several facts wants all of them, and an answer that abstains holds none. Other wordings stand, one a
    line, in the column `accept`, which the task hands to scorers (`task: {keep: [accept]}`). An answer that holds the
    fact among much else is right; `run.max_tokens` bounds that: an answer that is cut off there has failed.
    """

    accept: str = Field(default="accept", description="The kept column with other right wordings, one a line.")

    def mark(self, example: Example, completion: Completion) -> Mark:
        """1 or 0; the label says what happened."""
        targets = (example.target,) if isinstance(example.target, str) else example.target
        if not all(facts(t) for t in targets):
            return could_not_say("the target, or a part of it, holds no word: every answer would hold it")
        should, does = (abstains(t, self.answer.abstain) for t in (" ".join(targets), completion.text))
        if should or does:
            label = "rightly abstained" if should and does else "made up an answer" if should else "wrongly abstained"
            return Mark(value=float(should and does), label=label)
        absent = lacking(example, completion, self.accept)
        return Mark(
            value=float(not absent), label="wrong" if absent else "right",
            reason=f"without {', '.join(absent)}"[:500] if absent else "",
        )  # fmt: skip


def lacking(example: Example, completion: Completion, accept: str) -> list[str]:
    """The facts of the target that the answer does not hold; none where it holds another right wording."""
    said = facts(completion.text)
    others = [f for line in example.kept.get(accept, "").splitlines() if (f := facts(line))]
    if any(holds(said, other) for other in others):
        return []
    targets = (example.target,) if isinstance(example.target, str) else example.target
    return [target for target in targets if not holds(said, facts(target))]


class Hallucination(PairScorer):
    """`hallucination`: 1 if an answer says what it does not know; lower is better.

    Which is: it answers where the target abstains; or it is wrong, and a number or most of its words that carry meaning
    stand neither in the input nor in the passages that it was shown. An answer that abstains or is right (as `fact`
    marks it) invents nothing, and one that is wrong by what it was shown has misread: both are 0.
    """

    better: ClassVar[bool] = False

    accept: str = Field(default="accept", description="The kept column with other right wordings, one a line.")
    passages: Callable[[], Mapping[str, str]] = Field(default=dict, exclude=True)

    def mark(self, example: Example, completion: Completion) -> Mark:
        """1 or 0; the label says what happened."""
        targets = (example.target,) if isinstance(example.target, str) else example.target
        if abstains(completion.text, self.answer.abstain):
            return Mark(value=0.0, label="abstained")
        if abstains(" ".join(targets), self.answer.abstain):
            return Mark(value=1.0, label="made up an answer")
        if not lacking(example, completion, self.accept):
            return Mark(value=0.0, label="right")
        shown = [self.passages()[id] for id in completion.passages] if completion.passages else []
        known = {f for text in (*example.input.values(), *shown) for f in facts(text)}
        said = dict.fromkeys(f for f in facts(completion.text) if f not in _EMPTY)
        new = [f for f in said if f not in known]
        if not any(f[0].isdecimal() for f in new) and 2 * len(new) <= len(said):
            return Mark(value=0.0, label="wrong by what it was shown")
        return Mark(value=1.0, label="unsupported", reason=f"was not given: {', '.join(new)}"[:500])
