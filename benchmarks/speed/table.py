"""The rows that every measurement gives: a figure, the target that it is held to, and whether it held."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Row:
    """One figure. `most` or `least` is its target; a row with neither is shown beside those that have one."""

    area: str
    what: str
    figure: float
    unit: str = ""
    most: float | None = None
    least: float | None = None

    @property
    def held(self) -> bool | None:
        """Whether the target is met; None where there is none."""
        if self.most is not None:
            return self.figure <= self.most
        return None if self.least is None else self.figure >= self.least

    @property
    def target(self) -> str:
        """In words."""
        if self.most is not None:
            return f"at most {said(self.most, self.unit)}"
        return "" if self.least is None else f"at least {said(self.least, self.unit)}"

    def json(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


def said(value: float, unit: str) -> str:
    """A figure as it is read."""
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f}{unit if unit == 'x' else f' {unit}' if unit else ''}"


def markdown(rows: Iterable[Row]) -> str:
    """The rows as a table."""
    words = {True: "held", False: "**NOT held**", None: ""}
    lines = [("", "figure", "target", "")]
    lines += [(f"{r.area}: {r.what}", said(r.figure, r.unit), r.target, words[r.held]) for r in rows]
    widths = [max(len(line[i]) for line in lines) for i in range(4)]
    drawn = ["| " + " | ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)) + " |" for line in lines]
    return "\n".join([drawn[0], "|" + "|".join("-" * (w + 2) for w in widths) + "|", *drawn[1:]])


def machine() -> str:
    """The day and the kind of machine."""
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
        flags = set(next(line for line in lines if line.startswith("flags")).split())
        fast = [flag for flag in ("avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16") if flag in flags]
        name += f" ({', '.join(fast)})" if fast else ""
    except (OSError, StopIteration):
        pass
    return f"{date.today()}, {len(os.sched_getaffinity(0))} cores, {name}, Python {platform.python_version()}"
