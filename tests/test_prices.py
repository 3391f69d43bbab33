"""The price book: figures from the providers' pages, overrides, and that unknown never becomes nothing."""

from __future__ import annotations

import subprocess
import sys
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.models.base import Usage
from harness.prices import (
    Price,
    base_of,
    cost,
    hosting_price,
    retirement,
    token_price,
    train_price,
)
from harness.spec import ModelSpec

TODAY = date(2026, 11, 22)
FT = "openai/ft:{}:org:suffix:abc123"


def price(id: str, **fields: Any) -> Price:
    return token_price(ModelSpec(id=id, **fields))


@pytest.mark.parametrize(
    ("model", "input", "cached", "output"),
    [
        ("openai/gpt-4.1", 2, 0.5, 8),
        ("openai/gpt-4.1-mini-2025-04-14", 0.40, 0.10, 1.60),
        ("openai/gpt-4o-2024-08-06", 2.50, 1.25, 10),
        ("openai/gpt-4o-mini", 0.15, 0.075, 0.60),
        ("azure/gpt-4o-mini", 0.15, 0.075, 0.60),
        ("azure/gpt-4o-mini-2024-07-18.ft-0123abc", 0.15, 0.075, 0.60),
        (FT.format("gpt-4.1-2025-04-14"), 3, 0.75, 12),
        (FT.format("gpt-4.1-mini-2025-04-14"), 0.80, 0.20, 3.20),
        (FT.format("gpt-4o-2024-08-06"), 3.75, 1.875, 15),
        (FT.format("gpt-4o-mini-2024-07-18"), 0.30, 0.15, 1.20),
        (FT.format("gpt-4o-mini-2024-07-18") + ":ckpt-step-90", 0.30, 0.15, 1.20),
    ],
)
def test_listed_prices(model: str, input: float, cached: float, output: float) -> None:
    found = price(model)
    assert (found.input, found.cached_input, found.output) == (input, cached, output)
    assert found.known
    assert found.source
    assert found.dated is not None
    assert found.dated <= TODAY or found.source.startswith("genai")


@pytest.mark.parametrize(
    ("model", "fields", "says"),
    [
        ("openai/gpt-99-turbo", {}, "does not list"),
        (FT.format("gpt-99"), {}, "tuned gpt-99"),
        ("azure/my-deployment", {}, "does not list"),
        ("llama-3", {"base_url": "http://localhost:8000/v1"}, "does not list"),
        ("openai/gpt-4o-mini", {"base_url": "http://localhost:8000/v1"}, "does not list"),
        ("local/smollm2-135m-instruct", {}, "seconds"),
        ("hf/org/name", {}, "seconds"),
        ("llama-3", {}, "nothing is known"),
    ],
)
def test_unknown_is_said_and_never_nothing(model: str, fields: Any, says: str) -> None:
    found = price(model, **fields)
    assert not found.known
    assert says in found.reason
    assert cost(Usage(input=1), found) is None
    assert cost(Usage(output=1), found) is None


def test_the_url_that_calls_go_to_decides() -> None:
    spec = ModelSpec(id="openai/gpt-4o-mini")
    assert token_price(spec, url="https://api.openai.com/v1").known
    assert not token_price(spec, url="http://127.0.0.1:8000/v1").known
    assert token_price(ModelSpec(id="llama-3.3-70b-versatile", base_url="https://api.groq.com/openai/v1")).known


def test_the_yaml_overrides() -> None:
    found = price("local-thing", base_url="http://localhost:1/v1", usd_per_mtok={"input": 1, "output": 2})
    assert (found.input, found.cached_input, found.output, found.source) == (1, None, 2, "usd_per_mtok")
    assert cost(Usage(input=10, cached_input=5, output=1), found) == pytest.approx(12e-6)
    partly = price("openai/gpt-4o-mini", usd_per_mtok={"output": 7})
    assert (partly.input, partly.output) == (0.15, 7)
    half = price("azure/mine", usd_per_mtok={"input": 1})
    assert not half.known
    assert "`output`" in half.reason
    free = price("azure/mine", usd_per_mtok={"input": 0, "output": 0})
    assert free.known
    assert cost(Usage(input=9, output=9), free) == 0.0


