"""Calls to a fine-tuning service that outlast its bad minutes, and its refusals in one sentence each.

A job runs for hours, so that every answer of the service will be missing once: what may pass is asked again with
growing pauses, what will not is told at once. A call that must not happen twice is never repeated blindly.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from harness.errors import Problem, TuneError
from harness.models.calls import retry_after
from harness.models.endpoint import Endpoint
from harness.models.reply import QUOTA

if TYPE_CHECKING:
    import openai

T = TypeVar("T")
CALL_SECONDS = 120.0
OTHERS = "`tuner: azure` (open until 2027-10), `tuner: trl` or `tuner: autotrain` on your own machine"
CLOSED = (
    "fine-tuning is not available to this organisation: OpenAI closed it to new ones on 2026-05-07, and takes no new "
    "jobs from anyone after 2027-01-06"
)


@dataclass(frozen=True)
class Pace:
    """Seconds between questions: the first pause, the longest one, and how long a failing call is tried for."""

    first: float = 2.0
    longest: float = 30.0
    patience: float = 900.0


class Refused(TuneError):
    """The service said no, and will say so again. `status` is HTTP's, `code` its own."""

    def __init__(self, problem: Problem, status: int, code: str) -> None:
        super().__init__(problem)
        self.status = status
        self.code = code


class Unsure(Exception):
    """A call that must not happen twice broke off: the service may have done it or not."""


class Service:
    """One endpoint's client, open as long as the `async with`."""

    def __init__(self, endpoint: Endpoint, pace: Pace) -> None:
        self.endpoint = endpoint
        self.pace = pace
        self._client: openai.AsyncOpenAI | None = None

    async def __aenter__(self) -> Service:
        """Open the client. Raises `ModelError` without a key."""
        from harness.models.openai import make_client

        self._client = make_client(self.endpoint, CALL_SECONDS)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the client."""
        assert self._client is not None
        await self._client.close()

    async def ask(
        self,
        doing: str,
        call: Callable[[openai.AsyncOpenAI], Awaitable[T]],
        *,
        twice: bool = True,
        passing: Callable[[Refused], bool] = lambda _: False,
        patience: float | None = None,
    ) -> T:
        """The reply of a call, tried for `pace.patience` seconds.

        Args:
            doing: what is being done, for people.
            call: one request.
            twice: whether it may reach the service more than once.
            passing: refusals that pass by themselves (a file that is still being read).
            patience: seconds, other than the pace's.

        Raises:
            Refused: the service's no.
            Unsure: only without `twice`: it is not known whether the request was carried out.
            TuneError: no answer within the patience.
        """
        import openai

        assert self._client is not None
        started, pause = time.monotonic(), self.pace.first
        while True:
            after: float | None = None
            sure = False
            try:
                async with asyncio.timeout(CALL_SECONDS):
                    reply: Any = await call(self._client)
                if reply is not None and not isinstance(reply, str | list):
                    return reply
                said = f"no JSON but {self.scrub(str(reply))[:80]!r}"
            except TimeoutError:
                said = f"no answer within {CALL_SECONDS:g} s"
            except openai.APIStatusError as error:
                refused = self.refusal(doing, error)
                if not (_passes(error) or passing(refused)):
                    raise refused from None
                said = str(refused.problems[0].what).removeprefix(f"{doing}: ")
                after = retry_after(error.response.headers)
                sure = error.status_code < 500
            except openai.APIConnectionError as error:
                said = self.scrub(str(error.__cause__ or error))[:200]
            except (ValueError, AttributeError) as error:  # cut JSON, bad UTF-8, a page of HTML where a list was due
                said = f"an unreadable reply ({type(error).__name__})"
            if not (twice or sure):
                raise Unsure(said)
            wait = max(after or 0.0, pause * random.uniform(0.8, 1.2))
            if time.monotonic() - started + wait > (self.pace.patience if patience is None else patience):
                raise self.given_up(doing, said)
            await asyncio.sleep(wait)
            pause = min(pause * 2, self.pace.longest)

    def given_up(self, doing: str, said: str) -> TuneError:
        """What to say of a call that got no usable answer for as long as we are patient."""
        fix = "run the same command again: a job that was submitted goes on without us and is found again"
        return TuneError(Problem(f"{doing}: {said}", where=self.endpoint.url, fix=fix))

    def refusal(self, doing: str, error: openai.APIStatusError) -> Refused:
        """An error status as one sentence with its way out."""
        body: Any = error.body if isinstance(error.body, dict) else {}
        code = str(body.get("code") or body.get("type") or "")
        said = self.scrub(str(body.get("message") or error.response.text or "no message").strip())[:400]
        what, fix = _worded(error.status_code, code, said, self.endpoint)
        got = self.scrub(_got(error, code))
        return Refused(Problem(f"{doing}: {what}", where=self.endpoint.url, got=got, fix=fix), error.status_code, code)

    def scrub(self, text: str) -> str:
        """The text without the key, should the service repeat it."""
        return self.endpoint.scrub(text)


class Doubt:
    """The pauses between tries of a call that must not happen twice; between two, what it made is looked for."""

    def __init__(self, service: Service, doing: str) -> None:
        self._service = service
        self._doing = doing
        self._started = time.monotonic()
        self._pause = service.pace.first

    async def wait(self, unsure: Unsure) -> None:
        """Pause, each time longer. Raises `TuneError` where the patience is at its end."""
        if time.monotonic() - self._started + self._pause > self._service.pace.patience:
            raise self._service.given_up(self._doing, str(unsure))
        await asyncio.sleep(self._pause)
        self._pause = min(self._pause * 2, self._service.pace.longest)


def _got(error: openai.APIStatusError, code: str) -> str:
    return f"HTTP {error.status_code}" + (f", {code}" if code else "")


def _passes(error: openai.APIStatusError) -> bool:
    """Whether the same call may succeed later."""
    if error.status_code == 429:
        return not ({str(error.code), str(error.type)} & QUOTA)
    return error.status_code in (408, 409, 425) or error.status_code >= 500


def _worded(status: int, code: str, said: str, endpoint: Endpoint) -> tuple[str, str]:
    """What happened and what to do, for the refusals that people meet."""
    low = f"{code} {said}".lower()
    if "training_not_available" in low or (status == 403 and "fine-tun" in low and endpoint.api == "openai"):
        return f"{CLOSED} ({said})", f"use {OTHERS}"
    if status == 401:
        return f"the key was not accepted ({said})", f"check {endpoint.key_env or '`api_key_env`'}"
    if status == 403:
        return f"this key may not do that ({said})", "ask for a role that may fine-tune, or use another key"
    if code in QUOTA or "insufficient_quota" in low:
        return f"the account has no money left ({said})", "add credit or raise the limit; nothing was trained"
    unfit = "not support fine-tuning" in low or "not available for fine-tuning" in low or "model_not_available" in low
    if unfit or (status == 404 and "model" in low):
        if endpoint.api == "azure":
            fix = (
                f"check that {endpoint.model} is a model's name (not a deployment's) that this region tunes, and "
                "`training_type`: Azure says the same when the type is not offered (try GlobalStandard)"
            )
            return f"{endpoint.model} cannot be fine-tuned here ({said})", fix
        return f"{endpoint.model} cannot be fine-tuned here ({said})", f"name another base model, or use {OTHERS}"
    return said, ""
