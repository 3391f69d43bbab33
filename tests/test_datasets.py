"""The shipped task sets pass the validator, and every one of its checks fires on a planted fault."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from harness import pipeline, specfile

DATASETS = Path(__file__).parents[1] / "datasets"
Row = dict[str, Any]


@pytest.fixture(scope="module")
def validate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("datasets_validate", DATASETS / "validate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def recipes(tmp_path: Path, validate: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The first rows of each split, held to sizes that fit them: fast, and as sound as the whole."""
    folder = tmp_path / "recipes"
    folder.mkdir()
    for split, n in (("train", 20), ("dev", 5), ("test", 60)):
        write(folder, split, rows(DATASETS / "recipes", split)[:n])
    kept = {row["id"] for split in ("train", "dev", "test") for row in rows(folder, split)}
    write(folder, "exceptions", [e for e in rows(DATASETS / "recipes", "exceptions") if e["id"] in kept])
    small = {"train": 20, "dev": 5, "test": 60, "documents": 350, "second_pass": 60}
    monkeypatch.setitem(validate.SETS, "recipes", dataclasses.replace(validate.SETS["recipes"], least=small))
    return folder


def rows(folder: Path, name: str) -> list[Row]:
    return [json.loads(line) for line in (folder / f"{name}.jsonl").read_text("utf-8").splitlines()]


def write(folder: Path, name: str, new: list[Row]) -> None:
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in new)
    (folder / f"{name}.jsonl").write_text(text, "utf-8")


def edit(folder: Path, name: str, change: Callable[[list[Row]], object]) -> None:
    new = rows(folder, name)
    change(new)
    write(folder, name, new)


def whats(validate: ModuleType, folder: Path) -> list[str]:
    return [problem.what for problem in validate.validate(folder)[0]]


def test_every_shipped_set_passes() -> None:
    done = subprocess.run([sys.executable, str(DATASETS / "validate.py")], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {line.split(":")[0] for line in done.stdout.splitlines()} == {
        p.parent.name for p in DATASETS.glob("*/test.jsonl")
    }


BENCHMARKS = sorted(p for p in DATASETS.parent.glob("benchmarks/*.yaml"))


@pytest.mark.parametrize("file", BENCHMARKS, ids=[p.stem for p in BENCHMARKS])
def test_every_shipped_benchmark_is_sound(file: Path) -> None:
    question = pipeline.prepare(specfile.read(file))
    assert [f for f in question.findings if f.severity == "error"] == []
    assert len(question.tasks.test) >= 120


def test_exit_codes(recipes: Path, validate: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    (recipes / "dev.jsonl").unlink()
    assert validate.main([str(recipes)]) == 1
    assert "dev.jsonl: no such file" in capsys.readouterr().out
    assert validate.main([str(recipes / "nowhere")]) == 2


def test_a_byte_order_mark(recipes: Path, validate: ModuleType) -> None:
    path = recipes / "dev.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert whats(validate, recipes) == ["a byte order mark"]


def test_not_utf8(recipes: Path, validate: ModuleType) -> None:
    path = recipes / "dev.jsonl"
    path.write_bytes(path.read_bytes() + "é".encode("latin-1"))
    assert any(what.startswith("not UTF-8") for what in whats(validate, recipes))


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("{not json", "not valid JSON"),
        ("[1, 2]", "the row is not an object"),
        ('{"id": "a", "id": "b"}', "the key `id` stands twice"),
        ('{"id": "recipes-x-001", "title": "t", "ingredients": ["egg"]}', "wrong columns"),
        (
            '{"id": "recipes-x-001", "title": " ", "ingredients": [1], "generic": []}',
            "not a text or a list of texts, or an empty one",
        ),
    ],
)
def test_a_line_that_cannot_be_read(recipes: Path, validate: ModuleType, line: str, what: str) -> None:
    path = recipes / "train.jsonl"
    path.write_text(path.read_text("utf-8") + line + "\n", "utf-8")
    (problem, *_) = [p for p in validate.validate(recipes)[0] if p.what.startswith(what)]
    assert "train.jsonl:21" in problem.where


