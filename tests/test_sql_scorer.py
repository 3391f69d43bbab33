"""A query is right if its rows are, on every fill; and no query does harm, whatever it says."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness import specfile
from harness.answer import Answer
from harness.errors import DataError, SpecError
from harness.models.base import Completion
from harness.scorers import Mark, build, sandbox_worker
from harness.scorers.base import Scorer
from harness.scorers.sandbox import Databases, Sandbox, Stopped
from harness.spec import MetricSpec
from harness.taskset import Example
from tests.benchmarks import YAML, sound
from tests.hostile import HOSTILE

SCHEMA = """
CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT, price REAL, made DATE);
CREATE TABLE sale (id INTEGER PRIMARY KEY, item_id INTEGER REFERENCES item, qty INTEGER);
CREATE INDEX by_name ON item (name);
"""
FILL_A = """
INSERT INTO item VALUES (1, 'cup', 2.5, '2024-01-01'), (2, 'bowl', 4, NULL), (3, 'jug', 9, '2024-05-01');
INSERT INTO sale VALUES (1, 1, 2), (2, 1, 1), (3, 3, 5);
"""
FILL_B = """
INSERT INTO item VALUES (1, 'cup', 12.5, '2023-01-01'), (2, 'bowl', 4, NULL), (3, 'jug', 9, '2024-05-01'),
    (4, 'cup', 1, '2024-02-29');
