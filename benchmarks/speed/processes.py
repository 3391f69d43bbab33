"""What a command costs as a whole process: wall, CPU seconds, peak memory, those of its children among them."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[2]
HARNESS = (sys.executable, "-c", "import sys; from harness.cli import main; sys.argv[0] = 'harness'; main()")


@dataclass(frozen=True)
class Cost:
    """Seconds of wall and CPU, and the most memory in use at one time, in MB."""

    wall: float
    cpu: float
    peak_mb: float
    out: str = ""


def cost(
    command: Sequence[str], folder: Path = ROOT, env: Mapping[str, str] | None = None, codes: Sequence[int] = (0,)
) -> Cost:
    """Run a command to its end.

    Raises:
        SystemExit: its exit code is none of those that are expected.
    """
    log = folder / ".output"
    with log.open("w+") as out:
        started = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=folder, env=environment() | dict(env or {}), stdout=out, stderr=subprocess.STDOUT
        )
        most = 0.0
        while True:  # children live beside it: what they hold together is seen only by looking
            pid, code, used = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            most = max(most, sum(map(resident_mb, tree(process.pid))))
            time.sleep(0.01 if time.perf_counter() - started < 1 else 0.1)
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(code)
        out.seek(0)
        said = out.read()
    log.unlink()
    if process.returncode not in codes:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}:\n{said[-3000:]}")
    # Linux counts the memory of the process that starts another one as that one's own: only what is above it is true.
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    most = max(most, used.ru_maxrss / 1024) if used.ru_maxrss > own else most
    return Cost(wall, used.ru_utime + used.ru_stime, most, said)


def environment() -> dict[str, str]:
    """This process's, with the code of this tree in front."""
    return os.environ | {"PYTHONPATH": str(ROOT)}


def in_turns(sides: Mapping[str, Callable[[], Cost]], rounds: int) -> dict[str, list[Cost]]:
    """Every side once a round, in another order each time, so that a busy machine hurts all of them; says each."""
    done: dict[str, list[Cost]] = {name: [] for name in sides}
    names = list(sides)
    for number in range(rounds):
        turn = names[number % len(names) :] + names[: number % len(names)]
        for name in turn:
            done[name].append(sides[name]())
            tell(f"{name}, round {number + 1} of {rounds}", done[name][-1])
    return done


def tell(what: str, cost: Cost) -> None:
    """Say on stderr what was measured just now: stdout is the table's."""
    print(f"  {what}: {cost.wall:.1f} s, CPU {cost.cpu:.1f} s, {cost.peak_mb:.0f} MB", file=sys.stderr, flush=True)


def middle(costs: Sequence[Cost]) -> Cost:
    """The median of each figure."""
    return Cost(median(c.wall for c in costs), median(c.cpu for c in costs), median(c.peak_mb for c in costs))


def ratio(ours: Sequence[Cost], theirs: Sequence[Cost], figure: str) -> float:
    """The median of the rounds' ratios of a figure."""
    return median(getattr(o, figure) / getattr(t, figure) for o, t in zip(ours, theirs, strict=True))


def tree(pid: int) -> list[int]:
    """A process and all that it started, as far as the system tells (Linux)."""
    found = [pid]
    for parent in found:
        try:
            for task in Path(f"/proc/{parent}/task").iterdir():
                found += map(int, (task / "children").read_text().split())
        except OSError:
            continue
    return found


def resident_mb(pid: int) -> float:
    """What a process holds; 0 where it ended or the system does not tell."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    except (OSError, IndexError):
        return 0.0
