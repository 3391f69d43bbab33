"""The response cache: answers by content hash in one SQLite file, so that what was billed is never asked again.

An answer is in the file when `put` returns: kill -9 loses none. A damaged file is put aside, what can still be read of
it is carried over, and that is said.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from harness.store import unwritable

TABLE = "CREATE TABLE IF NOT EXISTS responses (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID"
FOLD_BYTES = 8 << 20  # the write-ahead log is folded into the database beyond this


class Cache:
    """See the module. Any number of processes may share a file; methods may be called from any thread.

    Attributes:
        notes: what happened to a damaged file, for people.

    Raises:
        DataError: (at construction and from all methods) the disk is full or the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._unsynced = False
        self._refused: OSError | None = None
        self.notes: list[str] = []
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = self._open()
        except OSError as error:
            raise unwritable(path, error) from error
        except sqlite3.DatabaseError as error:
            self._mend(error)

    def _open(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, check_same_thread=False, timeout=30, isolation_level=None)
        try:
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=NORMAL")
            db.execute("PRAGMA wal_autocheckpoint=0")  # `flush` folds it, beside the work instead of in it
            db.execute(TABLE)
            db.execute("SELECT value FROM responses LIMIT 1").fetchone()
        except BaseException:
            db.close()
            raise
        return db

    def get(self, key: str) -> bytes | None:
        """What was stored under the key, or None. Raises once an answer could not be kept: no other is asked for."""
        question = "SELECT value FROM responses WHERE key = ?"
        with self._lock:
            if self._refused is not None:
                raise unwritable(self._path, self._refused)
            try:
                row = self._db.execute(question, (key,)).fetchone()
            except sqlite3.DatabaseError as error:
                self._mend(error)
                row = self._db.execute(question, (key,)).fetchone()
        return bytes(row[0]) if row else None

    def put(self, key: str, value: bytes) -> None:
        """Store; it is in the file when this returns."""
        change = "INSERT OR REPLACE INTO responses VALUES (?, ?)"
        with self._lock:
            try:
                self._db.execute(change, (key, value))
            except sqlite3.DatabaseError as error:
                self._mend(error)
                self._db.execute(change, (key, value))
            self._unsynced = True

    def flush(self) -> None:
        """Fsync what was put."""
        if not self._unsynced:
            return
        self._unsynced = False
        log = Path(f"{self._path}-wal")
        try:
            file = os.open(log, os.O_RDONLY)
        except FileNotFoundError:  # another process folded it and closed
            return
        try:
            os.fsync(file)
            size = os.fstat(file).st_size
        except OSError as error:
            raise unwritable(self._path, error) from error
        finally:
            os.close(file)
        if size > FOLD_BYTES:
            with contextlib.suppress(sqlite3.Error), contextlib.closing(self._open()) as db:
                db.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def close(self) -> None:
        """Flush and close; safe to call twice."""
        self.flush()
        with self._lock:
            self._db.close()

    def _mend(self, error: sqlite3.DatabaseError) -> None:
        """Put a damaged file aside and carry over what can be read. Raises `DataError` where the file is not to blame.

        An OperationalError is of the disk or of a lock, or says that the file's tables are not ours; a damaged file is
        a DatabaseError.
        """
        if isinstance(error, sqlite3.ProgrammingError):  # used after `close`: ours
            raise error
        if isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode != sqlite3.SQLITE_ERROR:
            self._refused = OSError(str(error))
            raise unwritable(self._path, self._refused) from error
        with contextlib.suppress(AttributeError, sqlite3.Error):
            self._db.close()
        aside = self._path.with_name(f"{self._path.name}.broken-{int(time.time())}")
        try:
            for ending in ("", "-wal", "-shm"):
                with contextlib.suppress(FileNotFoundError):
                    Path(f"{self._path}{ending}").replace(f"{aside}{ending}")
            self._db = self._open()
        except OSError as failed:
            raise unwritable(self._path, failed) from failed
        kept = 0
        self._db.execute("BEGIN")
        for row in _readable(aside):
            kept += self._db.execute("INSERT OR IGNORE INTO responses VALUES (?, ?)", row).rowcount
        self._db.execute("COMMIT")
        said = f"{kept:,} answers were carried over" if kept else "no answer could be carried over"
        self.notes.append(f"the response cache was damaged ({error}); it was put aside as {aside.name}, {said}")


def _readable(path: Path) -> Iterator[tuple[str, bytes]]:
    """The rows of a damaged file that can be read: of each range of keys, from both ends until the damage."""
    ranges = [("", "0"), *((f"{i:03x}", f"{i:03x}~") for i in range(4096)), ("fg", "\U0010ffff")]
    with contextlib.suppress(sqlite3.DatabaseError), contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA writable_schema=ON")  # else a file that was cut short is not read at all
        for low, high in ranges:
            for order in ("ASC", "DESC"):
                question = f"SELECT key, value FROM responses WHERE key >= ? AND key < ? ORDER BY key {order}"
                with contextlib.suppress(sqlite3.DatabaseError):
                    for key, value in db.execute(question, (low, high)):
                        if isinstance(key, str) and isinstance(value, bytes):
                            yield key, value
                    break  # read to its end: nothing is to be had from the other one
