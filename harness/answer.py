"""The answer format of a task, stated once: what prompts ask for, how shots and rows are written, how answers are read.

Both sides of a comparison pass through the same normaliser, so that "2 Eggs" against "egg" is decided here only.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from harness.models.base import whole

Format = Literal["list", "text", "label", "json", "sql"]
_FENCE = re.compile(r"^```[a-zA-Z]*\n(.*?)\n?```$", re.S)
_FENCED = re.compile(r"```[a-zA-Z]*[ \t]*\n(.*?)(?:```|\Z)", re.S)
_STATEMENT = re.compile(r"""(?:[^;'"`]|'[^']*'|"[^"]*"|`[^`]*`)*;""")
_VERB = re.compile(
    r"(?:\s|--[^\n]*\n|/\*.*?\*/)*(?:select|with|values|insert|update|delete|replace|create|drop|alter|attach|detach"
    r"|pragma|vacuum|begin|commit|explain)\b",
    re.I | re.S,
)
_BULLET = re.compile(r"^\s*(?:[-*•]|\d+[.)])\s+")


class Unreadable(ValueError):
    """The text is not in the task's answer format."""


@dataclass(frozen=True)
class Answer:
    """How answers are asked for, written and read.

    Args:
        format: list (of short texts), text, label (one of `labels`), json, sql.
        labels: the valid labels.
        instruction: replaces the sentence that asks for the format.
        abstain: what an answer says that has no answer, such as "I don't know".
        singular: the normaliser also folds English plurals (list and label formats).
    """

    format: Format = "text"
    labels: tuple[str, ...] = ()
    instruction: str | None = None
    abstain: str | None = None
    singular: bool = False

    def ask(self) -> str:
        """The sentence that asks for the format; prompts end with it, or hold it where `{{ answer_format }}` stands."""
        if self.instruction is not None:
            return self.instruction
        match self.format:
            case "list":
                return 'Answer with a JSON list of strings and nothing else, like ["first", "second"].'
            case "label":
                return f"Answer with exactly one of: {', '.join(self.labels)}."
            case "json":
                return "Answer with one JSON object and nothing else."
            case "sql":
                return "Answer with one SQL query and nothing else."
            case "text":
                return ""

    def write(self, target: str | tuple[str, ...]) -> str:
        """A target as a model should have written it: in shots and in training rows."""
        if self.format == "list":
            items = (target,) if isinstance(target, str) else target
            return json.dumps(list(items), ensure_ascii=False)
        return target if isinstance(target, str) else ", ".join(target)

    def read(self, text: str) -> str | tuple[str, ...]:
        """A model's text as the format means it: a tuple of items, or a cleaned text.

        A list may be a JSON list, a comma list on one line, or one item a line; a code fence around it is taken off.
        SQL is what stands in the first code fence if there is one, without the talk after its `;` (a second statement
        is no talk and stays).

        Raises:
            Unreadable: the text is not in the format; its message says what was expected.
        """
        text = _unfence(text)
        match self.format:
            case "list":
                return _items(text)
            case "label":
                wanted = {self.normalise(label): label for label in self.labels}
                found = wanted.get(self.normalise(text))
                if found is None:
                    raise Unreadable(f"not one of {', '.join(self.labels)}")
                return found
            case "json":
                try:
                    json.loads(text)
                except (ValueError, RecursionError) as error:
                    raise Unreadable(f"not JSON: {error}") from None
                return text
            case "sql":
                return _query(text)
            case "text":
                return text

    def normalise(self, text: str) -> str:
        """The form in which items are compared: NFKC, casefold, single spaces, no outer punctuation, singular."""
        text = unicodedata.normalize("NFKC", text).replace("\u2019", "'").casefold()
        text = " ".join(text.split()).strip(" .,;:!?\"'`*[](){}")
        if self.singular and text:
            head, _, last = text.rpartition(" ")
            text = f"{head} {singular(last)}".strip()
        return text

    def items(self, value: str | Sequence[str]) -> frozenset[str]:
        """The normalised items of a target or of an answer that was read; empty ones are left out."""
        values = (value,) if isinstance(value, str) else value
        return frozenset(n for v in values if (n := self.normalise(v)))


_IRREGULAR = {
    "leaves": "leaf", "loaves": "loaf", "halves": "half", "knives": "knife", "calves": "calf",
    "children": "child", "geese": "goose", "mice": "mouse", "teeth": "tooth", "feet": "foot",
    "chillies": "chilli", "chilies": "chili", "cookies": "cookie", "brownies": "brownie", "smoothies": "smoothie",
    "brioches": "brioche", "quiches": "quiche",
}  # fmt: skip
_KEEP = {"molasses", "hummus", "couscous", "asparagus", "swiss", "citrus", "octopus", "brussels", "schnapps", "grits",
         "oats", "series", "species", "bus", "gas", "lens", "haggis", "cassis", "anis", "tapas", "watercress",
         "lemongrass", "bass", "mayonnaise", "cheese", "grass", "swordfish", "bitters", "pastis", "pois"}  # fmt: skip


def singular(word: str) -> str:
    """The singular of an English noun by its ending; both sides pass through it, so only consistency matters."""
    if word in _KEEP or len(word) < 4:
        return word
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if word.endswith("ies") and len(word) > 5:
        return word[:-3] + "y"
    if word.endswith(("oes", "ches", "shes", "sses", "xes", "zes")):
        return word[:-2]
    if word.endswith("s") and not word.endswith(("ss", "us")):
        return word[:-1]
    return word


def _unfence(text: str) -> str:
    text = text.strip()
    match = _FENCE.match(text)
    return match.group(1).strip() if match else text


def _query(text: str) -> str:
    if fenced := _FENCED.search(text):
        text = fenced.group(1).strip()
    statement = _STATEMENT.match(text)
    return statement.group() if statement and not _VERB.match(text, statement.end()) else text


def _items(text: str) -> tuple[str, ...]:
    start, end = text.find("["), text.rfind("]")
    if start != -1:
        if end <= start:
            raise Unreadable("a JSON list that does not end")
        try:
            value = json.loads(text[start : end + 1])
        except (ValueError, RecursionError) as error:
            raise Unreadable(f"not a JSON list: {error}") from None
        if not all(isinstance(v, str | int | float) for v in value):
            raise Unreadable("a JSON list whose items are not all texts")
        return tuple(whole(str(v)).strip() for v in value)
    if text.startswith("{"):
        raise Unreadable("a JSON object where a list was asked for")
    lines = [_BULLET.sub("", line).strip().rstrip(",") for line in text.splitlines() if line.strip()]
    if not lines:
        raise Unreadable("an empty answer where a list was asked for")
    if len(lines) == 1:
        return tuple(part.strip() for part in lines[0].split(",") if part.strip())
    return tuple(lines)
