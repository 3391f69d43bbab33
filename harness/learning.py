"""The learning curve: an arm's recipe trained on rising shares of its rows, each a real training, resumable.

Every size is scored by its last checkpoint: none is chosen, so that no size profits from a choice. Nor is anything
chosen from the curve; where there is a dev split it is measured there, and test stays unseen.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

import msgspec

from harness.curve import fit_curve
from harness.errors import DataError, Problem
from harness.models.base import Model
from harness.records import CurveFit, CurvePoint, Fit, LearningCurve
from harness.store import RunDirectory
from harness.taskset import Example, TaskSet
from harness.techniques.base import Recipe
from harness.techniques.fine_tune import FEWEST_SIZES, CurveSpec, FineTune, run_job
from harness.tuners.base import Progress
from harness.workbench import Workbench

FEWEST_ROWS = 10  # what tuners take


def curve_spec(technique: FineTune) -> CurveSpec | None:
    """What is asked of the curve, or None where none is."""
    asked = technique.learning_curve
    return asked if isinstance(asked, CurveSpec) else CurveSpec() if asked else None


def sizes_of(spec: CurveSpec, rows: int, arm: str) -> tuple[int, ...]:
    """The sizes to train on: as written, or all rows and three halvings.

    Raises:
        DataError: there are not rows enough.
    """
    if spec.sizes is not None:
        if spec.sizes[-1] > rows:
            what = f"the learning curve asks for {spec.sizes[-1]} rows, and there are {rows} to train on"
            raise DataError(Problem(what, path=f"arms.{arm}.learning_curve.sizes", valid=f"at most {rows}"))
        return spec.sizes
    sizes = tuple(rows >> n for n in reversed(range(FEWEST_SIZES)))
    if sizes[0] < FEWEST_ROWS:
        least = FEWEST_ROWS << (FEWEST_SIZES - 1)
        what = f"a learning curve halves the rows {FEWEST_SIZES - 1} times, down to {FEWEST_ROWS}: {rows} are too few"
        raise DataError(
            Problem(what, path=f"arms.{arm}.learning_curve", valid=f"{least} rows", fix="remove it, or label more rows")
        )
    return sizes


def seeds_of(spec: CurveSpec, technique: FineTune, bench: Workbench) -> tuple[int, ...]:
    """The seeds of the trainings; by default the arm's own, whose training on all rows is the arm's, and the next."""
    own = technique.first_seed(bench)
    return spec.seeds or (own, own + 1)


def share(rows: Sequence[Example], size: int, seed: int) -> list[Example]:
    """So many rows drawn by the seed, in their own order; a larger share holds the smaller one."""
    drawn = sorted(random.Random(seed).sample(range(len(rows)), len(rows))[:size])
    return [rows[i] for i in drawn]


async def measure(
    arm: str,
    technique: FineTune,
    tasks: TaskSet,
    fit: Fit,
    base: Model,
    start: Recipe,
    bench: Workbench,
    directory: RunDirectory,
) -> None:
    """Train and score what `learning/<arm>.json` does not hold yet; with the last point the curve is fitted."""
    spec = curve_spec(technique)
    if spec is None:
        return
    rows = tasks.train[: technique.rows]
    examples = tasks.dev or tasks.test
    file = f"learning/{arm}.json"
    curve = directory.load(file, LearningCurve) or LearningCurve(
        arm=arm,
        metric=bench.benchmark.primary,
        split="dev" if tasks.dev else "test",
        sizes=sizes_of(spec, len(rows), arm),
        seeds=seeds_of(spec, technique, bench),
        examples=tuple(e.id for e in examples),
    )
    if curve.fit is not None:
        return
    done = {(p.rows, p.seed) for p in curve.points}
    points = [(size, seed) for size in curve.sizes for seed in curve.seeds]
    trainings = [
        (technique.model_copy(update={"seed": seed, "seeds": (), "rows": None}), share(rows, size, seed))
        for size, seed in points
        if (size, seed) not in done
    ]
    await ahead(trainings, tasks.dev, base, start, bench)
    for seeded, part in trainings:
        bench.progress(Progress(status=f"learning curve: {arm}", done=len(curve.points), total=len(points)))
        point = await _point(seeded, part, tasks.dev, examples, fit, start, base, bench)
        curve = msgspec.structs.replace(curve, points=(*curve.points, point))
        directory.save(file, curve)
    directory.save(file, fitted(curve, [e.cluster for e in examples]))


async def ahead(
    trainings: Sequence[tuple[FineTune, Sequence[Example]]],
    dev: Sequence[Example],
    base: Model,
    start: Recipe,
    bench: Workbench,
) -> None:
    """Make trainings side by side where several workers train; whoever wants one later finds it made."""
    if bench.workers.count < 2 or any(technique.tuner != "trl" for technique, _ in trainings):
        return
    async with asyncio.TaskGroup() as group:
        for technique, rows in trainings:
            job = await technique.job(rows, dev, base, start, bench, bench.workdir)
            group.create_task(run_job(job, bench.tuner(technique.tuner), bench))


async def _point(
    technique: FineTune,
    rows: Sequence[Example],
    dev: Sequence[Example],
    examples: Sequence[Example],
    fit: Fit,
    start: Recipe,
    base: Model,
    bench: Workbench,
) -> CurvePoint:
    """One training, its last checkpoint scored, its weights put away again."""
    job, tuner = await technique.job(rows, dev, base, start, bench, bench.workdir), bench.tuner(technique.tuner)
    tuned = await run_job(job, tuner, bench)
    made = await tuner.serve(job, tuned.checkpoints[-1])
    reference = bench.refer(made)
    recipe = msgspec.structs.replace(technique.candidates(start, bench)[0], model=reference)
    solver = await technique.solver(recipe, rows, None, bench)
    scored = await bench.score(solver, examples, f"learning curve: {len(rows)} rows, seed {job.seed}")
    kept = fit.artifact.model if fit.artifact else ""
    if reference != kept:
        await bench.shut(reference)
    await tuner.clean(job, keep=str(bench.home / kept) if kept.startswith("tuned/") else kept)
    usd = bench.price(base.name, scored.usage, tuned.seconds) if bench.is_local(base.name) else tuned.usd
    return CurvePoint(
        rows=len(rows),
        seed=job.seed,
        values=scored.values,
        failures=scored.failures,
        model=reference,
        trained_tokens=tuned.trained_tokens,
        seconds=tuned.seconds,
        usd=usd,
    )


def fitted(curve: LearningCurve, clusters: Sequence[str | None]) -> LearningCurve:
    """The curve with its fit and the gain expected from twice the rows. A pure function of the points."""
    by = {(p.rows, p.seed): p.values for p in curve.points}
    table = [[by[size, seed] for seed in curve.seeds] for size in curve.sizes]
    found = fit_curve(curve.sizes, table, clusters if any(c is not None for c in clusters) else None)
    fit = CurveFit(found.a, found.b, found.c, found.gain, found.gain_low, found.gain_high)
    return msgspec.structs.replace(curve, means=found.means, fit=fit)