def test_cached_input_is_cheaper_and_part_of_input() -> None:
    found = Price(input=2.0, cached_input=0.5, output=8.0)
    assert cost(Usage(input=1_000_000, cached_input=400_000, output=1_000_000), found) == pytest.approx(1.2 + 0.2 + 8)


@given(
    usage=st.builds(
        Usage, input=st.integers(0, 10**9), cached_input=st.integers(0, 10**9), output=st.integers(0, 10**9)
    ),
    input=st.floats(0, 1000),
    output=st.floats(0, 1000),
)
def test_cost_is_never_negative_nor_above_full_price(usage: Usage, input: float, output: float) -> None:
    full = cost(usage, Price(input=input, output=output))
    cheap = cost(usage, Price(input=input, cached_input=input / 2, output=output))
    assert full is not None
    assert cheap is not None
    assert 0 <= cheap <= full * (1 + 1e-9)


def test_embeddings_need_a_price_of_their_own() -> None:
    assert cost(Usage(embedding=5), Price(input=1, output=1)) is None
    assert cost(Usage(embedding=1_000_000), Price(embedding=0.02)) == pytest.approx(0.02)
    assert cost(Usage(), Price()) == 0.0


@pytest.mark.parametrize(
    ("model", "usd"),
    [("gpt-4.1", 25), ("gpt-4.1-mini", 5), ("gpt-4o-2024-08-06", 25), ("gpt-4o-mini-2024-07-18", 3)],
)
def test_training(model: str, usd: float) -> None:
    assert train_price(ModelSpec(id=f"openai/{model}")).usd == usd


def test_training_overridden_unknown_or_half() -> None:
    assert train_price(ModelSpec(id="azure/gpt-4o-mini", usd_per_mtok={"train": 3.3})).usd == 3.3
    for id in ("azure/gpt-4o-mini", "openai/gpt-4.1-nano", "openai/o9", "local/x"):
        unknown = train_price(ModelSpec(id=id))
        assert unknown.usd is None
        assert "usd_per_mtok" in unknown.reason
    developer = train_price(ModelSpec(id="azure/gpt-4o-mini", usd_per_mtok={"train": 3.3}), tier="Developer")
    assert developer.usd == 3.3  # what the user says is what is paid


def test_hosting() -> None:
    assert hosting_price("azure", "standard").usd == 1.70
    assert hosting_price("azure", "GlobalStandard").usd == 1.70
    assert hosting_price("azure", "DeveloperTier").usd == 0.0
    assert hosting_price("openai").usd == 0.0
    unknown = hosting_price("azure", "provisioned")
    assert unknown.usd is None
    assert "hosting_usd_per_hour" in unknown.reason


def test_retirement() -> None:
    assert retirement("openai/gpt-4.1-mini") == date(2027, 1, 14)
    assert retirement(FT.format("gpt-4o-mini-2024-07-18")) == date(2027, 1, 14)
    assert retirement("azure/gpt-4o-mini-2024-07-18.ft-0123abc") == date(2027, 10, 1)
    assert retirement("azure/gpt-4.1") == date(2027, 10, 14)
    assert retirement("local/smollm2") is None


def test_bases() -> None:
    assert base_of("ft:gpt-4o-mini-2024-07-18:org::id") == "gpt-4o-mini-2024-07-18"
    assert base_of("gpt-4o-mini-2024-07-18.ft-abc:ckpt-step-90") == "gpt-4o-mini-2024-07-18"
    assert base_of("gpt-4o-mini") is None


def test_old_prices_say_so() -> None:
    found = Price(input=1, output=1, source="somewhere", dated=date(2026, 8, 1))
    assert found.age_days(date(2026, 8, 31)) == 30
    assert found.warning(date(2026, 10, 30)) == ""
    assert "91 days old" in found.warning(date(2026, 10, 31))
    assert Price(input=1, output=1).warning(TODAY) == ""


def test_asking_for_no_price_loads_no_price_book() -> None:
    code = "import sys, harness.prices, harness.models.wrappers; sys.exit('genai_prices' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
