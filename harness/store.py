"""The run directory: append, fsync, resume, one run at a time.

Every finished unit is a line or a file, written when it is finished: kill -9 loses none, a power cut at most the last
second of work. Reading a run never needs a key or a network.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TypeVar

import msgspec

from harness.errors import DataError, Problem
from harness.lines import Lines, cut_torn_line, read_lines
from harness.records import SCHEMA, Fit, Frozen, Manifest, Mark, Score, Trial, encode
from harness.taskset import Example

T = TypeVar("T")


class Log:
    """A JSON-lines file that is appended to: each line is handed to the system at once, so a kill loses none.

    `flush` makes it safe against a power cut too (see `flushing`). A torn last line (a crash while writing) is cut off
    when the file is opened; all lines before it are kept byte for byte.

    Raises:
        DataError: (at construction and from all methods) the disk is full or the directory cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._unsynced = False
        try:
            cut_torn_line(path)
            self._file = path.open("ab", buffering=0)
        except OSError as error:
            raise unwritable(path, error) from error

    def append(self, *records: Any) -> None:
        """Write records, a line each: all of them, or none where the disk is full."""
        lines = b"".join([encode(record) + b"\n" for record in records])
        with self._lock:
            mark = os.fstat(self._file.fileno()).st_size
            try:
                self._write(lines)
            except OSError as error:
                with contextlib.suppress(OSError):
                    self._file.truncate(mark)
                raise unwritable(self._path, error) from error
            self._unsynced = True

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:  # a disk that is nearly full takes a part of it, and refuses the rest
            view = view[self._file.write(view) :]

    def flush(self) -> None:
        """Fsync what was written."""
        with self._lock:
            if not self._unsynced or self._file.closed:
                return
            try:
                os.fsync(self._file.fileno())
            except OSError as error:
                raise unwritable(self._path, error) from error
            self._unsynced = False

    def close(self) -> None:
        """Flush and close; safe to call twice."""
        try:
            self.flush()
        finally:  # also on a full disk
            self._file.close()


class Flushed(Protocol):
    """What makes its writes safe against a power cut when it is flushed."""

    def flush(self) -> None:
        """Fsync what was written."""
        ...


@asynccontextmanager
async def flushing(*stores: Flushed, every_seconds: float = 0.5) -> AsyncGenerator[None]:
    """Flush the stores in the background, so that what was billed is never older than a second, and at the end.

    An error while writing (a full disk) ends the work inside.
    """

    async def beat() -> None:
        while True:
            await asyncio.sleep(every_seconds)
            for store in stores:
                await asyncio.to_thread(store.flush)

    async with asyncio.TaskGroup() as group:
        task = group.create_task(beat())
        try:
            yield
        finally:
            task.cancel()
            for store in stores:
                store.flush()


def unwritable(path: Path, error: OSError) -> DataError:
    """What is said when a file cannot be written."""
    return DataError(
        Problem(
            f"cannot write: {error.strerror or error}",
            where=str(path),
            fix="free some space or make the directory writable, then run the same command again: it goes on from here",
        )
    )


PARTS = (
    *("benchmark.json", "hygiene.json", "estimate.json", "limits.json", "frozen.json"),
    *("trials.jsonl", "scores.jsonl", "scorers.json", "standing.json", "labels.json", "prices.json", "verdict.json"),
)
"""What every finished run has, besides its fits and its manifest."""


