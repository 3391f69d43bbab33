"""The run as tidy tables: a pandas frame with a row an answer, and the same as Parquet beside the page.

`tables/answers.parquet` has a row an answer, `examples.parquet` one a test example, `arms.parquet` one an arm, and
`comparisons.parquet` one for each arm held against the baseline. Long ones are written a group of rows at a time. Texts
are as UTF-8 can hold them: a lone surrogate or NUL is U+FFFD.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.models.base import Completion
from harness.reading import benchmark_of, trials_of
from harness.records import Trial
from harness.report.examples import titled, written
from harness.report.text import storable
from harness.report.view import View
from harness.store import RunDirectory, unwritable
from harness.trials import Trials

if TYPE_CHECKING:
    import pandas
    from numpy.typing import NDArray

Columns = Mapping[str, Sequence[Any]]
Scores = Callable[[str, int, str, "NDArray[np.int64]"], "NDArray[np.float64]"]  # arm, repeat, metric, rows
CHUNK = 4_096  # rows that are in memory at a time
WHOLE = {"repeat", "input_tokens", "cached_tokens", "output_tokens", "attempts", "n", "failed", "dev_trials", "n_pairs",
         "n_missing", "won", "lost", "tied"}  # fmt: skip
TEXTS = {"arm", "example", "outcome", "text", "model", "title", "cluster", "target", "technique", "role", "metric",
         "baseline", "candidate", "method", "label"}  # fmt: skip


def frame(directory: RunDirectory) -> pandas.DataFrame:
    """A tidy pandas frame, a row an answer (needs pandas: `pip install "harness-evals[local]"`)."""
    import pandas

    return pandas.DataFrame(rows(directory))


def rows(directory: RunDirectory) -> dict[str, list[Any]]:
    """Columns over trials: arm, example, repeat, outcome, text, tokens, seconds, then one column a metric."""
    ids = tuple(e.id for e in directory.examples())
    benchmark = benchmark_of(directory)
    columns: dict[str, list[Any]] = {}
    for part in answers(trials_of(directory, benchmark, ids), *_stored_scores(directory, ids)):
        for name, values in part.items():
            plain = values.tolist() if isinstance(values, np.ndarray) else values
            columns.setdefault(name, []).extend(None if v != v else v for v in plain)
    return columns


def _stored_scores(directory: RunDirectory, ids: Sequence[str]) -> tuple[tuple[str, ...], Scores]:
    """The metrics of a run, and the trials' scores on them (NaN: none) as scores.jsonl holds them."""
    row = {id: i for i, id in enumerate(ids)}
    scores: dict[tuple[str, str, int], NDArray[np.float64]] = {}
    metrics: dict[str, None] = {}
    for score in directory.read_marks():
        metrics.setdefault(score.metric)
        column = scores.get((score.metric, score.arm, score.repeat))
        if column is None:
            column = scores[score.metric, score.arm, score.repeat] = np.full(len(row), np.nan)
        if score.example in row and score.value is not None:
            column[row[score.example]] = score.value

    def found(arm: str, repeat: int, metric: str, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        column = scores.get((metric, arm, repeat))
        return np.full(len(rows), np.nan) if column is None else column[rows]

    return tuple(metrics), found


def answers(trials: Trials, metrics: Sequence[str], scores: Scores) -> Iterator[Columns]:
    """A row an answer, by arm, repeat, example, so many at a time."""
    walk = trials.walk()
    while part := list(islice(walk, CHUNK)):
        columns = _answers([trial for _, trial in part])
        groups = [
            (key, np.array([i for i, _ in found], dtype=np.int64))
            for key, found in groupby(part, lambda pair: (pair[1].arm, pair[1].repeat))
        ]
        for metric in metrics:
            name = f"score.{metric}" if metric in columns else metric
            columns[name] = np.concatenate([scores(*key, metric, rows) for key, rows in groups])
        yield columns


def _answers(trials: Sequence[Trial]) -> dict[str, Any]:
    """What the trials themselves hold."""
    outcomes = [t.outcome for t in trials]
    given = [t.completion or t.failure for t in trials]
    usages = [o.usage for o in outcomes]
    return {
        "arm": [t.arm for t in trials],
        "example": [storable(t.example) for t in trials],
        "repeat": [t.repeat for t in trials],
        "outcome": ["completion" if isinstance(o, Completion) else o.type for o in outcomes],
        "text": [storable(g.text) if g else None for g in given],
        "input_tokens": [u.input for u in usages],
        "cached_tokens": [u.cached_input for u in usages],
        "output_tokens": [u.output for u in usages],
        "seconds": [g.seconds if g else None for g in given],
        "compute_seconds": [g.compute_seconds if g else None for g in given],
        "attempts": [o.attempts for o in outcomes],
        "model": [storable(g.model) if g else None for g in given],
    }


def examples(view: View) -> Iterator[Columns]:
    """A row a test example: its input column by column, and its target; so many at a time."""
    walk = iter(view.stored.examples)
    names: tuple[str, ...] | None = None
    while listed := list(islice(walk, CHUNK)):
        names = names or tuple(listed[0].input)
        yield {
            "example": [storable(e.id) for e in listed],
            "title": [storable(titled(e)) for e in listed],
            "cluster": [None if e.cluster is None else storable(e.cluster) for e in listed],
            **{f"input.{n}": [storable(e.input[n]) if n in e.input else None for e in listed] for n in names},
            "target": [storable(written(e.target)) for e in listed],
        }


def arms(view: View) -> Columns:
    """A row an arm: every metric with its interval, what its answers took, what it costs."""
    columns: dict[str, list[Any]] = {
        "arm": [a.name for a in view.arms],
        "technique": [a.technique for a in view.arms],
        "role": [a.role for a in view.arms],
        "model": [storable(a.model) for a in view.arms],
        "n": [a.cells[view.primary].n for a in view.arms],
    }
    for metric in view.metrics:
        cells = [a.cells[metric] if a.cells[metric].n else None for a in view.arms]
        for end, part in (("", "mean"), ("_low", "low"), ("_high", "high")):
            columns[metric + end] = [None if c is None else float(getattr(c, part)) for c in cells]
    columns |= {
        "failed": [sum(a.failures.values()) for a in view.arms],
        "input_tokens_mean": [a.effort.input_tokens for a in view.arms],
        "output_tokens_mean": [a.effort.output_tokens for a in view.arms],
        "usd_per_task": [a.bill.usd_a_task for a in view.arms],
        "usd_per_correct": [a.bill.per_correct for a in view.arms],
        "seconds_p50": [a.effort.seconds_p50 for a in view.arms],
        "seconds_p95": [a.effort.seconds_p95 for a in view.arms],
        "training_usd": [a.bill.training for a in view.arms],
        "training_seconds": [a.train_seconds for a in view.arms],
        "dev_trials": [len(a.trials) for a in view.arms],
        "dev_score": [a.dev_score for a in view.arms],
    }
    return columns


def comparisons(view: View) -> Columns:
    """A row for each arm held against the baseline on the primary metric, and for each guardrail."""
    made = [*view.pictures.differences, *(g.comparison for g in view.stored.verdict.guardrails)]
    names = ("metric", "baseline", "candidate", "n_pairs", "n_missing", "delta", "low", "high", "p", "method", "label",
             "alpha", "won", "lost", "tied")  # fmt: skip
    return {name: [getattr(c, name) for c in made] for name in names}


def write_parquet(directory: RunDirectory, view: View) -> bool:
    """Write the tables as Parquet; False where pyarrow is not installed.

    Raises:
        DataError: they cannot be written.
    """
    try:
        import pyarrow
    except ImportError:
        return False
    pyarrow.set_memory_pool(pyarrow.system_memory_pool())  # its own keeps what was freed: 50 MB at 100,000 answers
    stored = view.stored
    board, trials = stored.board, stored.trials
    if not isinstance(trials, Trials):
        trials = trials_of(directory, stored.benchmark, board.ids)
    metrics: Sequence[str] = tuple(board.metrics)

    def of_board(arm: str, _: int, metric: str, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        return board.values[arm, metric][rows]

    scores: Scores = of_board
    if stored.benchmark.run.repeats > 1:  # the board holds the means of repeats
        metrics, scores = _stored_scores(directory, board.ids)
    folder = directory.file("tables")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder / "answers.parquet", answers(trials, metrics, scores))
        _write(folder / "examples.parquet", examples(view))
        _write(folder / "arms.parquet", iter([arms(view)]))
        _write(folder / "comparisons.parquet", iter([comparisons(view)]))
    except OSError as error:
        raise unwritable(folder, error) from error
    return True


def _write(path: Path, groups: Iterator[Columns]) -> None:
    """A file, whole or not at all."""
    import pyarrow
    from pyarrow import parquet

    part, writer = path.with_suffix(".part"), None
    for columns in groups:
        table: Any = pyarrow.table({name: _array(name, values) for name, values in columns.items()})
        writer = writer or parquet.ParquetWriter(part, table.schema)
        writer.write_table(table)
    if writer is not None:
        writer.close()
        part.replace(path)


def _array(name: str, values: Sequence[Any]) -> Any:
    """A column as Arrow holds it: texts, whole numbers or floats (NaN is null).

    It is put together from buffers, because from a list pyarrow loads pandas first, which takes longer than the table.
    """
    import pyarrow

    n = len(values)
    if name in TEXTS or name.startswith("input."):
        packed = [b"" if v is None else v.encode() for v in values]
        ends = np.zeros(n + 1, dtype=np.int64)
        np.cumsum([len(p) for p in packed], out=ends[1:])
        there = _there([v is not None for v in values])
        buffers = [there, pyarrow.py_buffer(ends), pyarrow.py_buffer(b"".join(packed))]
        return pyarrow.Array.from_buffers(pyarrow.large_string(), n, buffers)
    if name in WHOLE:
        whole = np.asarray(values, dtype=np.int64)
        return pyarrow.Array.from_buffers(pyarrow.int64(), n, [None, pyarrow.py_buffer(whole)])
    plain = values if isinstance(values, np.ndarray) else [np.nan if v is None else v for v in values]
    numbers = np.asarray(plain, dtype=np.float64)
    buffers = [_there(~np.isnan(numbers)), pyarrow.py_buffer(numbers)]
    return pyarrow.Array.from_buffers(pyarrow.float64(), n, buffers)


def _there(known: Any) -> Any:
    """Which values are not null, as bits; None where all are there."""
    import pyarrow

    known = np.asarray(known, dtype=bool)
    return None if known.all() else pyarrow.py_buffer(np.packbits(known, bitorder="little"))
