"""The price book: what tokens, training and hosting cost, from when the figure is, and why one is not known.

Token prices come from genai-prices (loaded when one is asked for: it takes .4 s); training, tuned inference, hosting
and retirement from our own dated table (`prices.toml`); a benchmark file overrides both. Unknown is None with a
reason, never 0.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from datetime import UTC, date, datetime
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from harness.models.base import Struct, Usage

if TYPE_CHECKING:
    from genai_prices.types import ModelPrice

STALE_DAYS = 90
MTOK = 1_000_000


class Price(Struct, frozen=True):
    """Dollars per million tokens. None is not known, and `reason` says why.

    Args:
        cached_input: for prompt tokens that the endpoint had cached; the full price where no other is known.
        train: for trained tokens (rows x epochs).
        source: who says so.
        dated: when it was read, or the latest price change that the source knows of.
        reason: why it is unknown.
    """

    input: float | None = None
    cached_input: float | None = None
    output: float | None = None
    train: float | None = None
    embedding: float | None = None
    source: str = ""
    dated: date | None = None
    reason: str = ""

    @property
    def known(self) -> bool:
        """Whether a call can be priced."""
        return self.input is not None and self.output is not None

    def age_days(self, today: date) -> int | None:
        """Days since the price was dated; None where it has no date."""
        return (today - self.dated).days if self.dated else None

    def warning(self, today: date) -> str:
        """What to say of an old price; empty for a fresh or undated one."""
        age = self.age_days(today)
        if age is None or age <= STALE_DAYS:
            return ""
        return f"prices from {self.source} are {age} days old ({self.dated}); check them, or set `usd_per_mtok`"


class Rate(Struct, frozen=True):
    """One figure with its source: dollars an hour, or per million tokens; None is unknown, and `reason` says why."""

    usd: float | None = None
    source: str = ""
    dated: date | None = None
    reason: str = ""


class PricedSpec(Protocol):
    """What of a model's YAML decides its price (`harness.spec.ModelSpec` has all of it)."""

    @property
    def id(self) -> str:
        """`openai/MODEL`, `azure/DEPLOYMENT`, `local/NAME`, or an endpoint's own id."""
        ...

    @property
    def base_url(self) -> str | None:
        """The endpoint."""
        ...

    @property
    def usd_per_mtok(self) -> Mapping[Any, float] | None:
        """Overrides: input, cached_input, output, train, embedding; tuned_... for a model tuned on this one."""
        ...


