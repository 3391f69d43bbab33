"""The run's data inside its page: examples and all their answers, deflated, so that scripts can list and hand them out.

A page holds every answer up to about 15 MB; of a larger run the changed and the failed first, and all are in `tables/`.

The texts are the run's own, whole and unchanged; the page makes them visible and safe only where it shows them.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from harness.report.examples import changes, columns, titled, written
from harness.report.money import Worth, retirement
from harness.report.stored import Stored
from harness.report.view import View

SCHEMA = 1
SMALL = 20_000  # answers that a page holds whatever their length
PART = 1_000  # examples at a time
LARGEST = 24_000_000  # characters of all texts beyond that: they pack to about half


def deflated(stored: Stored) -> str:
    """The data as JSON, raw deflate, base64: what a browser's `DecompressionStream("deflate-raw")` reads."""
    packer = zlib.compressobj(4, zlib.DEFLATED, -15)
    packed = b"".join([*(packer.compress(part.encode("ascii")) for part in _parts(stored)), packer.flush()])
    return base64.b64encode(packed).decode("ascii")


def _parts(stored: Stored) -> Iterator[str]:
    """The JSON in parts: of all answers, those of one arm at a time are in memory.

    `answers[arm]` are columns over example x repeat, in that order.
    """
    rows, repeats = held(stored), stored.benchmark.run.repeats
    yield _json(_data(stored, rows))[:-1]
    yield from _examples(stored, rows)
    yield ',"answers":{'
    ids = [stored.board.ids[i] for i in rows]
    for i, arm in enumerate(stored.board.arms):
        yield f"{',' if i else ''}{_json(arm)}:{_json(_answers(stored, arm, repeats, ids))}"
    yield "}}"


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False)  # ASCII: half characters stay as they are


def _data(stored: Stored, rows: Sequence[int]) -> dict[str, Any]:
    """The run, and its scores as columns over the test examples."""
    board = stored.board
    return {
        "schema": SCHEMA,
        "run": stored.manifest.run,
        "benchmark": stored.manifest.benchmark,
        "question": stored.benchmark.question,
        "primary": stored.primary,
        "metrics": dict(board.metrics),
        "arms": list(board.arms),
        "baseline": stored.verdict.baseline,
        "candidate": stored.verdict.candidate,
        "ordered": stored.benchmark.task.answer.format != "list",
        "repeats": stored.benchmark.run.repeats,
        "ids": [board.ids[i] for i in rows],
        "scores": {m: {arm: _rounded(board.values[arm, m][rows]) for arm in board.arms} for m in board.metrics},
    }


def _examples(stored: Stored, rows: Sequence[int]) -> Iterator[str]:
    """What the examples say, as columns; each is read once, and kept as JSON only."""
    names, clustered = columns(stored), stored.board.clusters is not None
    made: dict[str, list[str]] = {"titles": [], "clusters": [], "inputs": [], "targets": []}
    for at in range(0, len(rows), PART):
        listed = [stored.examples[i] for i in rows[at : at + PART]]
        part = {
            "titles": [titled(e) for e in listed],
            "clusters": [e.cluster for e in listed] if clustered else [],
            "inputs": [{n: e.input[n] for n in names if n in e.input} for e in listed],
            "targets": [written(e.target) for e in listed],
        }
        for name, values in part.items():
            made[name].append(_json(values)[1:-1])
    for name, parts in made.items():
        if name == "clusters" and not clustered:
            yield ',"clusters":null'
            continue
        yield f',"{name}":['
        for i, text in enumerate(parts):
            yield f"{',' if i else ''}{text}"
        yield "]"


def held(stored: Stored) -> list[int]:
    """The rows whose answers the page holds, in order: of a large run losses first, then gains, failures, the rest."""
    board = stored.board
    n, each = len(board.ids), max(len(board.arms) * stored.benchmark.run.repeats, 1)
    most = max(SMALL // each, int(LARGEST / _length(stored))) if n * each > SMALL else n
    if n <= most:
        return list(range(n))
    d = changes(stored)
    d = np.zeros(n) if d is None else np.nan_to_num(d)
    failed = np.any([board.failed[a] for a in board.arms], axis=0)
    first = np.lexsort((~failed, -np.abs(d), np.where(d < 0, 0, np.where(d > 0, 1, 2))))
    return sorted(int(i) for i in first[:most])


def _length(stored: Stored) -> float:
    """Characters of an example with all its answers, on average, from a hundred of them."""
    n = len(stored.board.ids)
    seen = sorted({int(i) for i in np.linspace(0, n - 1, min(n, 100))})
    total = 0
    for i in seen:
        example = stored.examples[i]
        total += sum(map(len, example.input.values())) + len(written(example.target))
        for arm in stored.board.arms:
            given = [t.completion or t.failure for t in stored.trials.get((arm, stored.board.ids[i]), [])]
            total += sum(len(g.text) for g in given if g)
    return max(total / max(len(seen), 1), 1.0)


def _answers(stored: Stored, arm: str, repeats: int, ids: Sequence[str]) -> dict[str, Any]:
    columns: dict[str, list[Any]] = {k: [] for k in ("text", "failed", "input_tokens", "output_tokens", "seconds")}
    shown: dict[tuple[tuple[str, ...], tuple[str, ...]], int] = {}
    which: list[int] = []
    for id in ids:
        found = {t.repeat: t for t in stored.trials.get((arm, id), [])}
        for repeat in range(repeats):
            trial = found.get(repeat)
            given = trial.completion or trial.failure if trial else None
            gone = trial.missing.type if trial and trial.missing else "" if trial else "missing"
            columns["text"].append(given.text if given else "")
            columns["failed"].append(trial.failure.type if trial and trial.failure else gone)
            columns["input_tokens"].append(given.usage.input if given else 0)
            columns["output_tokens"].append(given.usage.output if given else 0)
            columns["seconds"].append(round(given.seconds, 3) if given else 0)
            key = (given.shots, given.passages) if given else ((), ())
            which.append(shown.setdefault(key, len(shown)))
    return {**columns, "context": which, "contexts": [{"shots": s, "passages": p} for s, p in shown]}


def _rounded(values: np.ndarray) -> list[float | None]:
    rounded = np.round(values, 5).tolist()
    return [None if v != v else v for v in rounded] if np.isnan(values).any() else rounded


def facts(view: View) -> dict[str, Any]:
    """What the what-if controls need: the moments of the candidate against each arm, and the terms as stated."""
    stored, spec = view.stored, view.stored.benchmark.economics
    bills = {a.name: a.bill for a in view.arms}
    candidate = stored.verdict.candidate
    ends = retirement(stored) if candidate else None
    return {
        "candidate": candidate,
        "baseline": stored.verdict.baseline,
        "alpha": stored.benchmark.verdict.alpha,
        "day": stored.day.isoformat(),
        "daysLeft": None if ends is None else max((ends - stored.day).days, 0),
        "asked": isinstance(view.worth, Worth),
        "terms": {
            "requests": spec.requests_per_month,
            "months": float(spec.horizon_months),  # a default is whole until it was stored
            "retrain": spec.retrain_every_months,
            "value": spec.value_per_correct,
        },
        "arms": {
            name: {"usd": b.usd_a_task, "fixed": b.fixed, "hosting": b.hosting_month} for name, b in bills.items()
        },
        "ledgers": {
            name: {
                "n": b.found.n,
                "mean": b.found.mean,
                "middle": b.found.middle,
                "variance": b.found.variance,
                "df": b.found.df,
                "t": b.quantile,
                "label": b.label,
            }
            for name, b in view.ledgers.items()
        },
    }
