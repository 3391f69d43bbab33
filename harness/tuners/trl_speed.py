"""How fast this machine trains: measured by the last training; before that, by a product of matrices timed now.

An estimate that is printed before a run must come from somewhere that can be named; each answer says from where.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import time
from pathlib import Path
from typing import Any

from harness.tuners.trl_files import Result

START_SECONDS = 20.0
"""Importing torch, loading weights, saving adapters."""
BF16 = 2.0e10
"""Trained tokens x parameters a second on one processor that multiplies bf16, where nothing was measured."""
FP32 = 0.12
"""Trained tokens x parameters a floating point operation of a timed fp32 product, as seen: half of what is possible."""
SPIN = "100000"
"""Rounds that a waiting thread spins before it sleeps, on an idle machine: 1.25 times as fast as sleeping at once."""
BUSY = 0.15
"""Share of the processors' time from which a machine counts as busy: spinning there takes twice as long, or thrice."""


class Speed:
    """Measured trained tokens x parameters a second, by machine and size of the model.

    Args:
        path: the file that remembers; None: nothing is remembered.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path

    def seconds(self, tokens: float, parameters: float | None, threads: int) -> tuple[tuple[float, float], str]:
        """Band of seconds for so many trained tokens, and where it comes from."""
        parameters = parameters or 135e6
        work = tokens * parameters
        rate = self._read().get(alike(parameters, threads))
        if rate:
            low, high, why = 0.8, 1.3, "the speed of the last training of such a model on this machine"
        else:
            kind = "bf16" if fast_bf16() else "fp32"
            rate = BF16 * threads if kind == "bf16" else FP32 * product_flops()
            low, high, why = 0.7, 1.4, f"a guess for {threads} processors with {kind}: nothing was trained here before"
        took = work / rate
        return (round(took * low + START_SECONDS / 2, 1), round(took * high + START_SECONDS, 1)), why

    def learn(self, result: Result, parameters: float | None, threads: int) -> None:
        """Remember the speed of a training of more than a few steps."""
        if self.path is None or result.steps < 10 or not parameters or result.seconds <= 0:
            return
        known = self._read()
        known[alike(parameters, threads)] = result.tokens * parameters / result.seconds
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            part = self.path.with_name(f"{self.path.name}.{os.getpid()}.part")
            part.write_text(json.dumps(known, indent=1), encoding="utf-8")
            os.replace(part, self.path)
        except OSError:  # a cache that cannot be written only costs precision
            return

    def _read(self) -> dict[str, float]:
        try:
            known: Any = json.loads(self.path.read_bytes()) if self.path else {}
            return {str(k): float(v) for k, v in known.items()}
        except (OSError, ValueError, AttributeError, TypeError):
            return {}


def product_flops() -> float:
    """Floating point operations a second of an fp32 product of a small model's size, in tens of milliseconds."""
    import numpy as np

    x, w = np.ones((2048, 576), np.float32), np.ones((576, 1536), np.float32)
    best = float("inf")
    for _ in range(12):
        started = time.perf_counter()
        np.matmul(x, w)
        best = min(best, time.perf_counter() - started)
    return 2.0 * x.size * w.shape[1] / best


def waiting() -> dict[str, str]:
    """How OpenMP's threads wait for each other, for the environment of a training process.

    On an idle machine they spin for a moment; on a busy one they sleep, because a spinning thread takes the processor
    from the one that it waits for.
    """
    return {"GOMP_SPINCOUNT": SPIN} if _load() < BUSY else {"OMP_WAIT_POLICY": "PASSIVE"}


def _load(seconds: float = 0.3) -> float:
    """Share of the processors' time that anybody uses just now; 1 where the system does not say."""

    def used() -> tuple[int, int]:
        fields = [int(n) for n in Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:9]]
        return sum(fields) - fields[3] - fields[4], sum(fields)

    try:
        before, all_before = used()
        time.sleep(seconds)
        after, all_after = used()
    except (OSError, ValueError, IndexError):
        return 1.0
    return (after - before) / max(all_after - all_before, 1)


def alike(parameters: float, threads: int) -> str:
    """What trains as fast for its size: a model of the same order on this machine (a tiny one hardly computes)."""
    return f"{machine(threads)}-{parameters:.0e}"


def machine(threads: int) -> str:
    """What makes two machines train alike: processor, features, threads."""
    return hashlib.sha256(f"{platform.machine()} {_cpuinfo()} {threads}".encode()).hexdigest()[:16]


def fast_bf16() -> bool:
    """Whether the processor says that it multiplies bf16; asked without torch."""
    words = _cpuinfo().split()
    return "avx512_bf16" in words or "amx_bf16" in words or "bf16" in words


def _cpuinfo() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    wanted = ("model name", "flags", "Features")
    found = {line.split(":")[0].strip(): line.split(":", 1)[1].strip() for line in lines if line.startswith(wanted)}
    return " ".join(found.get(name, "") for name in wanted)
