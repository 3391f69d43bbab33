"""How often do the gates err? Worlds whose truth is known are held against a saved baseline (seeded; minutes).

    python benchmarks/calibration/gates.py            all worlds; writes gates.md and the short table of docs/gates.md
    python benchmarks/calibration/gates.py --quick    fewer draws, under a minute, writes nothing

An unchanged system is run again and again: how often does `not_worse_than: saved` cry wolf, how often does it pass with
the margin that the run before printed as the smallest honest one? And how often is a drop of 5 or 10 points found?
Beside it stands "the mean fell by more than 2 points". Exit code 1 when a promise is broken.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent.parent)]

from worlds import Floats, Rng, Sample, World, binary, clustered, rare_failures, set_f1  # noqa: E402

from harness import stats  # noqa: E402

SEED, DRAWS, DROPS, MARGIN = 20260201, 10_000, 2000, 0.03
ALARMS, RARE_ALARMS, HONEST, MISSED = 0.03, 0.045, 0.93, 0.05
PAGE, DOCS, MARK = HERE / "gates.md", HERE.parents[1] / "docs" / "gates.md", "<!-- table -->"
FOUND = {100: (0.18, 0.60), 200: (0.33, 0.90), 400: (0.61, 1.0), 1000: (0.95, 1.0)}
"""Drops of 5 and of 10 points that are to be found where a fifth of the 0/1 answers changes, by n; within 3 points."""


@dataclass(frozen=True)
class Cell:
    """One world: the shares of draws with each outcome, and the promises that it breaks."""

    group: str
    name: str
    alarm: float
    honest: float
    finds: tuple[float, float]
    naive: float
    margin: float
    broken: tuple[str, ...]


def both_fail_rarely(n: int) -> World:
    """Two runs of one system whose answers fail whole now and then (2 %), each time on other examples."""

    def draw(rng: Rng, effect: float) -> Sample:
        level, failed = rng.uniform(0.5, 0.7, n), rng.random((2, n)) < 0.02
        now, then = (np.where(f, 0.0, level) for f in failed)
        return Sample(then, np.clip(now + effect, 0, 1))

    return World("rare failures (2%) of both", n, False, draw)


def worlds(quick: bool) -> list[tuple[str, World]]:
    """Every world with the row of the short table that it belongs to."""
    sizes = (100, 400) if quick else (50, 100, 200, 400, 1000)
    counts = (6, 30) if quick else (6, 12, 30, 60, 200)
    found = [("0/1 scores, 20 % discordant", binary(n, 0.2)) for n in sizes]
    found += [("set F1", set_f1(n)) for n in sizes]
    found += [("rare failures", rare_failures(n, 0.02, whose)) for n in sizes for whose in ("baseline", "candidate")]
    found += [("rare failures", both_fail_rarely(n)) for n in sizes]
    for shape in ("equal", "uneven", "Pareto"):
        for count in counts:
            group = f"{shape} clusters, {counts[0]} to {counts[-1]}"
            found.append((group, clustered(count, shape, "set F1")))
            for lean in (0.8,) if quick else (0.0, 0.8, 3.0):
                world = clustered(count, shape, "binary", lean, 0.2)
                found.append((group, World(f"{world.name}, lean {lean:g}", world.n, True, world.draw)))
    return found


def moved(world: World, drop: float, rng: Rng) -> tuple[Floats, list[int] | None]:
    """Now minus then, and the clusters. Worlds know gains: a drop is one seen from the other side."""
    sample = world.draw(rng, drop)
    return (-sample.d if drop else sample.d), sample.clusters


def cell(number: tuple[int, bool]) -> tuple[int, Cell]:
    """A world by its number: worlds hold functions, which do not travel between processes."""
    i, quick = number
    (group, world), rng = worlds(quick)[i], np.random.default_rng([SEED, i])
    draws, drops = (300, 100) if quick else (DRAWS, DROPS)
    alarm = honest = naive = 0
    margins: list[float] = []
    for _ in range(draws):
        found = stats.decide_gate(*moved(world, 0.0, rng), margin=MARGIN)
        alarm += found.answer == "fail"
        naive += found.mean < -0.02
        honest += found.low > -(margins[-1] if margins else found.honest_margin)
        margins.append(found.honest_margin)
    finds: list[float] = []
    missed = 0.0
    for drop in (0.05, 0.10):
        answers = [stats.decide_gate(*moved(world, drop, rng), margin=MARGIN).answer for _ in range(drops)]
        finds.append(answers.count("fail") / drops)
        missed = max(missed, answers.count("pass") / drops)
    name = f"{world.name}, n = {world.n}"
    rates = [(alarm / draws, RARE_ALARMS if group == "rare failures" else ALARMS, draws, "false alarms")]
    rates += [(missed, MISSED, drops, "a drop passes"), (1 - honest / draws, 1 - HONEST, draws, "honest margin fails")]
    if group.startswith("0/1") and world.n in FOUND:
        shorts = [
            (1 - f, 1 - least + 0.03, drops, "drops missed") for f, least in zip(finds, FOUND[world.n], strict=True)
        ]
        rates += shorts
    broken = tuple(
        f"{name}: {what} {rate:.3f}, at most {most:.3f}"
        for rate, most, of, what in rates
        if rate > most + (3 * np.sqrt(most * (1 - most) / of) if quick else 0)
    )
    return i, Cell(group, name, alarm / draws, honest / draws, (finds[0], finds[1]), naive / draws,
                   float(np.median(margins)), broken)  # fmt: skip


HEADS = ("false alarm", "passes with the honest margin", "finds a drop of 5", "of 10", 'naive "fell by 2": false alarm')


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return ["| " + " | ".join(r) + " |" for r in (heads, ["---"] * len(heads), *rows)]


def short(cells: Sequence[Cell]) -> list[str]:
    """The table of docs/gates.md: 0/1 scores by n; of the other groups the worst world, and what all of them find."""
    rows: list[list[str]] = []
    for group in dict.fromkeys(c.group for c in cells):
        of = [c for c in cells if c.group == group]
        one_each = group.startswith("0/1")
        for some in [[c] for c in of] if one_each else [of]:
            worst = max(c.alarm for c in some), min(c.honest for c in some), max(c.naive for c in some)
            alarm, honest, naive = (f"{100 * f:.1f} %" for f in worst)
            finds = [[100 * c.finds[k] for c in some] for k in (0, 1)]
            found = [f"{f[0]:.1f} %" if one_each else f"{min(f):.0f} to {max(f):.0f} %" for f in finds]
            rows.append([some[0].name if one_each else f"{group}: {len(of)} worlds", alarm, honest, *found, naive])
    return table(["worst world", *HEADS], rows)


def page(cells: Sequence[Cell], broken: Sequence[str]) -> str:
    """All cells in Markdown."""
    rows = [
        [c.name, *(f"{f:.3f}" for f in (c.alarm, c.honest, *c.finds, c.naive)), f"{100 * c.margin:.1f}"] for c in cells
    ]
    text = [
        f"Written by `python benchmarks/calibration/gates.py` (seeded). {DRAWS:,} runs of an unchanged system a world,"
        " each held to the baseline with a margin of 3 points and with the honest margin that the run before it"
        f" printed; {DROPS:,} for each drop.",
        "Promises: false alarms at most 3 % (4.5 % with rare failures); the honest margin passes at least 93 %; a drop"
        " of 5 points passes at most 5 %; of 0/1 scores drops are found as often as the code says, within 3 points.",
        "Every promise is kept." if not broken else "**Broken promises:** " + "; ".join(broken),
    ]
    heads = ["world", *HEADS, "honest margin (median, points)"]
    return "# How often the gates err\n\n" + "\n\n".join([*text, "\n".join(table(heads, rows))]) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description="How often do the gates err?")
    parser.add_argument("--quick", action="store_true", help="fewer worlds and draws, under a minute, writes nothing")
    quick = parser.parse_args().quick
    todo = [(i, quick) for i in range(len(worlds(quick)))]
    cells: dict[int, Cell] = {}
    with get_context("spawn").Pool(min(2, os.cpu_count() or 1)) as pool:
        for i, made in pool.imap_unordered(cell, todo):
            cells[i] = made
            print(f"\r{len(cells)}/{len(todo)} worlds", end="", file=sys.stderr)
    print(file=sys.stderr)
    done = [cells[i] for i in sorted(cells)]
    broken = [line for c in done for line in c.broken]
    if quick:
        print("\n".join(short(done)))
    else:
        PAGE.write_text(page(done, broken), encoding="utf-8")
        head, _, tail = DOCS.read_text("utf-8").split(MARK + "\n", 2)
        DOCS.write_text(head + MARK + "\n" + "\n".join(short(done)) + "\n" + MARK + "\n" + tail, "utf-8")
    for line in broken:
        print(f"broken: {line}", file=sys.stderr)
    print("Every promise is kept." if not broken else f"{len(broken)} promises are broken.")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
