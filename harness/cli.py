"""The command line: prints and exits, nothing else. Heavy imports happen inside the command that needs them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from harness import __version__

T = TypeVar("T")
app = typer.Typer(
    name="harness",
    help="Should we fine-tune? One task set, every arm, one honest verdict.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
File = Annotated[Path, typer.Argument(help="A benchmark file (YAML).")]
Run = Annotated[Path, typer.Argument(help="A run directory, or a benchmark file: its last finished run.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
Outside = Annotated[bool, typer.Option("--allow-outside", help="Files of the benchmark may lie outside its project.")]


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"harness {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Should we fine-tune? One task set, every arm, one honest verdict."""


@app.command()
def run(
    file: File,
    json: Json = False,
    allow_outside: Outside = False,
    on_interrupt: Annotated[
        str | None,
        typer.Option(help="What Ctrl-C does with a hosted training job: keep, or cancel; default: a terminal asks."),
    ] = None,
    engine: Annotated[
        str, typer.Option(help="Where answers are made: local, or ray: on a cluster (see README, Past one machine).")
    ] = "local",
    address: Annotated[
        str | None,
        typer.Option(help="The Ray cluster's head, HOST:PORT, or auto; default: RAY_ADDRESS, else this machine alone."),
    ] = None,
) -> None:
    """Run what is not stored yet, then print the verdict and where the report is."""
    import logging

    from harness import console, ending, pipeline, specfile
    from harness.asked import HOSTED
    from harness.tuners import leftovers

    if on_interrupt not in (None, "keep", "cancel"):
        raise typer.BadParameter(f"got {on_interrupt!r}, valid: keep, cancel", param_hint="--on-interrupt")
    if engine not in ("local", "ray"):
        raise typer.BadParameter(f"got {engine!r}, valid: local, ray", param_hint="--engine")
    if address is not None and engine != "ray":
        raise typer.BadParameter("it is the address of a Ray cluster: add --engine ray", param_hint="--address")
    located = specfile.read(file, allow_outside=allow_outside)
    workers = None
    if engine == "ray":
        from harness.ray_engine import RayEngine

        workers = RayEngine(address)
    ended = ending.like_ctrl_c()
    home = located.project / ".harness"
    hosted = any(getattr(arm, "tuner", "") in HOSTED for arm in located.benchmark.arms.values())
    elsewhere = hosted or workers is not None or bool(leftovers.pending(home))
    try:
        with console.progress(quiet=json) as show:
            said = None if json else _unbroken(console.print_estimate)
            work = pipeline.run_benchmark(located, _unbroken(show), said, workers)
            result = ending.run(work, soon=not elsewhere)
    except KeyboardInterrupt:
        logging.getLogger("asyncio").disabled = True  # a second Ctrl-C tears tasks off: nothing to tell people
        _interrupted(home, on_interrupt, ask=not ended)
        raise
    console.print_result(result, json=json)


def _unbroken(tell: Callable[[T], None]) -> Callable[[T], None]:
    """Where progress can no longer be written (`2>&1 | head -1`, a full disk) the run goes on without it."""

    def told(what: T) -> None:
        try:
            tell(what)
        except (OSError, SystemExit):  # rich ends the process on a broken pipe
            sys.stderr = open(os.devnull, "w")  # noqa: SIM115  (for as long as the process lives)

    return told


def _interrupted(home: Path, wish: str | None, *, ask: bool) -> None:
    """What Ctrl-C leaves at a provider: kept and said, or cancelled; asked only on a terminal where somebody is."""
    import asyncio

    from harness.tuners import leftovers

    left = leftovers.pending(home)
    if not left:
        return
    typer.echo(leftovers.told(left), err=True)
    ask = ask and wish is None and sys.stdin.isatty() and sys.stderr.isatty()
    if wish == "cancel" or (ask and typer.confirm("Cancel it?", err=True)):
        typer.echo("cancelling; Ctrl-C once more leaves it as it is", err=True)
        for line in asyncio.run(leftovers.cancel(left)):
            typer.echo(line, err=True)


@app.command()
def check(
    file: File,
    json: Json = False,
    probe: Annotated[bool, typer.Option("--probe", help="Measure a local model's speed for the estimate.")] = False,
    allow_outside: Outside = False,
) -> None:
    """Look at spec, data, hygiene, endpoints, prices, and say what a run will take; only reads, spends nothing."""
    from harness import check as checking
    from harness import console, console_check, ending, specfile

    located = specfile.read(file, allow_outside=allow_outside)
    with console.progress(quiet=json) as show:
        checked = ending.run(checking.check(located, show, probe=probe))
    console_check.print_check(checked, json=json)
    raise typer.Exit(2 if checked.errors else 0)


@app.command()
def report(
    run: Run,
    open: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    json: Json = False,
) -> None:
    """Write the report of a stored run again and print its verdict; no key, no network, no model."""
    # Threads of linear algebra that wait for work cost as much time as the page, and there is too little to share.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from harness import console, reading

    result = reading.rewrite(reading.find(run))
    console.print_result(result, json=json)
    if open:
        typer.launch(str(result.directory.file("report.html")))


@app.command()
def compare(
    before: Run,
    after: Run,
    open: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    json: Json = False,
) -> None:
    """What changed between two runs of the same task set, arm by arm; writes a page beside the second run's."""
    from harness import changes, console, reading
    from harness.finished import FinishedRun
    from harness.report.changes import write

    one, two = (FinishedRun.read(reading.find(run)) for run in (before, after))
    found = changes.between(one, two)
    page = two.directory.file(write(one, two, found))
    console.print_changes(found, page, json=json)
    if open:
        typer.launch(str(page))


