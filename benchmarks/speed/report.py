"""The report of 10,000 tasks x 6 arms: how fast it is written, how large it is, how fast its page paints and filters.

    python benchmarks/speed/report.py [--tasks 10000] [--arms 6] [--keep FOLDER]

Every input and answer differs (words drawn from the recipes, seeded), as packed copies would flatter the size.
`process` is `harness report RUN` from start to exit, imports and verdict included; paint and filters are medians in
Chromium from a file. Exit code 1 beyond: 5 s, 15 MB, first paint 1 s, a filter 200 ms; the shell (one example) 600 KB.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
METRICS = ("accuracy", "exact", "relevance", "invented")


def words() -> list[str]:
    """Ingredient lines of the recipes."""
    text = (ROOT / "datasets" / "recipes" / "train.jsonl").read_text("utf-8")
    return sorted({line for row in text.splitlines() for line in json.loads(row)["ingredients"]})


def make(into: Path, tasks: int, arms: int) -> None:
    """A run directory of so many tasks and arms, as the golden run's but of other size."""
    from harness import choice, reading
    from harness.models.base import Completion, Failure, Usage
    from harness.records import Score, Trial, encode
    from harness.spec import Benchmark
    from harness.store import RunDirectory
    from harness.taskset import Example
    from tests.reports import GOLDEN

    chance, lines = random.Random(20), words()
    golden, directory = RunDirectory(GOLDEN), RunDirectory(into)
    raw = json.loads((GOLDEN / "benchmark.json").read_bytes())
    names = [*raw["arms"], *(f"{n}_{i}" for i in range(2, 99) for n in ("few_shot", "prompt", "fine_tuned"))][:arms]
    raw["arms"] = {n: raw["arms"].get(n) or raw["arms"][n.rpartition("_")[0]] | {"extends": None} for n in names}
    raw["metrics"]["relevance"] = raw["metrics"]["exact"] | {"scorer": "semantic_similarity"}
    benchmark = Benchmark.model_validate(raw)
    into.mkdir(parents=True)
    directory.save("benchmark.json", raw)
    for name in ("hygiene.json", "prices.json", "manifest.json"):
        (into / name).write_bytes((GOLDEN / name).read_bytes())
    fits = {}
    for name in names:
        source = golden.fit(name) or golden.fit(name.rpartition("_")[0])
        assert source is not None
        directory.save(f"fits/{name}.json", source)
        fits[name] = source
    examples: list[Example] = []
    for i in range(tasks):
        picked = chance.sample(lines, 10)
        title = " ".join(chance.choice(lines).split()[-1] for _ in range(4))
        target = tuple(p.split()[-1].lower() for p in picked)
        examples.append(Example(f"recipe-{i:06d}", {"title": title, "ingredients": "\n".join(picked)}, target, "test"))
    directory.save_examples(examples)
    with directory.trials.open("wb") as trials, directory.scores.open("wb") as scores:
        for k, name in enumerate(names):
            for e in examples:
                said = [t if chance.random() < 0.5 + 0.05 * k else chance.choice(lines) for t in e.target]
                usage, paced = Usage(input=chance.randrange(60, 220), output=40), round(chance.uniform(0.1, 2), 3)
                text = json.dumps(said)
                outcome: Any = Completion(
                    text, usage, paced, compute_seconds=paced / 10, shots=("recipe-1", "recipe-2")
                )
                if chance.random() < 0.02:
                    outcome = Failure("answer", "unparseable", "no list", text, usage)
                trials.write(encode(Trial.of(name, e.id, 0, outcome)) + b"\n")
                right = 0.0 if isinstance(outcome, Failure) else sum(t in said for t in e.target) / 10
                for metric in METRICS:
                    value = 1 - right if metric == "invented" else float(right == 1) if metric == "exact" else right
                    scores.write(encode(Score(name, e.id, metric, value, reason="missed salt; added 2 eggs")) + b"\n")
    frozen = choice.frozen_choice(benchmark, fits)
    directory.save("frozen.json", frozen)
    board = reading.board_of(directory, benchmark)
    directory.save("verdict.json", reading.decide(directory, board, benchmark, frozen))


def written(run: Path, times: int = 3) -> dict[str, float]:
    """`harness report RUN` as a process: the median of its wall and CPU seconds."""
    walls: list[float] = []
    cpus: list[float] = []
    for _ in range(times):
        started = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "harness.cli", "report", str(run)],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL,
        )
        _, code, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(code)
        if process.returncode:
            raise SystemExit("harness report failed")
        walls.append(time.perf_counter() - started)
        cpus.append(used.ru_utime + used.ru_stime)
    return {"process": median(walls), "cpu": median(cpus)}


def opened(page: Path, times: int = 3) -> dict[str, float]:
    """Seconds to the first paint and until every example can be browsed; milliseconds of each kind of filter.

    Nothing where there is no Chromium.
    """
    from tests.chromium import Browser, executable

    if executable() is None:
        return {}
    paint: list[float] = []
    ready: list[float] = []
    filters: dict[str, list[float]] = {"kind": [], "search": [], "arm": []}
    timed = """(() => { const t = performance.now(); %s; document.querySelector('#list').offsetHeight;
        return performance.now() - t; })()"""
    steps = {
        "kind": "document.querySelectorAll('.kinds button')[1].click()",
        "search": "const f = document.querySelector('#find'); f.value = 'butter'; f.dispatchEvent(new Event('input'))",
        "arm": """const s = document.querySelector('#arm-right'); s.selectedIndex = 0;
            s.dispatchEvent(new Event('change'))""",
    }
    browser = Browser()
    try:
        for _ in range(times):
            browser.open(page)
            ready.append(browser.ask("performance.now()") / 1000)
            paint.append(browser.ask("performance.getEntriesByName('first-contentful-paint')[0].startTime") / 1000)
            for name, step in steps.items():
                filters[name].append(browser.ask(timed % step))
    finally:
        browser.close()
    return {
        "first paint": median(paint),
        "ready": median(ready),
        **{f"filter by {name}, ms": median(values) for name, values in filters.items()},
    }


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--arms", type=int, default=6)
    parser.add_argument("--keep", type=Path, help="Make the runs here and leave them.")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.keep or Path(temporary)
        run, shell = folder / "large", folder / "one"
        for path, tasks in ((run, asked.tasks), (shell, 1)):
            if not path.exists():
                make(path, tasks, asked.arms)
        found = written(run)
        written(shell, 1)
        found |= {
            "page, MB": (run / "report.html").stat().st_size / 1e6,
            "shell, KB": (shell / "report.html").stat().st_size / 1e3,
        }
        found |= opened(run / "report.html")
    print(json.dumps({k: round(v, 3) for k, v in found.items()}, indent=1))
    slow = [v for k, v in found.items() if k.startswith("filter") and v >= 200]
    good = (
        found["process"] < 5 and found["page, MB"] < 15 and found["shell, KB"] < 600 and found.get("first paint", 0) < 1
    )
    return 0 if good and not slow else 1


if __name__ == "__main__":
    sys.exit(main())
