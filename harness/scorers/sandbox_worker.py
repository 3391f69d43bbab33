"""The process in which SQL of a model's making runs, started by its path: it imports nothing but the standard library.

What a query may do is bounded four times over, so that no single hole is enough. The authorizer lets a statement read
the database's own tables and call harmless functions, and nothing else; SQLite's own limits bound its size; steps,
rows, memory and wall time are counted; and the process itself can open no file any more before it sees the first query.
Jobs come in on stdin and answers leave on stdout, one JSON line each.
"""

from __future__ import annotations

import json
import signal
import sqlite3
import sys
from typing import Any

STEPS = 2_000_000  # instructions of SQLite's virtual machine, a tenth of a second: a limit that load does not move
EVERY = 1_000
ROWS = 1_000
CHARACTERS = 1_000_000  # of all cells of a result
HEAP = 128 * 2**20
PROCESS = 1024 * 2**20
LIMITS = {
    sqlite3.SQLITE_LIMIT_LENGTH: 50_000,  # of a text: what replace() and group_concat() can pile up
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: 10_000,
    sqlite3.SQLITE_LIMIT_COLUMN: 100,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 100,
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 20,
    sqlite3.SQLITE_LIMIT_VDBE_OP: 25_000,
    sqlite3.SQLITE_LIMIT_FUNCTION_ARG: 20,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 100,
    sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER: 0,
    sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH: 0,
    sqlite3.SQLITE_LIMIT_WORKER_THREADS: 0,
}
FUNCTIONS = frozenset(
    """
    abs avg ceil ceiling char coalesce concat concat_ws count cume_dist current_date current_time current_timestamp
    date datetime dense_rank first_value floor format glob group_concat hex if ifnull iif instr julianday lag last_value
    lead length like likelihood likely lower ltrim max min mod nth_value ntile nullif percent_rank pow power printf
    quote rank replace round row_number rtrim sign sqrt strftime string_agg substr substring sum time total trim trunc
    typeof unicode unixepoch unlikely upper
    """.split()  # noqa: SIM905
)
ACTIONS = {
    number: name.removeprefix("SQLITE_").replace("_", " ")
    for name, number in vars(sqlite3).items()
    if name.startswith(("SQLITE_CREATE_", "SQLITE_DROP_", "SQLITE_ALTER_"))
} | {
    sqlite3.SQLITE_ATTACH: "ATTACH",
    sqlite3.SQLITE_DETACH: "DETACH",
    sqlite3.SQLITE_PRAGMA: "PRAGMA",
    sqlite3.SQLITE_DELETE: "DELETE",
    sqlite3.SQLITE_INSERT: "INSERT",
    sqlite3.SQLITE_UPDATE: "UPDATE",
    sqlite3.SQLITE_TRANSACTION: "a transaction",
    sqlite3.SQLITE_SAVEPOINT: "SAVEPOINT",
    sqlite3.SQLITE_ANALYZE: "ANALYZE",
    sqlite3.SQLITE_REINDEX: "REINDEX",
}

Answer = dict[str, Any]


class Stop(Exception):
    """A query was ended: why, in a word for counting and a sentence for people."""


