"""Runs to report on: the golden one, the same bent into awkward shapes, and one of nothing but hostile text."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from harness import choice, forgetting, learning, reading, report
from harness.estimate import RunEstimate
from harness.extras import ExtraEstimate
from harness.hygiene import Finding
from harness.models.base import Completion, Failure, Missing
from harness.records import CurvePoint, Fit, Forgetting, LearningCurve, SeedRun, SeedRuns, Trial, encode
from harness.report.view import View, build
from harness.spec import Benchmark
from harness.store import RunDirectory
from harness.taskset import Example
from harness.techniques.base import Scored
from harness.verdict import Verdict

GOLDEN = Path(__file__).parent / "data" / "golden_run"


def opened(path: Path) -> tuple[RunDirectory, Benchmark, Verdict, Any]:
    """A stored run as `report.write` takes it."""
    directory = RunDirectory(path)
    benchmark = Benchmark.model_validate_json(directory.file("benchmark.json").read_bytes())
    verdict, manifest = directory.load("verdict.json", Verdict), directory.manifest()
    assert verdict is not None
    assert manifest is not None
    return directory, benchmark, verdict, manifest


def view(path: Path) -> View:
    """The view of a stored run."""
    directory, benchmark, verdict, manifest = opened(path)
    return report.view_of(directory, benchmark, verdict, manifest)


def bent(
    into: Path,
    *,
    arms: tuple[str, ...] | None = None,
    examples: int | None = None,
    times: int = 1,
    twins: dict[str, str] | None = None,
    change: Callable[[dict[str, Any]], None] = lambda benchmark: None,
    outcome: Callable[[Trial], Trial] = lambda trial: trial,
    example: Callable[[Example], Example] = lambda example: example,
) -> Path:
    """The golden run with fewer arms or examples, each example many times, another benchmark or other answers.

    `twins` are further arms that answer as another one does, by name.
    """
    shutil.copytree(GOLDEN, into)
    directory = RunDirectory(into)
    raw = directory.load("benchmark.json", dict[str, Any])
    assert raw is not None
    names = arms or tuple(raw["arms"])
    raw["arms"] = {n: raw["arms"][n] for n in names}
    for twin, of in (twins or {}).items():
        raw["arms"][twin] = raw["arms"][of] | {"extends": None}
        directory.save(f"fits/{twin}.json", msgspec.structs.replace(directory.fit(of) or Fit(of, "", "", {}), arm=twin))
    change(raw)
    directory.save("benchmark.json", raw)
    benchmark = Benchmark.model_validate(raw)
    rows = (directory.load("examples.json", tuple[Example, ...]) or ())[:examples]
    copies = [msgspec.structs.replace(example(e), id=_copy(e.id, i)) for i in range(times) for e in rows]
    directory.save("examples.json", tuple(copies))
    kept = {e.id for e in rows}
    trials = [t for t in directory.read_trials() if t.arm in names and t.example in kept]
    scores = [s for s in directory.read_scores() if s.arm in names and s.example in kept]
    for twin, of in (twins or {}).items():
        trials += [msgspec.structs.replace(t, arm=twin) for t in trials if t.arm == of]
        scores += [msgspec.structs.replace(s, arm=twin) for s in scores if s.arm == of]
    changed = {t.key: outcome(t) for t in trials}
    with directory.trials.open("wb") as file:
        for i in range(times):
            for t in changed.values():
                file.write(encode(msgspec.structs.replace(t, example=_copy(t.example, i))) + b"\n")
    with directory.scores.open("wb") as file:
        for i in range(times):
            for s in scores:
                t = changed[s.arm, s.example, s.repeat]
                if t.missing is None:
                    value = 0.0 if t.failure and s.metric != "invented" else s.value
                    file.write(encode(msgspec.structs.replace(s, example=_copy(s.example, i), value=value)) + b"\n")
    fits: dict[str, Fit] = {n: f for n in raw["arms"] if (f := directory.fit(n)) is not None}
    frozen = choice.frozen_choice(benchmark, fits)
    directory.save("frozen.json", frozen)
    directory.save("verdict.json", reading.decide(directory, reading.board_of(directory, benchmark), benchmark, frozen))
    return into


def _copy(id: str, i: int) -> str:
    return f"{id}-{i}" if i else id


def failing(trial: Trial) -> Trial:
    """The same trial, failed."""
    done = trial.completion
    if done is None:
        return trial
    return Trial.of(trial.arm, trial.example, 0, Failure("answer", "unparseable", "no list", done.text, done.usage))


def gone(trial: Trial) -> Trial:
    """The same trial, missing."""
    return Trial.of(trial.arm, trial.example, 0, Missing("outage", "no answer"))


SEEDS = (
    "<script>window.pwned=1</script>", "<img src=x onerror=window.pwned=1>", "<svg onload=window.pwned=1>",
    "</script><script>window.pwned=1</script>", "<!--<script>", "]]></style><style>*{display:none}</style>",
    "{{ 7*7 }}{% raw %}${7*7}", "javascript:window.pwned=1", '" onmouseover="window.pwned=1',
    "' autofocus onfocus='window.pwned=1", '=HYPERLINK("http://evil.example",1)', "+1+cmd|' /C calc'!A0", "-2+3",
    "@SUM(1)", "\t=1+1", "\r=1+1", "\u202eevil\u202c", "\u2066a\u2069\u200f", "a\0b", "\ud800 lone", "\udfff",
    "\ud83d", "line\u2028break\u2029", "\x1b[31mred\x07", "日本語のテキスト、レシピ", "한국어 텍스트",
    "نص عربي من اليمين إلى اليسار", "עברית ימין לשמאל", "e\u0301\u0323" * 40, "👩‍🍳🍋🏽", "a" * 4000, "word " * 3000,
    "<b>" * 500, "&lt;script&gt;", "&#x3c;script&#x3e;", "\\u003cscript\\u003e", "`${1}`", "[x](javascript:1)",
    "![x](http://evil.example/x.png)", "| a | b |", "<iframe src=//evil.example>",
    "<link rel=stylesheet href=//evil.example>", "<meta http-equiv=refresh content=0;url=//evil.example>",
    "<base href=//evil.example>", "<form action=//evil.example>", "<a href=//evil.example ping=//evil.example>x</a>",
    "<details open ontoggle=window.pwned=1>", "\ufeffbom", "\U000e0041tag", "",
    "<math><mtext><table><mglyph><style><img src=x onerror=window.pwned=1>", "<plaintext>", "</textarea><xmp>",
    "<template><script>window.pwned=1</script>", '<noscript><p title="</noscript><img src=x onerror=window.pwned=1>">',
    '" style="background:url(//evil.example/x)', "<style>@import url(//evil.example/x)</style>",
    "<object data=//evil.example>", "#{7*7}<%= 7*7 %>{{constructor.constructor('window.pwned=1')()}}", "__proto__",
    "constructor", "[red]bold[/red][link=x]y[/link]", "%0A%0D%00", "\x9b31m", "\u3164\u115f\u180e", "\u0301" * 500,
    "\x1b]8;;http://evil.example\x07click\x1b]8;;\x07\x1b[2J", "\ufdfd" * 60, "z\u0321\u0334\u0310\u0300" * 300,
    "```\n# heading\n---\n1. x", "@everyone #1 GH-1 www.evil.example", "https://evil.example/?x=" + "y" * 3000,
    "$$x$$ \\(x\\) <a id=facts name=data>",
)  # fmt: skip


WORLDLY = (
    ("日本語の味噌汁", "味噌\n豆腐\nわかめ\nだし汁 400ml", ("味噌", "豆腐", "わかめ", "だし"), '["味噌", "豆腐"]'),
    ("宫保鸡丁", "鸡胸肉 300克\n花生米\n干辣椒", ("鸡肉", "花生", "辣椒"), '["鸡胸肉", "花生米", "辣椒", "300克"]'),
    ("한국어 김치찌개", "김치 200g\n두부 반 모", ("김치", "돼지고기", "두부"), '["김치찌개", "고기", "두부"]'),
    ("حمص بالطحينة", "كوب حمص\nعصير ليمون (2)", ("حمص", "طحينة", "ليمون"), '["حُمُّص", "زيت", "عصير ليمون"]'),
    ("שקשוקה ביתית", "4 ביצים\nפלפל אדום", ("ביצים", "עגבניות", "פלפל"), '["בֵּיצִים", "פלפל אדום (2)"]'),
    ("ต้มยำกุ้ง", "กุ้งสด 200 กรัม\nข่า", ("กุ้ง", "ข่า", "ตะไคร้"), '["กุ้งสด", "ข่า", "น้ำปลา"]'),
    ("दाल तड़का", "१ कप दाल\nजीरा", ("दाल", "जीरा", "हल्दी"), '["दालें", "जीरा"]'),
    ("Emoji 👩‍🍳 🍋🏽", "🍋 lemon\n🇨🇭", ("🍋", "🧂", "👨‍👩‍👧‍👦"), '["🍋🏽", "🧂", "👩‍🍳", "🇨🇭", "❤️"]'),
    (
        "Cafe\u0301 z\u0337\u0321\u034f",
        "e" + "\u0301\u0323\u0489" * 30,
        ("cafe\u0301",),
        '["caf\u00e9", "a\u0308b-c\u0327\'s"]',
    ),
)


def worldly(into: Path) -> Path:
    """The golden run in nine scripts: title, input, target, and what all arms but the fine-tune answer."""

    def taken(id: str) -> tuple[str, str, tuple[str, ...], str]:
        return WORLDLY[int("".join(c for c in id if c.isdigit())) % len(WORLDLY)]

    def example(given: Example) -> Example:
        title, lines, target, _ = taken(given.id)
        return msgspec.structs.replace(given, input={"title": title, "ingredients": lines}, target=target)

    def outcome(trial: Trial) -> Trial:
        _, _, target, answer = taken(trial.example)
        if trial.completion is None:
            return trial
        text = json.dumps(target, ensure_ascii=False) if trial.arm == "fine_tuned" else answer
        return Trial.of(trial.arm, trial.example, 0, msgspec.structs.replace(trial.completion, text=text))

    return bent(into, example=example, outcome=outcome)


def hostile() -> list[str]:
    """300 hostile strings: each seed alone; some twice, among words, in a list, on two lines, after closing tags."""
    wraps = ("{0}{0}", "flour, {} and eggs", '["{}"]', "{}\n{}", "</pre></td>{}")
    made = [w.replace("{0}", s).replace("{}", s) for w in wraps for s in SEEDS]
    return [*SEEDS, *random.Random(3).sample(made, 299 - len(SEEDS)), "x" * 1_000_000]


def hostile_view(path: Path) -> View:
    """The golden run with hostile text in answers, inputs, targets, ids, names, notes and the benchmark's words."""
    texts = hostile()
    directory, benchmark, verdict, manifest = opened(path)
    stored = report.view_of(directory, benchmark, verdict, manifest).stored
    board = stored.board
    take = iter(range(10**9))

    def text() -> str:
        return texts[next(take) % len(texts)]

    ids = {e.id: f"{i}:{texts[i]}" for i, e in enumerate(stored.examples)}
    examples = tuple(
        msgspec.structs.replace(
            e, id=ids[e.id], input={"title": text(), "ingredients": text()}, target=(text(), text()), cluster=None
        )
        for e in stored.examples
    )
    trials = {
        (arm, ids[id]): [
            Trial.of(arm, ids[id], 0, Completion(text(), shots=(text(),), passages=(text(),))) for _ in found
        ]
        for (arm, id), found in stored.trials.items()
    }
    odd = {
        a: tuple(msgspec.structs.replace(t, config={"k": 2, text(): text()}) for t in f.trials)
        for a, f in stored.fits.items()
    }
    fits = {a: msgspec.structs.replace(f, model=text(), trials=odd[a]) for a, f in stored.fits.items()}
    words = benchmark.model_copy(
        update={
            "question": "Is it? " + "".join(texts[:12]),
            "use_case": benchmark.use_case.model_copy(update={"improve": texts[0] + texts[3], "because": texts[1]})
            if benchmark.use_case
            else None,
        }
    )
    said = msgspec.structs.replace(
        manifest,
        notes=tuple(texts[:40]),
        benchmark=texts[2] + texts[9],
        run=texts[3],
        command=texts[1],
        machine={texts[0]: texts[1]},
    )
    board = replace(board, ids=tuple(ids[i] for i in board.ids))
    return build(
        replace(stored, benchmark=words, manifest=said, board=board, examples=examples, trials=trials, fits=fits)
    )