INSERT INTO sale VALUES (1, 2, 2), (2, 1, 1), (3, 3, 5), (4, 4, NULL);
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Databases: `shop` with two fills."""
    shop = tmp_path / "databases" / "shop"
    shop.mkdir(parents=True)
    for name, text in (("schema", SCHEMA), ("fill_a", FILL_A), ("fill_b", FILL_B)):
        (shop / f"{name}.sql").write_text(text)
    return shop.parent


def scorer(folder: Path, **settings: str) -> Scorer:
    spec = MetricSpec(scorer="sql_execution", settings={"databases": str(folder), **settings})
    return build("m", spec, Answer("sql"), lambda: pytest.fail("no embedder"), Path)


def example(target: str, *, ordered: bool = False, db: str = "shop") -> Example:
    return Example("1", {"question": "?"}, target, "test", kept={"db": db, "ordered": "true" if ordered else ""})


def mark(folder: Path, target: str, answer: str, *, ordered: bool = False) -> Mark:
    return asyncio.run(scorer(folder).score([(example(target, ordered=ordered), Completion(answer))]))[0]


class TestRows:
    @pytest.mark.parametrize(
        ("target", "answer"),
        [
            ("SELECT name FROM item", "select I.name as anything from item I order by price desc;"),
            ("SELECT count(*) FROM item", "SELECT sum(1.0) FROM item"),
            ("SELECT avg(price) FROM item", "SELECT total(price) / count(price) + 1e-9 FROM item"),
            ("SELECT name FROM item WHERE made IS NULL", "SELECT name FROM item WHERE made ISNULL LIMIT 9"),
            ("SELECT max(qty) FROM sale WHERE id > 99", "SELECT NULL"),
            ("SELECT name FROM item WHERE 0", "SELECT price FROM item WHERE price > 999"),
            ("SELECT 1 FROM item WHERE price > 4", "```sql\nSELECT 1 FROM item WHERE price > 4\n```"),
        ],
    )  # fmt: skip
    def test_the_same_rows(self, folder: Path, target: str, answer: str) -> None:
        assert mark(folder, target, answer) == Mark(1.0, "same rows")

    @pytest.mark.parametrize(
        ("target", "answer", "label", "reason"),
        [
            ("SELECT name FROM item", "SELECT DISTINCT name FROM item", "other rows",
             "right on fill_a; on fill_b: missed ('cup')"),
            ("SELECT id FROM item WHERE price < 3", "SELECT id FROM item WHERE id = 1", "other rows",
             "right on fill_a; on fill_b: "),
            ("SELECT name FROM item WHERE id < 3", "SELECT 'cup' UNION SELECT 'bowl' UNION SELECT NULL", "other rows",
             "on fill_a: added (NULL)"),
            ("SELECT count(made) FROM item", "SELECT count(*) FROM item", "other rows",
             "on fill_a: missed (2); added (3)"),
            ("SELECT name FROM item", "SELECT name, id FROM item", "other columns", "on fill_a: 2 columns, not 1"),
            ("SELECT name, id FROM item", "SELECT id, name FROM item", "other rows", "on fill_a: missed ('bowl', 2), "),
            ("SELECT name FROM item", "SELECT name FROM item WHERE 0", "other rows", "on fill_a: missed ('bowl'), "),
            ("SELECT name FROM item", "SELECT nme FROM item", "SQL error", "no such column: nme"),
            ("SELECT name FROM item", "SELECT name FROM", "SQL error", "incomplete input"),
            ("SELECT name FROM item", "The names are cup and bowl.", "SQL error", 'near "The": syntax error'),
            ("SELECT name FROM item", "PRAGMA user_version", "refused", "PRAGMA is not allowed"),
            ("SELECT id FROM item", "SELECT CAST(id AS TEXT) FROM item", "other rows", "on fill_a: missed ("),
        ],
    )  # fmt: skip
    def test_other_rows(self, folder: Path, target: str, answer: str, label: str, reason: str) -> None:
        said = mark(folder, target, answer)
        assert (said.value, said.label) == (0.0, label)
        assert said.reason.startswith(reason)

    def test_order_counts_where_it_was_asked_for(self, folder: Path) -> None:
        target, answer = "SELECT name, price FROM item ORDER BY price", "SELECT name, price FROM item ORDER BY id DESC"
        assert mark(folder, target, answer).value == 1
        assert mark(folder, target, target, ordered=True).value == 1
        said = mark(folder, target, answer, ordered=True)
        assert (said.value, said.label) == (0.0, "other order")
        assert said.reason.startswith("on fill_a: ('jug', 9.0), ('bowl', 4.0), ('cup', 2.5), not ('cup', 2.5), ")

    def test_close_numbers_find_their_partners_one_to_one(self, folder: Path) -> None:
        target = "SELECT column1 FROM (VALUES (1.0), (1.0000001), (2))"
        assert mark(folder, target, "SELECT column1 FROM (VALUES (2.0000001), (1), (1))").value == 1
        assert mark(folder, target, "SELECT column1 FROM (VALUES (2), (2), (1))").value == 0
        assert mark(folder, target, "SELECT column1 FROM (VALUES (2), (1.01), (1))").value == 0

    def test_a_target_that_does_not_run_is_missing_and_never_a_zero(self, folder: Path) -> None:
        said = mark(folder, "SELECT nope FROM item", "SELECT 1")
        assert (said.value, said.label) == (None, "scorer_error")
        assert "no such column: nope" in said.reason

    @pytest.mark.parametrize("name", ["shpo", "", "..", "../databases/shop", "/etc"])
    def test_a_database_that_is_not_there(self, folder: Path, name: str) -> None:
        (said,) = asyncio.run(scorer(folder).score([(example("SELECT 1", db=name), Completion("SELECT 1"))]))
        assert (said.value, said.label) == (None, "scorer_error")
        assert "there is no database" in said.reason

    def test_columns_by_other_names(self, folder: Path) -> None:
        row = Example("1", {}, "SELECT id FROM item", "test", kept={"base": "shop", "sorted": "yes"})
        pair = (row, Completion("SELECT id FROM item ORDER BY 1 DESC"))
        (said,) = asyncio.run(scorer(folder, db="base", ordered="sorted").score([pair]))
        assert said.label == "other order"

    def test_an_edited_fill_is_another_scorer(self, folder: Path) -> None:
        before = scorer(folder).digest
        assert scorer(folder).digest == before
        (folder / "shop" / "fill_b.sql").write_text(FILL_A)
        assert scorer(folder).digest != before

    def test_a_thousand_queries_take_seconds(self, folder: Path) -> None:
        pairs = [
            (example(f"SELECT name FROM item WHERE price > {n / 100}"), Completion(f"SELECT {n}")) for n in range(1000)
        ]
        started = time.perf_counter()
        marks = asyncio.run(scorer(folder).score(pairs))
        assert time.perf_counter() - started < 5
        assert len(marks) == 1000


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("SELECT 1", "SELECT 1"),
        ("SELECT 1;\n\nThis query counts one.", "SELECT 1;"),
        ("Sure, here it is:\n```sql\nSELECT a\nFROM t;\n```\nIt selects a.", "SELECT a\nFROM t;"),
        ("```\nSELECT a FROM t", "SELECT a FROM t"),
        ("SELECT a FROM t WHERE b = 'x; y''s'; done", "SELECT a FROM t WHERE b = 'x; y''s';"),
        ("SELECT 1; -- and now\nDROP TABLE t", "SELECT 1; -- and now\nDROP TABLE t"),
        ("SELECT 1; /* ; */ pragma x", "SELECT 1; /* ; */ pragma x"),
        ("SELECT 'never closed; DROP TABLE t", "SELECT 'never closed; DROP TABLE t"),
    ],
)
def test_a_query_is_read_without_the_talk_around_it_and_never_without_a_second_statement(text: str, read: str) -> None:
    assert Answer("sql").read(text) == read


def test_reading_a_long_answer_takes_no_time() -> None:
    started = time.perf_counter()
    for text in ("'a" * 50_000, "/*" * 50_000 + ";", "; /*" * 50_000, "```\n" * 50_000, ";--" * 50_000):
        Answer("sql").read(f"SELECT {text}")
    assert time.perf_counter() - started < 2


class TestHostile:
    def test_no_query_does_harm_or_outlasts_its_limit(self, folder: Path, tmp_path: Path) -> None:
        assert len({sql for sql, _ in HOSTILE}) >= 100
        place = tmp_path / "place"
        place.mkdir()
        (place / "secret.txt").write_text("the canary sings")
        before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
        limits = ("too slow", "too large")  # which of the two is reached first depends on the machine's load
        with Sandbox(Databases(folder), seconds=1.0) as sandbox:
            everything = [sandbox.run("shop", f"SELECT * FROM {table}") for table in ("item", "sale")]
            for sql, label in HOSTILE:
                started = time.perf_counter()
                said = sandbox.run("shop", sql.replace("'T/", f"'{place}/").replace("file:T/", f"file:{place}/"))
                assert time.perf_counter() - started < 4, sql
                assert isinstance(said, Stopped), sql
                assert said.reason
                assert "canary" not in said.reason
                assert said.label == label or (said.label in limits and label in limits), (sql, said)
            assert [sandbox.run("shop", f"SELECT * FROM {table}") for table in ("item", "sale")] == everything
        assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")} == before

    def test_a_hostile_answer_is_wrong_and_the_next_is_marked(self, folder: Path) -> None:
        answers = ["SELECT printf('%.*c', 2000000000, 'x')", "DROP TABLE item", "SELECT count(*) FROM item"]
        pairs = [(example("SELECT count(*) FROM item"), Completion(a)) for a in answers]
        marks = asyncio.run(scorer(folder).score(pairs))
        assert [(m.value, m.label) for m in marks] == [(0.0, "too slow"), (0.0, "refused"), (1.0, "same rows")]
        assert [m.reason for m in marks] == ["over 2 seconds", "changing the schema is not allowed", ""]

    def test_the_process_itself_can_open_nothing(self, tmp_path: Path) -> None:
        """If SQLite's authorizer had a hole, this is what stands behind it."""
        (tmp_path / "there.txt").write_text("x")
        (tmp_path / "there.db").write_bytes(b"")
        code = f"""
import sqlite3, sys
sys.path.insert(0, {str(Path(sandbox_worker.__file__).parent)!r})
import sandbox_worker
log = open({str(tmp_path / "there.txt")!r}, "a")
sandbox_worker.lock_down()
def tries(what, *arguments):
    try:
        what(*arguments)
    except (OSError, sqlite3.Error, MemoryError) as error:
        print(type(error).__name__)
tries(open, {str(tmp_path / "there.txt")!r})
tries(open, {str(tmp_path / "new.txt")!r}, "w")
tries(sqlite3.connect, {str(tmp_path / "there.db")!r})
tries(bytearray, 2 * {sandbox_worker.PROCESS})
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
log.write("more")
tries(log.flush)
"""
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20)
        said = done.stdout.split()
        assert said[:3] == ["OSError", "OSError", "OperationalError"], done.stderr
        if sys.platform == "linux":
            assert said[3] == "MemoryError"
        assert said[-1] == "OSError"
        assert (tmp_path / "there.txt").read_text() == "x"
        assert not (tmp_path / "new.txt").exists()

    @pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
    def test_the_worker_runs_locked_and_goes_when_it_is_done(self, folder: Path) -> None:
        with Sandbox(Databases(folder)) as sandbox:
            sandbox.run("shop", "SELECT 1")
            process = sandbox._process
            assert process
            limits = Path(f"/proc/{process.pid}/limits").read_text()
            environment = Path(f"/proc/{process.pid}/environ").read_bytes()
        assert [line.split()[3] for line in limits.splitlines() if line.startswith("Max open files")] == ["3"]
        assert [line.split()[3] for line in limits.splitlines() if line.startswith("Max file size")] == ["0"]
        assert b"PATH" not in environment.replace(b"LD_LIBRARY_PATH", b"")
        assert process.returncode == 0

    def test_a_fill_may_not_leave_its_database_either(self, folder: Path, tmp_path: Path) -> None:
        fill = folder / "shop" / "fill_b.sql"
        for script in (
            f"ATTACH '{tmp_path}/out.db' AS o;",
            "PRAGMA hard_heap_limit = 0;",
            f"VACUUM INTO '{tmp_path}/o';",
        ):
            fill.write_text(script)
            with (
                Sandbox(Databases(folder)) as sandbox,
                pytest.raises(DataError, match=r"cannot be built: .*authoriz"),
            ):
                sandbox.run("shop", "SELECT 1")
        assert [p.name for p in tmp_path.iterdir()] == ["databases"]

    def test_databases_that_cannot_be_used(self, folder: Path) -> None:
        (folder / "shop" / "fill_b.sql").write_text("INSERT INTO nowhere VALUES (1);")
        with Sandbox(Databases(folder)) as sandbox, pytest.raises(DataError, match="no such table: nowhere"):
            sandbox.run("shop", "SELECT 1")
        for fill in (folder / "shop").glob("fill_*.sql"):
            fill.unlink()
        with Sandbox(Databases(folder)) as sandbox, pytest.raises(DataError, match="has no fill"):
            sandbox.run("shop", "SELECT 1")


