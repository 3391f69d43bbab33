"""Never ask the same thing twice: answers by the content hash of model, messages, parameters and repeat index.

Identical requests in flight at the same time share one call. What was refused or filtered was answered (and billed)
too, so it is kept like an answer; outages and invalid requests are not.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

import msgspec

from harness.errors import Failed
from harness.models.base import Completion, Failure, Model, Request, Struct
from harness.models.wrapper import Wrapper

_KEPT = ("refused", "content_filter")


class ResponseCache(Protocol):
    """Where answers are kept between runs. `put` may be grouped with others; it must not be lost by a later crash."""

    def get(self, key: str) -> bytes | None:
        """What was put under this key, or None."""
        ...

    def put(self, key: str, value: bytes) -> None:
        """Keep a value."""
        ...


class Answer(Struct, frozen=True):
    """What is kept: one of the two is set."""

    completion: Completion | None = None
    failure: Failure | None = None

    def __post_init__(self) -> None:
        """Refuse what holds neither, so that an entry of another form is no answer."""
        if self.completion is None and self.failure is None:
            raise ValueError("a kept answer holds a completion or a failure")

    def result(self) -> Completion:
        """The completion. Raises `Failed` for a kept failure."""
        if self.failure is not None:
            raise Failed(self.failure)
        assert self.completion is not None
        return self.completion


_decoder = msgspec.json.Decoder(Answer)
_encoder = msgspec.json.Encoder()


class Cached(Wrapper):
    """Answers from the cache where it can. Outermost: a hit costs no money, slot or try.

    Attributes:
        hits: requests answered without a call (those that shared one in flight among them).
        misses: calls that were made.
    """

    def __init__(self, model: Model, cache: ResponseCache) -> None:
        super().__init__(model)
        self.hits = 0
        self.misses = 0
        self._cache = cache
        self._flying: dict[str, asyncio.Future[Answer | None]] = {}

    async def generate(self, request: Request) -> Completion:
        """The kept answer, or the inner model's. A hit carries the usage and seconds of the call that made it."""
        key = request.digest(self.model.digest)
        while True:
            stored = self._cache.get(key)
            if stored is not None:
                try:
                    answer = _decoder.decode(stored)
                except msgspec.DecodeError:
                    pass  # written by another version, or damaged: it is asked again and overwritten
                else:
                    self.hits += 1
                    return answer.result()
            flying = self._flying.get(key)
            if flying is None:
                return await self._ask(key, request)
            shared = await asyncio.shield(flying)
            if shared is not None:
                self.hits += 1
                return shared.result()
            # The one that asked got nothing (outage, cancelled): the next in line asks for itself.

    async def _ask(self, key: str, request: Request) -> Completion:
        """Call the model, keep what it answered, and hand it to those who wait for the same."""
        self.misses += 1
        mine: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()
        self._flying[key] = mine
        answer: Answer | None = None
        try:
            try:
                completion = await self.model.generate(request)
            except Failed as failed:
                if failed.failure.type in _KEPT:
                    answer = Answer(failure=failed.failure)
                raise
            answer = Answer(completion=completion)
            return completion
        finally:
            del self._flying[key]
            mine.set_result(answer)
            if answer is not None:
                self._cache.put(key, _encoder.encode(answer))
