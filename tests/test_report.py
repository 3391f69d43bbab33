"""The report: the golden run's words, awkward shapes of a run, hostile text, what the page promises of itself."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import math
import re
import zlib
from datetime import date
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from ruamel.yaml import YAML

from harness import console, economics, report
from harness.report import figures, html, markdown, money, payload, tables, text
from harness.spec import Benchmark
from tests import reports
from tests.reports import GOLDEN, bent, failing, gone

VOID = {"meta", "link", "br", "hr", "img", "input", "line", "circle", "rect", "polyline", "base"}
PARTS = ["answer", "arms", "pictures", "what-if", "examples", "checklist", "trust", "receipt"]


class Page(HTMLParser):
    """A page taken apart: its elements, ids, addresses, and whether all that was opened was closed."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(source)
        self.close()
        assert not self.open, f"left open: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def ids(self) -> list[str]:
        return [a["id"] or "" for _, a in self.tags if "id" in a]


def parsed(path: Path) -> Page:
    return Page(html.page(reports.view(path)))


def test_the_golden_run_says_what_it_said() -> None:
    assert markdown.summary(reports.view(GOLDEN)) == (GOLDEN / "summary.md").read_text("utf-8")


def test_write_makes_page_summary_and_table(tmp_path: Path) -> None:
    path = bent(tmp_path / "run")
    report.write(*reports.opened(path))
    page = (path / "report.html").read_text("utf-8")
    assert "fine_tuned beats the baseline (few_shot)" in page
    assert (path / "summary.md").read_text("utf-8") == (GOLDEN / "summary.md").read_text("utf-8")
    frame = report.frame(reports.opened(path)[0])
    assert len(frame) == 120
    assert set(frame["arm"]) == {"prompt", "few_shot", "fine_tuned"}
    assert frame[frame["arm"] == "fine_tuned"]["accuracy"].mean() == pytest.approx(0.869, abs=0.001)
    parquet = pytest.importorskip("pyarrow.parquet")
    assert parquet.read_table(path / "tables" / "answers.parquet").num_rows == 120


def test_the_page_is_whole_and_in_order() -> None:
    page = parsed(GOLDEN)
    ids = page.ids()
    assert len(ids) == len(set(ids))
    assert [i for i in ids if i in PARTS] == PARTS
    headings = [int(t[1]) for t, _ in page.tags if re.fullmatch("h[1-6]", t)]
    assert headings[0] == 1
    assert headings.count(1) == 1
    assert all(b - a <= 1 for a, b in pairwise(headings))


def test_the_page_asks_for_nothing() -> None:
    page = parsed(GOLDEN)
    for tag, attrs in page.tags:
        assert tag not in ("link", "iframe", "img", "base", "object", "embed", "form" if attrs.get("action") else "x")
        for name, value in attrs.items():
            assert not name.startswith("on"), (tag, name)
            assert name != "style"
            if name in ("src", "href"):
                assert (value or "").startswith(("#", "data:text/csv;base64,")), (tag, value)


def test_the_policy_names_what_is_inlined() -> None:
    source = html.page(reports.view(GOLDEN))
    style = re.search(r"<style>(.*?)</style>", source, re.S)
    script = re.search(r"<script>(.*?)</script>", source, re.S)
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', source)
    assert style
    assert script
    assert policy
    for found in (style, script):
        digest = base64.b64encode(hashlib.sha256(found[1].encode()).digest()).decode()
        assert f"sha256-{digest}" in policy[1].replace("&#43;", "+")
    assert policy[1].startswith("default-src &#39;none&#39;")
    assert "unsafe" not in policy[1]


def test_the_shell_is_small(tmp_path: Path) -> None:
    path = bent(tmp_path / "run", examples=1)
    assert len(html.page(reports.view(path))) < 600_000


@pytest.mark.slow
def test_a_large_run_stays_small(tmp_path: Path) -> None:
    path = bent(tmp_path / "run", times=250)
    view = reports.view(path)
    assert view.n == 10_000
    assert len(html.page(view).encode()) < 15_000_000


def test_data_in_the_page_is_the_run(tmp_path: Path) -> None:
    source = html.page(reports.view(GOLDEN))
    packed = re.search(r'id="data">([^<]*)</script>', source)
    assert packed
    data = json.loads(zlib.decompress(base64.b64decode(packed[1]), -15))
    assert len(data["ids"]) == 40
    stored = reports.view(GOLDEN).stored
    for arm in data["arms"]:
        for i, id in enumerate(data["ids"]):
            assert data["answers"][arm]["text"][i] == stored.text_of(arm, id)[0]


