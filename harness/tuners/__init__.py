"""The tuners by the names that a benchmark file uses."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import Problem, SpecError
from harness.tuners.base import Tuner

if TYPE_CHECKING:
    from harness.models.budgeted import Budget
    from harness.tuners.hosted import HostedSpec


def open_tuner(
    kind: str,
    weights: Callable[[str], Path],
    spec_of: Callable[[str], HostedSpec],
    budget: Budget | None = None,
    home: Path | None = None,
) -> Tuner:
    """A tuner, not yet at work; touches no network and reads no key.

    Args:
        kind: the `tuner` of an arm.
        weights: a local model's reference -> its directory.
        spec_of: a hosted model's reference -> its YAML.
        budget: the run's purse.
        home: where the speed of trainings on this machine is remembered; None: it is not.
    """
    if kind in ("trl", "autotrain"):
        from harness.models.weights import convert
        from harness.tuners.autotrain import AutoTrainTuner
        from harness.tuners.trl import TrlTuner
        from harness.tuners.trl_speed import Speed

        local = TrlTuner if kind == "trl" else AutoTrainTuner
        speed = Speed(home / "training-speed.json" if home else None)
        return local(weights, partial(convert, "merge"), speed)
    if kind in ("openai", "azure"):
        from harness.tuners.azure import AzureTuner
        from harness.tuners.openai import OpenAITuner

        hosted = OpenAITuner if kind == "openai" else AzureTuner
        return hosted(spec_of, budget)
    raise SpecError(
        Problem(f"there is no tuner {kind!r}", path="arms", valid="trl, autotrain, openai, azure, existing")
    )
