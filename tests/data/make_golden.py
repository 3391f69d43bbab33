"""Makes `golden_run/` anew: a scripted model on 40 recipes through the real pipeline, then seconds and machine pinned.

    python tests/data/make_golden.py

Run it when the wire types change, look at the difference, and commit it. The summary beside the run is the report's
golden text.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT))

BENCHMARK = """\
version: 1
question: Does the scripted fine-tune beat prompting at naming generic ingredients?
model: scripted/fake.py:answer
task:
  data: data
  input: "Title: {{ title }}\\n\\nIngredients:\\n{{ ingredients }}"
  target: "{{ generic }}"
  answer: {format: list, singular: true}
arms:
  prompt:     {technique: prompt, system: [Name the ingredients., List them plainly.]}
  few_shot:   {technique: few_shot, extends: prompt, k: [2, 4]}
  fine_tuned: {technique: fine_tune, tuner: existing, served: "scripted/fake.py:tuned", system: Names.}
metrics:
  accuracy: {scorer: set_f1, primary: true}
  exact:    {scorer: exact_set}
  invented: {scorer: unsupported_items}
use_case: {improve: names plain ingredients, because: the base copies quantities}
verdict: {min_effect: 0.02, expect: 0.07}
economics: {local_usd_per_hour: 0.2, requests_per_month: 200000, effort_hours: 2, usd_per_hour: 60,
            labelling_usd_per_row: 0.8}
"""

FAKE = '''\
"""Knows the labels and loses some of them: the tuned one fewer, shots help, now and then it says no list at all."""
import json
import random
from pathlib import Path

ROWS = {}
for file in sorted((Path(__file__).parent / "data").glob("*.jsonl")):
    for line in file.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        ROWS[row["title"]] = row


def said(request, keep):
    user = [m for m in request.messages if m.role == "user"][-1].content
    row = ROWS[user.splitlines()[0].removeprefix("Title: ")]
    chance = random.Random(user + str(keep))
    if chance.random() < 0.2 - 0.2 * keep:
        return 'Here is what I found: {"items": ['
    names = [n if chance.random() < keep else chance.choice(row["ingredients"]) for n in row["generic"]]
    return json.dumps(names, ensure_ascii=False)


def answer(request):
    return said(request, 0.35 if len(request.messages) < 4 else 0.6)


def tuned(request):
    return said(request, 0.9)
'''


def project(folder: Path) -> Path:
    """The benchmark, its fake model and the first rows of the recipes, in a folder."""
    (folder / "data").mkdir(parents=True)
    (folder / "pyproject.toml").write_text("[project]\nname = 'golden'\n")
    for split, rows in (("train", 24), ("dev", 12), ("test", 40)):
        lines = (ROOT / "datasets" / "recipes" / f"{split}.jsonl").read_text("utf-8").splitlines(keepends=True)
        (folder / "data" / f"{split}.jsonl").write_text("".join(lines[:rows]), encoding="utf-8")
    (folder / "golden.yaml").write_text(BENCHMARK)
    (folder / "fake.py").write_text(FAKE)
    return folder / "golden.yaml"


def main() -> None:
    """Run, pin what differs from machine to machine, store."""
    import msgspec

    from harness import pipeline, report, specfile
    from harness.records import encode
    from harness.store import RunDirectory

    with tempfile.TemporaryDirectory() as temporary:
        located = specfile.read(project(Path(temporary)))
        result = asyncio.run(pipeline.run_benchmark(located))
        into = HERE / "golden_run"
        shutil.rmtree(into, ignore_errors=True)
        wanted = ("*.json", "fits/*.json", "*.jsonl")
        for file in sorted(f for pattern in wanted for f in result.directory.path.glob(pattern)):
            target = into / file.relative_to(result.directory.path)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, target)
    directory = RunDirectory(into)
    trials = sorted(directory.read_trials(), key=lambda t: t.key)
    directory.trials.write_bytes(b"".join(encode(_timed(t)) + b"\n" for t in trials))
    scores = sorted(directory.read_scores(), key=lambda s: (s.metric, s.arm, s.example))
    directory.scores.write_bytes(b"".join(encode(s) + b"\n" for s in scores))
    manifest = msgspec.structs.replace(
        result.manifest, run="2026-11-20-golden", created="2026-11-20", finished="2026-11-20T12:00:00Z",
        command="harness run golden.yaml", machine={"processors": 2}, versions={"harness-evals": "0.1.0"},
        actual={"seconds": 12.0},
    )  # fmt: skip
    directory.save("manifest.json", manifest)
    made = report.write(directory, located.benchmark, result.verdict, manifest)
    (into / "report.html").unlink()
    shutil.rmtree(into / "tables", ignore_errors=True)
    print(json.dumps(made.answer.sentence))


def _timed(trial):  # type: ignore[no-untyped-def]
    """The engine's seconds, made of the tokens: a scripted model has none, and the report needs some."""
    import msgspec

    def paced(outcome):  # type: ignore[no-untyped-def]
        if outcome is None:
            return None
        spent = round(outcome.usage.input * 0.0004 + outcome.usage.output * 0.004, 6)
        return msgspec.structs.replace(outcome, compute_seconds=spent, seconds=round(10 * spent, 3))

    return msgspec.structs.replace(trial, completion=paced(trial.completion), failure=paced(trial.failure))


if __name__ == "__main__":
    main()