@app.command()
def gate(
    run: Run,
    strict: Annotated[bool, typer.Option("--strict", help="An inconclusive gate blocks too (exit code 3).")] = False,
    baseline: Annotated[Path | None, typer.Option("--baseline", help="Another file than the committed one.")] = None,
    summary: Annotated[
        Path | None, typer.Option("--summary", help="Write the text of a pull-request comment (Markdown) to this file.")
    ] = None,
    json: Json = False,
) -> None:
    """Hold the last finished run against its gates; never spends. Exit 0 pass, 1 fail, 3 inconclusive, 4 incomplete."""
    from harness import gates

    found = gates.check(run, strict, baseline)
    if json:
        import msgspec

        typer.echo(msgspec.json.encode(found).decode())
    else:
        typer.echo(gates.text(found))
    if summary is not None or os.environ.get("GITHUB_STEP_SUMMARY"):
        body = gates.markdown(found.outcomes, f"Gates of {found.benchmark}", found.report)
        if said := gates.step_summary(body):
            typer.echo(said, err=True)
        if summary is not None:
            gates.write_comment(summary, body, [gates.open_run(run).directory])
    raise typer.Exit(found.exit_code)


@app.command()
def bless(
    run: Run,
    reason: Annotated[str, typer.Option("--reason", help="Why this run is the new baseline; kept in the file.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the difference, write nothing.")] = False,
    baseline: Annotated[Path | None, typer.Option("--baseline", help="Another file than the usual one.")] = None,
) -> None:
    """Make a run the committed baseline of its gates, after showing what changes."""
    from harness import baselines, gates

    found = baselines.bless(gates.open_run(run).directory, reason, path=baseline, write=not dry_run)
    for line in found.changes or ("nothing changes",):
        typer.echo(line)
    typer.echo(f"{'would write' if dry_run else 'wrote'} {found.path}")


@app.command()
def init(
    data: Annotated[str, typer.Argument(help="A data file, a folder of splits, or hf://OWNER/NAME.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The benchmark file to write.")] = Path("benchmark.yaml"),
    split: Annotated[bool, typer.Option("--split", help="Divide one file into train, dev and test beside it.")] = False,
) -> None:
    """Write a commented benchmark file after looking at a data file's columns."""
    from harness import starter
    from harness.errors import HarnessError, Problem

    if out.exists():
        raise HarnessError(Problem("the file exists already", where=str(out), fix="name another with --out"))
    if split:
        data = str(starter.divide(Path(data), Path(data).with_suffix(""))[0].parent)
    out.write_text(starter.draft(data, out.parent), encoding="utf-8")
    option = " --allow-outside" if starter.outside(data, out.parent) else ""
    typer.echo(f"wrote {out}; next: harness check {out}{option}")
    starter.settle(out, allow_outside=bool(option))


@app.command()
def schema(
    of: Annotated[str, typer.Argument(help="benchmark: the files. verdict: verdict.json of a run.")] = "benchmark",
) -> None:
    """Print the JSON schema of benchmark files, for editors, or of a run's verdict, for programs."""
    import json

    from harness import specfile

    if of not in ("benchmark", "verdict"):
        raise typer.BadParameter(f"got {of!r}, valid: benchmark, verdict", param_hint="OF")
    if of == "benchmark":
        found = specfile.schema()
    else:
        from harness import verdict

        found = verdict.schema()
    typer.echo(json.dumps(found, indent=2))


@app.command()
def models(json: Json = False) -> None:
    """What models are there, what they cost, and when they retire."""
    from harness import console

    console.print_models(json=json)


@app.command(name="import")
def import_(
    kind: Annotated[str, typer.Argument(help="promptfoo or openai-evals.")],
    file: Annotated[Path, typer.Argument(help="Their file.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write into.")] = Path(),
    name: Annotated[str, typer.Option("--name", help="Name of the benchmark; default: the file's.")] = "",
) -> None:
    """Carry a promptfoo or openai-evals task set over; what cannot be carried is said line by line."""
    from harness import importers
    from harness.errors import HarnessError, Problem

    if kind not in importers.KINDS:
        raise HarnessError(Problem("unknown kind", got=repr(kind), valid=", ".join(importers.KINDS)))
    found = importers.read("promptfoo" if kind == "promptfoo" else "openai-evals", file)
    written = importers.write(found, out, name or file.stem)
    for line in ["not carried over, or not as it was:", *(f"  {note}" for note in found.said)] if found.said else []:
        typer.echo(line, err=True)
    typer.echo(f"wrote {written}; next: harness check {written}")


def main() -> None:
    """The entry point: what goes wrong is told to people, with an exit code and without a traceback."""
    from harness.ending import STOPPED
    from harness.errors import HarnessError

    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by who started it (`2>&-`)
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
    try:
        code = app(standalone_mode=False)  # the exit code of `typer.Exit`, 130 after Ctrl-C, else None
        if code == 130:
            typer.echo(STOPPED, err=True)
        sys.exit(code if isinstance(code, int) else 0)
    except HarnessError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        typer.echo(STOPPED, err=True)
        sys.exit(130)
    except SystemExit as ended:
        if isinstance(ended.__context__, BrokenPipeError):  # rich's end of `| head -1`: who reads has read enough
            sys.exit(0)
        raise
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python fails on what it could not write
        sys.exit(0)
    except OSError as error:
        typer.echo(f"error: {error.filename or 'the system'}: {error.strerror or error}", err=True)
        sys.exit(2)
    except Exception as error:
        show, code = getattr(error, "show", None), getattr(error, "exit_code", None)
        if callable(show) and isinstance(code, int):  # a usage error of the parser, which knows how to say itself
            show()
            sys.exit(code)
        raise


if __name__ == "__main__":
    main()
