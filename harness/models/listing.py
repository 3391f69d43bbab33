"""What an endpoint says of a model when it is only read: is the key good, is the model there, until when.

Nothing here is billed or changes anything. What an endpoint does not say is None; that it does not answer is said and
never raised: many servers list no models, and answer all the same.
"""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any
from urllib.parse import quote

import msgspec

from harness.models.base import Struct
from harness.models.calls import Limits, limits
from harness.models.endpoint import Endpoint

SECONDS = 15.0
"""Patience with one read."""


class Read(Struct, frozen=True):
    """One GET. Status 0: no answer came, and `said` is why."""

    status: int
    body: Any = None
    limits: Limits | None = None
    said: str = ""

    @property
    def fields(self) -> Mapping[str, Any]:
        """The body where it is an object."""
        return self.body if isinstance(self.body, Mapping) else {}

    @property
    def error(self) -> tuple[str, str]:
        """The code and message of an error, as far as it has them."""
        error = self.fields.get("error")
        if not isinstance(error, Mapping):
            return "", self.said
        return str(error.get("code") or error.get("type") or ""), str(error.get("message") or self.said)[:300]


class Listing(Struct, frozen=True):
    """What an endpoint says of one model; None is not said.

    Args:
        reached: whether it answered at all.
        accepted: whether it took the key.
        listed: whether the model is there.
        near: ids that look like it, where it is not.
        tunable: whether it says that the model can be tuned (Azure does).
        retires: the day on which the model is shut down.
        tuned_until: the last day of tuning it.
        limits: rate limits in the reply's headers.
        said: what went wrong, for people.
    """

    reached: bool
    accepted: bool | None = None
    listed: bool | None = None
    near: tuple[str, ...] = ()
    tunable: bool | None = None
    retires: date | None = None
    tuned_until: date | None = None
    limits: Limits | None = None
    said: str = ""


async def look_up(endpoint: Endpoint) -> Listing:
    """Ask for one model, and for the list where that says nothing. Raises `ModelError` without a key."""
    one = await get(endpoint, f"/models/{quote(endpoint.model, safe=':')}")
    if one.status == 0:
        return Listing(False, said=one.said)
    if one.status in (401, 403):
        return Listing(True, accepted=False if one.status == 401 else None, said=f"{one.status}: {one.error[1]}")
    if one.status == 200 and one.fields.get("id"):
        return _listed(one)
    all = await get(endpoint, "/models")
    rows: Any = all.fields.get("data") if all.status == 200 else None
    if not isinstance(rows, list):
        said = "it lists no models" if all.status in (200, 404, 405, 501) else f"{all.status}: {all.error[1]}"
        return Listing(True, said=said)
    found = {str(row["id"]): row for row in rows if isinstance(row, Mapping) and row.get("id")}
    row = found.get(endpoint.model) or found.get(f"{endpoint.model}:latest")  # Ollama's names carry a tag
    if row is not None:
        return _listed(msgspec.structs.replace(all, body=row))
    near = tuple(difflib.get_close_matches(endpoint.model, found, n=3, cutoff=0.5)) or tuple(sorted(found)[:3])
    return Listing(True, accepted=True, listed=False, near=near, limits=all.limits)


async def get(endpoint: Endpoint, path: str) -> Read:
    """One GET under the endpoint, with its key; never raises what network or service say."""
    import httpx2
    import openai

    from harness.models.openai import make_client

    client = make_client(endpoint, SECONDS)
    try:
        async with asyncio.timeout(SECONDS):
            response = await client.get(
                path, cast_to=httpx2.Response, options={"security": {"bearer_auth": True}, "max_retries": 0}
            )
    except openai.APIStatusError as error:
        response = error.response
    except openai.APIConnectionError as error:
        said = str(error.__cause__ or error)
        return Read(0, said=f"no connection: {endpoint.scrub(said)[:200]}")
    except TimeoutError:
        return Read(0, said=f"no answer within {SECONDS:g} s")
    finally:
        await client.close()
    text = endpoint.scrub(response.text)
    try:
        body: Any = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError):
        body = None
    return Read(response.status_code, body, limits(response.headers), text[:200] if body is None else "")


def _listed(read: Read) -> Listing:
    """A model as OpenAI (`shutdown_date`) or Azure (`capabilities`, `deprecation`) describes it, or just its id."""
    model = read.fields
    can, ends = model.get("capabilities"), model.get("deprecation")
    can, ends = (can if isinstance(can, Mapping) else {}), (ends if isinstance(ends, Mapping) else {})
    tunable: Any = can.get("fine_tune")
    return Listing(
        True,
        accepted=True,
        listed=True,
        tunable=tunable if isinstance(tunable, bool) else None,
        retires=_day(model.get("shutdown_date")) or _day(ends.get("inference")),
        tuned_until=_day(ends.get("fine_tune")),
        limits=read.limits,
    )


def _day(value: Any) -> date | None:
    """A day written as 2027-01-14 (or with a time behind it), or as seconds since 1970."""
    try:
        if isinstance(value, str):
            return date.fromisoformat(value[:10])
        if isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
            return datetime.fromtimestamp(value, UTC).date()
    except (ValueError, OverflowError, OSError):
        pass
    return None
