"""A hosted job for tests: its environment on the loopback server, its tuner, its files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.models.budgeted import Budget
from harness.spec import ModelSpec
from harness.tuners.azure import AzureTuner
from harness.tuners.base import TuneJob
from harness.tuners.hosted import HostedTuner
from harness.tuners.openai import OpenAITuner
from harness.tuners.service import Pace
from tests import tiny
from tests.servers import KEY
from tests.tuning_server import TOKEN, TuningServer

PACE = Pace(first=0.005, longest=0.02, patience=3.0)
BASE = "gpt-4o-mini-2024-07-18"


def settings(monkeypatch: pytest.MonkeyPatch, server: TuningServer) -> None:
    """The environment that points at the server, and at nothing else."""
    for name, value in environment(server).items():
        monkeypatch.setenv(name, value) if value else monkeypatch.delenv(name, raising=False)


def environment(server: TuningServer) -> dict[str, str]:
    azure = {
        "AZURE_OPENAI_API_KEY": KEY,
        "AZURE_OPENAI_ENDPOINT": server.root,
        "AZURE_OPENAI_API_VERSION": "2024-10-21" if server.style == "azure_classic" else "",
        "AZURE_MANAGEMENT_ENDPOINT": server.root,
        "AZURE_MANAGEMENT_TOKEN": TOKEN,
        "AZURE_SUBSCRIPTION_ID": "sub",
        "AZURE_RESOURCE_GROUP": "group",
        "AZURE_OPENAI_ACCOUNT": "account",
    }
    return azure if server.azure else {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": server.url}


def tuner(server: TuningServer, budget: Budget | None = None, price: float | None = 3.0) -> HostedTuner:
    """A fresh tuner of the server's kind."""

    def spec_of(reference: str) -> ModelSpec:
        return ModelSpec(id=reference, usd_per_mtok=None if price is None else {"train": price})

    return (AzureTuner if server.azure else OpenAITuner)(spec_of, budget, PACE)


def job(folder: Path, server: TuningServer, name: str = "job", **params: Any) -> TuneJob:
    """A job of 12 rows in `folder/tuned/NAME`."""
    workdir = folder / "tuned" / name
    workdir.mkdir(parents=True, exist_ok=True)
    return TuneJob(
        key=f"{name:0<16}",
        base=f"{'azure' if server.azure else 'openai'}/{BASE}",
        train=tiny.chats(workdir / "train.jsonl", 12),
        valid=tiny.chats(workdir / "valid.jsonl", 3),
        params={"epochs": 2, "batch_size": 4, **params},
        seed=7,
        suffix="my recipes.v2",
        workdir=workdir,
    )
