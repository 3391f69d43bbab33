"""What a trial takes beside its model's time: on a Ray cluster of two nodes with four workers, and in one process.

Both run the same benchmark of two arms with the scripted model, whose answer takes next to nothing, so that what is
measured is prompts, cache, messages and trials.jsonl. Run from the project's root:
`python -m benchmarks.speed.ray_overhead [--trials 10000] [--rounds 1]`
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.speed.table import Row
from harness import pipeline, specfile
from harness.tuners.base import Progress
from harness.workers import Workers
from tests import gated


class Timed:
    """The seconds between a run's first stored trial and its last one."""

    def __init__(self) -> None:
        self.at: list[float] = []

    def __call__(self, progress: Progress) -> None:
        if progress.status.startswith("test: "):
            self.at.append(time.perf_counter())

    @property
    def ms_a_trial(self) -> float:
        return 1000 * (self.at[-1] - self.at[0]) / (len(self.at) - 1)


def measure(trials: int, workers: Callable[[], Workers | None]) -> tuple[float, bytes]:
    """Milliseconds a trial, and the scores."""
    with tempfile.TemporaryDirectory() as folder:
        file = gated.write(Path(folder), gates="")
        rows = ({"id": f"n{i}", "text": f"number {i}", "label": "red" if i % 2 else "blue"} for i in range(trials // 2))
        (Path(folder) / "data" / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        timed = Timed()
        result = asyncio.run(pipeline.run_benchmark(specfile.read(file), timed, workers=workers()))
        assert len(timed.at) == trials
        return timed.ms_a_trial, result.directory.scores.read_bytes()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=1)
    given = parser.parse_args()
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # Ray's word for: loopback alone
    from ray.cluster_utils import Cluster

    from harness.ray_engine import RayEngine

    def node(processors: int) -> dict[str, Any]:
        return {
            "num_cpus": processors,
            "object_store_memory": 80_000_000,
            "include_dashboard": False,
            "node_ip_address": "127.0.0.1",
        }

    here: list[float] = []
    there: list[float] = []
    cluster = Cluster(initialize_head=True, head_node_args=node(0))
    try:
        for _ in range(2):
            cluster.add_node(**node(2))
        for _ in range(given.rounds):
            ms, scores = measure(given.trials, lambda: None)
            here.append(ms)
            ms, same = measure(given.trials, lambda: RayEngine(cluster.address))
            there.append(ms)
            assert same == scores, "the scores are not those of one process"
    finally:
        cluster.shutdown()
    area = f"Ray, {given.trials:,} scripted trials"
    rows = [
        Row(area, "a trial in one process", statistics.median(here), "ms"),
        Row(area, "a trial with 4 workers on 2 nodes, same scores", statistics.median(there), "ms", most=2),
    ]
    print(json.dumps([row.json() for row in rows], indent=1))


if __name__ == "__main__":
    main()