class Database:
    """One fill in memory, which no query can change: all queries share it."""

    def __init__(self, script: str) -> None:
        self._refused: list[str] = []
        self._steps = 0
        self._db = sqlite3.connect(":memory:", isolation_level=None, cached_statements=0)
        self._db.text_factory = _decoded
        for pragma in ("temp_store = MEMORY", f"hard_heap_limit = {HEAP}", "trusted_schema = OFF"):
            self._db.execute(f"PRAGMA {pragma}").fetchall()
        self._db.set_authorizer(_loading)
        self._db.executescript(script)
        self._db.set_authorizer(None)
        self._db.execute("PRAGMA query_only = ON")
        names = self._db.execute("SELECT name FROM sqlite_schema WHERE type IN ('table', 'view')").fetchall()
        self._tables = {name.casefold() for (name,) in names}
        self._modules = {name.casefold() for (name,) in self._db.execute("PRAGMA module_list").fetchall()}
        for limit, value in LIMITS.items():
            self._db.setlimit(limit, value)
        self._db.set_authorizer(self._authorize)
        self._db.set_progress_handler(self._tick, EVERY)

    def run(self, sql: str) -> list[list[Any]]:
        """The rows of a query.

        Raises:
            Stop: why there are none.
        """
        self._refused.clear()
        self._steps = 0
        try:
            cursor = self._db.execute(sql)
            if cursor.description is None:
                raise Stop("SQL error", "no query")
            return _fetched(cursor)
        except MemoryError:
            raise Stop("too large", "it needs too much memory") from None
        except sqlite3.DataError as error:
            raise Stop("too large", str(error)) from None
        except (sqlite3.Error, sqlite3.Warning, ValueError, OverflowError) as error:
            if self._refused:
                raise Stop("refused", f"{self._refused[0]} is not allowed") from None
            if self._steps >= STEPS:
                raise Stop("too slow", f"over {STEPS:,} steps") from None
            raise Stop("SQL error", str(error)) from None

    def _tick(self) -> bool:
        self._steps += EVERY
        return self._steps >= STEPS

    def _authorize(self, action: int, a: str | None, b: str | None, _base: str | None, _by: str | None) -> int:
        a, b = a or "", b or ""
        match action:
            case sqlite3.SQLITE_SELECT | sqlite3.SQLITE_RECURSIVE:
                return sqlite3.SQLITE_OK
            case sqlite3.SQLITE_READ:
                name = a.casefold()
                # `SELECT count(*) FROM x` reads the column "" of x, which may be a name that the query itself gave.
                own = not b and name not in self._modules and not name.startswith(("pragma_", "sqlite_"))
                if own or name in self._tables:
                    return sqlite3.SQLITE_OK
                self._refused.append(f"reading {a}")
            case sqlite3.SQLITE_FUNCTION:
                if b.casefold() in FUNCTIONS:
                    return sqlite3.SQLITE_OK
                self._refused.append(f"the function {b}")
            case sqlite3.SQLITE_UPDATE if a.startswith("sqlite_"):  # how SQLite opens a table that a module makes up
                self._refused.append("a table-valued function")
            case sqlite3.SQLITE_INSERT | sqlite3.SQLITE_DELETE if a.startswith("sqlite_"):  # CREATE and DROP begin so
                self._refused.append("changing the schema")
            case _:
                self._refused.append(ACTIONS.get(action, "this kind of statement"))
        return sqlite3.SQLITE_DENY


def _decoded(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def _fetched(cursor: sqlite3.Cursor) -> list[list[Any]]:
    rows: list[list[Any]] = []
    characters = 0
    for row in cursor:
        cells = [{"blob": cell.hex()} if isinstance(cell, bytes) else cell for cell in row]
        characters += sum(len(c["blob"]) if isinstance(c, dict) else len(c) if isinstance(c, str) else 8 for c in cells)
        if len(rows) == ROWS or characters > CHARACTERS:
            raise Stop("too large", f"more than {ROWS:,} rows or {CHARACTERS:,} characters")
        rows.append(cells)
    return rows


def _loading(action: int, a: str | None, b: str | None, *_: str | None) -> int:
    """A fill may build tables and nothing else: no other file, no setting."""
    far = action in (sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH, sqlite3.SQLITE_PRAGMA)
    return sqlite3.SQLITE_DENY if far or "load_extension" in (a, b) else sqlite3.SQLITE_OK


def lock_down() -> None:
    """From here on the process can open no file, write none, start nothing and hold no more than its memory."""
    import resource

    wanted = {"NOFILE": 3, "FSIZE": 0, "CORE": 0, "NPROC": 0, "AS": PROCESS}
    for name, most in wanted.items():
        if (limit := getattr(resource, f"RLIMIT_{name}", None)) is not None:
            try:
                resource.setrlimit(limit, (most, most))
            except (ValueError, OSError):  # a system that has not all of them; the first three are everywhere
                if name in ("NOFILE", "FSIZE"):
                    raise


def answer(job: dict[str, Any], databases: dict[str, list[Database]]) -> Answer:
    """What became of one job: `{name, fills}` loads a database, `{name, sql}` asks all its fills."""
    if "fills" in job:
        try:
            databases[job["name"]] = [Database(script) for script in job["fills"]]
        except sqlite3.Error as error:
            return {"error": str(error)}
        return {}
    try:
        return {"rows": [database.run(job["sql"]) for database in databases[job["name"]]]}
    except Stop as stop:
        return {"label": stop.args[0], "reason": stop.args[1]}


def main() -> None:
    """`python sandbox_worker.py SECONDS`, the wall time of a job: then SIGALRM ends the process, whatever it is in."""
    seconds = float(sys.argv[1])
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides what ends
    databases: dict[str, list[Database]] = {}
    lock_down()
    for line in sys.stdin.buffer:
        job = json.loads(line)
        signal.setitimer(signal.ITIMER_REAL, seconds)
        said = answer(job, databases)
        signal.setitimer(signal.ITIMER_REAL, 0)
        sys.stdout.buffer.write(json.dumps(said).encode() + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
