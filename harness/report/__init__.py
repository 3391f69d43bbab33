"""The report of a finished run: the page, the summary, the tables. Reading never needs a key, a network or a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas

    from harness.board import Board
    from harness.records import Manifest
    from harness.report.view import View
    from harness.spec import Benchmark
    from harness.store import RunDirectory
    from harness.trials import Trials
    from harness.verdict import Verdict


def view_of(
    directory: RunDirectory,
    benchmark: Benchmark,
    verdict: Verdict,
    manifest: Manifest,
    board: Board | None = None,
    trials: Trials | None = None,
) -> View:
    """All that a page, a summary or a terminal shows of a run. `board`, `trials`: where they are read already."""
    from harness.reading import board_of, trials_of
    from harness.report.stored import Stored
    from harness.report.view import build

    if trials is None:
        trials = trials_of(directory, benchmark, board.ids if board else tuple(e.id for e in directory.examples()))
    board = board_of(directory, benchmark, trials) if board is None else board
    return build(Stored.read(directory, benchmark, verdict, manifest, board, trials))


def write(
    directory: RunDirectory,
    benchmark: Benchmark,
    verdict: Verdict,
    manifest: Manifest,
    board: Board | None = None,
    trials: Trials | None = None,
) -> View:
    """Write `report.html`, `summary.md`, `verdict.json` and, where pyarrow is there, `tables/*.parquet` into the run.

    Raises:
        DataError: a file of the run cannot be read, or these cannot be written.
    """
    from harness.report import html, markdown, tables
    from harness.store import write_whole

    view = view_of(directory, benchmark, verdict, manifest, board, trials)
    write_whole(directory.file("report.html"), html.page(view).encode("utf-8", "replace"))
    write_whole(directory.file("summary.md"), markdown.summary(view).encode("utf-8", "replace"))
    directory.save("verdict.json", view.verdict)
    tables.write_parquet(directory, view)
    return view


def frame(directory: RunDirectory) -> pandas.DataFrame:
    """A tidy pandas frame of a run, a row an answer."""
    from harness.report import tables

    return tables.frame(directory)
