"""Peak memory of a whole `harness run` against the number of its trials, on the scripted model.

    python -m benchmarks.speed.memory [--trials 10000 100000]

Two arms, so half as many test rows as trials; a million trials take some minutes. The memory at one size is held to
1.5 times that at the size before.
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


def run(trials: int) -> Cost:
    """A run of so many trials, to its report."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "project"
        tasks.scripted(folder, trials // 2)
        done = cost([*HARNESS, "run", "bench.yaml"], folder)
        (stored,) = folder.glob("reports/bench/*/trials.jsonl")
        with stored.open("rb") as lines:
            if (count := sum(1 for _ in lines)) != trials:
                raise SystemExit(f"{count} trials were stored of {trials}")
    return done


def rows(sizes: list[int]) -> list[Row]:
    """Every size, and what the next larger one takes of it."""
    done = {trials: run(trials) for trials in sizes}
    found = [Row("scripted run", f"peak memory at {n:,} trials", c.peak_mb, "MB") for n, c in done.items()]
    found += [Row("scripted run", f"wall a trial at {n:,}", c.wall / n * 1000, "ms") for n, c in done.items()]
    for small, large in itertools.pairwise(sizes):
        grown = done[large].peak_mb / done[small].peak_mb
        found.append(Row("scripted run", f"peak memory at {large:,} / {small:,} trials", grown, "x", most=1.5))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, nargs="+", default=[10_000, 100_000])
    print(json.dumps([row.json() for row in rows(parser.parse_args().trials)], indent=1))


if __name__ == "__main__":
    main()
