"""Peak memory of a whole `harness run` against the number of its trials, on the scripted model.

    python -m benchmarks.speed.memory [--trials 10000 100000] [--rows 50000]

Two arms, so half as many test rows as trials, up to `--rows`; beyond that every row is asked several times. The memory
at one size is held to 1.5 times that at the size before, for a million trials to twice.
"""

from __future__ import annotations

import argparse
import itertools
import json
import tempfile
from pathlib import Path

from benchmarks.speed import tasks
from benchmarks.speed.processes import HARNESS, Cost, cost
from benchmarks.speed.table import Row


def run(trials: int, most: int) -> Cost:
    """A run of so many trials, of this many rows at most, to its report."""
    rows = min(trials // 2, most)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "project"
        tasks.scripted(folder, rows, repeats=trials // (2 * rows))
        done = cost([*HARNESS, "run", "bench.yaml"], folder)
        (stored,) = folder.glob("reports/bench/*/trials.jsonl")
        with stored.open("rb") as lines:
            if (count := sum(1 for _ in lines)) != trials:
                raise SystemExit(f"{count} trials were stored of {trials}")
    return done


def rows(sizes: list[int], most: int) -> list[Row]:
    """Every size, and what the next larger one takes of it."""
    done = {trials: run(trials, most) for trials in sizes}
    found = [Row("scripted run", f"peak memory at {n:,} trials", c.peak_mb, "MB") for n, c in done.items()]
    found += [Row("scripted run", f"wall a trial at {n:,}", c.wall / n * 1000, "ms") for n, c in done.items()]
    for small, large in itertools.pairwise(sizes):
        grown = done[large].peak_mb / done[small].peak_mb
        found.append(
            Row(
                "scripted run",
                f"peak memory at {large:,} / {small:,} trials",
                grown,
                "x",
                most=1.5 if large <= 100_000 else 2,
            )
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--rows", type=int, default=50_000)
    given = parser.parse_args()
    print(json.dumps([row.json() for row in rows(given.trials, given.rows)], indent=1))


if __name__ == "__main__":
    main()
