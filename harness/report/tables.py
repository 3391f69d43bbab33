"""The run as tidy tables: a pandas frame with a row an answer, and the same as Parquet beside the page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from harness.models.base import Completion
from harness.reading import benchmark_of, trials_of
from harness.records import Trial
from harness.report.stored import Stored
from harness.report.text import storable
from harness.store import RunDirectory, unwritable
from harness.trials import Trials

if TYPE_CHECKING:
    import pandas

CHUNK = 10_000  # rows that are in memory at a time


def rows(directory: RunDirectory) -> dict[str, list[Any]]:
    """Columns over trials: arm, example, repeat, outcome, text, tokens, seconds, then one column a metric.

    Texts are as UTF-8 can hold them: a lone surrogate or NUL is U+FFFD.
    """
    ids = tuple(e.id for e in directory.examples())
    columns: dict[str, list[Any]] = {}
    for part in parts(trials_of(directory, benchmark_of(directory), ids), directory):
        for name, values in part.items():
            columns.setdefault(name, []).extend(values)
    return columns


def parts(trials: Trials, directory: RunDirectory) -> Iterator[dict[str, list[Any]]]:
    """The same columns, so many rows at a time: by arm, repeat, example."""
    row = {id: i for i, id in enumerate(trials.ids)}
    scores: dict[str, dict[tuple[str, int], np.ndarray[tuple[int], np.dtype[np.float64]]]] = {}
    for score in directory.read_scores():
        column = scores.setdefault(score.metric, {})
        values = column.get((score.arm, score.repeat))
        if values is None:
            values = column[score.arm, score.repeat] = np.full(len(row), np.nan)
        if score.example in row:
            values[row[score.example]] = np.nan if score.value is None else score.value
    walk = trials.walk()
    while part := list(islice(walk, CHUNK)):
        columns = _columns([trial for _, trial in part])
        for metric, column in scores.items():
            found = [column[t.arm, t.repeat][i] if (t.arm, t.repeat) in column else np.nan for i, t in part]
            columns[metric] = [None if v != v else float(v) for v in found]
        yield columns


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


def write_parquet(directory: RunDirectory, stored: Stored) -> bool:
    """Write `tables/answers.parquet`, a group of rows at a time; False where pyarrow is not installed.

    Raises:
        DataError: it cannot be written.
    """
    try:
        import pyarrow
        from pyarrow import json, parquet
    except ImportError:
        return False
    kinds = {"repeat": "int64", "input_tokens": "int64", "cached_tokens": "int64", "output_tokens": "int64",
             "attempts": "int64", "seconds": "float64", "compute_seconds": "float64"}  # fmt: skip
    path = directory.file("tables") / "answers.parquet"
    part = path.with_suffix(".part")
    metrics = dict.fromkeys(stored.board.metrics, "float64")
    schema: Any = None
    writer: Any = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for columns in parts(Trials(directory.trials, stored.board.arms, stored.board.ids), directory):
            if writer is None:
                kind = {name: (kinds | metrics).get(name, "string") for name in columns}
                schema = pyarrow.schema([(name, pyarrow.type_for_alias(k)) for name, k in kind.items()])
                writer = parquet.ParquetWriter(part, schema)
            writer.write_table(_table(columns, schema, pyarrow, json))
        if writer is not None:
            writer.close()
            part.replace(path)
    except OSError as error:
        raise unwritable(path, error) from error
    return writer is not None


def _table(columns: dict[str, list[Any]], schema: Any, pyarrow: Any, json: Any) -> Any:
    """Columns as an Arrow table, by way of JSON: at its first Python list pyarrow loads pandas, half a second."""
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    data = msgspec.json.Encoder().encode_lines(rows)
    read = json.ReadOptions(use_threads=False, block_size=len(data) + 1)
    parse = json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="error")
    return json.read_json(pyarrow.BufferReader(data), read_options=read, parse_options=parse)
