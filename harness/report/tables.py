"""The run as tidy tables: a pandas frame with a row an answer, and the same as Parquet beside the page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.models.base import Completion
from harness.report.text import storable
from harness.store import RunDirectory

if TYPE_CHECKING:
    import pandas


def rows(directory: RunDirectory) -> dict[str, list[Any]]:
    """Columns over trials: arm, example, repeat, outcome, text, tokens, seconds, then one column a metric.

    Texts are as UTF-8 can hold them: a lone surrogate or NUL is U+FFFD.
    """
    latest = {t.key: t for t in directory.read_trials()}
    scores: dict[tuple[str, str, int], dict[str, float | None]] = {}
    metrics: dict[str, None] = {}
    for score in directory.read_scores():
        metrics.setdefault(score.metric)
        scores.setdefault((score.arm, score.example, score.repeat), {})[score.metric] = score.value
    names = ("arm", "example", "repeat", "outcome", "text", "input_tokens", "cached_tokens", "output_tokens", "seconds",
             "compute_seconds", "attempts", "model")  # fmt: skip
    columns: dict[str, list[Any]] = {name: [] for name in (*names, *(m for m in metrics))}
    for key, trial in latest.items():
        outcome = trial.outcome
        given = trial.completion or trial.failure
        values = (
            trial.arm, storable(trial.example), trial.repeat,
            "completion" if isinstance(outcome, Completion) else outcome.type,
            storable(given.text) if given else None,
            outcome.usage.input, outcome.usage.cached_input, outcome.usage.output,
            given.seconds if given else None, given.compute_seconds if given else None,
            outcome.attempts, storable(given.model) if given else None,
        )  # fmt: skip
        for name, value in zip(names, values, strict=True):
            columns[name].append(value)
        found = scores.get(key, {})
        for metric in metrics:
            columns[metric].append(found.get(metric))
    return columns


def frame(directory: RunDirectory) -> pandas.DataFrame:
    """A tidy pandas frame, a row an answer (needs pandas: `pip install "harness-evals[local]"`)."""
    import pandas

    return pandas.DataFrame(rows(directory))


def write_parquet(directory: RunDirectory) -> bool:
    """Write `tables/answers.parquet`; False where pyarrow is not installed."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        return False
    path = directory.file("tables") / "answers.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    parquet.write_table(pyarrow.table(rows(directory)), part)
    part.replace(path)
    return True
