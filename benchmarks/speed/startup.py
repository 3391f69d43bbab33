"""How long the command takes to be there: whole processes in turns, medians, beside `python -c pass`.

python -m benchmarks.speed.startup [--rounds 15]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.speed.processes import HARNESS, Cost, cost, environment, in_turns, middle
from benchmarks.speed.table import Row

PROJECT = "import sys, pathlib; from tests import gated; gated.write(pathlib.Path(sys.argv[1]), n=1000)"


def rows(rounds: int) -> list[Row]:
    """`--help`, and on a finished run of 1,000 examples: the gate, the run again, the report again."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run([sys.executable, "-c", PROJECT, name], env=environment(), check=True)
        cost([*HARNESS, "run", "bench.yaml"], folder, codes=(0, 1))

        def harness(*words: str) -> Cost:
            return cost([*HARNESS, *words], folder, codes=(0, 1, 2))

        done = in_turns(
            {
                "python": lambda: cost([sys.executable, "-c", "pass"], folder),
                "help": lambda: harness("--help"),
                "gate": lambda: harness("gate", "bench.yaml"),
                "run": lambda: harness("run", "bench.yaml"),
                "report": lambda: harness("report", "bench.yaml"),
            },
            rounds,
        )
    wall = {who: middle(costs).wall for who, costs in done.items()}
    area = "start-up"
    return [
        Row(area, "`python -c pass`", wall["python"], "s"),
        Row(area, "`harness --help`", wall["help"], "s", most=0.3),
        Row(area, "`harness --help`, CPU", middle(done["help"]).cpu, "s"),
        Row(area, "`harness gate`, 1,000 examples", wall["gate"], "s", most=1.5),
        Row(area, "`harness run` of a finished run, 1,000 examples", wall["run"], "s"),
        Row(area, "`harness report`, 1,000 examples", wall["report"], "s"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    print(json.dumps([row.json() for row in rows(parser.parse_args().rounds)], indent=1))


if __name__ == "__main__":
    main()