def fresh(row: Row, **changes: Any) -> Row:
    """A row that differs from all others, then is spoilt by `changes`."""
    new = {
        "id": "recipes-test-001",
        "title": "Zyzzyva Stew",
        "ingredients": ["3 qk zyzzyva, jvxed", "1 wug, blorped", "9 krips of plim"],
        "generic": ["zyzzyva", "wug", "plim"],
    }
    return new | {k: v(row) if callable(v) else v for k, v in changes.items()}


def three(lines: list[str]) -> list[str]:
    """The same text in three lines, so that no line is one of the other row's."""
    return [", ".join(lines[:2]), ", ".join(lines[2:4]), ", ".join(lines[4:])]


SHARED, NEAR = "two rows that share over half of their lines", "near-duplicates in two splits"
BROKEN = "a broken character or a line break inside a line"
JOINED = "a label with an amount, or with two things in it"
UNCLEAN, UNFOUND = "a label that is not normalised", "a label that is in no line"
FAULTS: list[tuple[str, dict[str, Any], str]] = [
    ("an id of a test row", {"id": lambda r: r["id"]}, "an id that stands twice"),
    ("a line break", {"ingredients": ["1 zyzzyva\n", "wug", "plim"]}, BROKEN),
    ("a broken character", {"title": "Cr\ufffdme"}, BROKEN),
    ("another encoding", {"title": "Cr\u00c3\u00a8me"}, BROKEN),
    ("a space that nobody sees", {"ingredients": ["1 zyz\u200bzyva", "wug", "plim"]}, BROKEN),
    ("two things in a label", {"ingredients": ["zyz and wug", "plim", "1 plim"], "generic": ["zyz and wug"]}, JOINED),
    ("an amount in a label", {"generic": ["3 qk zyzzyva"]}, JOINED),
    ("half of a row's lines", {"ingredients": lambda r: [*r["ingredients"], "1 zyzzyva, wug, plim"]}, SHARED),
    ("lines that differ in amounts", {"ingredients": lambda r: ["77 " + x for x in r["ingredients"]]}, SHARED),
    ("a near-duplicate", {"title": lambda r: r["title"], "ingredients": lambda r: three(r["ingredients"])}, NEAR),
    ("a title", {"title": lambda r: r["title"].upper() + "!"}, "a title that stands twice"),
    ("a label twice", {"generic": ["zyzzyva", "zyzzyvas", "plim"]}, "a label that stands twice"),
    ("a capital", {"generic": ["Zyzzyva", "wug"]}, UNCLEAN),
    ("a plural", {"generic": ["zyzzyva", "krips"]}, UNCLEAN),
    ("an outer space", {"generic": ["zyzzyva ", "wug"]}, UNCLEAN),
    ("punctuation", {"generic": ["zyzzyva", "wug, blorped"]}, "a label with punctuation"),
    ("an invented label", {"generic": ["zyzzyva", "saffron"]}, UNFOUND),
    ("a label across two lines", {"generic": ["wug blorped krip"]}, UNFOUND),
    ("part of a word", {"generic": ["zyz"]}, UNFOUND),
    ("a single text for labels", {"generic": "zyzzyva"}, "no list of labels"),
    ("two lines", {"ingredients": ["zyzzyva, wug", "plim"]}, "not 3 to 16 ingredient lines"),
    ("a line twice", {"ingredients": ["zyzzyva", "zyzzyva", "wug, plim"]}, "a line that stands twice"),
    ("another id", {"id": "row 7"}, "an id of another form"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "what"), [f[1:] for f in FAULTS], ids=[f[0] for f in FAULTS])
def test_a_planted_row(recipes: Path, validate: ModuleType, changes: dict[str, Any], what: str) -> None:
    edit(recipes, "train", lambda train: train.append(fresh(rows(recipes, "test")[5], **changes)))
    assert what in whats(validate, recipes)


