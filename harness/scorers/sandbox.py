"""Databases of a folder, and a locked process that asks them what a model wrote.

A process of its own because SQL can keep SQLite busy where no limit of its own is looked at (a query of 300 characters
takes minutes to parse), and because a fault of the engine must not be a fault of ours.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from harness.errors import DataError, Problem, near
from harness.paths import shown
from harness.taskset import digest

SECONDS = 2.0  # wall time of a query on all fills
_MOST = 32 * 2**20  # bytes of one answer of the worker: what its own limits allow, and no more
_NAME = re.compile(r"\w[\w.-]*")

Cell = None | int | float | str | bytes
Row = tuple[Cell, ...]


class Stopped(NamedTuple):
    """A query that gave no rows: a label for counting (SQL error, refused, too slow, too large, crashed) and why."""

    label: str
    reason: str


class Databases:
    """A folder of databases: `NAME/schema.sql`, and one or more fills of it beside it, each a `.sql` of INSERTs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def names(self) -> list[str]:
        """The databases, by the alphabet."""
        return sorted(p.parent.name for p in self.folder.glob("*/schema.sql"))

    def fills(self, name: str) -> dict[str, str]:
        """The script of each fill, schema first, by the fill's name.

        Raises:
            DataError: there is no such database, or it has no fill.
        """
        folder = self.folder / name
        if not _NAME.fullmatch(name) or not (folder / "schema.sql").is_file():
            known = self.names()
            what = f"there is no database {name!r} in {shown(self.folder)}"
            raise DataError(Problem(what, valid=", ".join(known[:30]), fix=near(name, known)))
        schema = (folder / "schema.sql").read_text("utf-8")
        files = sorted(p for p in folder.glob("*.sql") if p.name != "schema.sql")
        if not files:
            raise DataError(Problem("the database has no fill", shown(folder), fix="write fill_a.sql, its INSERTs"))
        return {p.stem: f"{schema}\n;{p.read_text('utf-8')}" for p in files}

    @property
    def digest(self) -> str:
        """Content hash of all schemas and fills."""
        return digest([[name, self.fills(name)] for name in self.names()])


class Sandbox:
    """Asks databases; the process starts with the first query and again after one that had to be killed."""

    def __init__(self, databases: Databases, seconds: float = SECONDS) -> None:
        self._databases = databases
        self._seconds = seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._loaded: set[str] = set()

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self._end()

    def run(self, database: str, sql: str) -> list[list[Row]] | Stopped:
        """The rows of a query on each fill, or why there are none.

        Raises:
            DataError: no such database, or one whose scripts do not run.
        """
        if self._process is None or database not in self._loaded:
            fills = self._databases.fills(database)
            said = self._ask({"name": database, "fills": list(fills.values())})
            if said is None or "error" in said:
                why = said["error"] if said else "it takes too long or too much memory"
                raise DataError(Problem(f"the database {database!r} cannot be built: {why}"))
            self._loaded.add(database)
        said = self._ask({"name": database, "sql": sql})
        if said is None:
            return self._buried()
        if "rows" not in said:
            return Stopped(said["label"], said["reason"][:300])
        return [[tuple(map(_cell, row)) for row in rows] for rows in said["rows"]]

    def _ask(self, job: dict[str, Any]) -> dict[str, Any] | None:
        """The worker's answer, or None if it died of the job."""
        process = self._process or self._start()
        assert process.stdin
        assert process.stdout
        try:
            process.stdin.write(json.dumps(job).encode() + b"\n")
            process.stdin.flush()
            line = process.stdout.readline(_MOST)
        except BrokenPipeError:
            return None
        return json.loads(line) if line.endswith(b"\n") else None

    def _start(self) -> subprocess.Popen[bytes]:
        if not hasattr(signal, "SIGALRM"):
            raise NotImplementedError("SQL of a model's making is run only where a process can be locked (not Windows)")
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(Path(__file__).with_name("sandbox_worker.py")), str(self._seconds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={k: v for k, v in os.environ.items() if k in ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")},  # no keys
        )
        return self._process

    def _buried(self) -> Stopped:
        code = self._end()
        if code == -signal.SIGALRM:
            return Stopped("too slow", f"over {self._seconds:g} seconds")
        return Stopped("crashed", f"the database engine ended with code {code}")

    def _end(self) -> int | None:
        """End the process; its exit code as it was before, or that of being ended."""
        process, self._process = self._process, None
        self._loaded.clear()
        if process is None:
            return None
        for stream in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):  # what it did not read any more
                if stream:
                    stream.close()
        try:
            return process.wait(self._seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()


def _cell(value: Any) -> Cell:
    return bytes.fromhex(value["blob"]) if isinstance(value, dict) else value
