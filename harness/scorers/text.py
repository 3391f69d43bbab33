"""Scorers of texts: is it the target, does it hold the target, does it abstain where the target does."""

from __future__ import annotations

import re
import unicodedata
from typing import ClassVar

from pydantic import Field

from harness.answer import singular
from harness.models.base import Completion
from harness.scorers.base import Mark, PairScorer, could_not_say
from harness.taskset import Example

_WORD = re.compile(r"[^\W_]+")


def words(text: str) -> list[str]:
    """The words of a text for looking one text up in another: no case, accents, punctuation or English plurals."""
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
    bare = "".join(c for c in plain if not unicodedata.combining(c)).replace("'", "").replace("’", "")
    return [singular(word) for word in _WORD.findall(bare)]


def holds(text: list[str], part: list[str]) -> bool:
    """Whether the words of `part` stand in `text` side by side, in order. No words are in every text."""
    return f" {' '.join(part)} " in f" {' '.join(text)} " if part else True


def abstains(text: str, phrase: str | None) -> bool:
    """Whether a text says the phrase by which answers abstain; "don't" and "do not" are the same. Without one: never.

    "I don't know." and "I don't know the answer to that" abstain; a long answer that holds the phrase does not.
    """
    if not phrase:
        return False
    wanted, said = words(_written_out(phrase)), words(_written_out(text))
    return holds(said, wanted) and len(said) <= len(wanted) + 12


def _written_out(text: str) -> str:
    plain = text.casefold().replace("’", "'").replace("cannot", "can not").replace("can't", "can not")
    return plain.replace("won't", "will not").replace("n't", " not")


class Exact(PairScorer):
    """`exact`: 1 if answer and target are the same text after the normaliser (a list: the same items in order)."""

    def mark(self, example: Example, completion: Completion) -> Mark:
        """1 or 0."""
        same = self._form(self.answer.read(completion.text)) == self._form(example.target)
        return Mark(value=float(same), label="same" if same else "different")

    def _form(self, value: str | tuple[str, ...]) -> tuple[str, ...]:
        if self.answer.format == "list":
            items = (value,) if isinstance(value, str) else value
            return tuple(n for item in items if (n := self.answer.normalise(item)))
        return (self.answer.normalise(self.answer.write(value)),)


class Contains(PairScorer):
    """`contains`: the share of the target's items that stand in the answer's text, by whole words, plurals folded."""

    def mark(self, example: Example, completion: Completion) -> Mark:
        """A share; could not say when the target is empty, since every text holds nothing."""
        targets = (example.target,) if isinstance(example.target, str) else example.target
        wanted = [item for target in targets if (item := words(target))]
        if not wanted:
            return could_not_say("the target is empty: every answer would hold it")
        text = words(completion.text)
        absent = [" ".join(item) for item in wanted if not holds(text, item)]
        value = 1 - len(absent) / len(wanted)
        return Mark(value=value, reason=f"without {', '.join(absent)}" if absent else "")


class Must(PairScorer):
    """`must`: 1 if the answer holds every item of the kept column `must`, by whole words; else 0.

    Items stand one a line (a list in the row); an item may name several wordings, parted by `|`, of which one is
    enough. A right answer may so say much more than the fact: the target is one such answer.
    """

    column: str = Field("must", description="The kept column with what a right answer holds, one item a line.")

    @property
    def needs(self) -> tuple[str, ...]:
        """The items are in a kept column."""
        return (self.column,)

    def mark(self, example: Example, completion: Completion) -> Mark:
        """1 or 0; the reason names what is not in the answer."""
        wanted = [line for line in example.kept.get(self.column, "").splitlines() if words(line)]
        if not wanted:
            return could_not_say(f"the row names nothing in `{self.column}` that an answer must hold")
        said = words(completion.text)
        absent = [item for item in wanted if not any(w and holds(said, w) for w in map(words, item.split("|")))]
        reason = f"without {', '.join(absent)}"[:500] if absent else ""
        return Mark(value=float(not absent), label="wrong" if absent else "right", reason=reason)


class Abstention(PairScorer):
    """`abstention`: 1 if the answer abstains exactly where the target does (`task.answer.abstain`), else 0."""

    version: ClassVar[int] = 2

    def mark(self, example: Example, completion: Completion) -> Mark:
        """1 or 0; the label says which of the four it was."""
        if not self.answer.abstain:
            return could_not_say("the task has no `answer.abstain`")
        target = (example.target,) if isinstance(example.target, str) else example.target
        should = abstains(" ".join(target), self.answer.abstain)
        does = abstains(completion.text, self.answer.abstain)
        label = {
            (True, True): "rightly abstained", (True, False): "made up an answer",
            (False, True): "wrongly abstained", (False, False): "answered",
        }[should, does]  # fmt: skip
        return Mark(value=float(should == does), label=label)