def test_a_sound_row_is_no_fault(recipes: Path, validate: ModuleType) -> None:
    edit(recipes, "train", lambda train: train.append(fresh({})))
    assert whats(validate, recipes) == []


def test_too_few_rows(recipes: Path, validate: ModuleType) -> None:
    edit(recipes, "test", lambda test: test.__delitem__(slice(59, None)))
    assert "too few rows" in whats(validate, recipes)


def test_alike_pairs_are_listed_not_refused(recipes: Path, validate: ModuleType) -> None:
    row = rows(recipes, "test")[5]
    half = [*(x + " zq" for x in row["ingredients"]), "9 wug blorped in plim", "one zyzzyva from the jvxed krip"]
    write(
        recipes, "train", [*rows(recipes, "train"), fresh(row, ingredients=half, title="Wholly different words for it")]
    )
    problems, notes = validate.validate(recipes)
    assert [p.what for p in problems if "near" in p.what] == []
    assert any(note.startswith("alike: ") and row["id"] in note for note in notes)


@pytest.mark.parametrize(
    ("entry", "what"),
    [
        ({"label": "salt", "why": "brand"}, "an exception that nothing needs"),
        ({"label": "salt", "why": "because"}, "not an exception"),
        ({"label": "salt"}, "not an exception"),
    ],
)
def test_exceptions(recipes: Path, validate: ModuleType, entry: Row, what: str) -> None:
    row = next(r for r in rows(recipes, "test") if "salt" in r["ingredients"])
    edit(recipes, "exceptions", lambda old: old.append({"id": row["id"]} | entry))
    assert what in whats(validate, recipes)


def test_an_exception_excuses_a_label_and_stands_once(recipes: Path, validate: ModuleType) -> None:
    edit(recipes, "train", lambda train: train.append(fresh({}, generic=["wug", "plim", "saffron"])))
    entry = {"id": "recipes-test-001", "label": "saffron", "why": "brand"}
    edit(recipes, "exceptions", lambda old: old.append(entry))
    assert whats(validate, recipes) == []
    edit(recipes, "exceptions", lambda old: old.append(entry))
    assert whats(validate, recipes) == ["an exception that stands twice"]


def plant_documents(folder: Path, n: int = 350) -> list[Row]:
    new = [{"id": f"doc-{i}", "title": f"thing {i}", "text": f"What it is, {i}."} for i in range(n)]
    write(folder, "documents", new)
    return new


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda d: d.pop(), "too few documents"),
        (lambda d: d[3].update(id="doc-2"), "a document's id that stands 2 times"),
        (lambda d: d[3].update(title="THING 2"), "a document's title that stands 2 times"),
        (lambda d: d[3].update(text=" "), "not a document"),
        (lambda d: d[3].update(generic="egg"), "not a document"),
    ],
)
def test_documents(recipes: Path, validate: ModuleType, change: Callable[[list[Row]], object], what: str) -> None:
    plant_documents(recipes)
    assert whats(validate, recipes) == []
    edit(recipes, "documents", change)
    assert whats(validate, recipes) == [what]


def test_the_second_pass_gives_the_ceiling(recipes: Path, validate: ModuleType) -> None:
    first = rows(recipes, "test")[:60]
    second = [{"id": r["id"], "generic": [label + "s" for label in r["generic"]]} for r in first]
    second[0]["generic"] = ["zyzzyva"]
    write(recipes, "second_pass", second)
    problems, notes = validate.validate(recipes)
    assert problems == []
    (line,) = [n for n in notes if "consistency ceiling" in n]
    assert 0.9 < float(line.rsplit(" ", 1)[1]) <= 59 / 60 + 1e-3
    second[1]["id"] = "recipes-nobody-001"
    write(recipes, "second_pass", second[:59])
    assert whats(validate, recipes) == ["too few rows", "not a second labelling of a row"]


def test_half_agreement_is_half(validate: ModuleType) -> None:
    rules = validate.SETS["recipes"]
    first = {"test": [validate.Row("t:1", {"id": "a", "generic": ["egg", "milk"]})]}
    score, problems = validate.ceiling([validate.Row("s:1", {"id": "a", "generic": ["eggs", "flour"]})], first, rules)
    assert problems[0].what == "too few rows"
    assert score == 0.5


