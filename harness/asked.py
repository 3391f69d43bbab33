"""Which model each arm asks, as the file tells it before anything is fitted: what to count, look up and price."""

from __future__ import annotations

from harness.models.base import Struct
from harness.spec import Benchmark
from harness.techniques import FineTune

HOSTED = ("openai", "azure")


class Asked(Struct, frozen=True):
    """One arm's model.

    Args:
        model: the model that is there before the run: it answers, or it is tuned on.
        priced: the reference by which the arm's answers are priced; of a model that the run makes, one like it.
        made: whether the run makes the model that answers.
        tuner: which tuner this arm hands it to; empty where it trains nothing.
    """

    model: str
    priced: str
    made: bool = False
    tuner: str = ""


def asked(benchmark: Benchmark, arm: str) -> Asked:
    """The model of an arm that asks one (`uses_model`)."""
    technique, arms = benchmark.arms[arm], benchmark.arms
    base = benchmark.model if isinstance(benchmark.model, str) else benchmark.model.id
    own = technique.model
    if isinstance(technique, FineTune):
        if technique.tuner == "existing":
            return Asked(technique.served or "", technique.served or "")
        on = own if own is not None and own not in arms else base
        return Asked(on, tuned_like(on, technique.tuner), True, technique.tuner)
    other = own if own in arms else technique.extends if own is None else None
    if other is not None and arms[other].uses_model:
        found = asked(benchmark, other)
        return Asked(found.model, found.priced, found.made)
    return Asked(own or base, own or base)


def tuned_like(model: str, tuner: str) -> str:
    """A reference such as a model tuned on this one gets, so that it has its price."""
    api, slash, name = model.partition("/")
    if tuner not in HOSTED:
        return model
    if not slash or api not in HOSTED:
        api, name = "", model
    mark = f"{name}.ft-harness" if tuner == "azure" else f"ft:{name}:harness"
    return f"{api}/{mark}" if api else mark
