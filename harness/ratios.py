"""Dollars and seconds, task by task: how many times as much one side takes as the other, with its interval.

The ratio of two means over the same tasks, by Fieller's way: r is too low where mean(now - r x then) is proven above 0
and too high where it is proven below. Latencies are compared on one machine only, and always marked with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from harness import baselines
from harness.gating import (
    Asked,
    GateOutcome,
    Status,
    Unanswerable,
    enough,
    few_clusters,
    flips,
    more_examples,
    values_of,
    would_decide,
)
from harness.intervals import Clusters, Floats
from harness.moments import Moments, combine

if TYPE_CHECKING:
    from harness.baselines import Baseline, SavedArm

MOST = 1e6


def against_saved(asked: Asked, saved: Baseline, then: SavedArm) -> GateOutcome:
    """Now against the committed baseline: pass and fail at the levels of every gate against it."""
    run, on = asked.run, asked.gate.on
    details: list[str] = []
    if on == "seconds":
        if place_of(saved.machine) != place_of(run.manifest.machine):
            raise Unanswerable(
                f"not compared, another machine: the seconds of {asked.arm} are now of {machine(run.manifest.machine)}"
                f", those of {saved.blessed} of {machine(saved.machine)}",
                "next: bless a run of this machine, or gate what does not depend on it (usd, max_usd_per_1k)",
                status="inconclusive" if asked.gate.severity == "warn" else "error",
            )
        details.append(f"both measured on {machine(run.manifest.machine)}; says nothing of another machine")
    elif saved.prices != run.prices:
        details.append("prices are not those of the saved baseline: part of the change is theirs")
    before = baselines.aligned(saved, then.usd if on == "usd" else then.seconds, run.board.ids)
    if np.isnan(before).all():
        raise Unanswerable(f"the saved baseline of {saved.blessed} knows no {on} of {asked.arm}")
    now = values_of(asked, asked.arm)
    return _answer(asked, now, before, f"the saved baseline of {saved.blessed}", (0.10, 0.05), details)


def against_arms(asked: Asked, rivals: list[str]) -> GateOutcome:
    """One arm against others of the same run, at the verdict's level; the hardest of several rivals speaks."""
    alpha = asked.run.benchmark.verdict.alpha
    where = f"measured on {machine(asked.run.manifest.machine)}" if asked.gate.on == "seconds" else ""
    ours = values_of(asked, asked.arm)
    made = [_answer(asked, ours, values_of(asked, r), r, (alpha, alpha), [where]) for r in rivals]
    order: tuple[Status, ...] = ("fail", "inconclusive", "pass")
    return min(made, key=lambda o: (order.index(o.status), -(o.high or 0.0)))


def _answer(
    asked: Asked, now: Floats, then: Floats, of: str, levels: tuple[float, float], details: list[str]
) -> GateOutcome:
    gate, arm = asked.gate, asked.arm
    gone = np.isnan(now) | np.isnan(then)
    enough(asked, gone, f"pairs of {arm} and {of} on {gate.on}")
    if float(np.nansum(then)) == 0:
        if float(np.nansum(now)) == 0:
            return asked.said("pass", f"neither {arm} nor {of} costs any {gate.on}")
        raise Unanswerable(
            f"{of} costs no {gate.on}, so {arm} cannot be a multiple of it",
            f"next: hold it to a number: {'max_usd_per_1k' if gate.on == 'usd' else 'max_seconds'}",
        )
    better = gate.beats is not None
    bound = 1 - gate.by if better else 1 + gate.margin
    floor = bound if better or gate.not_worse_than != "saved" else 1.0
    if np.allclose(now[~gone], then[~gone], rtol=1e-3, atol=0):  # a saved figure is rounded
        value, low, high, status, few = 1.0, 1.0, 1.0, ("fail" if better else "pass"), ""
    else:
        value, low, high = ratio(now, then, asked.run.board.clusters, levels)
        few = few_clusters(asked)
        status = "inconclusive" if few else "pass" if high < bound else "fail" if low > floor else "inconclusive"
    fixed, broken, line = flips(asked, now - then, higher_is_better=False)
    more = None
    n = int((~gone).sum())
    if status == "inconclusive" and not few:
        more = more_examples(n, (high - value, bound - value), (value - low, value - floor))
    times = f"{value:.2f} times [{low:.2f}, {high if high < MOST else float('inf'):.2f}]"
    held = f"{'under' if better else 'at most'} {bound:.2f} times was asked"
    return asked.said(
        status,  # type: ignore[arg-type]
        f"{arm} takes {times} the {gate.on} of {of}, n = {n}; {held}",
        few,
        *details,
        line,
        would_decide(more, "ratio"),
        unit="ratio", value=value, low=low, high=high, limit=bound, n=n, more=more,
        margin_needed=None if better else max(0.0, high - 1), fixed=fixed, broken=broken,
    )  # fmt: skip


def ratio(
    now: Floats, then: Floats, clusters: Clusters | None, levels: tuple[float, float] = (0.05, 0.05)
) -> tuple[float, float, float]:
    """mean(now) / mean(then) with its bounds: `high` at the two-sided level `levels[0]`, `low` at `levels[1]`.

    Both are non-negative arrays over the same tasks; NaN rows are left out.
    """
    from harness.economics import ledger

    there = ~(np.isnan(now) | np.isnan(then))
    found = ledger(np.where(there, 0.0, np.nan), then, now, clusters)
    value = found.mean[2] / found.mean[1]
    low = _edge(found, levels[1], value, below=True)
    high = _edge(found, levels[0], value, below=False)
    return value, low, high


def _edge(found: Moments, alpha: float, value: float, below: bool) -> float:
    """The last ratio that is not ruled out, on one side of the estimate, by halving."""

    def ruled_out(r: float) -> bool:
        it = combine(found, (0.0, -r, 1.0), alpha=alpha)
        return it.low > 0 if below else it.high < 0

    inside, outside = value, 0.0 if below else MOST
    if not ruled_out(outside):
        return outside
    for _ in range(60):
        middle = (inside + outside) / 2
        inside, outside = (inside, middle) if ruled_out(middle) else (middle, outside)
    return inside


def place_of(machine: dict[str, Any]) -> tuple[Any, ...]:
    """What of a machine decides how fast it is, as far as a run knows it."""
    system = str(machine.get("system", "")).partition("-")[0]  # a new kernel makes no other machine
    return system, machine.get("processor"), machine.get("processors")


def machine(of: dict[str, Any]) -> str:
    """A machine in words."""
    name = of.get("processor") or of.get("system") or "an unknown machine"
    return f"{name}, {of.get('processors', '?')} processors"