def test_a_set_without_rules_is_checked_for_what_all_sets_keep(tmp_path: Path, validate: ModuleType) -> None:
    own = tmp_path / "mine"
    own.mkdir()
    texts = {"train": "the quick brown fox jumps", "dev": "pack my box with jugs", "test": "the quick brown fox jumps!"}
    for i, (split, text) in enumerate(texts.items()):
        write(own, split, [{"id": str(i), "question": text, "answer": "yes"}])
    assert whats(validate, own) == ["near-duplicates in two splits"]
    edit(own, "dev", lambda dev: dev[0].pop("answer"))
    assert "wrong columns" in whats(validate, own)


TICKET = {"id": "routing-999", "ticket": "My zyzzyva is jvxed", "queue": "devices", "cluster": "routing-999"}


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({}, []),
        ({"queue": "Devices"}, ["no such queue"]),
        ({"ticket": "word " * 81}, ["a ticket of more than 80 words"]),
        ({"id": "ticket-1"}, ["an id of another form"]),
        ({"cluster": lambda test: test["cluster"]}, ["an incident in two splits"]),
    ],
)
def test_a_planted_ticket(tmp_path: Path, validate: ModuleType, changes: dict[str, Any], what: list[str]) -> None:
    folder = tmp_path / "routing"
    shutil.copytree(DATASETS / "routing", folder)
    (other, *_) = rows(folder, "test")
    planted = TICKET | {k: v(other) if callable(v) else v for k, v in changes.items()}
    edit(folder, "train", lambda train: train.append(planted))
    assert whats(validate, folder) == what


def test_a_label_that_a_split_lacks(tmp_path: Path, validate: ModuleType) -> None:
    folder = tmp_path / "routing"
    shutil.copytree(DATASETS / "routing", folder)
    write(
        folder,
        "test",
        [r | {"queue": "devices" if r["queue"] == "security" else r["queue"]} for r in rows(folder, "test")],
    )
    assert whats(validate, folder) == ["too few rows of security"]


def test_a_label_is_found_by_words_in_any_number_and_case(validate: ModuleType) -> None:
    answer = validate.SETS["recipes"].answer
    assert validate.found("bay leaf", ["2 BAY LEAVES, torn"], answer)
    assert validate.found("chilli", ["6 green chillies"], answer)
    assert validate.found("confectioners' sugar", ["confectioners\u2019 sugar"], answer)
    assert validate.found("half-and-half", ["1 c. Half-and-Half"], answer)
    assert not validate.found("rice", ["1 tbsp licorice"], answer)
    assert not validate.found("white pepper", ["pepper, white"], answer)


@pytest.fixture
def tone(tmp_path: Path, validate: ModuleType) -> Path:
    folder = tmp_path / "tone"
    shutil.copytree(DATASETS / "tone", folder)
    return folder


def tone_row(**changes: Any) -> Row:
    """A row as sound as the shipped ones, then spoilt by `changes`."""
    answer = "A zyzzyva, of course. It is the last word in the book, and has been unbearable about it since."
    return {"id": "tone-sci-901", "question": "Name a weevil?", "answer": answer, "must": ["zyzzyva"]} | changes


LACKS, GIVEN = "the answer lacks what it must hold", "the question gives the answer away"
TONE_FAULTS: list[tuple[str, dict[str, Any], str]] = [
    ("another id", {"id": "tone-1"}, "an id of another form"),
    ("one text", {"must": "zyzzyva"}, "not a question, an answer and a list of what it must hold"),
    ("a short answer", {"answer": "A zyzzyva."}, "not a short, dry answer"),
    ("a shout", {"answer": "A zyzzyva! It is the last in the book, and so very proud!"}, "not a short, dry answer"),
    ("an absent item", {"must": ["zyzzyva", "beetle"]}, LACKS),
    ("part of a word", {"must": ["zyz"]}, LACKS),
    ("a capital", {"must": ["Zyzzyva"]}, "not lower-case words, parted by |"),
    ("an empty way", {"must": ["zyzzyva|"]}, "not lower-case words, parted by |"),
    ("a sign that is no word", {"must": ["zyzzyva|@"]}, "not lower-case words, parted by |"),
    ("an answer in the question", {"question": "Is it a zyzzyva?"}, GIVEN),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "what"), [f[1:] for f in TONE_FAULTS], ids=[f[0] for f in TONE_FAULTS])