class RunDirectory:
    """`reports/<benchmark>/<run>/`: what a run writes and everything later reads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: BinaryIO | None = None

    @property
    def trials(self) -> Path:
        """One line a finished trial."""
        return self.path / "trials.jsonl"

    @property
    def scores(self) -> Path:
        """One line a score."""
        return self.path / "scores.jsonl"

    def file(self, name: str) -> Path:
        """A file of the run."""
        return self.path / name

    def acquire(self) -> None:
        """Make the directory and take its lock, which ends with the process.

        Raises:
            DataError: another run is at work in it, or it cannot be written.
        """
        try:
            (self.path / "fits").mkdir(parents=True, exist_ok=True)
            file = (self.path / ".lock").open("a+b")
        except OSError as error:
            raise unwritable(self.path, error) from error
        try:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except ImportError:  # no such lock on this system: two runs are the user's to avoid
            pass
        except OSError:
            file.seek(0)
            who = file.read(200).decode(errors="replace").strip()
            file.close()
            raise DataError(
                Problem(
                    f"another run is at work in this directory{f': {who}' if who else ''}",
                    where=str(self.path),
                    fix="wait until it ends, or stop it; then run the same command again: it goes on from there",
                )
            ) from None
        self._lock = file
        with contextlib.suppress(OSError):  # on a full disk the lock holds all the same
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}\n".encode())
            file.flush()

    def release(self) -> None:
        """Give the lock back."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def save(self, name: str, record: Any) -> None:
        """Write a small file whole or not at all: part file, fsync, rename."""
        write_whole(self.path / name, encode(record) + b"\n")

    def save_examples(self, examples: Iterable[Example]) -> None:
        """Write the test examples, a line each, whole or not at all."""
        write_whole(self.path / "examples.jsonl", (encode(e) + b"\n" for e in examples))

    def examples(self) -> Sequence[Example]:
        """The test examples, read from the disk one at a time; none where the run has not begun.

        Raises:
            DataError: they cannot be read.
        """
        if (self.path / "examples.jsonl").exists():
            return Lines.opened(self.path / "examples.jsonl", Example)
        return self.load("examples.json", tuple[Example, ...]) or ()  # as they were written before

    def load(self, name: str, type: type[T]) -> T | None:
        """A small file, or None where there is none.

        Raises:
            DataError: it cannot be read as such a record.
        """
        path = self.path / name
        try:
            raw = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            return msgspec.json.decode(raw, type=type)
        except msgspec.DecodeError as error:
            raise _damaged(path, error) from None

    def manifest(self) -> Manifest | None:
        """The receipt, or None while the run is not finished.

        Raises:
            DataError: it was written by another schema version.
        """
        raw = self.load("manifest.json", dict[str, Any])
        if raw is None:
            return None
        if raw.get("schema", 1) != SCHEMA:
            raise DataError(
                Problem(
                    f"the run was written in schema {raw.get('schema', 1)}",
                    where=str(self.path / "manifest.json"),
                    valid=f"schema {SCHEMA}, which this version reads",
                    fix="read it with the version named in its `versions`, or move it away and run again",
                )
            )
        try:
            return msgspec.convert(raw | {"schema": SCHEMA}, Manifest)
        except msgspec.ValidationError as error:
            raise _damaged(self.path / "manifest.json", error) from None

    def lacks(self, arms: Iterable[str]) -> bool:
        """Whether a part of a run of these arms is not there: not made yet, or removed since (it was damaged)."""
        there = [(self.path / name).exists() for name in (*PARTS, *(f"fits/{arm}.json" for arm in arms))]
        examples = any((self.path / name).exists() for name in ("examples.jsonl", "examples.json"))
        return not (all(there) and examples)

    def fit(self, arm: str) -> Fit | None:
        """A fitted arm, or None where it is not fitted yet."""
        return self.load(f"fits/{arm}.json", Fit)

    def frozen(self) -> Frozen | None:
        """What was frozen before test, or None."""
        return self.load("frozen.json", Frozen)

    def read_trials(self) -> Iterator[Trial]:
        """Every finished trial."""
        return read_lines(self.trials, Trial)

    def read_scores(self) -> Iterator[Score]:
        """Every score."""
        return read_lines(self.scores, Score)

    def read_marks(self) -> Iterator[Mark]:
        """Every score without its words."""
        return read_lines(self.scores, Mark)


def _damaged(path: Path, error: msgspec.DecodeError) -> DataError:
    fix = "delete this file and run again: it is made anew"
    return DataError(Problem(f"cannot be read: {error}", where=str(path), fix=fix))


def write_whole(path: Path, data: bytes | Iterable[bytes]) -> None:
    """Write a file whole or not at all; the parts of a long one may come one after the other."""
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            file.writelines([data] if isinstance(data, bytes) else data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink()
        raise unwritable(path, error) from error
