"""1,000 tasks against an endpoint that breaks three calls in ten, interrupted half way and started again.

Holds what a user pays for: all finish, each answer that was billed is stored, nothing answered is asked again, no call
goes out before its Retry-After. Run from the project's root: `python -m benchmarks.speed.faults [--tasks 1000]`
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from harness.cache import Cache
from harness.models.base import Message, Request
from harness.models.openai import open_openai
from harness.models.retrying import Retries
from harness.models.throttled import Throttle
from harness.models.wrappers import wrap
from harness.records import Trial
from harness.spec import ModelSpec
from harness.store import Log, read_lines
from tests.servers import Call, Fault, reset, serve, status, truncated


class Breaking:
    """Breaks three calls in ten; notes who came before it may, and who was answered again."""

    def __init__(self) -> None:
        self.rng = random.Random(20)
        self.wait_until: dict[str, float] = {}
        self.early: list[str] = []
        self.kinds: Counter[str] = Counter()

    async def limited(self, call: Call) -> Any:
        """A 429 whose Retry-After comes in seconds or milliseconds by turns."""
        headers = [{"retry-after": "0.2"}, {"retry-after-ms": "200"}][call.number % 2]
        self.wait_until[call.user] = time.monotonic() + 0.2
        return await status(429, "slow down", "rate_limit_exceeded", headers)(call)

    def __call__(self, call: Call) -> Fault | None:
        if call.at < self.wait_until.pop(call.user, 0.0) - 0.002:
            self.early.append(call.user)
        if self.rng.random() >= 0.3:
            self.kinds["answered"] += 1
            return None
        name, fault = self.rng.choice(
            [("429", self.limited), ("500", status(500)), ("reset", reset), ("truncated", truncated)]
        )
        self.kinds[name] += 1
        return fault


async def attempt(url: str, folder: Path, tasks: int, stop_at: int | None) -> None:
    """One start of the run: what is in the trial log is not done again; stopped after so many trials."""
    done = {trial.example for trial in read_lines(folder / "trials.jsonl", Trial)}
    throttle, cache, log = Throttle(32), Cache(folder / "cache.db"), Log(folder / "trials.jsonl")
    opened = open_openai(ModelSpec(id="m", base_url=url), on_limits=throttle.observe)
    model = wrap(opened, cache=cache, throttle=throttle, retries=Retries(attempts=20, first=0.02, cap=0.5))
    queue = iter([f"task {i}" for i in range(tasks) if f"task {i}" not in done])
    finished = asyncio.Event()
    count = 0

    async def worker() -> None:
        nonlocal count
        for name in queue:
            answer = await model.generate(Request(messages=(Message("user", name),), max_tokens=20))
            log.append(Trial.of("prompt", name, 0, answer))
            count += 1
            if stop_at is not None and count >= stop_at:
                finished.set()

    workers = asyncio.gather(*(worker() for _ in range(32)))
    stop = asyncio.create_task(finished.wait())
    await asyncio.wait([workers, stop], return_when=asyncio.FIRST_COMPLETED)
    stop.cancel()
    workers.cancel() if finished.is_set() else await workers
    with contextlib.suppress(asyncio.CancelledError):
        await workers
    log.close()
    cache.close()
    await model.close()


async def main(tasks: int) -> None:
    breaking = Breaking()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with serve(rule=breaking, key=None, latency=0.01) as server:
            started = time.perf_counter()
            await attempt(server.url, folder, tasks, stop_at=tasks // 2)
            first = {t.example for t in read_lines(folder / "trials.jsonl", Trial)}
            before = len(server.calls)
            await attempt(server.url, folder, tasks, stop_at=None)
            again = [c.user for c in server.calls[before:] if c.user in first]
            trials = list(read_lines(folder / "trials.jsonl", Trial))
            seconds = time.perf_counter() - started
            calls = len(server.calls)
    answered = [t for t in trials if t.completion is not None and t.completion.text == f"answer to {t.example}"]
    figures = {
        "tasks": tasks,
        "trials stored": len(trials),
        "answered rightly": len({t.example for t in answered}),
        "calls": calls,
        **breaking.kinds,
        "stored before the stop": len(first),
        "asked again after it": len(again),
        "before Retry-After": len(breaking.early),
        "seconds": round(seconds, 2),
    }
    print(*(f"{name}: {value}" for name, value in figures.items()), sep="\n")
    assert len(trials) == len(answered) == tasks
    assert not again
    assert not breaking.early


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=1000)
    asyncio.run(main(parser.parse_args().tasks))