# Awkward runs


def unpriced(raw: dict[str, Any]) -> None:
    raw["economics"]["local_usd_per_hour"] = None


def valued(raw: dict[str, Any]) -> None:
    raw["economics"]["value_per_correct"] = 0.002


def unsaid(raw: dict[str, Any]) -> None:
    raw["economics"], raw["use_case"] = {}, None


def failing_tuned(trial: Any) -> Any:
    return failing(trial) if trial.arm == "fine_tuned" else trial


def gone_tuned(trial: Any) -> Any:
    return gone(trial) if trial.arm == "fine_tuned" and hash_of(trial.example) % 2 else trial


def hash_of(id: str) -> int:
    return zlib.crc32(id.encode())


AWKWARD: dict[str, tuple[dict[str, Any], list[str]]] = {
    "one example": ({"examples": 1}, ["Inconclusive", "fewer than 50 examples"]),
    "three examples": ({"examples": 3}, ["Inconclusive"]),
    "no fine-tune": ({"arms": ("prompt", "few_shot")}, ["Not asked", "no fine-tuned arm", "every answer of every arm"]),
    "one arm": ({"arms": ("fine_tuned",)}, ["Not asked", "no arm to hold it against", "Add an arm to hold it"]),
    "one plain arm": (
        {"arms": ("prompt",)},
        ["Not asked", "no fine-tuned arm", "Add an arm with technique: fine_tune"],
    ),
    "unknown prices": ({"change": unpriced}, ["Not priced", "local_usd_per_hour: 0.20", "unknown"]),
    "nothing said": ({"change": unsaid}, ["Not priced", 'use_case: {improve: "what should get better"}']),
    "a value": ({"change": valued}, ["Worth it: at $0.002 a correct answer"]),
    "all failed": ({"outcome": failing}, ["40 unparseable", "Inconclusive", "Mend what failed first: 40 of 40"]),
    "fine-tune failed": ({"outcome": failing_tuned}, ["No", "behind the baseline", "40 unparseable"]),
    "half missing": ({"outcome": gone_tuned}, ["Inconclusive", "pairs are missing", "18 missing"]),
}


def test_the_note_under_the_arms_keeps_its_sentences_apart(tmp_path: Path) -> None:
    said = Page(html.page(reports.view(bent(tmp_path / "run", examples=3, change=unpriced)))).text
    assert "scores highest. " in said
    assert not re.search(r"scores highest\.\S", said)


@pytest.mark.parametrize("name", AWKWARD)
def test_every_run_has_a_page(name: str, tmp_path: Path) -> None:
    how, expected = AWKWARD[name]
    view = reports.view(bent(tmp_path / "run", **how))
    page = Page(html.page(view))
    said = page.text
    for words in expected:
        assert words in said, words
    for broken in ("nan", "inf ", "None", "$inf", "Undefined"):
        assert not re.search(rf"(?<![\w.]){re.escape(broken)}(?![\w])", said), re.findall(
            rf".{{40}}{broken}.{{20}}", said
        )
    assert markdown.summary(view)
    assert json.loads(console.as_json(view, "report.html"))["run"]


@pytest.mark.parametrize("width", [30, 60, 80, 120, 200])
def test_the_console_fits(width: int) -> None:
    from rich.console import Console

    out = io.StringIO()
    console.print_view(reports.view(GOLDEN), "r.html", Console(file=out, width=width, highlight=False))
    lines = out.getvalue().splitlines()
    assert lines[0].startswith("Yes: fine_tuned")
    assert all(len(line) <= width for line in lines)
    assert any(line.startswith("fine_tuned") and "86.9" in line for line in lines)


def test_the_checklist_has_nine_rows_and_valid_lines(tmp_path: Path) -> None:
    """Each line that would measure something is a line that the benchmark file takes."""
    yaml, seen = YAML(typ="safe"), 0
    bends: list[dict[str, Any]] = [{}, {"arms": ("prompt",)}, {"arms": ("fine_tuned",)}]
    bends += [{"change": unsaid}, {"change": unpriced}]
    for how in bends:
        path = bent(tmp_path / f"run{seen}", **how)
        view = reports.view(path)
        assert len(view.checklist) == 9
        for fact in (f for q in view.checklist for f in q.facts):
            lines = [fact.yaml] if fact.yaml else re.findall(r"`(\w+: \{.*\})`", fact.note + fact.value)
            for line in lines:
                seen += 1
                raw = json.loads((path / "benchmark.json").read_bytes())
                merge(raw, yaml.load(line))
                Benchmark.model_validate_json(json.dumps(raw), strict=True)
    assert seen > 10


