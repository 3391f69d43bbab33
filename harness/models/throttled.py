"""Ask an endpoint no faster than it takes: what its headers and 429s say decides how many calls run at once.

Concurrency follows additive increase, multiplicative decrease (Chiu and Jain 1989), from the user's maximum down; a
Retry-After, or a window with nothing left, stops every request to the endpoint until then.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable

from harness.errors import Failed
from harness.models.base import Completion, Model, Request
from harness.models.calls import CallFailed, Limits, back_after
from harness.models.wrapper import Wrapper

APART = 0.0015
"""Seconds between the first calls of a burst. What is sent at once is answered at once, over and over, and between the
clumps there is nothing to do: calls that set out apart stay apart (measured at 32 at once: 5 to 10 % of the wall)."""
SPREAD = 0.05
"""Seconds that the last of them waits at most."""


class Throttle:
    """The state of one endpoint, shared by all models on it.

    Args:
        max_concurrency: calls at once, at most; where it starts.
        requests_per_minute: calls are spaced evenly to keep this; None for no bound.
        tokens_per_minute: the same for prompt tokens plus `max_tokens`.
        longest: seconds of a pause beyond which requests fail instead of waiting.
    """

    def __init__(
        self,
        max_concurrency: int,
        *,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        longest: float = 900.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.max_concurrency = max_concurrency
        self.limit = float(max_concurrency)
        self.in_flight = 0
        self._request_seconds = 60.0 / requests_per_minute if requests_per_minute else 0.0
        self._token_seconds = 60.0 / tokens_per_minute if tokens_per_minute else 0.0
        self._longest = longest
        self._clock = clock
        self._sleep = sleep
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._next_request = self._next_token = 0.0
        self._paused_until = 0.0
        self._lowered = float("-inf")
        self._left = float("inf")
        self._begun = 0  # calls since none was on its way, up to the first round of them

    @property
    def places(self) -> int:
        """Calls that may run at once now."""
        return max(1, int(min(self.limit, self._left)))

    @property
    def paced(self) -> bool:
        """Whether a bound a minute was set."""
        return self._request_seconds > 0 or self._token_seconds > 0

    async def enter(self, tokens: int) -> float:
        """Wait for a place; returns when the call starts, on this throttle's clock. Raises `CallFailed`.

        First come, first served: a place is waited for in a queue, and held while the pace is waited for.
        """
        if self.in_flight >= self.places or self._waiting:
            place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(place)
            try:
                await place
            except asyncio.CancelledError:
                if place.done() and not place.cancelled():
                    self._leave()
                raise
        else:
            self.in_flight += 1
        try:
            await self._spread()
            await self._pace(tokens)
        except BaseException:
            self._leave()
            raise
        return self._clock()

    def succeeded(self) -> None:
        """A call was answered: room for one more after a full round of them."""
        self.limit = min(self.max_concurrency, self.limit + 1.0 / self.limit)
        self._leave()

    def failed(self, failure: CallFailed | None, started: float) -> None:
        """A call was not answered. A 429 halves the limit, once for all calls that were on their way by then."""
        if failure is not None:
            if failure.status == 429 and started > self._lowered and not failure.fatal:
                self.limit = max(1.0, self.limit / 2)
                self._lowered = self._clock()
            if failure.after is not None:
                self.pause(failure.after)
        self._leave()

    def observe(self, limits: Limits) -> None:
        """Take in a reply's headers: never more calls at once than are left, none while none is left."""
        if limits.requests_left is not None:
            self._left = limits.requests_left
        for left, reset in ((limits.requests_left, limits.requests_reset), (limits.tokens_left, limits.tokens_reset)):
            if left == 0 and reset:
                self.pause(reset)

    def pause(self, seconds: float) -> None:
        """Let no call out for so long."""
        self._paused_until = max(self._paused_until, self._clock() + seconds)

    def used(self, difference: int) -> None:
        """Correct the pace: an answer took so many more (or fewer) tokens than it was let in with."""
        self._next_token += difference * self._token_seconds

    async def _spread(self) -> None:
        """Let the first calls go one after another, all later ones at once."""
        if self.in_flight == 1:
            self._begun = 0
        if self._begun < self.max_concurrency:
            turn, self._begun = self._begun, self._begun + 1
            if turn:
                await self._sleep(min(APART, SPREAD / self.max_concurrency) * turn)

    async def _pace(self, tokens: int) -> None:
        """Sleep until this call's turn, and out every pause."""
        while True:
            while (pause := self._paused_until - self._clock()) > 0:
                if pause > self._longest:
                    raise CallFailed(f"not asked: {back_after(pause)}", retry=False)
                await self._sleep(pause)
            if not self.paced:
                return
            at = max(self._clock(), self._next_request, self._next_token)
            self._next_request = at + self._request_seconds
            self._next_token = at + tokens * self._token_seconds
            if at > self._clock():
                await self._sleep(at - self._clock())
            if self._paused_until <= self._clock():
                return  # else a pause came up meanwhile: this turn is lost, another one is taken after it

    def _leave(self) -> None:
        """Give the place back, and places to those who wait as far as the limit allows."""
        self.in_flight -= 1
        while self._waiting and self.in_flight < self.places:
            place = self._waiting.popleft()
            if not place.done():
                self.in_flight += 1
                place.set_result(None)


class Throttled(Wrapper):
    """Lets calls through as the endpoint's throttle allows."""

    def __init__(self, model: Model, throttle: Throttle) -> None:
        super().__init__(model)
        self._throttle = throttle

    async def generate(self, request: Request) -> Completion:
        """The inner model's answer, when there is room. Raises what it raises."""
        throttle = self._throttle
        tokens = self.model.count_tokens(request.messages) + request.max_tokens if throttle.paced else 0
        started = await throttle.enter(tokens)
        try:
            completion = await self.model.generate(request)
        except CallFailed as failed:
            throttle.failed(failed, started)
            raise
        except Failed:
            throttle.succeeded()  # the endpoint answered; what it said is the arm's business
            raise
        except BaseException:
            throttle.failed(None, started)
            raise
        throttle.succeeded()
        if throttle.paced:
            throttle.used(completion.usage.input + completion.usage.output - tokens)
        return completion
