"""The page in a real Chromium, from a file, offline: what it asks for, what it runs, who can use it, what it computes.

Without chromium (or axe-core) these are skipped for all to see; with CI=true that is an error.
"""

from __future__ import annotations

import math
import os
import random
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness import economics
from harness.changes import between
from harness.finished import FinishedRun
from harness.moments import combine
from harness.records import Trial
from harness.report import changes, html, money
from harness.store import RunDirectory
from tests import reports
from tests.chromium import Browser, lacking
from tests.reports import GOLDEN, bent, failing

ROOT = Path(__file__).parent.parent
PAGES = ("one run", "all measured", "two runs")
AXE = Path(os.environ.get("HARNESS_AXE", ROOT / "node_modules" / "axe-core" / "axe.min.js"))


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(GOLDEN, tmp_path_factory.mktemp("page"))


@pytest.fixture(scope="module")
def pages(page: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The page of a run, of one that measured all it can on eight arms, and of two runs held against each other."""
    folder = tmp_path_factory.mktemp("pages")
    more = {f"{n}_{i}": n for i in (2, 3) for n in ("few_shot", "prompt", "fine_tuned")}
    whole = reports.measured(folder / "whole", twins=dict(list(more.items())[:5]))
    (folder / "all").mkdir()
    one, two = (FinishedRun.read(RunDirectory(bent(folder / name, **how))) for name, how in OTHERS.items())
    compared = folder / "two" / changes.write(one, two, between(one, two))
    return {"one run": page, "all measured": written(whole, folder / "all"), "two runs": compared}


def some_failing(trial: Trial) -> Trial:
    return failing(trial) if "00" in trial.example else trial


OTHERS: dict[str, dict[str, Any]] = {"one": {}, "two": {"outcome": some_failing}}


def written(run: Path, folder: Path) -> Path:
    path = folder / "report.html"
    path.write_text(html.page(reports.view(run)), encoding="utf-8")
    return path


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("width", [1440, 768, 390])
def test_no_request_no_complaint_no_overflow(browser: Browser, pages: dict[str, Path], name: str, width: int) -> None:
    for dark in (False, True):
        browser.open(pages[name], dark=dark, width=width)
        assert browser.requests() == []
        assert browser.complaints() == []
        assert browser.ask("document.documentElement.scrollWidth") <= width
    browser.ask("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    assert browser.ask("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing(browser: Browser, pages: dict[str, Path], name: str, dark: bool, width: int) -> None:
    if not AXE.exists():
        lacking("axe-core")
    browser.open(pages[name], dark=dark, width=width)
    browser.ask("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    browser.ask(AXE.read_text("utf-8") + ";0")
    found = browser.ask(
        "axe.run(document, {resultTypes: ['violations']}).then(r => r.violations.map("
        "v => [v.id, v.nodes.slice(0, 3).map(n => [n.html.slice(0, 160), n.failureSummary])]))"
    )
    assert found == []


def test_without_scripts_all_parts_are_there(browser: Browser, page: Path) -> None:
    browser.open(page, scripts=False)
    browser.send("Emulation.setScriptExecutionDisabled", value=False)
    seen = browser.ask("document.body.innerText")
    parts = ("Arms side by side", "broken", "Checklist before a fine-tune", "harness run")
    for words in ("fine_tuned beats the baseline", "What to do?", *parts):
        assert words in seen
    assert browser.ask("document.querySelector('#terms').hidden && document.querySelector('#browser').hidden")
    assert browser.complaints() == []


@pytest.mark.parametrize("name", PAGES)
def test_the_summary_prints_on_one_page(browser: Browser, pages: dict[str, Path], name: str) -> None:
    browser.open(pages[name], width=695)  # A4 less its margins, in CSS pixels: 695 x 1024
    browser.send("Emulation.setEmulatedMedia", media="print")
    height = browser.ask(
        "document.querySelector('.top').offsetHeight + 30 + document.querySelector('.summary').offsetHeight"
    )
    browser.send("Emulation.setEmulatedMedia", media="")
    assert height <= 1024
    assert browser.pdf().startswith(b"%PDF")


@pytest.mark.parametrize("name", ["one run", "in many scripts"])
def test_the_scripts_differences_are_the_static_ones(browser: Browser, page: Path, name: str, tmp_path: Path) -> None:
    """Words that are in an answer and not in its target are marked alike by text.py and by page.js."""
    if name == "in many scripts":
        page = written(reports.worldly(tmp_path / "run"), tmp_path)
    browser.open(page, scripts=False)
    browser.send("Emulation.setScriptExecutionDisabled", value=False)
    taken = """Object.fromEntries([...document.querySelectorAll('%s details.example')].map(d => [
      d.querySelector('.id').textContent, [...d.querySelectorAll('pre')].map(p => p.innerHTML)]))"""
    static = browser.ask(taken % "#flips")
    browser.open(page)
    browser.ask("document.querySelectorAll('#list details').forEach(d => { d.open = true; })")
    browser.ask("new Promise(done => setTimeout(done, 300))")
    moving = browser.ask(taken % "#list")
    same = static.keys() & moving.keys()
    assert len(same) >= 6
    assert {id: static[id] for id in same} == {id: moving[id] for id in same}
    assert any("<ins>" in cell for id in same for cell in static[id])
    assert any("<del>" in cell for id in same for cell in static[id])


def test_all_examples_can_be_reached(browser: Browser, page: Path) -> None:
    browser.open(page)
    ids = browser.ask("""(() => {
      const seen = new Set(), next = [...document.querySelectorAll('.pager button')].at(-1);
      for (;;) {
        document.querySelectorAll('#list .example .id').forEach(e => seen.add(e.textContent));
        if (next.disabled) return [...seen];
        next.click();
      }
    })()""")
    assert sorted(ids) == sorted(reports.view(GOLDEN).stored.board.ids)


def test_filters(browser: Browser, page: Path) -> None:
    browser.open(page)
    counts = browser.ask("[...document.querySelectorAll('.kinds button')].map(b => b.textContent)")
    tally = reports.view(GOLDEN).flip_counts
    assert counts[:4] == ["all 40", f"worse {tally['broken']}", f"better {tally['fixed']}", f"same {tally['same']}"]
    browser.ask("document.querySelectorAll('.kinds button')[1].click()")
    shown = browser.ask("[...document.querySelectorAll('#list .tag')].map(t => t.textContent.split(' ')[0])")
    assert shown == ["worse"] * tally["broken"]
    browser.ask("""(() => { document.querySelectorAll('.kinds button')[0].click();
      const f = document.querySelector('#find'); f.value = 'CHOWDER'; f.dispatchEvent(new Event('input')); })()""")
    titles = browser.ask("[...document.querySelectorAll('#list .title')].map(t => t.textContent)")
    assert titles == ["New England Clam Chowder"]
    browser.ask("""(() => { const s = document.querySelector('#arm-right'); s.value = 'prompt';
      s.dispatchEvent(new Event('change')); document.querySelector('#list summary').click(); })()""")
    heads = browser.ask("[...document.querySelectorAll('#list h3')].map(h => h.textContent.split(' ')[0])")
    assert heads == ["Input", "Target", "few_shot", "prompt"]


def test_by_keyboard(browser: Browser, page: Path) -> None:
    """Tab reaches every control in order, and Enter or Space works each kind."""
    browser.open(page)
    browser.ask("document.body.focus()")
    reached: list[str] = []
    for _ in range(160):
        browser.key("Tab", 9)
        reached.append(
            browser.ask("document.activeElement.id || document.activeElement.textContent.trim().slice(0, 40)")
        )
        if reached[-1] == "save-csv":
            break
    for control in ("Skip to the arms", "against", "term-requests", "find", "arm-left", "save-json", "save-csv"):
        assert control in reached, control
    assert "all 40" in reached
    browser.ask("document.querySelectorAll('.kinds button')[1].focus()")
    browser.key("Enter", 13, "\r")
    assert browser.ask("document.querySelectorAll('.kinds button')[1].getAttribute('aria-pressed')") == "true"
    browser.ask("document.querySelector('#list details:last-of-type summary').focus()")
    browser.key(" ", 32, " ")
    assert browser.ask("document.querySelector('#list details:last-of-type').open")


# What if


def test_what_if_is_what_economics_computes(browser: Browser, tmp_path: Path) -> None:
    run = bent(tmp_path / "run", change=lambda raw: raw["economics"].update(value_per_correct=0.001))
    view = reports.view(run)
    browser.open(written(run, tmp_path))
    stored, alpha = view.stored, view.stored.benchmark.verdict.alpha
    chance = random.Random(7)
    checked: set[str] = set()
    for _ in range(100):
        arm = chance.choice(list(view.ledgers))
        retires = chance.choice([None, None, chance.randrange(1, 900)])
        terms = {
            "requests": 10 ** chance.uniform(1, 8),
            "base": chance.choice([None, 10 ** chance.uniform(-7, -2)]),
            "tuned": chance.choice([None, 10 ** chance.uniform(-7, -2)]),
            "fixed": chance.uniform(-300, 3000),
            "hosting": chance.choice([0.0, chance.uniform(0, 2000)]),
            "months": chance.uniform(1, 48),
            "retrain": chance.choice([None, chance.uniform(0.5, 24)]),
            "value": chance.choice([0.0, 10 ** chance.uniform(-5, 0)]),
        }
        label = chance.choice(["better", "worse", "equivalent", "unclear"])
        call = {"arm": arm, "terms": terms, "daysLeft": retires, "label": label}
        said = browser.ask(
            f"(c => JSON.parse(JSON.stringify(harnessReport.economics.answer("
            f"{{...harnessReport.facts.ledgers[c.arm], label: c.label}}, c.terms, c.daysLeft), "
            f"(k, v) => v === Infinity ? 'inf' : v === -Infinity ? '-inf' : v)))({_js(call)})"
        )
        wanted = expected(view, arm, terms, retires, label, alpha)
        same(said, wanted, str(call))
        checked.add(wanted["answer"])
    assert checked == {"yes", "no", "inconclusive", "depends"}
    assert stored.verdict.candidate == "fine_tuned"


def expected(view: Any, arm: str, t: dict[str, Any], days: int | None, label: Any, alpha: float) -> dict[str, Any]:
    """What economics.py says on these terms, from the examples themselves."""
    stored = view.stored
    board, candidate = stored.board, stored.verdict.candidate
    d = board.oriented(candidate, stored.primary) - board.oriented(arm, stored.primary)
    base, tuned = (
        np.asarray(board.usd[a]) * (1.0 if t[key] is None else t[key] / float(np.mean(board.usd[a])))
        for a, key in ((arm, "base"), (candidate, "tuned"))
    )
    found = economics.ledger(d, base, tuned, board.clusters)
    retires = None if days is None else stored.day + timedelta(days=days)
    lived = economics.life(t["months"], stored.day, retires, t["retrain"])
    terms = economics.Terms(t["fixed"], t["hosting"], t["requests"], lived.months, t["value"])
    saved = economics.saving(found, alpha)
    net = economics.net_benefit(found, terms, alpha)
    after = combine(found, (0.0, 1.0, -1.0), -terms.overhead, alpha)
    quadrant = economics.quadrant(label, found.mean[0], after)
    answer = net.answer if terms.value else quadrant.answer
    bound: Any = {"yes": "low", "no": "high"}.get(answer, "mean")
    at, paid, even = (
        economics.flips(found, terms, bound, alpha),
        economics.payback(saved, terms),
        economics.break_even(saved, terms),
    )
    return {
        "answer": answer,
        "life": {"months": lived.months, "ends": lived.ends},
        "total": terms.total,
        "overhead": terms.overhead,
        "saved": {"mean": saved.mean, "low": saved.low, "high": saved.high},
        "after": {"mean": after.mean, "low": after.low, "high": after.high},
        "net": {"mean": net.per_task, "low": net.low, "high": net.high},
        "quadrant": {"name": quadrant.name, "answer": quadrant.answer, "rate": quadrant.usd_per_correct},
        "breakEven": {"kind": even.kind, "requests": even.requests, "low": even.low, "high": even.high},
        "payback": {"months": paid.months, "low": paid.low, "high": paid.high, "answer": paid.answer},
        "hostingFirst": economics.hosting_first(saved.mean, terms.hosting),
        "flips": {"requests": at.requests, "price": at.price, "usd": at.usd, "score": at.score, "value": at.value},
    }


def same(said: Any, wanted: Any, where: str) -> None:
    """Equal to nine digits, infinities and nothings too."""
    if isinstance(wanted, dict):
        assert set(said) == set(wanted), where
        for key, value in wanted.items():
            same(said[key], value, f"{key} of {where}")
    elif isinstance(wanted, float) and math.isinf(wanted):
        assert said == ("inf" if wanted > 0 else "-inf"), where
    elif isinstance(wanted, float):
        assert said == pytest.approx(wanted, rel=1e-6, abs=1e-12), where
    else:
        assert said == wanted, where


def _js(value: Any) -> str:
    from harness.report.text import script_json

    return script_json(value)


def test_what_if_starts_as_stated_and_keeps_its_state(browser: Browser, page: Path) -> None:
    view = reports.view(GOLDEN)
    assert isinstance(view.worth, money.Worth)
    browser.open(page)
    assert browser.ask("document.querySelector('#outcome .said').textContent") == view.worth.sentence
    browser.ask("""(() => { const box = document.querySelector('#term-requests'); box.value = 5e6;
      box.dispatchEvent(new Event('input')); })()""")
    moved = browser.ask("document.querySelector('#outcome .said').textContent")
    assert moved != view.worth.sentence
    assert "5 million requests a month" in moved
    address = browser.ask("location.href")
    assert address.endswith("#requests=5000000")
    browser.open(address)
    assert browser.ask("document.querySelector('#outcome .said').textContent") == moved
    browser.ask("[...document.querySelectorAll('#terms button')].at(-1).click()")
    assert browser.ask("document.querySelector('#outcome .said').textContent") == view.worth.sentence
    assert "=" not in browser.ask("location.hash")


def test_what_is_not_known_costs_not_nothing(browser: Browser, tmp_path: Path) -> None:
    def unpriced(raw: Any) -> None:
        del raw["economics"]["local_usd_per_hour"], raw["economics"]["requests_per_month"]

    run = bent(tmp_path / "run", change=unpriced)
    browser.open(written(run, tmp_path))
    lacking, shown = (
        "document.querySelector('#outcome')",
        "document.querySelector('#what-if .stated').checkVisibility()",
    )
    said = browser.ask(f"{lacking}.textContent")
    assert said.startswith("Not known: requests a month")
    assert "Fill in the empty boxes" in said
    assert "$0" not in browser.ask("document.querySelector('#what-if').textContent")
    assert browser.ask(shown)
    browser.ask("""document.querySelectorAll('#terms input[type=number]').forEach(box => {
      if (box.value === '') { box.value = 3; box.dispatchEvent(new Event('input')); } })""")
    assert "at 3 requests a month" in browser.ask(f"{lacking}.textContent")
    assert not browser.ask(shown)


# Hostile text


def test_hostile_text_runs_nothing(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    view = reports.hostile_view(GOLDEN)
    path.write_text(html.page(view), encoding="utf-8")
    for width in (1280, 390):
        browser.open(path, width=width)
        browser.ask("""(() => { const next = [...document.querySelectorAll('.pager button')].at(-1);
          for (;;) {
            document.querySelectorAll('#list details').forEach(d => { d.open = true; });
            if (next.disabled) break;
            next.click();
          } })()""")
        browser.ask("new Promise(done => setTimeout(done, 300))")
        assert browser.ask("typeof window.pwned") == "undefined"
        assert browser.requests() == []
        assert browser.complaints() == []
        assert browser.ask("document.documentElement.scrollWidth") <= width
        assert browser.ask("document.querySelectorAll('script').length") == 3
    given = {a: [view.stored.text_of(a, i)[0] for i in view.stored.board.ids] for a in view.stored.board.arms}
    escaped = browser.ask(
        "JSON.stringify(Object.fromEntries(harnessReport.data.arms.map(a => [a, harnessReport.data.answers[a].text])))"
    )
    import json

    assert json.loads(escaped) == given


def test_csv_in_the_page_starts_no_formula(browser: Browser, tmp_path: Path) -> None:
    import csv
    import io

    path = tmp_path / "report.html"
    path.write_text(html.page(reports.hostile_view(GOLDEN)), encoding="utf-8")
    browser.open(path)
    rows = list(csv.reader(io.StringIO(browser.ask("harnessReport.csv(harnessReport.data)"), newline="")))
    assert len(rows) == 1 + 120
    for row in rows[1:]:
        for cell in row[:2] + row[3:6]:
            assert not cell.lstrip(" ").startswith(("=", "+", "-", "@", "\t", "\r", "\n", "|", "%"))
            assert "\0" not in cell


@pytest.mark.slow
def test_a_large_run_opens(browser: Browser, tmp_path: Path) -> None:
    """10,000 examples: the page opens and its filters answer (how fast is measured in benchmarks/speed)."""
    page = written(bent(tmp_path / "run", times=250), tmp_path)
    started = time.monotonic()
    browser.open(page)
    assert browser.ask("document.querySelector('.kinds button').textContent") == "all 10,000"
    taken = browser.ask("""(() => { const t = performance.now(); document.querySelectorAll('.kinds button')[1].click();
      document.querySelector('#list').offsetHeight; return performance.now() - t; })()""")
    print(f"open {time.monotonic() - started:.2f} s, filter {taken:.0f} ms")


@pytest.mark.parametrize("arms", [("prompt", "few_shot"), ("fine_tuned",)], ids=["no fine-tune", "one arm"])
def test_awkward_runs_run_too(browser: Browser, tmp_path: Path, arms: tuple[str, ...]) -> None:
    browser.open(written(bent(tmp_path / "run", arms=arms), tmp_path))
    assert browser.complaints() == []
    assert browser.ask("document.querySelectorAll('#list .example').length") == 20