def merge(into: dict[str, Any], new: dict[str, Any]) -> None:
    for key, value in new.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            merge(into[key], value)
        else:
            into[key] = value


# verdict.json


def test_verdicts_are_as_their_schema_says(tmp_path: Path) -> None:
    import jsonschema

    from harness import verdict

    schema = verdict.schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    answers: set[str] = set()
    for i, how in enumerate(({}, *(how for how, _ in AWKWARD.values()))):
        path = bent(tmp_path / f"run{i}", **how)
        report.write(*reports.opened(path))
        found = json.loads((path / "verdict.json").read_bytes())
        jsonschema.validate(found, schema)
        answers.add(found.get("payoff", {}).get("answer", "none"))
    assert {"depends", "yes", "unknown", "none"} <= answers


def test_the_verdict_says_whether_it_is_worth_it(tmp_path: Path) -> None:
    path = bent(tmp_path / "run")
    report.write(*reports.opened(path))
    made, worth = json.loads((path / "verdict.json").read_bytes())["payoff"], reports.view(GOLDEN).worth
    assert isinstance(worth, money.Worth)
    assert made["sentence"] == worth.sentence
    assert made["usd_a_month"] == pytest.approx(worth.terms.requests * worth.saved.mean - worth.terms.total / 12)
    assert made["payback_months"] == pytest.approx(worth.payback.months)
    assert (made["payback_low"], made["payback_high"]) == pytest.approx((worth.payback.low, worth.payback.high))
    assert made["break_even"] == worth.break_even.kind == "at"
    ends = made["break_even_low"], made["break_even_requests"], made["break_even_high"]
    assert ends == pytest.approx((worth.break_even.low, worth.break_even.requests, worth.break_even.high))
    assert ends[0] < ends[1] < ends[2]


# Money


@pytest.mark.parametrize(
    ("high", "said"), [(3.5, "It pays back in 3 months"), (math.inf, "On average it pays back in 3 months")]
)
def test_a_payback_that_may_never_come_is_not_promised(high: float, said: str) -> None:
    paid = economics.Payback(3.0, 2.0, high, "yes" if high < 12 else "inconclusive")
    terms = economics.Terms(fixed=120, hosting=0, requests=1000, months=12)
    stands = economics.Quadrant("inconclusive", "inconclusive")
    assert said in money._paid(paid, terms, stands, date(2026, 1, 1))  # pyright: ignore[reportPrivateUsage]


@pytest.mark.parametrize(
    ("model", "hosting", "said"),
    [
        ({"base_url": "http://127.0.0.1:9/v1", "hosting_usd_per_hour": 2.0}, (1460, 1460, 0), "$2.00 an hour"),
        ({"hosting_usd_per_hour": 2.0}, (1460, 0, 1460), "$2.00 an hour"),
        ({"base_url": "http://127.0.0.1:9/v1"}, (0, 0, 0), "$0 a month"),
    ],
)
def test_a_machine_of_ones_own_is_paid_for_before_the_tuning_too(
    tmp_path: Path, model: dict[str, Any], hosting: tuple[float, float, float], said: str
) -> None:
    def served(raw: dict[str, Any]) -> None:
        raw["model"] = {"id": raw["model"], **model}

    view = reports.view(bent(tmp_path / "run", change=served))
    bills, worth = money.bills(view.stored), view.worth
    assert isinstance(worth, money.Worth)
    assert (bills["fine_tuned"].hosting_month, bills["few_shot"].hosting_month) == hosting[:2]
    assert worth.terms.hosting == hosting[2]
    assert said in parsed(tmp_path / "run").text


def test_a_test_set_that_was_used_before_is_said_everywhere(tmp_path: Path) -> None:
    path = bent(tmp_path / "run")
    manifest = json.loads((path / "manifest.json").read_bytes())
    (path / "manifest.json").write_text(json.dumps(manifest | {"test_looks": 3}))
    out = io.StringIO()
    console.print_view(reports.view(path), "report.html", Console(file=out, width=120))
    for shown in (out.getvalue(), markdown.summary(reports.view(path))):
        assert "Test set used 3 times by runs of this project: each look makes luck likelier." in shown
    assert "Test set used" not in markdown.summary(reports.view(GOLDEN))


