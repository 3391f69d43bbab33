"""One command: every figure against its floor or peer, measured in the same run, its target, and whether it held.

    python -m benchmarks.speed [--full] [--only NAME ...] [--markdown FILE]

Quick by default: 1,000 tasks, few rounds; `--full` asks what the issue states (10,000 tasks, a million trials) and
takes about an hour on two cores. A part whose tools or weights are not there is left out and named. Exit code 1 where a
target was not held.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.speed import peers_env
from benchmarks.speed.processes import ROOT, environment
from benchmarks.speed.table import Row, machine, markdown

MODEL = "smollm2-135m-instruct"


@dataclass(frozen=True)
class Part:
    """A script of this folder: its arguments, quick and full, and what it prints read as rows."""

    quick: str
    full: str
    rows: Callable[[Any], list[Row]]
    needs: Callable[[], str] = lambda: ""


def plain(found: list[dict[str, Any]]) -> list[Row]:
    """What was printed as rows."""
    return [Row(**row) for row in found]


def decisions(found: Mapping[str, float]) -> list[Row]:
    """See decisions.py."""
    area = "statistics, 10,000 examples x 8 arms"
    return [
        Row(area, "all", found["seconds"], "s", most=2),
        Row(area, "peak memory", found["peak MB"], "MB", most=1024),
    ]


def gates(found: Mapping[str, float]) -> list[Row]:
    """See gates.py."""
    return [
        Row("gates, 1,000 examples", "50 gates beyond pytest's start", found["50 gates add"], "s", most=2),
        Row("gates, 1,000 examples", "plugin without gates", found["the plugin adds"] * 1000, "ms", most=50),
    ]


def report(found: Mapping[str, float]) -> list[Row]:
    """See report.py."""
    area = "report"
    rows = [
        Row(area, "written, 10,000 tasks x 6 arms", found["process"], "s", most=5),
        Row(area, "page", found["page, MB"], "MB", most=15),
        Row(area, "shell", found["shell, KB"], "KB", most=600),
    ]
    if "first paint" in found:
        filters = {k: v for k, v in found.items() if k.startswith("filter")}
        rows.append(Row(area, "first paint", found["first paint"], "s", most=1))
        rows.append(Row(area, "slowest filter", max(filters.values()), "ms", most=200))
    return rows


def generation(found: Mapping[str, Mapping[str, float]]) -> list[Row]:
    """See generation.py."""
    rows: list[Row] = []
    for title, figures in found.items():
        least = None if title.startswith("RAG") else 3
        area = f"embedded model, {title}"
        rows += [
            Row(area, "plain transformers.generate / ours, wall", figures["wall"], "x", least=least),
            Row(area, "the same, CPU", figures["cpu"], "x", least=least),
        ]
        if title != "short prompts":
            rows.append(Row(area, "CPU without prompt reuse / with it", figures["reuse"], "x"))
    return rows


def tuning(found: Mapping[str, Any]) -> list[Row]:
    """See tuning.py."""
    from harness.tuners.trl_speed import fast_bf16

    least = 1.5 if fast_bf16() else 1.3
    return [
        Row("LoRA training", "tokens/s, ours / stock SFTTrainer", found["ratio"], "x", least=least),
        Row("LoRA training", "CPU a token, stock / ours", found["cpu_ratio"], "x"),
        Row("LoRA training", "peak memory", found["ours"]["peak_mb"], "MB", most=4096),
        Row("LoRA training", "largest difference in loss", found["largest_loss_difference"]),
    ]


def weights() -> str:
    """What is missing for the embedded model."""
    if find_spec("torch") is None:
        return "the extra `local`"
    from harness.models.weights import cached

    return "" if cached(MODEL) else f"the weights: python -m harness.models.weights {MODEL}"


def ray() -> str:
    """What is missing for a cluster."""
    return "" if find_spec("ray") else "the extra `ray`"


PARTS = {
    "startup": Part("--rounds 7", "--rounds 21", plain),
    "decisions": Part("", "", decisions),
    "gates": Part("", "", gates),
    "report": Part("", "", report),
    "memory": Part("--trials 10000 100000", "--trials 10000 100000 1000000", plain),
    "ray_overhead": Part("--trials 2000", "--trials 10000 --rounds 3", plain, ray),
    "orchestration": Part("--tasks 1000 --rounds 3 --peer-rounds 1", "--tasks 10000 --rounds 3 --peer-rounds 1", plain),
    "generation": Part("--case short few-shot --rows 16 --rounds 1", "", generation, weights),
    "tuning": Part("{model} --steps 4 --rounds 1", "{model} --steps 6 --rounds 3", tuning, weights),
}


def run(name: str, part: Part, full: bool) -> list[Row] | str:
    """The rows of a part, or why there are none."""
    if lacking := part.needs():
        return f"left out, it needs {lacking}"
    words = (part.full if full else part.quick).split()
    if "{model}" in words:
        from harness.models.weights import fetch

        words = [str(fetch(MODEL)) if word == "{model}" else word for word in words]
    command = [sys.executable, "-m", f"benchmarks.speed.{name}", *words]
    done = subprocess.run(command, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, text=True, check=False)
    try:
        return part.rows(json.loads(done.stdout))
    except ValueError:
        return f"failed with exit code {done.returncode}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="the sizes that the targets are stated for")
    parser.add_argument("--only", nargs="+", choices=tuple(PARTS), default=list(PARTS), help="these parts")
    parser.add_argument("--markdown", type=Path, help="also write the table here")
    given = parser.parse_args()
    rows: list[Row] = []
    notes = [f"left out, not installed: {name}" for name in peers_env.ALL if name not in peers_env.installed()]
    for name in given.only:
        print(f"{name} ...", file=sys.stderr, flush=True)
        found = run(name, PARTS[name], given.full)
        if isinstance(found, str):
            notes.append(f"{name}: {found}")
        else:
            rows += found
    text = f"Measured {machine()}, load {os.getloadavg()[0]:.1f}.\n\n{markdown(rows)}\n"
    text += "".join(f"\n{note}" for note in notes) + ("\n" if notes else "")
    print(text)
    if given.markdown:
        given.markdown.write_text(text, "utf-8")
    return int(any(row.held is False for row in rows) or any("failed" in note for note in notes))


if __name__ == "__main__":
    sys.exit(main())
