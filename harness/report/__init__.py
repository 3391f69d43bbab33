"""The report of a finished run: the page, the summary, the tables. Reading never needs a key, a network or a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas

    from harness.compare import Board
    from harness.records import Manifest
    from harness.report.view import View
    from harness.spec import Benchmark
    from harness.store import RunDirectory
    from harness.verdict import Verdict


def view_of(
    directory: RunDirectory, benchmark: Benchmark, verdict: Verdict, manifest: Manifest, board: Board | None = None
) -> View:
    """All that a page, a summary or a terminal shows of a run."""
    from harness.report.view import build

    if board is None:
        from harness.reading import board_of

        board = board_of(directory, benchmark)
    return build(directory, benchmark, verdict, manifest, board)


def write(
    directory: RunDirectory, benchmark: Benchmark, verdict: Verdict, manifest: Manifest, board: Board | None = None
) -> View:
    """Write `report.html`, `summary.md` and, where pyarrow is there, `tables/answers.parquet` into the run directory.

    Raises:
        DataError: a file of the run cannot be read, or these cannot be written.
    """
    from harness.report import html, markdown, tables
    from harness.store import write_whole

    view = view_of(directory, benchmark, verdict, manifest, board)
    write_whole(directory.file("report.html"), html.page(view).encode("utf-8", "replace"))
    write_whole(directory.file("summary.md"), markdown.summary(view).encode("utf-8", "replace"))
    tables.write_parquet(directory, view.stored)
    return view


def frame(directory: RunDirectory) -> pandas.DataFrame:
    """A tidy pandas frame of a run, a row an answer."""
    from harness.report import tables

    return tables.frame(directory)
