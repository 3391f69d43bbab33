"""The run directory and the response cache: append, group, fsync, resume.

Every finished unit is a line or a file; nothing that was billed is lost by more than a second of work. Reading a run
never needs a key or a network.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TypeVar

import msgspec

from harness.errors import DataError, Problem
from harness.records import SCHEMA, Fit, Frozen, Manifest, Score, Trial, encode

T = TypeVar("T")


class Log:
    """A JSON-lines file that is appended to: lines wait for `flush`, which writes them with one fsync (see `flushing`).

    A torn last line (a crash while writing) is cut off when the file is opened; all lines before it are kept byte for
    byte.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._pending: list[bytes] = []
        self._file: BinaryIO | None = None

    def append(self, record: Any) -> None:
        """Add one record; it is on disk with the next `flush`."""
        line = encode(record) + b"\n"
        with self._lock:
            self._pending.append(line)

    def flush(self) -> None:
        """Write and fsync what is pending.

        Raises:
            DataError: the disk is full or the directory cannot be written; what was pending stays pending.
        """
        with self._lock:
            if not self._pending:
                return
            try:
                if self._file is None:
                    cut_torn_line(self._path)
                    self._file = self._path.open("ab")
                mark = self._file.seek(0, os.SEEK_END)
                try:
                    self._file.write(b"".join(self._pending))
                    self._file.flush()
                    os.fsync(self._file.fileno())
                except OSError:
                    with contextlib.suppress(OSError):
                        self._file.truncate(mark)
                    raise
            except OSError as error:
                raise unwritable(self._path, error) from error
            self._pending.clear()

    def close(self) -> None:
        """Flush and close; safe to call twice."""
        self.flush()
        if self._file is not None:
            self._file.close()
            self._file = None


class Flushed(Protocol):
    """What holds records back until it is flushed."""

    def flush(self) -> None:
        """Write what is pending."""
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


def cut_torn_line(path: Path) -> None:
    """Cut a last line that has no end off a JSON-lines file."""
    if not path.exists():
        return
    with path.open("r+b") as file:
        end = file.seek(0, os.SEEK_END)
        position = end
        while position > 0:
            start = max(0, position - 65536)
            file.seek(start)
            found = file.read(position - start).rfind(b"\n")
            if found != -1:
                position = start + found + 1
                break
            position = start
        if position != end:
            file.truncate(position)


def read_lines(path: Path, type: type[T]) -> Iterator[T]:
    """The records of a JSON-lines file, one at a time; a torn last line is passed over.

    Raises:
        DataError: a line before the last is not such a record.
    """
    if not path.exists():
        return
    decoder = msgspec.json.Decoder(type)
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                return
            try:
                yield decoder.decode(line)
            except msgspec.DecodeError as error:
                raise DataError(
                    Problem(
                        f"not a {type.__name__.lower()} record: {error}",
                        where=f"{path}:{number}",
                        fix="it was changed by hand or by another version: move the run directory away and run again",
                    )
                ) from None


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
            file.close()
            raise DataError(
                Problem(
                    "another run is at work in this directory",
                    where=str(self.path),
                    fix="wait until it ends, or stop it; then run the same command again: it goes on from there",
                )
            ) from None
        self._lock = file

    def release(self) -> None:
        """Give the lock back."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def save(self, name: str, record: Any) -> None:
        """Write a small file whole or not at all: part file, fsync, rename."""
        write_whole(self.path / name, encode(record) + b"\n")

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
            raise DataError(
                Problem(
                    f"cannot be read: {error}", where=str(path), fix="delete this file and run again: it is made anew"
                )
            ) from None

    def manifest(self) -> Manifest | None:
        """The receipt, or None while the run is not finished.

        Raises:
            DataError: it was written by another schema version.
        """
        raw = self.load("manifest.json", dict[str, Any])
        if raw is None:
            return None
        if raw.get("schema", SCHEMA) != SCHEMA:
            raise DataError(
                Problem(
                    f"the run was written in schema {raw.get('schema')}",
                    where=str(self.path / "manifest.json"),
                    valid=f"schema {SCHEMA}, which this version reads",
                    fix="read it with the version named in its `versions`, or move it away and run again",
                )
            )
        return msgspec.convert(raw, Manifest)

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


def write_whole(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink()
        raise unwritable(path, error) from error


class Cache:
    """Responses by content hash, in one SQLite file. Writes are grouped; a broken file is put aside and said so."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._pending: dict[str, bytes] = {}
        self.note = ""
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._db = self._open()
        except sqlite3.DatabaseError as error:
            aside = path.with_name(f"{path.name}.broken-{int(time.time())}")
            for ending in ("", "-wal", "-shm"):
                with contextlib.suppress(OSError):
                    Path(f"{path}{ending}").replace(f"{aside}{ending}")
            self.note = f"the response cache could not be read ({error}); it was put aside as {aside.name}"
            self._db = self._open()

    def _open(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, check_same_thread=False, timeout=30, isolation_level=None)
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=NORMAL")
        db.execute("CREATE TABLE IF NOT EXISTS responses (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID")
        db.execute("SELECT key FROM responses LIMIT 1").fetchone()
        return db

    def get(self, key: str) -> bytes | None:
        """What was stored under the key, or None."""
        with self._lock:
            if key in self._pending:
                return self._pending[key]
            row = self._db.execute("SELECT value FROM responses WHERE key = ?", (key,)).fetchone()
        return bytes(row[0]) if row else None

    def put(self, key: str, value: bytes) -> None:
        """Store; it is on disk with the next `flush`."""
        with self._lock:
            self._pending[key] = value

    def flush(self) -> None:
        """Write what is pending in one transaction.

        Raises:
            DataError: the disk is full or the file cannot be written; what was pending stays pending.
        """
        with self._lock:
            if not self._pending:
                return
            try:
                self._db.execute("BEGIN IMMEDIATE")
                self._db.executemany("INSERT OR REPLACE INTO responses VALUES (?, ?)", list(self._pending.items()))
                self._db.execute("COMMIT")
            except sqlite3.Error as error:
                with contextlib.suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")
                raise unwritable(self._path, OSError(str(error))) from error
            self._pending.clear()

    def close(self) -> None:
        """Flush and close."""
        self.flush()
        self._db.close()
