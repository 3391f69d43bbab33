"""10,000 tasks at 50 ms: our client against the floor, a whole `harness run` against other tools, and its cached rerun.

    python -m benchmarks.speed.orchestration [--tasks 10000] [--rounds 3] [--peers pydantic-evals inspect-ai ...]
    ... --peers                 the floor, and `harness run` with its cached rerun, but no peers: a few minutes
    ... --concurrency           no floor

The floor is raw AsyncOpenAI on its default transport behind a semaphore, nothing stored; against it stands our client
with trials and cache written (`client.py`). The peers (`peers_env.py` installs them) ask the same prompts of the same
server and compare each answer with the same text; ours is `harness run`, which also looks for leaks, stores every
trial, decides and writes the report. Every side is a process of its own, in turns.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.speed import peer, peers_env, tasks
from benchmarks.speed.client import LATENCY
from benchmarks.speed.processes import HARNESS, Cost, cost, in_turns, middle, ratio, tell
from benchmarks.speed.table import Row

HERE = Path(__file__).parent
AGAIN = 3
"""Cached reruns, of which the median counts."""
QUIET = {
    "DEEPEVAL_TELEMETRY_OPT_OUT": "YES",
    "PROMPTFOO_DISABLE_TELEMETRY": "1",
    "PROMPTFOO_DISABLE_UPDATE": "1",
    "OPENAI_API_KEY": "none",
}


@contextmanager
def served() -> Generator[str]:
    """The light server, in a process of its own; its address."""
    with subprocess.Popen([sys.executable, str(HERE / "client.py"), "serve"], stdout=subprocess.PIPE) as serving:
        assert serving.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(serving.stdout.readline())}/v1"
        finally:
            serving.terminate()


def against_floor(url: str, count: int, concurrency: int, rounds: int) -> list[Row]:
    """Our client against raw AsyncOpenAI: from the first request to the last stored trial, and whole processes."""

    def side(who: str) -> Callable[[], Cost]:
        def run() -> Cost:
            with tempfile.TemporaryDirectory() as name:
                return cost([sys.executable, str(HERE / "client.py"), who, url, str(count), str(concurrency), name])

        return run

    done = in_turns({"floor": side("floor"), "ours": side("ours")}, rounds)
    area = f"client, {count:,} tasks, concurrency {concurrency}"
    walls = {who: [Cost(float(c.out), c.cpu, c.peak_mb) for c in costs] for who, costs in done.items()}
    ideal = count * LATENCY / concurrency
    return [
        Row(area, "wall / raw AsyncOpenAI", ratio(walls["ours"], walls["floor"], "wall"), "x", most=asked(concurrency)),
        Row(area, "process wall / raw AsyncOpenAI", ratio(done["ours"], done["floor"], "wall"), "x", most=1.4),
        Row(area, "process CPU / raw AsyncOpenAI", ratio(done["ours"], done["floor"], "cpu"), "x", most=1.7),
        Row(
            area,
            "wall / (N x latency / concurrency)",
            middle(walls["ours"]).wall / ideal,
            "x",
            most=1.5 if concurrency == 32 else None,
        ),
        Row(area, "wall of raw AsyncOpenAI", middle(walls["floor"]).wall, "s"),
    ]


def asked(concurrency: int) -> float | None:
    """The wall that our client may take of the floor's."""
    return {32: 1.05, 128: 0.85}.get(concurrency)


def against_peers(url: str, count: int, concurrency: int, rounds: int, peers: Sequence[str]) -> list[Row]:
    """`harness run` and its cached rerun against the peers, whole processes."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = folder / "tasks.jsonl"
        tasks.lines(file, count)

        def ours() -> Cost:
            shutil.rmtree(folder / "ours", ignore_errors=True)
            tasks.project(folder / "ours", count, url, concurrency)
            return cost([*HARNESS, "run", "bench.yaml"], folder / "ours", QUIET)

        def other(tool: str) -> Callable[[], Cost]:
            def run() -> Cost:
                if tool == "promptfoo":
                    arguments = peer.promptfoo_files(folder, file, url, concurrency)
                    home = {"PROMPTFOO_CONFIG_DIR": str(folder / "promptfoo")}
                    done, words = cost([str(peers_env.promptfoo()), *arguments], folder, QUIET | home), "{} passed"
                else:
                    command = [peers_env.python(), HERE / "peer.py", tool, file, url, concurrency]
                    done, words = cost([str(c) for c in command], folder, QUIET), "EQUAL {}"
                if not any(words.format(n) in done.out for n in (count, f"{count:,}")):
                    raise SystemExit(f"{tool} did not get {count} right answers:\n{done.out[-2000:]}")
                return done

            return run

        done = in_turns({"ours": ours, **{tool: other(tool) for tool in peers}}, rounds)
        again: list[Cost] = []
        for number in range(AGAIN):
            shutil.rmtree(folder / "ours" / "reports")
            again.append(cost([*HARNESS, "run", "bench.yaml"], folder / "ours", QUIET))
            tell(f"cached rerun, round {number + 1} of {AGAIN}", again[-1])
        cached = middle(again)
    area, mine = f"`harness run`, {count:,} tasks, concurrency {concurrency}", middle(done["ours"])
    rows = [
        Row(area, "peak memory", mine.peak_mb, "MB", most=300),
        Row(area, "cached rerun", cached.wall, "s", most=2.5 if count <= 1000 else 6),
        Row(area, "cached rerun, CPU", cached.cpu, "s"),
        Row(area, "wall", mine.wall, "s"),
        Row(area, "CPU", mine.cpu, "s"),
    ]
    for tool in peers:
        his = middle(done[tool])
        rows += [
            Row(area, f"CPU / {tool}", ratio(done["ours"], done[tool], "cpu"), "x", most=1),
            Row(area, f"wall / {tool}", ratio(done["ours"], done[tool], "wall"), "x"),
            Row(area, f"peak memory of {tool}", his.peak_mb, "MB"),
        ]
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peer-rounds", type=int, default=1)
    parser.add_argument("--concurrency", type=int, nargs="*", default=[32, 128], help="of the client against the floor")
    parser.add_argument("--peers", nargs="*", default=peers_env.installed())
    given = parser.parse_args()
    with served() as url:
        rows = [row for c in given.concurrency for row in against_floor(url, given.tasks, c, given.rounds)]
        rows += against_peers(url, given.tasks, 32, given.peer_rounds, given.peers)
    print(json.dumps([row.json() for row in rows], indent=1))


if __name__ == "__main__":
    main()
