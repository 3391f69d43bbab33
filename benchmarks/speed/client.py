"""How fast the hosted client is: 1,000 tasks at 50 ms latency, trials and cache being written, against a floor.

The floor is what one would write in ten lines: AsyncOpenAI on its default transport behind an asyncio.Semaphore,
nothing stored. Both run as processes of their own, in turns, against one light server in a third process.

    python benchmarks/speed/client.py [--tasks 1000] [--rounds 5] [--concurrency 32 128]

`wall` runs from the first request (both have the SDK imported by then) to the last stored trial; `process` from start
to exit, imports and all.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

LATENCY = 0.05
ANSWER = {"role": "assistant", "content": '["flour", "egg", "milk"]'}
REPLY = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-test",
        "choices": [{"index": 0, "message": ANSWER, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 120, "completion_tokens": 9, "total_tokens": 129},
    }
).encode()
HTTP = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(REPLY), REPLY)
PROMPT = "Title: Pancakes {}\n\nIngredients:\n2 cups flour, sifted\n3 large eggs\n1 c. milk"
SYSTEM = "You name the generic ingredients of a recipe as a JSON list. " * 5


class Chat(asyncio.Protocol):
    """As little of HTTP as the two clients need, so that the server is never what is measured."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.buffer = b""

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end].lower()
            at = head.find(b"content-length:")
            length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self.buffer) < end + 4 + length:
                return
            self.buffer = self.buffer[end + 4 + length :]
            asyncio.get_running_loop().call_later(LATENCY, self.answer)

    def answer(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(HTTP)


async def server() -> None:
    listening = await asyncio.get_running_loop().create_server(Chat, "127.0.0.1", 0, backlog=512)
    print(listening.sockets[0].getsockname()[1], flush=True)
    await listening.serve_forever()


async def floor(url: str, tasks: int, concurrency: int, folder: Path) -> float:
    from openai import AsyncOpenAI

    gate = asyncio.Semaphore(concurrency)
    async with AsyncOpenAI(base_url=url, api_key="none") as client:

        async def one(i: int) -> str | None:
            async with gate:
                done = await client.chat.completions.create(
                    model="gpt-test",
                    messages=[{"role": "system", "content": SYSTEM}, {"role": "user", "content": PROMPT.format(i)}],
                    max_tokens=100,
                    temperature=0,
                    seed=20,
                )
            return done.choices[0].message.content

        started = time.perf_counter()
        answers = await asyncio.gather(*(one(i) for i in range(tasks)))
        assert len(answers) == tasks
        return time.perf_counter() - started


async def ours(url: str, tasks: int, concurrency: int, folder: Path) -> float:
    import openai  # noqa: F401  # as the floor does: otherwise the first request would wait for it

    from harness.cache import Cache
    from harness.models.base import Completion, Message, Request
    from harness.models.budgeted import Budget
    from harness.models.openai import open_openai
    from harness.models.throttled import Throttle
    from harness.models.wrappers import wrap
    from harness.prices import Price
    from harness.records import Trial
    from harness.spec import ModelSpec
    from harness.store import Log

    throttle, cache, log = Throttle(concurrency), Cache(folder / "cache.db"), Log(folder / "trials.jsonl")
    model = wrap(
        open_openai(ModelSpec(id="gpt-test", base_url=url), on_limits=throttle.observe),
        cache=cache,
        throttle=throttle,
        budget=Budget(5.0),
        price=Price(input=0.15, output=0.6),
    )
    queue = iter(range(tasks))

    async def worker() -> None:
        for i in queue:
            messages = (Message("system", SYSTEM), Message("user", PROMPT.format(i)))
            done: Completion = await model.generate(Request(messages=messages, max_tokens=100, seed=20))
            log.append(Trial.of("prompt", f"row-{i}", 0, done))

    started = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(concurrency):
            group.create_task(worker())
    log.close()
    cache.close()
    wall = time.perf_counter() - started
    await model.close()
    assert len((folder / "trials.jsonl").read_bytes().splitlines()) == tasks
    return wall


def measured(who: str, url: str, tasks: int, concurrency: int, folder: Path) -> dict[str, float]:
    """Run one side as a process: its own wall, and the whole process's wall and CPU seconds."""
    started = time.perf_counter()
    command = [sys.executable, __file__, who, url, str(tasks), str(concurrency), str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    out = process.stdout.read()
    _, code, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(code)
    if process.returncode:
        raise SystemExit(f"{who} failed")
    return {
        "wall": float(out),
        "process": time.perf_counter() - started,
        "cpu": used.ru_utime + used.ru_stime,
    }


def compare(url: str, tasks: int, rounds: int, concurrency: int) -> None:
    """Rounds of both in turns; the median of the rounds' ratios is what counts."""
    runs: dict[str, list[dict[str, float]]] = {"floor": [], "ours": [], "cached": []}
    for i in range(rounds):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            for who in ("floor", "ours") if i % 2 else ("ours", "floor"):
                runs[who].append(measured(who, url, tasks, concurrency, folder))
            (folder / "trials.jsonl").unlink()
            runs["cached"].append(measured("ours", url, tasks, concurrency, folder))
    print(f"concurrency {concurrency}, {tasks} tasks at {LATENCY * 1000:.0f} ms, {rounds} rounds, medians:")
    for who, measures in runs.items():
        print(f"  {who:7}", *(f"{k} {median(m[k] for m in measures):.2f} s " for k in measures[0]))
    for key in ("wall", "process", "cpu"):
        ratios = [o[key] / f[key] for o, f in zip(runs["ours"], runs["floor"], strict=True)]
        print(f"  ours / floor, {key}: {median(ratios):.2f}  ({min(ratios):.2f} to {max(ratios):.2f})")


def main() -> None:
    if len(sys.argv) > 1 and sys.argv[1] == "serve":
        asyncio.run(server())
    elif len(sys.argv) > 1 and sys.argv[1] in ("floor", "ours"):
        side = {"floor": floor, "ours": ours}[sys.argv[1]]
        print(asyncio.run(side(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), Path(sys.argv[5]))))
    else:
        parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
        parser.add_argument("--tasks", type=int, default=1000)
        parser.add_argument("--rounds", type=int, default=5)
        parser.add_argument("--concurrency", type=int, nargs="+", default=[32, 128])
        given = parser.parse_args()
        with subprocess.Popen([sys.executable, __file__, "serve"], stdout=subprocess.PIPE) as serving:
            assert serving.stdout is not None
            try:
                url = f"http://127.0.0.1:{int(serving.stdout.readline())}/v1"
                for concurrency in given.concurrency:
                    compare(url, given.tasks, given.rounds, concurrency)
            finally:
                serving.terminate()


if __name__ == "__main__":
    main()