def test_worth_is_what_economics_says() -> None:
    view = reports.view(GOLDEN)
    worth, stored = view.worth, view.stored
    assert isinstance(worth, money.Worth)
    board = stored.board
    d = board.values["fine_tuned", "accuracy"] - board.values["few_shot", "accuracy"]
    found = economics.ledger(d, board.usd["few_shot"], board.usd["fine_tuned"])
    assert economics.saving(found) == worth.saved
    assert worth.saved.mean == pytest.approx(float(np.mean(board.usd["few_shot"] - board.usd["fine_tuned"])))
    assert worth.terms.fixed == pytest.approx(120.0 - 0.8 * (view.stored.fits["few_shot"].cost.labelled_rows), abs=0.1)
    assert worth.break_even.requests == pytest.approx(worth.terms.fixed / worth.saved.mean)
    assert worth.answer == "depends"


# Hostile text


def test_hostile_text_is_only_text() -> None:
    view = reports.hostile_view(GOLDEN)
    source = html.page(view).encode("utf-8").decode("utf-8")
    page, plain = Page(source), parsed(GOLDEN)
    allowed = {t for t, _ in plain.tags} | {"ins", "del", "i"}
    assert {t for t, _ in page.tags} <= allowed
    assert sum(t == "script" for t, _ in page.tags) == 3
    known = {name for _, attrs in plain.tags for name in attrs}
    assert {name for _, attrs in page.tags for name in attrs} <= known
    shown = re.sub(r"<script.*?</script>", "", source, flags=re.S)
    assert not re.search("[\0\x1b\u202a-\u202e\u2066-\u2069\u200e\u200f\ud800-\udfff]", shown)
    assert "49" not in re.findall(r"7\*7 }}(\d*)", shown)
    assert len(source) < 3_000_000


def test_hostile_text_comes_back_from_the_data() -> None:
    view = reports.hostile_view(GOLDEN)
    again = json.loads(zlib.decompress(base64.b64decode(payload.deflated(view.stored)), -15))
    for arm in view.stored.board.arms:
        given = [view.stored.text_of(arm, id)[0] for id in view.stored.board.ids]
        assert again["answers"][arm]["text"] == given
    assert again["ids"] == list(view.stored.board.ids)


@pytest.mark.parametrize("string", reports.SEEDS)
def test_json_in_a_script_is_closed_by_nothing(string: str) -> None:
    made = text.script_json({"x": string, string: 1})
    assert made.isascii()
    assert "<" not in made
    assert json.loads(made) == {"x": string, string: 1}


def test_csv_starts_no_formula() -> None:
    for string in reports.hostile():
        cell = text.defused(string)
        cell.encode("utf-8")
        assert "\0" not in cell
        assert not cell.lstrip(" ").startswith(("=", "+", "-", "@", "\t", "\r", "|", "%"))
    rows = list(csv.reader(io.StringIO(html.arms_csv(reports.hostile_view(GOLDEN)))))
    assert len(rows) == 4
    assert len({len(r) for r in rows}) == 1


def test_markdown_of_hostile_text_links_nowhere() -> None:
    made = markdown.summary(reports.hostile_view(GOLDEN))
    assert "](http" not in made.replace("\\](", "")
    assert "<script" not in made.replace("\\<", "")
    made.encode("utf-8")


def test_parquet_holds_what_utf8_can(tmp_path: Path) -> None:
    path = bent(tmp_path / "run")
    assert tables.rows(reports.opened(path)[0])["text"]
    assert text.storable("a\ud800b\0") == "a\ufffdb\ufffd"


@given(st.text())
def test_visible_hides_nothing(string: str) -> None:
    shown = text.visible(string)
    assert not re.search("[\0-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", shown)
    assert text.visible(shown) == shown


@given(st.text(), st.text(), st.booleans())
def test_a_difference_holds_the_whole_answer(answer: str, target: str, ordered: bool) -> None:
    pieces = text.difference(answer, target, ordered=ordered)
    kept = "".join(p.text for p in pieces if p.kind != "lacking")
    assert kept.startswith(answer) if not ordered else kept == answer


