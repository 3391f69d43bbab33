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
Json = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]


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
def run(file: File, json: Json = False) -> None:
    """Run what is not stored yet, then print the verdict and where the report is."""
    import asyncio

    from harness import console, pipeline, specfile

    located = specfile.read(file)
    with console.progress(quiet=json) as show:
        result = asyncio.run(pipeline.run_benchmark(located, show))
    console.print_result(result, json=json)


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
    except Exception as error:
        import click

        if isinstance(error, click.ClickException):
            error.show()
            sys.exit(error.exit_code)
        raise


if __name__ == "__main__":
    main()
