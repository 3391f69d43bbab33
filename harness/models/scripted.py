"""The deterministic fake that ships: answers come from a table or a function, and cost what they are said to cost.

It lets a pipeline, a budget or a report be tried without weights, key or network, and it keeps the contract of a real
model (tokens, length, overflow, failures), so that a test on it says something about the real ones.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping

from harness.errors import Failed, ModelError, Problem
from harness.models.base import Completion, Failure, Message, Request, Usage, whole
from harness.taskset import digest

Answers = Mapping[str, str] | Callable[[Request], str]


class Scripted:
    """Answers from `answers`: a table from the last user turn to the text, or a function of the request.

    A token is a word. The function may raise `Failed` or `Outage` to play a failing endpoint.

    Args:
        answers: the table or function; a prompt that is not in the table is a `ModelError`.
        name: as the user names it.
        version: part of the digest; needed to tell two functions of the same name apart.
        context: context window in tokens, or None.
        seconds: the latency that completions claim.
        compute_seconds: the engine time that completions claim.
        latency: seconds that `generate` really waits (to play concurrency, timeouts and interrupts).
        failures: last user turns that fail, with their failure.
    """

    def __init__(
        self,
        answers: Answers,
        *,
        name: str = "scripted",
        version: str = "1",
        context: int | None = None,
        seconds: float = 0.01,
        compute_seconds: float = 0.0,
        latency: float = 0.0,
        failures: Mapping[str, Failure] | None = None,
    ) -> None:
        self.name = name
        self.context = context
        self.calls = 0
        self._answers = answers
        self._seconds = seconds
        self._compute_seconds = compute_seconds
        self._latency = latency
        self._failures = dict(failures or {})
        self._closed = False
        known = dict(answers) if isinstance(answers, Mapping) else getattr(answers, "__qualname__", "function")
        self.digest = digest(["scripted", name, version, known, self._failures, context])

    def count_tokens(self, messages: tuple[Message, ...]) -> int:
        """Words in all turns."""
        return sum(len(m.content.split()) for m in messages)

    async def generate(self, request: Request) -> Completion:
        """The scripted answer, cut at `max_tokens` words. Raises `Failed` as scripted and on overflow."""
        if self._closed:
            raise ModelError(Problem(f"model {self.name} is closed"))
        self.calls += 1
        if self._latency:
            await asyncio.sleep(self._latency)
        prompt = self.count_tokens(request.messages)
        if self.context is not None and prompt + request.max_tokens > self.context:
            raise Failed(
                Failure(
                    boundary="model",
                    type="overflow",
                    message=f"{prompt} prompt tokens + {request.max_tokens} for the answer > {self.context}",
                    usage=Usage(input=prompt),
                    model=self.name,
                )
            )
        user = next((m.content for m in reversed(request.messages) if m.role == "user"), "")
        if user in self._failures:
            raise Failed(self._failures[user])
        text = whole(self._answer(user, request))
        words = text.split()
        cut = len(words) > request.max_tokens
        return Completion(
            text=" ".join(words[: request.max_tokens]) if cut else text,
            usage=Usage(input=prompt, output=min(len(words), request.max_tokens)),
            seconds=self._seconds,
            compute_seconds=self._compute_seconds,
            model=self.name,
            finish="length" if cut else "stop",
            logprob=-_unit(text) if request.logprobs else None,
        )

    async def close(self) -> None:
        """Answers no more."""
        self._closed = True

    def _answer(self, user: str, request: Request) -> str:
        """The text for this request. Raises `ModelError` when the table does not hold it."""
        if not isinstance(self._answers, Mapping):
            return self._answers(request)
        if user not in self._answers:
            problem = Problem("the scripted model has no answer for this prompt", got=repr(user[:80]))
            raise ModelError(problem)
        return self._answers[user]


def _unit(text: str) -> float:
    """A number in [0, 1) that depends on nothing but the text."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4]) / 2**32