def test_differences_by_word_and_by_character() -> None:
    lists = text.difference('["salt", "2 eggs", "ham"]', "egg\nsalt", ordered=False)
    assert [p.text for p in lists if p.kind == "extra"] == ["2 eggs", "ham"]
    assert [p.text for p in lists if p.kind == "lacking"] == ["egg"]
    cjk = text.difference("東京都", "京都", ordered=True)
    assert [p.text for p in cjk if p.kind == "extra"] == ["東"]


@pytest.mark.parametrize(
    ("answer", "target", "extra"),
    [
        ("दालें जीरा", "दाल जीरा", "दालें"),
        ("حُمُّص زيت", "حمص زيت", "حُمُّص"),
        ("cafe\u0301 noir", "cafe noir", "cafe\u0301"),
        ("🍋🏽 🧂", "🍋 🧂", "🍋🏽"),
        ("👩‍🍳 👨‍👩‍👧‍👦", "👩‍🍳 👨‍👩‍👦", "👨‍👩‍👧‍👦"),
        ("🇨🇭 🇨🇱", "🇨🇭", "🇨🇱"),
    ],
)
@pytest.mark.parametrize("ordered", [True, False])
def test_no_letter_is_parted_from_its_marks(answer: str, target: str, extra: str, ordered: bool) -> None:
    """A mark that stands alone in a span is drawn on a dotted circle, and joined letters fall apart."""
    found = text.difference(answer, target, ordered=ordered)
    assert [p.text.strip() for p in found if p.kind == "extra"] == [extra]


# Figures


@pytest.mark.parametrize(
    ("value", "said"),
    [(0, "$0"), (None, "unknown"), (0.0000112, "$0.0000112"), (0.03, "$0.03"), (0.0235, "$0.0235"), (1.5, "$1.50"),
     (99.99, "$99.99"), (1234.5, "$1,234"), (-2.03, "−$2.03"), (0.1, "$0.10")],
)  # fmt: skip
def test_dollars(value: float | None, said: str) -> None:
    assert figures.usd(value) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [(0.02, "under a day"), (0.2, "6 days"), (0.7, "3 weeks"), (5, "5 months"), (40, "3.3 years"), (4454, "371 years"),
     (float("inf"), "never")],
)  # fmt: skip
def test_spans(value: float, said: str) -> None:
    assert figures.months(value) == said


def test_scores_are_rounded_to_what_the_interval_supports() -> None:
    assert figures.score(0.8123, 0.80, 0.82) == "81.2"
    assert figures.score(0.8123, 0.40, 0.95) == "81"
    assert figures.points(-0.0004, -0.01, 0.01) == "0.0"


def test_everything_measured_is_on_the_page(tmp_path: Path) -> None:
    """Learning curve, seeds, second domain, leaks, guardrail: a picture or a row each, and no line that asks for it."""
    view = reports.view(reports.measured(tmp_path / "run"))
    page = Page(html.page(view))
    for words in (
        "Twice the rows are expected to bring",
        "One recipe, several seeds",
        "Second domain, before and after",
        "guardrail exact",
        "without the 1 test row that may have been seen the answer is the same",
        "test set used 2 times",
        "94.0 of 100",
        "8 trainings, 24 min; estimated 5 min to 15 min, answers included",
        "380 answers, ",
    ):
        assert words in page.text, words
    lines = {f.label for q in view.checklist for f in q.facts if f.open}
    assert not lines & {"training seeds", "gain expected from twice the data", "second domain before and after"}
    assert [q.topic for q in view.checklist if all(f.open for f in q.facts)] == []


def test_several_candidates_stand_at_their_own_level(tmp_path: Path) -> None:
    view = reports.view(bent(tmp_path / "run", twins={"tuned_b": "fine_tuned", "tuned_c": "fine_tuned"}))
    quality = next(q for q in view.checklist if q.topic == "Quality")
    assert {f.label for f in quality.facts if f.note.startswith("at its own level")} == {
        "tuned_b against few_shot",
        "tuned_c against few_shot",
    }
    assert Page(html.page(view)).text.count("may be best") >= 3


def test_an_outage_is_no_answer_for_nothing(tmp_path: Path) -> None:
    """Tokens and dollars a task are over the answers that came."""
    whole, holes = (reports.view(p) for p in (bent(tmp_path / "a"), bent(tmp_path / "b", outcome=gone_tuned)))
    one, two = (next(a.effort for a in v.arms if a.name == "fine_tuned") for v in (whole, holes))
    assert two.input_tokens == pytest.approx(one.input_tokens, rel=0.1)
    assert two.usd == pytest.approx(one.usd, rel=0.25)
