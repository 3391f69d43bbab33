"""What a model is to the rest: one async method, from a request to a completion.

Everything that is true of one call is in these frozen types, so that a run can be read again without the model.
"""

from __future__ import annotations

import hashlib
import re
from typing import Literal, Protocol

import msgspec

Role = Literal["system", "user", "assistant"]
Finish = Literal["stop", "length", "content_filter", "refusal"]
FailureType = Literal[
    "empty", "truncated", "refused", "content_filter", "unparseable", "overflow", "timeout", "invalid", "error"
]


class Struct(msgspec.Struct, frozen=True, omit_defaults=True):
    """The base of all wire types: frozen, defaults left out of the JSON.

    Those that come by the hundred thousand have `gc=False`: they hold no cycle, and the collector need not walk them.
    """


_HALF = re.compile("[\ud800-\udfff]")


def whole(text: str) -> str:
    """A text that UTF-8 can hold: half characters (lone surrogates), as answers have them that were cut, are U+FFFD."""
    return _HALF.sub("\ufffd", text)


class Message(msgspec.Struct, frozen=True):
    """One chat turn."""

    role: Role
    content: str


class Usage(Struct, frozen=True, gc=False):
    """Tokens of one or more calls. `input` counts all prompt tokens, the cached ones among them.

    `estimated` says that the endpoint sent no usage and the figures are counted here.
    """

    input: int = 0
    cached_input: int = 0
    output: int = 0
    embedding: int = 0
    estimated: bool = False

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            input=self.input + other.input,
            cached_input=self.cached_input + other.cached_input,
            output=self.output + other.output,
            embedding=self.embedding + other.embedding,
            estimated=self.estimated or other.estimated,
        )

    def __sub__(self, other: Usage) -> Usage:
        return Usage(
            input=self.input - other.input,
            cached_input=self.cached_input - other.cached_input,
            output=self.output - other.output,
            embedding=self.embedding - other.embedding,
            estimated=self.estimated,
        )


class Part(Struct, frozen=True):
    """What one model took of an answer that several models made."""

    model: str
    usage: Usage = Usage()
    compute_seconds: float = 0.0


class Request(Struct, frozen=True):
    """All that decides an answer. `repeat` separates repeated samples of the same prompt in the cache."""

    messages: tuple[Message, ...]
    max_tokens: int
    temperature: float = 0.0
    seed: int = 0
    repeat: int = 0
    logprobs: bool = False

    def digest(self, model_digest: str) -> str:
        """Content hash of this request to that model: the key of the response cache."""
        raw = msgspec.json.encode((model_digest, self), order="deterministic")
        return hashlib.sha256(raw).hexdigest()


class Completion(Struct, frozen=True, gc=False):
    """One answer.

    Args:
        text: the answer, as the model wrote it.
        usage: tokens over all attempts (what is billed).
        seconds: latency, from request to last token, queueing included.
        compute_seconds: this answer's share of the local engine's busy wall time; the shares of all answers add up
            to the time that the engine was busy. 0 for a hosted model.
        model: the reference of the model that answered, by which it is priced.
        finish: why it stopped.
        shots: ids of the train rows that were shown.
        passages: ids of the document chunks that were shown.
        logprob: mean log-probability a token of the answer, where the model gives it.
        attempts: calls that were made for it.
        others: parts of `usage` and `compute_seconds` that other models took (a cascade's first arm); see `billed`.
    """

    text: str
    usage: Usage = Usage()
    seconds: float = 0.0
    compute_seconds: float = 0.0
    model: str = ""
    finish: Finish = "stop"
    shots: tuple[str, ...] = ()
    passages: tuple[str, ...] = ()
    logprob: float | None = None
    attempts: int = 1
    others: tuple[Part, ...] = ()


class Failure(Struct, frozen=True, gc=False):
    """An answer that failed: stays in the denominator as 0, is billed and shown.

    `boundary` is where it failed: "model" (the endpoint said so), "solver" (no prompt could be made),
    "answer" (the text is not in the task's answer format).
    """

    boundary: Literal["model", "solver", "answer"]
    type: FailureType
    message: str = ""
    text: str = ""
    usage: Usage = Usage()
    seconds: float = 0.0
    compute_seconds: float = 0.0
    model: str = ""
    shots: tuple[str, ...] = ()
    passages: tuple[str, ...] = ()
    attempts: int = 1
    others: tuple[Part, ...] = ()


class Missing(Struct, frozen=True, gc=False):
    """No answer was to be had (outage, budget): the pair is dropped and counted. What it cost is kept.

    `fix` is what a person has to do before another try makes sense; empty where time may mend it.
    """

    type: Literal["outage", "budget"]
    message: str = ""
    usage: Usage = Usage()
    attempts: int = 1
    model: str = ""
    others: tuple[Part, ...] = ()
    fix: str = ""


def billed(outcome: Completion | Failure | Missing) -> tuple[Part, ...]:
    """What each model took, by the name that prices know: the answering model first, without the others' parts.

    A `Missing` has only what its own model took in `usage`.
    """
    if isinstance(outcome, Missing):
        return (Part(outcome.model, outcome.usage), *outcome.others)
    usage, compute = outcome.usage, outcome.compute_seconds
    for part in outcome.others:
        usage, compute = usage - part.usage, compute - part.compute_seconds
    return (Part(outcome.model, usage, max(compute, 0.0)), *outcome.others)


class Model(Protocol):
    """A model that answers.

    `generate` raises `Failed` when the answer failed for a reason of the model's (overflow, filter), `Outage` when
    none was to be had; anything else is a fault of ours. It may be called concurrently: a local model batches
    behind it.
    """

    @property
    def name(self) -> str:
        """As the user names it, such as `local/smollm2-135m-instruct`."""
        ...

    @property
    def digest(self) -> str:
        """Content hash of all that decides its answers: weights, engine, precision, or endpoint and model id."""
        ...

    @property
    def context(self) -> int | None:
        """Context window in tokens, prompt and answer together; None when not known."""
        ...

    def count_tokens(self, messages: tuple[Message, ...]) -> int:
        """Prompt tokens of these messages (estimated where the tokenizer is not to be had)."""
        ...

    async def generate(self, request: Request) -> Completion:
        """Answer one request."""
        ...

    async def close(self) -> None:
        """Free what it holds; safe to call twice."""
        ...
