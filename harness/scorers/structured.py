"""Scorers of structure: sets of items, JSON fields, and items that nobody gave."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from pydantic import Field

from harness.answer import Answer, Unreadable
from harness.models.base import Completion
from harness.scorers.base import Mark, PairScorer
from harness.scorers.text import holds, words
from harness.taskset import Example


def f1(answer: frozenset[str], target: frozenset[str]) -> float:
    """Harmonic mean of precision and recall of two sets, in [0, 1]; two empty sets agree (1)."""
    if not answer and not target:
        return 1.0
    return 2 * len(answer & target) / (len(answer) + len(target))


class SetF1(PairScorer):
    """`set_f1`: F1 of the answered items against the target's; order and repetition do not count."""

    def mark(self, example: Example, completion: Completion) -> Mark:
        """F1, with what was missed and what was added."""
        answer, target = self.items(completion), self.answer.items(example.target)
        return Mark(value=f1(answer, target), reason=difference(answer, target))


class ExactSet(PairScorer):
    """`exact_set`: 1 if the answered items are exactly the target's, else 0."""

    def mark(self, example: Example, completion: Completion) -> Mark:
        """1 or 0, with what was missed and what was added."""
        answer, target = self.items(completion), self.answer.items(example.target)
        return Mark(value=float(answer == target), reason=difference(answer, target))


def difference(answer: frozenset[str], target: frozenset[str]) -> str:
    """What an answer missed and what it added, for people."""
    missed, added = sorted(target - answer), sorted(answer - target)
    parts = [f"missed {', '.join(missed)}"] if missed else []
    parts += [f"added {', '.join(added)}"] if added else []
    return "; ".join(parts)[:500]


class UnsupportedItems(PairScorer):
    """`unsupported_items`: the share of answered items that the input does not name; lower is better.

    An item is supported if all its words stand side by side in the input, or at least in one line of it of at most 20
    words ("chicken or vegetable stock" supports "chicken stock"); plurals, accents and hyphens are folded on both
    sides. An empty answer invents nothing (0).
    """

    better: ClassVar[bool] = False

    columns: tuple[str, ...] = Field((), description="Input columns to look in; default: all.")

    def mark(self, example: Example, completion: Completion) -> Mark:
        """A share, with the items that were not found."""
        columns = self.columns or tuple(example.input)
        text = "\n".join(example.input[c] for c in columns)
        whole, lines = words(text), [words(line) for line in text.splitlines()]
        items = sorted(self.items(completion))
        invented = [item for item in items if not supported(words(item), whole, lines)]
        share = len(invented) / len(items) if items else 0.0
        return Mark(value=share, reason=f"not in the input: {', '.join(invented)}"[:500] if invented else "")


LINE_WORDS = 20  # a longer line is prose, where words that stand apart say nothing together


def supported(item: list[str], whole: list[str], lines: list[list[str]]) -> bool:
    """Whether an item's words stand side by side in the text, or all in one short line. No words: nothing invented."""
    return holds(whole, item) or any(len(line) <= LINE_WORDS and {*line}.issuperset(item) for line in lines)


class JsonMatch(PairScorer):
    """`json_match`: the share of fields that have the target's value.

    `fields` names them by dotted path (`address.city`); without it all top-level fields of both sides count, so that
    an added field costs as a missed one does. Texts are compared after the normaliser, 1 and 1.0 are the same number,
    true is not 1.
    """

    fields: tuple[str, ...] = Field((), description="Dotted paths of the fields that count; default: all.")

    def mark(self, example: Example, completion: Completion) -> Mark:
        """A share, with the fields that differ."""
        target: Any = json.loads(self.answer.write(example.target))
        answer: Any = _loaded(self.answer.read(completion.text))
        if not self.fields and not (isinstance(target, dict) and isinstance(answer, dict)):
            return Mark(value=float(same_json(answer, target, self.answer)))
        paths = [tuple(f.split(".")) for f in self.fields] or [(k,) for k in sorted({*target, *answer})]
        wrong = [p for p in paths if not same_json(at(answer, p), at(target, p), self.answer)]
        reason = f"differs in {', '.join('.'.join(p) for p in wrong)}" if wrong else ""
        return Mark(value=1 - len(wrong) / len(paths) if paths else 1.0, reason=reason[:500])


_ABSENT = object()


def at(value: Any, path: tuple[str, ...]) -> Any:
    """The value at a path of keys (list positions as numbers), or a mark of its own where there is none."""
    for key in path:
        if isinstance(value, dict) and key in value:
            value = value[key]
        elif isinstance(value, list) and key.isdecimal() and int(key) < len(value):
            value = value[int(key)]
        else:
            return _ABSENT
    return value


def same_json(a: Any, b: Any, answer: Answer) -> bool:
    """Whether two JSON values are the same, texts after the normaliser. What is absent on both sides is the same."""
    match a, b:
        case bool(), bool():
            return a == b
        case (bool(), _) | (_, bool()):
            return False
        case str(), str():
            return answer.normalise(a) == answer.normalise(b)
        case dict(), dict():
            return a.keys() == b.keys() and all(same_json(a[k], b[k], answer) for k in a)
        case list(), list():
            return len(a) == len(b) and all(same_json(x, y, answer) for x, y in zip(a, b, strict=True))
        case _:
            return (
                a is b or (type(a) in (int, float) and type(b) in (int, float) and a == b) or (a is None and b is None)
            )


def _loaded(value: str | tuple[str, ...]) -> Any:
    if not isinstance(value, str):
        return list(value)
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"not JSON: {error}") from None
