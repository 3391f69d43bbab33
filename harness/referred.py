"""The endpoint behind a model reference of a benchmark: its own, a judge's, or the plain one that it is short for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.spec import Benchmark, ModelSpec
from harness.techniques import FineTune

PLACES = ("local/", "hf/", "tuned/", "scripted/", "openai/", "azure/", ".", "/", "~")
"""How a reference begins that is no endpoint's own name of a model."""


def spec_of(benchmark: Benchmark, reference: str, folder: Path) -> ModelSpec:
    """The endpoint of a reference; `folder` is the benchmark file's.

    A model of the same API (`openai/`, `azure/`), such as a tuned one, is at the benchmark's endpoint too; so is a
    name without API where the benchmark's model has none (what a gateway's own tuning gave). One that was tuned on
    the benchmark's model lives as long and takes as long prompts; what an arm has as `served` costs as if it was. A
    judge that is given by its endpoint is there.
    """
    model = benchmark.model if isinstance(benchmark.model, ModelSpec) else ModelSpec(id=benchmark.model)
    if model.id == reference:
        return model
    judges = (m.judge for m in benchmark.metrics.values())
    if (judge := next((j for j in judges if isinstance(j, ModelSpec) and j.id == reference), None)) is not None:
        return judge
    from harness import prices

    served = any(isinstance(t, FineTune) and t.served == reference for t in benchmark.arms.values())
    api = model.id.partition("/")[0] if model.id.startswith(("openai/", "azure/")) else ""
    if not reference.startswith(f"{api}/") if api else not _bare(model, reference, folder):
        return ModelSpec(id=reference, usd_per_mtok=prices.tuned_prices(model.usd_per_mtok, "") if served else None)
    own: dict[str, Any] = {"usd_per_mtok": None, "retires": None, "context": None}
    if prices.base_of(reference.removeprefix(f"{api}/")) == model.id.removeprefix(f"{api}/"):
        own = {"usd_per_mtok": prices.tuned_prices(model.usd_per_mtok, api)}
    elif served:
        own["usd_per_mtok"] = prices.tuned_prices(model.usd_per_mtok, api)
    return model.model_copy(update={"id": reference, **own})


def _bare(model: ModelSpec, reference: str, folder: Path) -> bool:
    """Whether a reference is an endpoint's own name of a model: no API, no place on this machine."""
    if model.base_url is None:
        return False
    return not (reference.startswith(PLACES) or (folder / reference).is_dir())
