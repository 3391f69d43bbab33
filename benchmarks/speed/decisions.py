"""10,000 examples x 8 arms, every pair with a baseline decided: under 2 s and 1 GB.

python benchmarks/speed/decisions.py

`seconds` is what a run takes to be decided: the verdict (twice, since it is computed again without flagged rows), the
arms' bars, the best set, the ledgers. The decisions by themselves and in clusters stand beside it.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))


def whole(scores: np.ndarray, usd: np.ndarray) -> tuple[str, float]:
    """The verdict on a board: 7 candidates by Holm, a guardrail, and all of it again without 100 rows."""
    from harness import verdict
    from harness.board import Board, Effort
    from harness.records import Frozen

    n, arms = len(scores), [f"arm{i}" for i in range(scores.shape[1])]
    ids = tuple(f"e{i}" for i in range(n))
    effort = Effort("", n, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.01, {})
    columns = {(a, m): scores[:, i] for i, a in enumerate(arms) for m in ("accuracy", "relevance")}
    board = Board(
        ids=ids, clusters=None, arms=tuple(arms), metrics={"accuracy": True, "relevance": True}, values=columns,
        failed={a: np.zeros(n, dtype=bool) for a in arms}, usd={a: usd[:, i] for i, a in enumerate(arms)},
        efforts=dict.fromkeys(arms, effort), binary={"accuracy": False, "relevance": False},
        seconds={a: np.ones(n) for a in arms},
    )  # fmt: skip
    rules = verdict.Rules("accuracy", 0.02, 0.07, 0.05, 0.02, {"relevance": 0.03})
    before = time.perf_counter()
    verdict.decide(board, Frozen(arms[0], tuple(arms[1:]), "auto", ""), rules, flagged=frozenset(ids[:100]))
    return "verdict of 7 candidates, twice", time.perf_counter() - before


def main() -> int:
    started = time.perf_counter()
    from harness import economics, power, stats

    imported = time.perf_counter() - started
    rng = np.random.default_rng(1)
    ease = rng.beta(4, 2, (10_000, 1))
    scores = np.round(np.clip(ease + rng.normal(0, 0.2, (10_000, 8)) + 0.004 * np.arange(8), 0, 1), 3)
    scores[rng.random(10_000) < 0.01, 3] = np.nan  # an outage
    clusters = (np.arange(10_000) // 5).tolist()
    usd = rng.lognormal(-7, 0.3, (10_000, 8))
    differences = list((scores[:, 1:] - scores[:, :1]).T)

    def timed(name: str, call: object) -> tuple[str, float]:
        assert callable(call)
        before = time.perf_counter()
        call()
        return name, time.perf_counter() - before

    found = stats.decide_difference(differences[-1])
    parts = dict(
        [
            timed("decide 7 differences, Holm", lambda: stats.decide_holm(differences, min_effect=0.02)),
            timed("the same in 2,000 clusters", lambda: stats.decide_holm(differences, clusters, min_effect=0.02)),
            timed("8 bars", lambda: [stats.bar(column[~np.isnan(column)]) for column in scores.T]),
            timed("best set of 8", lambda: stats.may_be_best(scores)),
            timed("7 ledgers", lambda: [economics.ledger(d, usd[:, 0], usd[:, 1]) for d in differences]),
            timed("examples needed", lambda: power.needed(found, 0.1)),
        ]
    )
    parts |= dict([whole(scores, usd)])
    seconds = sum(v for k, v in parts.items() if k not in ("decide 7 differences, Holm", "the same in 2,000 clusters"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"import": imported, **parts, "seconds": seconds, "peak MB": peak}, indent=1))
    return 0 if seconds < 2 and peak < 1024 else 1


if __name__ == "__main__":
    sys.exit(main())
