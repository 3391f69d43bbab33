"""What a terminal shows: progress with time left while a run goes on, then the verdict and the arms.

Colour and progress go away when the output is not a terminal or NO_COLOR is set.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from harness.tuners.base import Progress

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console
    from rich.text import Text

    from harness.changes import Change
    from harness.compare import Comparison
    from harness.estimate import RunEstimate
    from harness.reading import Result
    from harness.report.view import View

STYLES = {"yes": "bold green", "no": "bold red", "inconclusive": "bold magenta", "unasked": "bold"}


@contextmanager
def progress(*, quiet: bool = False) -> Generator[Callable[[Progress], None]]:
    """A function that shows how far a run is; on a terminal a live bar, elsewhere a line a stage."""
    if quiet:
        yield lambda p: None
    elif sys.stderr.isatty():
        with _live() as show:
            yield show
    else:
        yield _lines()


@contextmanager
def _live() -> Generator[Callable[[Progress], None]]:
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
    ended: set[str] = set()
    started = time.monotonic()

    def show(p: Progress) -> None:
        now = time.monotonic()
        ends = bool(p.total) and p.done == p.total and p.status not in ended
        if p.status in last and now - last[p.status] < 15 and not ends:
            return
        ended.update([p.status] if ends else [])
        last[p.status] = now
        count = f" {p.done}/{p.total}" if p.total else ""
        loss = f" loss {p.loss:.3f}" if p.loss is not None else ""
        print(f"[{now - started:6.1f} s] {p.status}{count}{loss} {p.message}".rstrip(), file=sys.stderr, flush=True)  # noqa: T201

    return show


def print_result(result: Result, *, json: bool = False) -> None:
    """Print the verdict, the arms and where the report is; with `json` one JSON object and nothing else."""
    from rich.console import Console

    from harness import report
    from harness.paths import shown
    from harness.reading import benchmark_of

    view = result.view
    if view is None:
        benchmark = benchmark_of(result.directory)
        view = report.view_of(result.directory, benchmark, result.verdict, result.manifest)
    page = result.directory.file("report.html")
    if json:
        sys.stdout.write(as_json(view, shown(page)) + "\n")
    else:
        print_view(view, shown(page), Console(highlight=False, soft_wrap=False))


def print_view(view: View, page: str, console: Console) -> None:
    """The sentence first, then why, the arms as wide as the terminal allows, and the page."""
    from rich.text import Text

    answer = view.answer
    console.print(Text.assemble((answer.word, STYLES[answer.status]), f": {answer.sentence}"))
    if answer.worth:
        console.print(Text(answer.worth))
    elif isinstance(view.worth, str) and answer.comparison:
        console.print(Text(f"Not priced: {view.worth}.", style="dim"))
    if answer.advice:
        console.print(Text(answer.advice.replace("`", ""), style="bold"))
    console.print()
    console.print(Text(f"{answer.because} {answer.others}".strip(), style="dim"))
    for line in answer.would_change:
        console.print(Text(f"- {line.replace('`', '')}", style="dim"))
    console.print()
    console.print(_arms(view, console.width))
    console.print()
    for metric, note in view.metric_notes:
        console.print(Text(f"{metric}: {note}.", style="dim"))
    if view.looks:
        console.print(Text(view.looks, style="dim"))
    console.print(Text.assemble(("report  ", "dim"), page), soft_wrap=True)


def _arms(view: View, width: int) -> Any:
    """The arm table, with as many columns as fit; what is left out is on the page."""
    from rich.table import Table
    from rich.text import Text

    from harness.report import figures

    metrics = [m for m in view.metrics if m != view.primary]
    columns: list[tuple[str, list[str | Text]]] = [("arm", [_name(a.name, a.role) for a in view.arms])]

    def score(metric: str, interval: bool) -> list[str | Text]:
        cells = [a.cells[metric] for a in view.arms]
        shown = [figures.score(c.mean, c.low, c.high) if c.n else figures.DASH for c in cells]
        if not interval:
            return list(shown)
        return [
            f"{s} ({figures.score_interval(c.low, c.high)})" if c.n else s for s, c in zip(shown, cells, strict=True)
        ]

    columns.append((view.primary, score(view.primary, interval=width >= 60)))
    each = [None if a.bill.usd_a_task is None else 1000 * a.bill.usd_a_task for a in view.arms]
    columns.append(("$ per 1,000", [figures.usd(e) for e in each]))
    columns.append(("failed", [str(sum(a.failures.values())) for a in view.arms]))
    columns.append(
        ("tokens in + out", [f"{a.effort.input_tokens:,.0f} + {a.effort.output_tokens:,.0f}" for a in view.arms])
    )
    alone = view.by_judge_only
    columns += [(f"{m} (by judge)" if m in alone else m, score(m, interval=False)) for m in metrics]
    if any(a.recall for a in view.arms):
        columns.append(("recall", [figures.recall(a.recall) for a in view.arms]))
    columns.append(("median", [figures.seconds(a.effort.seconds_p50) for a in view.arms]))
    used, kept = 0, list[tuple[str, list[str | Text]]]()
    for name, values in columns:
        wide = max(len(name), *(len(v) for v in values)) + 2
        if kept and used + wide > width and len(kept) > 1:
            break
        used += wide
        kept.append((name, values))
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for i, (name, _) in enumerate(kept):
        table.add_column(Text(name), justify="left" if i == 0 else "right", no_wrap=i > 0)
    for i in range(len(view.arms)):
        table.add_row(*(values[i] if not isinstance(values[i], str) else Text(str(values[i])) for _, values in kept))
    return table


def _name(name: str, role: str) -> Text:
    from rich.text import Text

    mark = {"candidate": " (fine-tune)", "baseline": " (baseline)"}.get(role, "")
    return Text.assemble((name, "bold" if role else ""), (mark, "dim"))


def as_json(view: View, page: str) -> str:
    """The result for programs: the verdict whole, the arms' cells and costs, the economic answer, the page."""
    import msgspec

    from harness.report.money import Worth

    arms = {
        a.name: {
            "cells": a.cells,
            "effort": a.effort,
            "usd_per_correct": a.bill.per_correct,
            "fixed_usd": a.bill.fixed,
            "recall": a.recall,
        }
        for a in view.arms
    }
    worth = view.worth if isinstance(view.worth, Worth) else {"answer": "unknown", "sentence": view.worth}
    body = {"run": view.run, "verdict": view.verdict, "worth": worth, "arms": arms, "report": page}
    return msgspec.json.encode(body, enc_hook=str).decode("utf-8")


