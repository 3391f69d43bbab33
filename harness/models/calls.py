"""What one call to an endpoint can come back with besides an answer: why it failed, and what its headers said.

The client writes these and the wrappers read them: `Retrying` asks whether another try makes sense and when,
`Throttled` what the endpoint still takes.
"""

from __future__ import annotations

import email.utils
import math
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from harness.errors import Outage
from harness.models.base import Missing, Struct, Usage

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|h|m|s)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
BELIEVED = 31 * 86_400.0
"""Seconds of the longest wait that a header can mean: a month's quota. More (1e30, a Unix time) says nothing."""


class CallFailed(Outage):
    """One call gave no answer. It is an `Outage`, so a model without wrappers keeps the contract.

    Args:
        message: what happened, for people; holds no key.
        retry: whether the same call may succeed later.
        fatal: no call to this model will succeed until a person acts (key, model id, quota).
        status: the HTTP status, where there was one.
        after: seconds that the endpoint asked to wait (Retry-After), or None.
        usage: what the call was billed although nothing usable came of it.
        fix: what a person has to do, where time mends nothing.
        unreachable: no connection could be made.
    """

    def __init__(
        self,
        message: str,
        *,
        retry: bool,
        fatal: bool = False,
        status: int | None = None,
        after: float | None = None,
        usage: Usage | None = None,
        fix: str = "",
        unreachable: bool = False,
    ) -> None:
        super().__init__(Missing(type="outage", message=message, usage=usage or Usage(), fix=fix))
        self.retry = retry
        self.fatal = fatal
        self.status = status
        self.after = after
        self.unreachable = unreachable


class Limits(Struct, frozen=True):
    """The x-ratelimit headers of one reply: what is left, and the seconds until all is back; None where not said."""

    requests_limit: int | None = None
    requests_left: int | None = None
    requests_reset: float | None = None
    tokens_limit: int | None = None
    tokens_left: int | None = None
    tokens_reset: float | None = None


def limits(headers: Mapping[str, str]) -> Limits | None:
    """The rate limits that a reply's headers tell, or None when they tell nothing."""
    values: dict[str, float] = {}
    for kind in ("requests", "tokens"):
        for field, header in (("limit", "limit"), ("left", "remaining"), ("reset", "reset")):
            text = headers.get(f"x-ratelimit-{header}-{kind}")
            value = None if text is None else duration(text) if field == "reset" else _number(text)
            if field == "reset" and value is not None and value <= BELIEVED:
                values[f"{kind}_reset"] = value
            elif field != "reset" and value is not None:
                values[f"{kind}_{field}"] = int(value)
    return Limits(**values) if values else None  # pyright: ignore[reportArgumentType]


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, from retry-after-ms, or Retry-After as seconds (`2`, `2s`) or an HTTP date.

    None when nothing was said that can be meant: no number, a negative one, more than a month. A date is read
    against the server's own Date header where there is one, so that a clock that goes wrong here does not send a
    request early.
    """
    for header in ("retry-after-ms", "x-ms-retry-after-ms"):
        milliseconds = _number(headers.get(header, ""))
        if milliseconds is not None and milliseconds <= BELIEVED * 1000:
            return milliseconds / 1000
    text = headers.get("retry-after", "")
    seconds = duration(text)
    if seconds is None:
        then = _timestamp(text)
        if then is None:
            return None
        now = _timestamp(headers.get("date", ""))
        seconds = max(0.0, then - (time.time() if now is None else now))
    return seconds if seconds <= BELIEVED else None


def back_after(seconds: float) -> str:
    """When to come back to an endpoint that asked for a wait longer than a run sits out, for people."""
    long = f"{seconds / 60:.0f} minutes" if seconds < 2 * 3600 else f"{seconds / 3600:.0f} hours"
    long = long if seconds < 2 * 86_400 else f"{seconds / 86_400:.0f} days"
    then = datetime.now(UTC) + timedelta(seconds=seconds + 60)
    return f"the endpoint asks for a pause of {long}: come back after {then:%Y-%m-%d %H:%M} UTC"


def duration(text: str) -> float | None:
    """Seconds of `1s`, `6m0s`, `20ms`, `1h2m3.5s` or a bare number of seconds; None for anything else."""
    number = _number(text)
    if number is not None:
        return number
    parts = _DURATION.findall(text)
    if not parts or "".join(a + b for a, b in parts) != text.strip():
        return None
    return sum(float(value) * _SECONDS[unit] for value, unit in parts)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None


def _timestamp(text: str) -> float | None:
    try:
        then = email.utils.parsedate_to_datetime(text)
        return (then if then.tzinfo else then.replace(tzinfo=UTC)).timestamp()  # HTTP knows no time but UTC
    except (ValueError, TypeError, OverflowError):
        return None
