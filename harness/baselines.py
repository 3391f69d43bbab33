"""Committed baselines: what a run scored, example by example: `benchmarks/baselines/<name>.json`, beside the code.

Per-example scores, costs and digests of the answers, but no raw text: a reviewer sees what moved, and nothing of the
data leaves its place. Only `bless` writes one, with a reason; a file that cannot be trusted is refused whole.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from harness.errors import DataError, Incomplete, Problem, capped
from harness.finished import FinishedRun
from harness.models.base import Struct
from harness.paths import project_of, shown
from harness.prices import Price
from harness.store import RunDirectory, write_whole
from harness.taskset import digest

if TYPE_CHECKING:
    from numpy.typing import NDArray

SCHEMA = 1
Column = tuple[float | None, ...]


class SavedArm(Struct, frozen=True):
    """One arm of a baseline, every column in the order of the baseline's `ids`; None where a figure is missing.

    Args:
        recipe: digest of the chosen recipe and the model behind it.
        outputs: digest of each answer (all repeats).
        scores: by metric, as the scorer gave them (not turned round), repeats averaged.
        failed: 1 where a repeat failed.
        usd: US dollars a task. seconds: latency of an answer.
    """

    recipe: str
    model: str
    outputs: tuple[str, ...]
    scores: dict[str, Column]
    failed: tuple[int, ...]
    usd: Column
    seconds: Column


class Baseline(Struct, frozen=True):
    """A whole baseline file. `digest` covers all the rest: a file changed by hand is seen."""

    schema: int
    benchmark: str
    run: str
    finished: str
    blessed: str
    reason: str
    digests: dict[str, str]
    scorers: dict[str, str]
    higher_is_better: dict[str, bool]
    machine: dict[str, Any]
    versions: dict[str, str]
    prices: dict[str, Price]
    ids: tuple[str, ...]
    arms: dict[str, SavedArm]
    digest: str


def place(project: Path, name: str, given: Path | None = None) -> Path:
    """Where the baseline of a benchmark is committed: `benchmarks/baselines/<name>.json` of its project.

    `given`: the file, or the folder of such files, that the user named in its place.
    """
    if given is None:
        return project / "benchmarks" / "baselines" / f"{name}.json"
    return given / f"{name}.json" if given.is_dir() else given


def place_of(run: FinishedRun, given: Path | None = None) -> Path:
    """The same for a run, wherever in the project it lies."""
    folder = run.directory.path.resolve()
    project = project_of(folder)
    if project == folder:  # no project around it: reports/<name>/<run>, or a run that was copied somewhere
        project = folder.parents[min(2, len(folder.parents) - 1)]
    return place(project, Path(run.manifest.benchmark).name, given)


def make(run: FinishedRun, reason: str) -> Baseline:
    """The baseline that a run would be.

    Raises:
        Incomplete: too many scores are missing.
        DataError: no reason is given, or the run does not say which scorers made its scores.
    """
    board = run.board
    _worth_saving(run, reason)
    arms = {
        arm: SavedArm(
            recipe=run.fits[arm].digest if arm in run.fits else "",
            model=run.fits[arm].model if arm in run.fits else "",
            outputs=run.outputs(arm),
            scores={m: _column(board.values[arm, m]) for m in board.metrics},
            failed=tuple(int(f) for f in board.failed[arm]),
            usd=_column(board.usd[arm], 9),
            seconds=_column(board.seconds[arm], 4),
        )
        for arm in board.arms
    }
    unsigned = Baseline(
        schema=SCHEMA,
        benchmark=run.manifest.benchmark,
        run=run.manifest.run,
        finished=run.manifest.finished,
        blessed=f"{datetime.now(UTC):%Y-%m-%d}",
        reason=" ".join(reason.split()),
        digests={
            "test examples": run.test_digest,
            "task set": run.manifest.digests.get("task set", ""),
            "benchmark": run.manifest.digests.get("benchmark", ""),
        },
        scorers=run.scorers,
        higher_is_better=dict(board.metrics),
        machine=run.manifest.machine,
        versions=run.manifest.versions,
        prices=run.prices,
        ids=board.ids,
        arms=arms,
        digest="",
    )
    return msgspec.structs.replace(unsigned, digest=signature(unsigned))


def _worth_saving(run: FinishedRun, reason: str) -> None:
    if len(reason.split()) < 2:
        raise DataError(
            Problem(
                "a baseline is blessed with a reason", got=repr(reason), valid="a few words for the next reviewer",
                fix='--reason "the new prompt names plurals; checked the 6 broken ones"',
            )
        )  # fmt: skip
    unsaid = [m for m in run.board.metrics if m not in run.scorers]
    if unsaid:
        what = f"the run does not say which scorer made {', '.join(unsaid)}"
        raise DataError(Problem(what, where=shown(run.directory.path), fix="run it again with this version"))
    most = run.benchmark.verdict.max_missing
    for (arm, metric), values in run.board.values.items():
        share = float(np.isnan(values).mean()) if len(values) else 1.0
        if share > most:
            what = f"{100 * share:.0f} % of the scores of {arm} on {metric} are missing"
            raise Incomplete(Problem(what, where=shown(run.directory.path), fix="finish the run first"))


def _column(values: NDArray[np.float64], digits: int = 0) -> Column:
    """Figures, scores whole and measured ones to some significant digits."""
    return tuple(
        None if np.isnan(v) else float(f"{v:.{digits}g}") if digits else v for v in map(float, values.tolist())
    )


def signature(baseline: Baseline) -> str:
    """Digest of everything in a baseline but its own digest."""
    return digest(msgspec.to_builtins(msgspec.structs.replace(baseline, digest="")))


def written(baseline: Baseline) -> bytes:
    """The file: one key a line, and of an arm one column a line, so that a review shows which arm and metric moved."""
    body: dict[str, Any] = msgspec.to_builtins(baseline)

    def line(value: Any) -> str:
        return json.dumps(value, ensure_ascii=False, separators=(", ", ": "))

    arms: list[str] = []
    for name, arm in body.pop("arms").items():
        scores = ",\n".join(f"    {line(m)}: {line(v)}" for m, v in arm.pop("scores").items())
        rest = ",\n".join(f"   {line(k)}: {line(v)}" for k, v in arm.items())
        arms.append(f'  {line(name)}: {{\n{rest},\n   "scores": {{\n{scores}\n   }}\n  }}')
    heads = ",\n".join(f" {line(k)}: {line(v)}" for k, v in body.items())
    tails = ",\n".join(arms)
    return f'{{\n{heads},\n "arms": {{\n{tails}\n }}\n}}\n'.encode()


def read(path: Path) -> Baseline:
    """A baseline file.

    Raises:
        DataError: there is none, or every mistake in it; none of it is used then.
    """
    name = shown(path)
    mend = "restore it with `git checkout`, or make it anew with `harness bless`"
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        what = "there is no saved baseline"
        raise DataError(
            Problem(what, where=name, fix='harness bless FILE --reason "..." makes one; commit it')
        ) from None
    except OSError as error:
        raise DataError(Problem(f"the saved baseline cannot be read: {error.strerror}", where=name, fix=mend)) from None
    if b"\n<<<<<<< " in raw or raw.startswith(b"<<<<<<< "):
        what = "the saved baseline holds a merge conflict"
        raise DataError(Problem(what, where=name, fix="take one side whole, or bless the merged run"))
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise DataError(Problem(f"the saved baseline is no JSON: {error}", where=name, fix=mend)) from None
    problems = [Problem(what, where=name, path=path, fix=mend) for path, what in _mistakes(body)]
    if problems:
        raise DataError(capped(problems))
    return msgspec.convert(body, Baseline)


def _mistakes(body: Any) -> Iterator[tuple[str, str]]:
    """Everything that is wrong with the content of a baseline file: (path inside it, sentence)."""
    if not isinstance(body, dict) or "arms" not in body:
        yield "", "this is no saved baseline: an object with `ids` and `arms` was expected"
        return
    if body.get("schema") != SCHEMA:
        yield "schema", f"written in schema {body.get('schema')!r}; this version reads {SCHEMA}: bless the run again"
        return
    fields = {f.encode_name: f.type for f in msgspec.structs.fields(Baseline) if f.name != "arms"}
    found = [*_of_type(body, fields, "")]
    arms = body["arms"] if isinstance(body["arms"], dict) else {}
    if not arms:
        found.append(("arms", "there is no arm in it"))
    columns = {f.encode_name: f.type for f in msgspec.structs.fields(SavedArm)}
    for name, arm in arms.items():
        here = f"arms.{name}"
        found += _of_type(arm, columns, f"{here}.") if isinstance(arm, dict) else [(here, "not an object")]
    yield from found
    if not found:
        yield from _disagreements(msgspec.convert(body, Baseline))


def _of_type(body: Mapping[str, Any], fields: Mapping[str, Any], here: str) -> Iterator[tuple[str, str]]:
    for key, type in fields.items():
        if key not in body:
            yield f"{here}{key}", f"`{key}` is missing from the saved baseline"
            continue
        try:
            msgspec.convert(body[key], type)
        except msgspec.ValidationError as error:
            yield f"{here}{key}", f"the saved baseline cannot be read there: {error}"


def _disagreements(baseline: Baseline) -> Iterator[tuple[str, str]]:
    n = len(baseline.ids)
    if len(set(baseline.ids)) < n:
        yield "ids", "the saved baseline has two examples with the same id"
    for name, arm in baseline.arms.items():
        columns: dict[str, Sequence[Any]] = {
            "outputs": arm.outputs, "failed": arm.failed, "usd": arm.usd, "seconds": arm.seconds,
            **{f"scores.{m}": column for m, column in arm.scores.items()},
        }  # fmt: skip
        for key, column in columns.items():
            if len(column) != n:
                yield f"arms.{name}.{key}", f"{len(column)} values for {n} examples"
        for metric, column in arm.scores.items():
            bad = [v for v in column if v is not None and not 0 <= v <= 1]
            if bad:
                yield f"arms.{name}.scores.{metric}", f"a score outside [0, 1]: {bad[0]!r}"
        for metric in baseline.higher_is_better:
            if metric not in arm.scores:
                yield f"arms.{name}.scores", f"the scores on {metric} are missing from the saved baseline"
    if signature(baseline) != baseline.digest:
        yield "digest", "the saved baseline was changed after it was blessed: its content does not fit its digest"


@dataclass(frozen=True)
class Blessed:
    """What `bless` did or would do: the file, and line by line what changes in it."""

    path: Path
    baseline: Baseline
    changes: tuple[str, ...]


def bless(directory: RunDirectory, reason: str, *, path: Path | None = None, write: bool = True) -> Blessed:
    """Make a finished run the committed baseline of its benchmark.

    Args:
        directory: the run.
        reason: why, for the next reviewer; it is kept in the file.
        path: the file or folder, where it is not the committed place.
        write: False only shows the difference.

    Raises:
        Incomplete: the run is not finished or scores are missing.
        DataError: no reason, or a run that cannot be read.
    """
    run = FinishedRun.read(directory)
    new, file = make(run, reason), place_of(run, path)
    changes = tuple(difference(_old(file), new, run))
    if write:
        write_whole(file, written(new))
    return Blessed(file, new, changes)


def _old(path: Path) -> Baseline | str:
    try:
        return read(path)
    except DataError as error:
        return error.problems[0].what


def difference(old: Baseline | str, new: Baseline, run: FinishedRun) -> Iterator[str]:
    """What a reviewer must see before one baseline takes another's place, a line a change."""
    from harness import stats

    if isinstance(old, str):
        yield f"new baseline: {len(new.arms)} arms, {len(new.ids)} examples ({old})"
        return
    same = old.digests.get("test examples") == new.digests["test examples"]
    if not same:
        yield f"the test examples changed: {len(old.ids)} before, {len(new.ids)} now; scores cannot be compared"
    yield from (f"{arm}: removed" for arm in old.arms if arm not in new.arms)
    for arm, now in new.arms.items():
        then = old.arms.get(arm)
        if then is None:
            yield f"{arm}: new"
            continue
        if then.recipe != now.recipe:
            yield f"{arm}: another recipe or model ({then.model or 'none'} before, {now.model or 'none'} now)"
        for metric, column in now.scores.items():
            if metric not in then.scores:
                yield f"{arm}: {metric} is new"
            elif old.scorers.get(metric) != new.scorers.get(metric):
                yield f"{arm}: {metric} comes from another scorer version; its scores cannot be compared"
            elif same:
                d = signed(column, new.higher_is_better[metric]) - aligned(old, then.scores[metric], new.ids, metric)
                if np.isnan(d).all() or not np.nan_to_num(d).any():
                    continue
                made = stats.decide_difference(d, run.board.clusters)
                moved = f"{100 * made.mean:+.1f} points [{100 * made.low:+.1f}, {100 * made.high:+.1f}]"
                yield f"{arm}: {metric} {moved}, better on {made.won}, worse on {made.lost} of {made.n}"
    if old.prices != new.prices:
        yield "prices changed"


def signed(column: Column, higher_is_better: bool) -> NDArray[np.float64]:
    """A column as an array turned so that more is better; NaN where it is None."""
    values = np.array([np.nan if v is None else v for v in column], dtype=float)
    return values if higher_is_better else 1.0 - values


def aligned(saved: Baseline, column: Column, ids: Sequence[str], metric: str = "") -> NDArray[np.float64]:
    """A saved column in the order of `ids`; a metric's is turned so that more is better."""
    row = {id: i for i, id in enumerate(saved.ids)}
    values = signed(column, saved.higher_is_better.get(metric, True) if metric else True)
    return values[[row[id] for id in ids]]
