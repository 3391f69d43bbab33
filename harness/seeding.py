"""Training seeds: the same recipe trained again, so that a result speaks for the recipe and not for one checkpoint.

Each seed's checkpoint is chosen on dev as the arm's was, and scored on test. Nothing is chosen among the seeds: the
first is the arm, frozen before; the others stand beside it.
"""

from __future__ import annotations

import msgspec

from harness.learning import ahead
from harness.models.base import Model
from harness.records import Fit, SeedRun, SeedRuns
from harness.store import RunDirectory
from harness.taskset import TaskSet
from harness.techniques.base import Recipe
from harness.techniques.fine_tune import FineTune
from harness.tuners.base import Progress
from harness.workbench import Workbench


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
    """Train and score the seeds that `seeds/<arm>.json` does not hold yet."""
    if len(technique.seeds) < 2:
        return
    file, primary = f"seeds/{arm}.json", bench.benchmark.primary
    ids = tuple(e.id for e in tasks.test)
    runs = directory.load(file, SeedRuns) or SeedRuns(arm, primary, ids, technique.seeds[0])
    done = {r.seed for r in runs.runs}
    seeds = [s for s in technique.seeds[1:] if s not in done]
    again = [technique.model_copy(update={"seed": seed, "seeds": ()}) for seed in seeds]
    await ahead([(seeded, tasks.train) for seeded in again], tasks.dev, base, start, bench)
    for seed, seeded in zip(seeds, again, strict=True):
        bench.progress(Progress(status=f"seeds: {arm}", done=len(runs.runs), total=len(technique.seeds) - 1))
        made = await seeded.fit(f"{arm}, seed {seed}", tasks.train, tasks.dev, base, start, bench)
        recipe = msgspec.convert(made.recipe, Recipe)
        solver = await seeded.solver(recipe, tasks.train, None, bench)
        scored = await bench.score(solver, tasks.test, f"seeds: {arm}, seed {seed} on test")
        if made.artifact is not None and made.artifact.model != (fit.artifact.model if fit.artifact else ""):
            await bench.shut(made.artifact.model)
        run = SeedRun(
            seed=seed,
            values=scored.values,
            failures=scored.failures,
            dev_score=made.dev_score,
            model=made.artifact.model if made.artifact else "",
            checkpoint=made.artifact.checkpoint if made.artifact else "",
            trained_tokens=made.cost.trained_tokens,
            seconds=made.cost.train_seconds,
            usd=made.cost.train_usd,
        )
        runs = msgspec.structs.replace(runs, runs=(*runs.runs, run))
        directory.save(file, runs)
