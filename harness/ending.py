"""How a command ends when it is asked to: within two seconds, whatever Python is busy with.

asyncio turns the first Ctrl-C into a cancellation, which reaches a coroutine at its next `await` and a thread never:
loading torch, making vectors, writing a large page or a user's function would be waited for. So a little later the
process goes all the same. That loses nothing, because nothing is lost by kill -9: every file is whole or appended to,
and children end when their input does.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Coroutine
from types import FrameType
from typing import Any, TypeVar

T = TypeVar("T")
STOPPED = "stopped; what is finished is stored, and the same command goes on from there"
PATIENCE = 1.7
"""Seconds from Ctrl-C on: time to let an engine end its step and to say how to go on."""


def like_ctrl_c() -> list[int]:
    """Let a polite end (SIGTERM of CI and containers, a closed terminal) clean up as Ctrl-C does; returns what came."""
    came: list[int] = []

    def end(number: int, _: object) -> None:
        came.append(number)
        signal.raise_signal(signal.SIGINT)

    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), end)
    return came


def run(work: Coroutine[Any, Any, T], *, soon: bool = True) -> T:
    """`asyncio.run`, which Ctrl-C ends soon.

    Args:
        soon: False where the end has something to do that must not be cut off, such as cleaning up at a provider.
    """
    import asyncio

    last = threading.Timer(PATIENCE, _go)
    last.daemon = True

    async def watched() -> T:
        theirs = signal.getsignal(signal.SIGINT)  # asyncio's: the first cancels, a second tears off

        def end(number: int, frame: FrameType | None) -> None:
            if soon and not last.ident:
                last.start()
            assert callable(theirs)
            theirs(number, frame)

        if callable(theirs):  # ignored in a shell's background job, and nobody's outside the main thread
            signal.signal(signal.SIGINT, end)
        try:
            return await work
        finally:
            if callable(theirs):
                signal.signal(signal.SIGINT, theirs)

    made = asyncio.run(watched())
    last.cancel()  # Ctrl-C came when all was done
    return made


def _go() -> None:
    """Say it and leave."""
    shown = "\x1b[?25h\n" if sys.stderr.isatty() else ""  # the cursor, which a progress line hides
    try:
        sys.stderr.write(f"{shown}{STOPPED}\n")
        sys.stderr.flush()
    finally:
        os._exit(130)
