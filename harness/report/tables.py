"""The run as tidy tables: a pandas frame with a row an answer, and the same as Parquet beside the page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.models.base import Completion
from harness.reading import latest
from harness.records import Trial
from harness.report.stored import Stored
from harness.report.text import storable
from harness.store import RunDirectory

if TYPE_CHECKING:
    import pandas


def rows(directory: RunDirectory) -> dict[str, list[Any]]:
    """Columns over trials: arm, example, repeat, outcome, text, tokens, seconds, then one column a metric.

    Texts are as UTF-8 can hold them: a lone surrogate or NUL is U+FFFD.
    """
    scores: dict[tuple[str, str, int], dict[str, float | None]] = {}
    metrics: dict[str, None] = {}
    for score in directory.read_scores():
        metrics.setdefault(score.metric)
        scores.setdefault((score.arm, score.example, score.repeat), {})[score.metric] = score.value
    trials = latest(directory.read_trials())
    columns = _columns(trials)
    for metric in metrics:
        columns[metric] = [scores.get(t.key, {}).get(metric) for t in trials]
    return columns


def _columns(trials: Sequence[Trial]) -> dict[str, list[Any]]:
    """What the trials themselves hold."""
    outcomes = [t.outcome for t in trials]
    given = [t.completion or t.failure for t in trials]
    return {
        "arm": [t.arm for t in trials],
        "example": [storable(t.example) for t in trials],
        "repeat": [t.repeat for t in trials],
        "outcome": ["completion" if isinstance(o, Completion) else o.type for o in outcomes],
        "text": [storable(g.text) if g else None for g in given],
        "input_tokens": [o.usage.input for o in outcomes],
        "cached_tokens": [o.usage.cached_input for o in outcomes],
        "output_tokens": [o.usage.output for o in outcomes],
        "seconds": [g.seconds if g else None for g in given],
        "compute_seconds": [g.compute_seconds if g else None for g in given],
        "attempts": [o.attempts for o in outcomes],
        "model": [storable(g.model) if g else None for g in given],
    }


def frame(directory: RunDirectory) -> pandas.DataFrame:
    """A tidy pandas frame, a row an answer (needs pandas: `pip install "harness-evals[local]"`)."""
    import pandas

    return pandas.DataFrame(rows(directory))


def from_view(stored: Stored) -> dict[str, Any]:
    """The same columns from a run that is in memory already, for runs that ask once (metrics are the board's)."""
    trials = [
        stored.trials[arm, id][0] for arm in stored.board.arms for id in stored.board.ids if (arm, id) in stored.trials
    ]
    there = {
        arm: [i for i, id in enumerate(stored.board.ids) if (arm, id) in stored.trials] for arm in stored.board.arms
    }
    columns: dict[str, Any] = _columns(trials)
    for metric in stored.board.metrics:
        parts = [stored.board.values[arm, metric][there[arm]] for arm in stored.board.arms]
        columns[metric] = [None if v != v else v for v in np.concatenate(parts).tolist()]
    return columns


def write_parquet(directory: RunDirectory, stored: Stored) -> bool:
    """Write `tables/answers.parquet`; False where pyarrow is not installed."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        return False
    path = directory.file("tables") / "answers.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    columns = from_view(stored) if stored.benchmark.run.repeats == 1 else rows(directory)
    parquet.write_table(pyarrow.table(columns), part)
    part.replace(path)
    return True