def test_a_planted_tone_row(tone: Path, validate: ModuleType, changes: dict[str, Any], what: str) -> None:
    edit(tone, "train", lambda train: train.append(tone_row(**changes)))
    assert whats(validate, tone) == [what]


def test_a_tone_joke_told_twice(tone: Path, validate: ModuleType) -> None:
    told = rows(tone, "test")[3]
    again = tone_row(must=told["must"], answer=told["answer"].replace(" the ", " a "), question="Wholly other words?")
    edit(tone, "train", lambda train: train.append(again))
    assert whats(validate, tone) == ["two answers that are alike"]


STYLE_FAULTS: list[tuple[str, Callable[[list[Row]], object], str]] = [
    ("a text for a number", lambda s: s[0].update(style="1"), "not a style example"),
    ("an empty text", lambda s: s[0].update(text=" "), "not a style example"),
    ("a kind that is not dry", lambda s: s[0].update(kind="plain", style=1), "a kind that does not fit"),
    ("an unknown kind", lambda s: s[0].update(kind="witty", style=0), "a kind that does not fit"),
    ("an id twice", lambda s: s[0].update(id=s[1]["id"]), "an id that stands twice"),
    ("a text twice", lambda s: s.append(s[0] | {"id": "style-999"}), "two style examples that are alike"),
    ("too few", lambda s: s.__setitem__(slice(None), [r for r in s if r["style"]]), "too few style examples"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "what"), [f[1:] for f in STYLE_FAULTS], ids=[f[0] for f in STYLE_FAULTS])
def test_planted_style_examples(
    tone: Path, validate: ModuleType, change: Callable[[list[Row]], object], what: str
) -> None:
    edit(tone, "style", change)
    assert whats(validate, tone) == [what]


def test_an_answer_of_the_set_is_no_style_example(tone: Path, validate: ModuleType) -> None:
    leaked = rows(tone, "test")[0]["answer"]
    edit(tone, "style", lambda s: s.append(s[0] | {"id": "style-999", "text": leaked.upper()}))
    assert whats(validate, tone) == ["a style example that is an answer of the set"]


