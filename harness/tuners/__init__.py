"""The tuners by the names that a benchmark file uses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from harness.errors import Problem, SpecError
from harness.tuners.base import Tuner


def open_tuner(kind: str, weights: Callable[[str], Path]) -> Tuner:
    """A tuner, not yet at work. `weights` gives the directory of a local model's reference."""
    if kind == "trl":
        from harness.models.weights import convert
        from harness.tuners.trl import TrlTuner

        return TrlTuner(weights, lambda base, adapter, out: convert("merge", base, adapter, out))
    raise SpecError(Problem(f"tuner {kind!r} is not available", path="arms", valid="trl, existing"))