def print_estimate(estimate: RunEstimate) -> None:
    """What the run will take, before it starts."""
    sys.stderr.write(f"estimate: {band(estimate)}\n")
    sys.stderr.flush()


def band(estimate: RunEstimate) -> str:
    """Minutes and dollars of a whole run, as far as they are known."""
    if estimate.seconds is None:
        time = "an unknown time (harness check --probe measures this machine's speed)"
    else:
        low, high = (s / 60 for s in estimate.seconds)
        time = f"{low:.0f} to {high:.0f} minutes" if high >= 2 else f"{low * 60:.0f} to {high * 60:.0f} seconds"
    if estimate.usd is None:
        return f"{time}, dollars unknown (a price is not known)"
    return f"{time}, ${estimate.usd[0]:.2f} to ${estimate.usd[1]:.2f}"


def print_changes(changes: Sequence[Change], page: Path, *, json: bool = False) -> None:
    """What changed between two runs, arm by arm and metric by metric, and where the page is."""
    import msgspec
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from harness.paths import shown

    if json:
        sys.stdout.write(msgspec.json.encode(changes).decode() + "\n")
        return
    rows: list[tuple[str, ...]] = []
    for c in changes:
        before, after = ("-" if v is None else f"{v:.3f}" for v in (c.before, c.after))
        d = c.difference
        moved = f"{100 * d.delta:+.1f} [{100 * d.low:+.1f}, {100 * d.high:+.1f}]" if d else "-"
        rows.append((c.arm, c.metric, before, after, moved, _reads(d) if d else c.note))
    console, head = Console(highlight=False), ("arm", "metric", "before", "after", "change in points", "reads as")
    if console.width < sum(max(len(r[i]) for r in (head, *rows)) + 2 for i in range(len(head))):
        for arm, metric, before, after, moved, reads in rows:  # too narrow for a table: no figure is cut
            console.print(Text.assemble((f"{arm} {metric}", "bold"), f" {before} to {after}, {moved}: {reads}"))
    else:
        table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
        for i, name in enumerate(head):
            table.add_column(name, justify="left" if i < 2 else "right")
        for row in rows:
            table.add_row(*(Text(cell) for cell in row))
        console.print(table)
    console.print(Text.assemble(("page  ", "dim"), shown(page)), soft_wrap=True)


def _reads(d: Comparison) -> str:
    return d.label if d.won or d.lost or d.n_missing else "the same"


def print_models(*, json: bool = False) -> None:
    """The embedded models and the hosted ones that can be tuned: where they are, what they cost, when they retire."""
    from datetime import date

    import msgspec
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from harness import prices
    from harness.models import weights
    from harness.spec import ModelSpec

    rows: list[dict[str, str]] = []
    for name, entry in weights.CATALOGUE.items():
        where = "here" if weights.cached(name) else "not fetched yet"
        state = f"{where}, {entry.megabytes} MB, {entry.license}"
        rows.append({"model": f"local/{name}", "state": state, "usd_per_mtok": "seconds x $/hour", "retires": "never"})
    for model in prices.tunable():
        price = prices.token_price(ModelSpec(id=model))
        cost = f"{price.input} in, {price.output} out" if price.known else f"unknown: {price.reason}"
        retires = prices.retirement(model)
        over = "retired" if retires and retires <= date.today() else ""
        rows.append(
            {"model": model, "state": over, "usd_per_mtok": cost, "retires": str(retires) if retires else "unknown"}
        )
    if json:
        sys.stdout.write(msgspec.json.encode(rows).decode() + "\n")
        return
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for name in ("model", "state", "$ per 1M tokens", "retires"):
        table.add_column(name, no_wrap=name == "model")
    for row in rows:
        table.add_row(*(Text(v) for v in row.values()))
    Console(highlight=False).print(table)
