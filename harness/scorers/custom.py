"""`scorer: file.py:function`: a scorer of the user's own, from a file inside the project."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from harness.models.base import Completion
from harness.scorers.base import Mark, checked, could_not_say
from harness.taskset import Example, digest


class Custom:
    """Calls `function(input: dict[str, str], target, answer_text)`, which gives a value in [0, 1] or (value, reason).

    What it raises, and any value that is no number in [0, 1], makes the mark missing; the answer's text reaches it as
    the model wrote it. Its file's content is its version.
    """

    def __init__(self, name: str, file: Path, function: Callable[..., Any], *, higher_is_better: bool = True) -> None:
        self.name = name
        self.higher_is_better = higher_is_better
        self._function = function
        self._digest = digest([
            "custom", hashlib.sha256(file.read_bytes()).hexdigest(), getattr(function, "__name__", ""), higher_is_better
        ])  # fmt: skip

    @property
    def standing(self) -> None:
        """Nothing is known of it."""

    @property
    def digest(self) -> str:
        """Content hash of the file, the function's name and the direction."""
        return self._digest

    async def score(self, pairs: Sequence[tuple[Example, Completion]]) -> list[Mark]:
        """One mark a pair, in order, made in a thread: the user's code may be slow."""
        return await asyncio.to_thread(lambda: [self._mark(example, completion) for example, completion in pairs])

    def _mark(self, example: Example, completion: Completion) -> Mark:
        try:
            said = self._function(dict(example.input), example.target, completion.text)
            value, reason = said if isinstance(said, tuple) else (said, "")
            return checked(float(value), reason=str(reason)[:500])
        except Exception as error:  # the user's code may raise anything
            return could_not_say(error)
