"""`harness` and `python -m harness`: the command line. A Ctrl-C while it is being loaded just ends it."""

import signal


def main() -> None:
    """Load the command line and run it."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:  # else Python would tell where in an import it was
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from harness import cli

    signal.signal(signal.SIGINT, before)
    cli.main()


if __name__ == "__main__":
    main()
