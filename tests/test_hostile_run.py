"""A whole run in which every text is hostile: answers, inputs, targets, ids, prompts, the YAML's words, file names.

It goes the real way, from files through the scripted model to the written page, its tables and its JSON.
"""

from __future__ import annotations

import asyncio
import base64
import csv
import io
import json
import re
import zlib
from pathlib import Path
from typing import Any

import pytest

from harness import pipeline, reading, specfile
from harness.answer import Answer
from harness.models import reply
from harness.models.base import Message, Request
from harness.report import html, markdown, tables, view_of
from harness.store import RunDirectory
from tests.chromium import Browser
from tests.reports import SEEDS, hostile

NAME = "a<svg onload=window.pwned=1>&'{{7*7}}=1+1"
MODEL = "f<img src=x onerror=window.pwned=1>.py"
LONELY = re.compile("[\0\ud800-\udfff]")

FAKE = '''\
"""Says what is hostile, raw or in the answer's format."""
import json
from pathlib import Path

TEXTS = json.loads((Path(__file__).parent / "texts.json").read_text())


def _said(request, shift):
    number = int(request.messages[-1].content.split("#")[1].split()[0])
    text = TEXTS[(number + shift) % len(TEXTS)]
    if number % 3 == 0:
        return text
    return json.dumps([text, "salt"], ensure_ascii=number % 3 == 1)


def answer(request):
    return _said(request, 0)


def tuned(request):
    return _said(request, 7)
'''


def held(texts: list[str]) -> list[str]:
    """What a data file may hold: no NUL, no half characters (rows with those are refused when read)."""
    return [LONELY.sub("\ufffd", t) for t in texts]


def row(i: int, text: str) -> dict[str, Any]:
    """A row; an id is at most 200 printable characters, and no item of a target is empty."""
    id = "".join(c for c in text if c.isprintable())[:150]
    return {
        "id": f"{i}{id}",
        "title": f"#{i} {text}",
        "lines": [text, f"row {i}"],
        "generic": [text[:500].strip() or "water", "salt"],
    }


def project(folder: Path, n: int) -> Path:
    """The benchmark and its files, under hostile names."""
    texts = hostile()
    data = folder / "data\u202e.lnosj"
    data.mkdir(parents=True)
    (folder / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    (folder / MODEL).write_text(FAKE)
    (folder / "texts.json").write_text(json.dumps(texts))
    rows = [row(i, t) for i, t in enumerate(held(texts))]
    for split, part in (("train", rows[-12:-6]), ("dev", rows[-6:]), ("test", rows[:n])):
        lines = "".join(json.dumps(r) + "\n" for r in part)
        (data / f"{split}.jsonl").write_text(lines, encoding="utf-8")
    words = [re.sub("[\0-\x08\x0b-\x1f\x7f-\x9f\ufeff\ufffe\uffff]", "", t) for t in held(list(SEEDS))]
    benchmark = {
        "version": 1,
        "question": "Is it? " + "".join(words[:14]),
        "model": f"scripted/{MODEL}:answer",
        "task": {
            "data": data.name,
            "input": "{{ title }}\n{{ lines }}",
            "target": "{{ generic }}",
            "answer": {"format": "list"},
        },
        "arms": {
            "prompt": {"technique": "prompt", "system": [words[0] + words[3], words[10] + words[16]]},
            "few_shot": {"technique": "few_shot", "extends": "prompt", "k": [1, 2]},
            "tuned": {
                "technique": "fine_tune",
                "tuner": "existing",
                "served": f"scripted/{MODEL}:tuned",
                "system": words[5],
            },
        },
        "metrics": {"accuracy": {"scorer": "set_f1", "primary": True}, "invented": {"scorer": "unsupported_items"}},
        "use_case": {"improve": words[1] + words[6], "because": words[2] + words[10]},
        "economics": {"local_usd_per_hour": 0.2, "requests_per_month": 1000},
        "run": {"allow_near_duplicates": True, "max_tokens": 100000},
    }
    path = folder / f"{NAME}.yaml"
    path.write_text(json.dumps(benchmark, ensure_ascii=False), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """The finished run."""
    path = project(tmp_path_factory.mktemp("hostile"), len(hostile()) - 12)
    result = asyncio.run(pipeline.run_benchmark(specfile.read(path)))
    return result.directory


def data_of(source: str) -> dict[str, Any]:
    packed = re.search(r'id="data">([^<]*)</script>', source)
    assert packed
    return json.loads(zlib.decompress(base64.b64decode(packed[1]), -15))


def test_answers_round_trip_through_the_page(run: RunDirectory) -> None:
    source = run.file("report.html").read_text("utf-8")
    data = data_of(source)
    trials = {(t.arm, t.example): t.completion or t.failure for t in run.read_trials()}
    assert len(trials) == 3 * len(data["ids"]) == 3 * 288
    for arm in data["arms"]:
        for id, text in zip(data["ids"], data["answers"][arm]["text"], strict=True):
            given = trials[arm, id]
            assert given
            assert text == given.text
    assert any("\u202e" in text for text in data["answers"]["prompt"]["text"])
    assert any("\0" in text for text in data["answers"]["prompt"]["text"])
    assert max(map(len, data["targets"])) > 400
    assert NAME in run.path.parent.name
    assert len(source) < 9_000_000


def test_the_tables_hold_it(run: RunDirectory) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    for name in ("answers", "examples", "arms", "comparisons"):
        assert parquet.read_table(run.file("tables") / f"{name}.parquet").num_rows
    texts = parquet.read_table(run.file("tables") / "answers.parquet")["text"].to_pylist()
    assert not any("\0" in t for t in texts if t)
    assert texts == tables.rows(run)["text"]


def test_the_summary_and_the_csv_are_harmless(run: RunDirectory) -> None:
    result = reading.read(run)
    view = view_of(run, reading.benchmark_of(run), result.verdict, result.manifest)
    made = markdown.summary(view)
    assert "<script" not in made.replace("\\<", "")
    assert "<svg" not in made.replace("\\<", "")
    rows = list(csv.reader(io.StringIO(html.arms_csv(view))))
    assert len({len(r) for r in rows}) == 1


def test_an_answer_that_was_cut_in_a_character_is_an_answer() -> None:
    """Servers that count in UTF-16 cut emoji in half; JSON says so by an escape that UTF-8 cannot hold."""
    body = b'{"choices": [{"message": {"content": "[\\"salt \\ud83d"}, "finish_reason": "length"}], "model": "m"}'
    done = reply.read(
        body, "application/json", Request(messages=(Message("user", "x"),), max_tokens=9), lambda text: text
    )
    assert (done.text, done.finish) == ('["salt \ufffd', "length")
    assert Answer("list").read('["\\ud83d", "a\\udfff"]') == ("\ufffd", "a\ufffd")


def test_nothing_of_it_runs(browser: Browser, run: RunDirectory) -> None:
    for width in (1280, 390):
        browser.open(run.file("report.html"), width=width)
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
    saved = list(csv.reader(io.StringIO(browser.ask("harnessReport.csv(harnessReport.data)"), newline="")))
    assert len(saved) == 1 + 3 * 288
    for line in saved[1:]:
        for cell in line[:2] + line[3:6]:
            assert not cell.lstrip(" ").startswith(("=", "+", "-", "@", "\t", "\r", "\n", "|", "%"))
