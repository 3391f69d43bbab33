"""What a terminal shows: progress with time left while a run goes on, then the verdict and the arms.

Colour and progress go away when the output is not a terminal or NO_COLOR is set.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from harness.tuners.base import Progress


@contextmanager
def progress(*, quiet: bool = False) -> Iterator[Callable[[Progress], None]]:
    """A function that shows how far a run is; on a terminal a live bar, elsewhere a line a stage."""
    if quiet:
        yield lambda p: None
    elif sys.stderr.isatty():
        with _live() as show:
            yield show
    else:
        yield _lines()


@contextmanager
def _live() -> Iterator[Callable[[Progress], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        TextColumn("left"), TimeRemainingColumn(), TextColumn("{task.fields[note]}"),
    )  # fmt: skip
    with Bar(*columns, console=Console(stderr=True), transient=False) as bar:
        tasks: dict[str, int] = {}

        def show(p: Progress) -> None:
            if p.status not in tasks:
                tasks[p.status] = bar.add_task(p.status, total=p.total or None, note="")
            note = p.message or (f"loss {p.loss:.3f}" if p.loss is not None else "")
            bar.update(tasks[p.status], completed=p.done, total=p.total or None, note=note)  # type: ignore[arg-type]

        yield show


def _lines() -> Callable[[Progress], None]:
    last: dict[str, float] = {}
    started = time.monotonic()

    def show(p: Progress) -> None:
        now = time.monotonic()
        if p.status in last and now - last[p.status] < 15 and not (p.total and p.done == p.total):
            return
        last[p.status] = now
        count = f" {p.done}/{p.total}" if p.total else ""
        loss = f" loss {p.loss:.3f}" if p.loss is not None else ""
        print(f"[{now - started:6.1f} s] {p.status}{count}{loss} {p.message}".rstrip(), file=sys.stderr, flush=True)  # noqa: T201

    return show