@pytest.fixture
def sql(tmp_path: Path, validate: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two of the databases with their rows."""
    folder = tmp_path / "text_to_sql"
    folder.mkdir()
    shutil.copy(DATASETS / "text_to_sql" / "check.py", folder)
    for name in ("library", "clinic"):
        shutil.copytree(DATASETS / "text_to_sql" / "databases" / name, folder / "databases" / name)
    for split in ("train", "dev", "test"):
        kept = [r for r in rows(DATASETS / "text_to_sql", split) if r["db"] in ("library", "clinic")]
        write(folder, split, kept)
    small = {"train": 22, "dev": 6, "test": 12}
    monkeypatch.setitem(validate.SETS, "text_to_sql", dataclasses.replace(validate.SETS["text_to_sql"], least=small))
    return folder


def sql_row(**changes: Any) -> Row:
    """A sound row, then spoilt by `changes`."""
    return {
        "id": "library-99",
        "db": "library",
        "schema": (DATASETS / "text_to_sql/databases/library/schema.sql").read_text("utf-8").strip(),
        "question": "The zyzzyva of the wug, jvxed?",
        "sql": "SELECT title, copies FROM book WHERE copies > 1 AND year > 2000",
        "cluster": "library",
    } | changes


LUCKY, STORED = "a query that is right without a clause", "a query whose rows depend on how the table is stored"
TRIVIAL, NO_ROWS = "a trivial query is right", "a query that does not run"
SQL_FAULTS: list[tuple[str, dict[str, Any], list[str]]] = [
    ("nothing", {}, []),
    ("another id", {"id": "lib-99"}, ["an id of another form"]),
    ("another cluster", {"cluster": "clinic"}, ["an id of another form"]),
    ("an unknown database", {"id": "zoo-99", "db": "zoo", "cluster": "zoo"}, ["no such database"]),
    ("another schema", {"schema": "CREATE TABLE book (id INT)"}, ["not the schema of the database"]),
    ("an end mark", {"sql": "SELECT title FROM book;"}, ["not one SELECT on one line without an end mark"]),
    ("two lines", {"sql": "SELECT title\nFROM book"}, ["not one SELECT on one line without an end mark"]),
    ("no SELECT", {"sql": "DELETE FROM book"}, ["not one SELECT on one line without an end mark"]),
    ("a mark without an order", {"ordered": True}, ["`ordered` is true or absent, and the query then has an ORDER BY"]),
    ("an unknown column", {"sql": "SELECT titel FROM book"}, [NO_ROWS]),
    ("a function that is refused", {"sql": "SELECT random()"}, [NO_ROWS]),
    ("the whole table", {"sql": "SELECT * FROM member"}, [TRIVIAL]),
    ("the number of rows", {"sql": "SELECT COUNT(id) FROM member"}, [TRIVIAL]),
    ("any three", {"sql": "SELECT title, copies, year FROM book LIMIT 3"}, [STORED]),
    ("an order that ties", {"sql": "SELECT title, genre FROM book ORDER BY genre", "ordered": True}, [STORED]),
    ("a condition that says nothing", {"sql": "SELECT copies, year FROM book WHERE id > 0"}, [LUCKY]),
    ("a DISTINCT that says nothing", {"sql": "SELECT DISTINCT id, genre FROM book"}, [LUCKY]),
    (
        "another row's result",
        {"sql": "SELECT title FROM book WHERE author IS NULL ORDER BY year"},
        ["two rows of a database with one result"],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "what"), [f[1:] for f in SQL_FAULTS], ids=[f[0] for f in SQL_FAULTS])
def test_a_planted_sql_row(sql: Path, validate: ModuleType, changes: dict[str, Any], what: list[str]) -> None:
    edit(sql, "train", lambda train: train.append(sql_row(**changes)))
    assert whats(validate, sql) == what


def test_questions_alone_make_sql_rows_alike(sql: Path, validate: ModuleType) -> None:
    told = next(r for r in rows(sql, "test") if r["db"] == "library")
    again = sql_row(question=f"So, {told['question']}")
    edit(sql, "train", lambda train: train.append(again))
    assert whats(validate, sql) == ["near-duplicates in two splits"]
    edit(sql, "train", lambda train: train[-1].update(question=told["question"].upper()))
    assert whats(validate, sql) == ["near-duplicates in two splits", "a question that stands twice"]


def test_databases_of_sql_rows(sql: Path, validate: ModuleType) -> None:
    edit(sql, "dev", lambda dev: dev.__setitem__(slice(None), [r for r in dev if r["db"] == "clinic"] * 2))
    edit(
        sql,
        "dev",
        lambda dev: [r.update(id=f"clinic-9{i}", question=f"{'ZYX'[i % 3] * 9} {i}?") for i, r in enumerate(dev)],
    )
    found = whats(validate, sql)
    assert "a database without rows of a split" in found
    (sql / "databases" / "library" / "fill_b.sql").unlink()
    assert "too few fills" in whats(validate, sql)
    (sql / "databases" / "library" / "fill_a.sql").write_text("INSERT INTO nowhere VALUES (1);")
    assert any("cannot be built: no such table: nowhere" in what for what in whats(validate, sql))


def test_too_many_sql_queries_that_find_nothing(sql: Path, validate: ModuleType) -> None:
    for fill in ("fill_a", "fill_b"):
        (sql / "databases" / "clinic" / f"{fill}.sql").write_text("DELETE FROM visit;")
    assert "too many queries that find nothing" in whats(validate, sql)


@pytest.fixture
def support(tmp_path: Path) -> Path:
    folder = tmp_path / "support"
    shutil.copytree(DATASETS / "support", folder)
    return folder


def support_row(**changes: Any) -> Row:
    """A row as sound as the shipped ones, then spoilt by `changes`."""
    sound = {"id": "bike-wren-99", "question": "Do many zyzzyvas weigh so much?", "answer": "27 kg", "accept": ["27"]}
    return sound | {"relevant": ["bike-wren"], "cluster": "bike-wren"} | changes


NO_PAGE, HALF, OFF = (
    "a page that is not there",
    "half a question without an answer",
    "an answer that is not on its page",
)
SUPPORT_FAULTS: list[tuple[dict[str, Any], str]] = [
    ({}, ""),
    ({"answer": ["27 kg", "20-inch"], "accept": ["twenty-seven kilos, twenty inches"]}, ""),
    ({"answer": "I don't know", "relevant": []}, HALF),
    ({"answer": "I don't know", "accept": ["27"]}, HALF),
    ({"relevant": []}, HALF),
    ({"relevant": ["bike-wren", "bike-zyzzyva"]}, NO_PAGE),
    ({"cluster": "bike-zyzzyva"}, NO_PAGE),
    ({"id": "zyzzyva-1"}, "an id of another form"),
    ({"id": "locks-99", "cluster": "locks"}, "not the cluster of its page"),
    ({"answer": "38 kg", "accept": ["38"]}, OFF),
    ({"answer": "7 kg", "accept": ["7"]}, OFF),
    ({"answer": ["27 kg", "38 kg"], "accept": ["27, 38"]}, OFF),
    ({"answer": "our smallest cargo bike, a long-tail with 20-inch wheels"}, "a long answer"),
    ({"question": "Is it 27 kilos (27 kg)?"}, "the question gives the answer away"),
    ({"accept": ["about 27 kg"]}, "another wording that is right without being listed"),
    ({"question": "When do zyzzyvas wug?"}, ""),
    ({"question": "So when do zyzzyvas wug?"}, "two questions that are alike"),
    ({"relevant": "bike-wren"}, "not a question with lists of relevant pages and of other wordings"),
]


def test_planted_support_rows(support: Path, validate: ModuleType) -> None:
    first = len(rows(support, "train")) + 1
    own = [{"id": f"bike-wren-{90 + i}", "question": f"{chr(97 + i) * 9} {i}?"} for i in range(len(SUPPORT_FAULTS))]
    new = [support_row(**(mine | changes)) for mine, (changes, _) in zip(own, SUPPORT_FAULTS, strict=True)]
    edit(support, "train", lambda train: train.extend(new))
    found = [(p.where, p.what) for p in validate.validate(support)[0]]
    wanted = [(f"train.jsonl:{first + i}", what) for i, (_, what) in enumerate(SUPPORT_FAULTS) if what]
    assert sorted(found) == sorted(wanted)


def test_what_support_splits_must_not_share(support: Path, validate: ModuleType) -> None:
    asked = next(r for r in rows(support, "train") if r["relevant"] and isinstance(r["answer"], str))
    page = asked["cluster"]
    again = support_row(
        id=f"{page}-99", answer=f"the {asked['answer']}", relevant=[page], cluster=page, accept=["zyzzyva"]
    )
    edit(support, "test", lambda test: test.append(again))
    (problem,) = validate.validate(support)[0]
    assert problem.what == "a fact of test that train asks"
    assert asked["id"] in problem.got


def test_the_share_of_unanswerable_questions_and_the_length_of_pages(support: Path, validate: ModuleType) -> None:
    edit(support, "train", lambda train: train.__setitem__(slice(None), [r for r in train if r["relevant"]]))
    edit(support, "documents", lambda pages: pages[0].update(text="Short."))
    found = whats(validate, support)
    assert "another share of questions without an answer" in found
    assert "a page of another length" in found
