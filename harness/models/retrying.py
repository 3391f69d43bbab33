"""Ask again when asking again may help, and not before the endpoint said.

The SDK's own retries are off: they repeat insufficient_quota, do not honour a Retry-After above two minutes, and do not
see a reply that is no JSON.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import msgspec

from harness.errors import Failed, Outage
from harness.models.base import Completion, Missing, Model, Request, Usage
from harness.models.calls import CallFailed, back_after
from harness.models.wrapper import Wrapper


@dataclass(frozen=True)
class Retries:
    """How patiently.

    Args:
        attempts: calls for one answer, the first among them.
        first: seconds before the second call, doubled for each further one.
        cap: seconds that a wait of our own choosing is at most; Retry-After goes beyond it.
        longest: an endpoint that asks for a longer wait than these seconds is an outage at once.
        unreachable: calls for one answer while nothing at the endpoint has ever taken a connection: a wrong URL, or a
            server that is not there, is said in seconds.
        hopeless: requests given up in a row after which the others get one call each, or none where the failure is
            one that only a person can end (key, model id, quota).
    """

    attempts: int = 10
    first: float = 0.5
    cap: float = 30.0
    longest: float = 900.0
    unreachable: int = 5
    hopeless: int = 3


class Retrying(Wrapper):
    """Calls until an answer, then adds up what all calls were billed. Gives up as an `Outage`."""

    def __init__(
        self,
        model: Model,
        retries: Retries | None = None,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        super().__init__(model)
        self._retries = retries or Retries()
        self._sleep = sleep
        self._given_up = 0
        self._reached = False
        self._fatal: CallFailed | None = None

    async def generate(self, request: Request) -> Completion:
        """The first answer. `Completion.usage` and `attempts` count every call, `seconds` the last one."""
        usage, attempt = Usage(), 0
        while True:
            if self._fatal is not None and self._given_up >= self._retries.hopeless:
                message = f"not asked: {self._fatal.missing.message}"
                fix = self._fatal.missing.fix
                raise Outage(Missing(type="outage", message=message, usage=usage, attempts=attempt, fix=fix))
            attempt += 1
            try:
                completion = await self.model.generate(request)
            except Failed as failed:
                self._answered()
                failure = failed.failure
                raise Failed(msgspec.structs.replace(failure, usage=usage + failure.usage, attempts=attempt)) from None
            except CallFailed as failed:
                self._reached |= not failed.unreachable
                usage += failed.missing.usage
                wait = self._wait(failed, attempt)
                if wait is None:
                    asked = failed.after or 0.0
                    long = f"; {back_after(asked)}" if asked > self._retries.longest else ""
                    message = failed.missing.message + long + (f" (after {attempt} calls)" if attempt > 1 else "")
                    raise Outage(
                        msgspec.structs.replace(failed.missing, message=message, usage=usage, attempts=attempt)
                    ) from None
            except Outage as outage:  # the budget is used up: what the calls before were billed is kept
                missing = outage.missing
                raise Outage(
                    msgspec.structs.replace(missing, usage=usage + missing.usage, attempts=attempt - 1)
                ) from None
            else:
                self._answered()
                if attempt == 1:
                    return completion
                return msgspec.structs.replace(completion, usage=usage + completion.usage, attempts=attempt)
            await self._sleep(wait)

    def _wait(self, failed: CallFailed, attempt: int) -> float | None:
        """Seconds until the next call, or None to give up. Never less than what the endpoint asked for."""
        r = self._retries
        attempts = r.attempts if self._reached else min(r.attempts, r.unreachable)
        if self._given_up >= r.hopeless:
            attempts = 1
        if not failed.retry or attempt >= attempts or (failed.after or 0.0) > r.longest:
            self._given_up += 1
            self._fatal = failed if failed.fatal else self._fatal
            return None
        backoff = min(r.cap, r.first * 2 ** (attempt - 1))
        if failed.after is not None:
            return failed.after + random.uniform(0, min(backoff, 1.0))
        return backoff * random.uniform(0.5, 1.0)

    def _answered(self) -> None:
        self._given_up = 0
        self._reached = True
        self._fatal = None