class TestSettings:
    def yaml(self, settings: str, keep: str = "keep: [title]\n  ") -> str:
        text = YAML.replace("{format: list}", "{format: sql}").replace("task:\n  ", f"task:\n  {keep}")
        return text.replace(
            "{scorer: set_f1, primary: true}", f"{{scorer: sql_execution, primary: true, settings: {settings}}}"
        )

    @pytest.mark.parametrize(
        ("settings", "keep", "path", "words"),
        [
            ("{}", "", "metrics.accuracy.settings", "needs the setting `databases`"),
            ("{databases: ../nowhere, db: title}", "", "metrics.accuracy.settings.databases", "no such file"),
            ("{databases: ../../.., db: title}", "", "metrics.accuracy.settings.databases", "leaves the project"),
            ("{databases: ../data, db: title}", "", "metrics.accuracy.settings.databases", "no NAME/schema.sql in"),
            ("{databases: 3, db: title}", "", "metrics.accuracy.settings.databases", "not a path"),
            ("{databases: ../databases, dbs: title}", "", "metrics.accuracy.settings.dbs", "no such setting"),
            ("{databases: ../databases}", "keep: [title]\n  ", "task.keep", "needs the column `db`"),
            ("{databases: ../databases}", "", "task", "add `keep: [db]`"),
        ],
    )
    def test_mistakes(self, folder: Path, settings: str, keep: str, path: str, words: str) -> None:
        with pytest.raises(SpecError) as caught:
            specfile.read(sound(folder.parent, self.yaml(settings, keep)))
        said = "\n".join(str(p) for p in caught.value.problems if p.path == path)
        assert words in said, caught.value

    def test_the_databases_are_part_of_the_question(self, folder: Path) -> None:
        file = sound(folder.parent, self.yaml("{databases: ../databases, db: title}"))
        before = specfile.read(file).digest
        (folder / "shop" / "fill_b.sql").write_text(FILL_A)
        assert specfile.read(file).digest != before