class _Model(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    provider: str
    base: str
    source: str
    train: float | None = None
    tuned: dict[str, float] = {}
    retires: date | None = None


class _Hosting(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    provider: str
    sku: tuple[str, ...]
    usd_per_hour: float
    source: str


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    dated: date
    model: tuple[_Model, ...]
    hosting: tuple[_Hosting, ...]

    def find(self, provider: str, model: str) -> _Model | None:
        """The row of a base model, by its full name or without its date (`gpt-4o` is `gpt-4o-2024-08-06`)."""
        rows = [r for r in self.model if r.provider == provider and model in (r.base, r.base[:-11])]
        return rows[0] if rows else None


def cost(usage: Usage, price: Price) -> float | None:
    """Dollars of some usage, or None when a price that it needs is not known. Nothing used costs 0."""
    cached = min(usage.cached_input, usage.input)
    cached_price = price.input if price.cached_input is None else price.cached_input
    total = 0.0
    for tokens, usd in (
        (usage.input - cached, price.input),
        (cached, cached_price),
        (usage.output, price.output),
        (usage.embedding, price.embedding),
    ):
        if tokens:
            if usd is None:
                return None
            total += tokens * usd / MTOK
    return total


def token_price(spec: PricedSpec, *, url: str | None = None) -> Price:
    """The price of a model's tokens: the YAML's, else our table's for a tuned model, else genai-prices'.

    Args:
        spec: the model's YAML.
        url: the endpoint that its calls really go to (`Endpoint.url`), when the environment decided it.
    """
    found = _listed(spec.id, url or spec.base_url)
    own = {str(k): v for k, v in (spec.usd_per_mtok or {}).items() if k in Price.__struct_fields__}
    if not own:
        return found
    price = msgspec.structs.replace(found, **own)
    if "input" in own and "cached_input" not in own:
        price = msgspec.structs.replace(price, cached_input=None)
    if not price.known:
        lacking = "output" if price.output is None else "input"
        return msgspec.structs.replace(price, reason=f"`usd_per_mtok` has no `{lacking}`, and {found.reason}")
    if "input" in own and "output" in own:
        return msgspec.structs.replace(price, source="usd_per_mtok", dated=None, reason="")
    return msgspec.structs.replace(price, source=f"usd_per_mtok and {found.source}", reason="")


def train_price(spec: PricedSpec, *, tier: str = "standard") -> Rate:
    """Dollars per million trained tokens of a base model. `tier` is Azure's training type (developer: half)."""
    own = (spec.usd_per_mtok or {}).get("train")
    if own is not None:
        return Rate(usd=own, source="usd_per_mtok")
    provider, model = _provider(spec.id)
    row = _table().find(provider, model)
    if row is None or row.train is None:
        said = "trained locally, by the hour" if provider == "local" else f"no training price of {spec.id} is listed"
        return Rate(reason=f"{said}; `usd_per_mtok: {{train: ...}}` sets one")
    return Rate(usd=row.train / 2 if tier.lower().startswith("developer") else row.train, **_from(row))


def tuned_prices(own: Mapping[Any, float] | None, provider: str) -> dict[Any, float] | None:
    """The overrides of a model as those of one that was tuned on it: its `tuned_...`; at Azure the base's own.

    Azure bills a tuned model's tokens at the base model's rate, elsewhere they have a price of their own.
    """
    kept = {str(k): v for k, v in (own or {}).items()}
    tuned = {k.removeprefix("tuned_"): v for k, v in kept.items() if k.startswith("tuned_")}
    if not tuned and provider == "azure":
        tuned = {k: v for k, v in kept.items() if k in ("input", "cached_input", "output")}
    return tuned or None


def hosting_price(provider: str, sku: str = "") -> Rate:
    """Dollars an hour that a tuned model's deployment costs, used or not.

    Args:
        provider: `openai` or `azure`.
        sku: Azure's (`standard`, `globalstandard`, `developertier`).
    """
    for row in _table().hosting:
        if row.provider == provider and sku.lower() in row.sku:
            return Rate(usd=row.usd_per_hour, source=row.source, dated=_table().dated)
    what = f"{provider} {sku}".strip()
    return Rate(reason=f"no hosting price of {what} is listed; `hosting_usd_per_hour` sets one")


def retirement(model: str) -> date | None:
    """The day on which the provider shuts a model (and its fine-tunes) down, or None when no date is listed."""
    provider, name = _provider(model)
    row = _table().find(provider, base_of(name) or name)
    return row.retires if row else None


def tunable() -> tuple[str, ...]:
    """Every hosted base model of our own table, as `provider/model`."""
    return tuple(f"{row.provider}/{row.base}" for row in _table().model)


def base_of(model: str) -> str | None:
    """The base of a tuned model's id, such as `ft:BASE:org:suffix:id` or Azure's `BASE.ft-HEX`; None for others."""
    if model.startswith("ft:"):
        return model.split(":")[1].partition(".ft-")[0]
    base, mark, _ = model.partition(".ft-")
    return base if mark else None


def _listed(id: str, url: str | None) -> Price:
    """The price from the two books, without the YAML's."""
    provider, model = _provider(id)
    if provider == "local":
        return Price(reason="a local model is priced by its seconds, not its tokens")
    base = base_of(model)
    if provider == "openai" and base is not None:
        row = _table().find("openai", base)
        if row is None or not row.tuned:
            return Price(reason=f"no price of a tuned {base} is listed")
        return Price(**row.tuned, train=row.train, **_from(row))  # pyright: ignore[reportArgumentType]
    if provider == "openai" and url and "api.openai.com" not in url:
        return _genai(model, None, url)
    if provider in ("openai", "azure"):
        return _genai(base or model, provider, None)
    return _genai(model, None, url) if url else Price(reason=f"nothing is known of {id}")


def _genai(model: str, provider: str | None, url: str | None) -> Price:
    """The price in genai-prices, for now, without surcharges for long prompts."""
    from genai_prices import data_snapshot

    snapshot = data_snapshot.get_snapshot()
    now = datetime.now(UTC)
    try:
        _, info = snapshot.find_provider_model(model, None, provider, url)
    except LookupError:
        where = provider or url
        return Price(reason=f"genai-prices does not list {model} at {where}; `usd_per_mtok` sets a price")
    prices = info.get_prices(now)
    found = {name: _base(prices, f"{key}_mtok") for name, key in _KEYS.items()}
    if found["input"] is None or found["output"] is None:
        return Price(reason=f"genai-prices lists {model} without a price of its tokens")
    row = _table().find(provider or "", model)
    return Price(
        **found,  # pyright: ignore[reportArgumentType]
        train=row.train if row else None,
        source=f"genai-prices ({info.id})",
        dated=_snapshot_date(now.date()),
    )


_KEYS = {"input": "input", "cached_input": "cache_read", "output": "output"}


def _base(prices: ModelPrice, key: str) -> float | None:
    """A price, the first tier's where there are several."""
    value = getattr(prices, key)
    value = getattr(value, "base", value)
    return None if value is None else float(value)


@cache
def _snapshot_date(today: date) -> date | None:
    """The latest price change that genai-prices knows of: its data carries no date of its own."""
    from genai_prices import data_snapshot
    from genai_prices.types import StartDateConstraint

    starts = [
        price.constraint.start_date
        for provider in data_snapshot.get_snapshot().providers
        for model in provider.models
        if isinstance(model.prices, list)
        for price in model.prices
        if isinstance(price.constraint, StartDateConstraint) and price.constraint.start_date <= today
    ]
    return max(starts, default=None)


def _provider(id: str) -> tuple[str, str]:
    """(`openai`, `azure`, `local` or empty, the id without that prefix)."""
    prefix, _, rest = id.partition("/")
    if prefix in ("openai", "azure") and rest:
        return prefix, rest
    if prefix in ("local", "hf", ".", "..", "", "~") or id == "scripted":
        return "local", rest
    return "", id


def _from(row: _Model) -> dict[str, Any]:
    return {"source": row.source, "dated": _table().dated}


@cache
def _table() -> _Table:
    text = files("harness").joinpath("prices.toml").read_text("utf-8")
    return msgspec.convert(tomllib.loads(text), _Table)