def measured(into: Path, change: Callable[[dict[str, Any]], None] = lambda benchmark: None, **how: Any) -> Path:
    """The golden run with all that a run may measure beside its arms: rows, seeds, second domain, leaks, guardrails."""

    def guarded(raw: dict[str, Any]) -> None:
        raw["metrics"]["exact"] |= {"guardrail": True, "margin": 0.03}
        change(raw)

    bent(into, change=guarded, **how)
    directory = RunDirectory(into)
    rows = directory.load("examples.json", tuple[Example, ...]) or ()
    ids, n, arm = tuple(e.id for e in rows), len(rows), "fine_tuned"
    chance = random.Random(5)

    def values(mean: float) -> tuple[float, ...]:
        return tuple(round(min(1.0, max(0.0, chance.gauss(mean, 0.15))), 3) for _ in range(n))

    sizes, seeds = (30, 60, 120, 240), (20, 21)
    points = tuple(
        CurvePoint(s, seed, values(0.9 - 3 / s**0.7 + 0.01 * (seed - 20)), 2, "", 90 * s, 1.6 * s, 8e-5 * s)
        for s in sizes
        for seed in seeds
    )
    curve = LearningCurve(arm, "accuracy", "dev", sizes, seeds, ids, points)
    directory.save(f"learning/{arm}.json", learning.fitted(curve, [None] * n))
    runs = tuple(SeedRun(s, values(0.84 + 0.01 * (s - 20)), 1, 0.8, "", "", 21600, 380.0, 0.02) for s in (21, 22))
    directory.save(f"seeds/{arm}.json", SeedRuns(arm, "accuracy", ids, 20, runs))
    base = tuple(float(chance.random() < 0.5) for _ in range(190))
    tuned = tuple(b if chance.random() < 0.9 else 1 - b for b in base)
    asked = tuple(f"e{i}" for i in range(190))
    found = Forgetting("everyday", "contains", 0.03, "", asked, "scripted/fake.py:answer", base, sum(base) / 190)
    found = msgspec.structs.replace(found, arms=(forgetting.kept(arm, "m", Scored(tuned), found),))
    directory.save("forgetting.json", found)
    where = ("test.jsonl:3", "train.jsonl:7")
    leak = Finding("similar", "review", (ids[0], "r"), where, 0.61, "a test row resembles a train row")
    directory.save("hygiene.json", (leak,))
    directory.save("agreement.json", {"n": 60, "mean": 0.94, "low": 0.9, "high": 0.97})
    guessed = (
        ExtraEstimate(f"learning curve of {arm}", 8, 8 * n, (300.0, 900.0), (0.01, 0.05)),
        ExtraEstimate(f"training seeds of {arm}", 2, 4 * n, None, None),
        ExtraEstimate("forgetting", 0, 380, (20.0, 60.0), (0.0, 0.0)),
    )
    directory.save("estimate.json", RunEstimate((), (600.0, 1800.0), (0.02, 0.1), guessed))
    raw = directory.load("benchmark.json", dict[str, Any])
    benchmark, frozen = Benchmark.model_validate(raw), directory.frozen()
    assert frozen is not None
    board = reading.board_of(directory, benchmark)
    directory.save("verdict.json", reading.decide(directory, board, benchmark, frozen, 2))
    return into
