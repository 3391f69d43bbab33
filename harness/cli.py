"""The command line: prints and exits, nothing else. Heavy imports happen inside the command that needs them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from harness import __version__

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
def run(file: File, json: Json = False, allow_outside: Outside = False) -> None:
    """Run what is not stored yet, then print the verdict and where the report is."""
    import asyncio

    from harness import console, pipeline, specfile

    located = specfile.read(file, allow_outside=allow_outside)
    with console.progress(quiet=json) as show:
        said = None if json else console.print_estimate
        result = asyncio.run(pipeline.run_benchmark(located, show, said))
    console.print_result(result, json=json)


@app.command()
def check(
    file: File,
    json: Json = False,
    probe: Annotated[bool, typer.Option("--probe", help="Measure a local model's speed for the estimate.")] = False,
    allow_outside: Outside = False,
) -> None:
    """Look at spec, data, hygiene, prices, and say what a run will take; spends nothing."""
    import asyncio

    from harness import console, pipeline, specfile

    located = specfile.read(file, allow_outside=allow_outside)
    with console.progress(quiet=json) as show:
        question, estimate = asyncio.run(pipeline.check(located, show, probe=probe))
    console.print_check(question, estimate, json=json)


@app.command()
def report(
    run: Run,
    open: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    json: Json = False,
) -> None:
    """Write the report of a stored run again and print its verdict; no key, no network, no model."""
    from harness import console, reading

    result = reading.rewrite(reading.find(run))
    console.print_result(result, json=json)
    if open:
        typer.launch(str(result.directory.file("report.html")))


@app.command()
def compare(before: Run, after: Run, json: Json = False) -> None:
    """What changed between two runs of the same task set, arm by arm."""
    from harness import console, reading

    console.print_changes(reading.changes(reading.find(before), reading.find(after)), json=json)


@app.command()
def init(
    data: Annotated[Path, typer.Argument(help="A data file (JSONL, CSV, Parquet) or a folder of splits.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The benchmark file to write.")] = Path("benchmark.yaml"),
    split: Annotated[bool, typer.Option("--split", help="Divide one file into train, dev and test beside it.")] = False,
) -> None:
    """Write a commented benchmark file after looking at a data file's columns."""
    from harness import starter
    from harness.errors import HarnessError, Problem

    if out.exists():
        raise HarnessError(Problem("the file exists already", where=str(out), fix="name another with --out"))
    if split:
        data = starter.divide(data, data.parent / data.stem)[0].parent
    out.write_text(starter.draft(data, out.parent), encoding="utf-8")
    typer.echo(f"wrote {out}; next: harness check {out}")


@app.command()
def schema() -> None:
    """Print the JSON schema of benchmark files, for editors."""
    import json

    from harness import specfile

    typer.echo(json.dumps(specfile.schema(), indent=2))


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

    known = next((k for k in importers.KINDS if k == kind), None)
    if known is None:
        raise HarnessError(Problem("unknown kind", got=repr(kind), valid=", ".join(importers.KINDS)))
    found = importers.read(known, file)
    written = importers.write(found, out, name or file.stem)
    for line in found.notes:
        typer.echo(f"not carried over: {line}", err=True)
    typer.echo(f"wrote {written}; next: harness check {written}")


def main() -> None:
    """The entry point: what goes wrong is told to people, with an exit code and without a traceback."""
    from harness.errors import HarnessError

    try:
        app(standalone_mode=False)
    except HarnessError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
    except typer.Exit as exit:
        sys.exit(exit.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        typer.echo("stopped; what is finished is stored, and the same command goes on from there", err=True)
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(0)
    except OSError as error:
        typer.echo(f"error: {error.filename or 'the system'}: {error.strerror or error}", err=True)
        sys.exit(2)
    except Exception as error:
        if hasattr(error, "show") and hasattr(error, "exit_code"):  # click's own usage errors
            error.show()
            sys.exit(error.exit_code)
        raise


if __name__ == "__main__":
    main()
