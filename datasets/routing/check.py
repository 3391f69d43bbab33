"""What the tickets are held to beyond every set: short ones, one known queue each, no incident in two splits."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.errors import Problem

QUEUES = ("accounts", "devices", "learning", "records", "network", "estates", "finance", "security")
LEAST = {"train": 16, "dev": 4, "test": 8}  # rows of each queue
LONGEST = 80  # words


def check(folder: Path, splits: Mapping[str, Sequence[Any]]) -> Iterator[Problem]:
    """Every finding in the rows of each split (`where`, `data`)."""
    home: dict[str, str] = {}
    for split, rows in splits.items():
        for row in rows:
            yield from _ticket(row)
            cluster = str(row.data.get("cluster"))
            if home.setdefault(cluster, split) != split:
                yield Problem("an incident in two splits", row.where, "cluster", got=cluster)
        counts = Counter(str(row.data.get("queue")) for row in rows)
        for queue in QUEUES:
            if counts[queue] < LEAST[split]:
                valid = f"at least {LEAST[split]}"
                yield Problem(f"too few rows of {queue}", f"{split}.jsonl", got=str(counts[queue]), valid=valid)


def _ticket(row: Any) -> Iterator[Problem]:
    queue, words = row.data.get("queue"), len(str(row.data.get("ticket")).split())
    if queue not in QUEUES:
        yield Problem("no such queue", row.where, "queue", got=repr(queue)[:60], valid=", ".join(QUEUES))
    if words > LONGEST:
        yield Problem(f"a ticket of more than {LONGEST} words", row.where, "ticket", got=str(words))
    if not re.fullmatch(r"routing-\d{3}", str(row.data.get("id"))):
        yield Problem("an id of another form", row.where, "id", got=repr(row.data.get("id")), valid="routing-<number>")
