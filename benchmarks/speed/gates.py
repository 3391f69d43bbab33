"""Gates on a stored run of 1,000 examples: one process, 50 gates in pytest, and the plugin in a session without gates.

python benchmarks/speed/gates.py        prints seconds, the best of five; exit code 1 beyond: `harness gate` 1.5 s as a
whole process, 50 gates 2 s beyond pytest's own start, 50 ms in a session without benchmark files
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))


def best(command: list[str], folder: Path, times: int = 5, codes: tuple[int, ...] = (0,)) -> float:
    """Seconds of the fastest of several processes."""
    env = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(ROOT)}
    taken: list[float] = []
    for _ in range(times):
        started = time.perf_counter()
        done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
        taken.append(time.perf_counter() - started)
        assert done.returncode in codes, done.stdout + done.stderr
    return min(taken)


def gates(count: int) -> str:
    """So many gates, of the kinds that cost most and least."""
    kinds = (
        "{arm: tuned, beats: prompt, on: accuracy, by: 0.0%d}",
        "{arm: tuned, not_worse_than: saved, on: accuracy, margin: 0.0%d}",
        "{arm: tuned, not_worse_than: prompt, on: accuracy, margin: 0.0%d}",
        "{arm: tuned, min: 0.%d, on: accuracy}",
        "{arm: tuned, max_seconds: %d}",
    )
    lines = [f"  g{i}: {kinds[i % len(kinds)] % (1 + i % 7)}" for i in range(count)]
    return "gates:\n" + "\n".join(lines) + "\n"


def main() -> int:
    from harness import baselines
    from tests.gated import run, write  # the small project that the tests use, with more rows

    python = [sys.executable, "-m"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bench = write(folder, gates(50), n=1000)
        baselines.bless(run(bench), "measured by a speed benchmark")
        (folder / "test_none.py").write_text("def test_it(): pass\n")
        # `-p` looks through the entry points of all packages, as every session does: an empty plugin stands for none
        found = {
            "harness gate": best([*python, "harness.cli", "gate", "bench.yaml"], folder),
            "pytest alone": best([*python, "pytest", "-q", "-p", "colorsys", "test_none.py"], folder),
            "pytest with the plugin": best([*python, "pytest", "-q", "-p", "harness", "test_none.py"], folder),
            "pytest with 50 gates": best([*python, "pytest", "-q", "-p", "harness", "bench.yaml"], folder),
        }
    added = found["pytest with the plugin"] - found["pytest alone"]
    gated = found["pytest with 50 gates"] - found["pytest alone"]
    print(json.dumps({**found, "50 gates add": gated, "the plugin adds": added}, indent=1))
    return 0 if found["harness gate"] < 1.5 and gated < 2 and added < 0.05 else 1


if __name__ == "__main__":
    sys.exit(main())
