"""The whole path on the scripted model: fit, freeze, test, score, decide; killed, resumed, read again."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness import choice, estimate, pipeline, reading, specfile
from harness.errors import DataError
from harness.models.cached import Cached
from harness.reading import Result
from harness.records import DevTrial, Fit
from harness.store import RunDirectory
from harness.tuners.base import Checkpoint, Estimate, Finding, Report, Tuned, TuneJob
from harness.workbench import Workbench


def run(project: Path) -> Result:
    return asyncio.run(pipeline.run_benchmark(specfile.read(project / "bench.yaml")))


def edit(project: Path, before: str, after: str) -> None:
    file = project / "bench.yaml"
    text = file.read_text()
    assert before in text
    file.write_text(text.replace(before, after))


def test_every_arm_is_run_on_every_test_row_and_the_verdict_is_about_the_frozen_baseline(project: Path) -> None:
    result = run(project)
    trials = list(result.directory.read_trials())
    assert len(trials) == 4 * 8
    assert {t.arm for t in trials} == {"rule", "prompt", "few_shot", "tuned"}
    frozen = result.directory.frozen()
    assert frozen is not None
    assert frozen.rule == "auto"
    assert frozen.candidates == ("tuned",)
    dev = {a: result.directory.fit(a).dev_score for a in ("rule", "prompt", "few_shot")}  # type: ignore[union-attr]
    assert dev[frozen.baseline] == max(dev.values())
    assert result.verdict.candidate == "tuned"
    assert result.verdict.comparison is not None
    assert result.verdict.comparison.n_pairs == 8
    assert (result.directory.path / "report.html").read_text().count("<html") == 1


def test_an_unreadable_answer_scores_zero_stays_in_the_denominator_and_is_billed(project: Path) -> None:
    board = reading.board_of((r := run(project)).directory, reading.benchmark_of(r.directory))
    slaw = board.ids.index("r10")
    assert board.failed["prompt"][slaw]
    assert board.values["prompt", "accuracy"][slaw] == 0.0
    assert board.values["prompt", "invented"][slaw] == 1.0
    assert board.efforts["prompt"].failures == {"unparseable": 1}
    assert board.efforts["prompt"].n == 8


def test_a_finished_run_is_only_read(project: Path) -> None:
    first = run(project)
    (project / "fake.py").touch()
    files = {p: p.read_bytes() for p in first.directory.path.rglob("*") if p.is_file()}
    second = run(project)
    assert first.fresh
    assert not second.fresh
    assert second.directory.path == first.directory.path
    assert {p: p.read_bytes() for p in second.directory.path.rglob("*") if p.is_file()} == files


def test_the_same_stored_trials_give_the_same_verdict_whatever_their_order(project: Path) -> None:
    result = run(project)
    before = (result.directory.path / "verdict.json").read_bytes()
    page = (result.directory.path / "report.html").read_bytes()
    for name in ("trials.jsonl", "scores.jsonl"):
        lines = (result.directory.path / name).read_bytes().splitlines(keepends=True)
        random.Random(1).shuffle(lines)
        (result.directory.path / name).write_bytes(b"".join(lines))
    again = reading.rewrite(RunDirectory(result.directory.path))
    assert (result.directory.path / "verdict.json").read_bytes() == before
    assert (result.directory.path / "report.html").read_bytes() == page
    assert again.verdict == result.verdict


def test_a_solver_never_sees_a_target(project: Path) -> None:
    (project / "rule.py").write_text("def extract(columns):\n    return sorted(columns)\n")
    result = run(project)
    texts = {t.completion.text for t in result.directory.read_trials() if t.arm == "rule" and t.completion}
    assert texts == {'["ingredients", "title"]'}


def test_a_test_row_in_train_stops_the_run_before_anything_is_asked(project: Path) -> None:
    row = json.loads((project / "data" / "test.jsonl").read_text().splitlines()[0]) | {"id": "copy"}
    with (project / "data" / "train.jsonl").open("a") as file:
        file.write(json.dumps(row) + "\n")
    with pytest.raises(DataError, match=r"copy|r10"):
        run(project)
    assert not (project / "reports").exists()


def test_best_of_all_where_there_is_no_dev_split(project: Path) -> None:
    (project / "data" / "dev.jsonl").unlink()
    result = run(project)
    frozen = result.directory.frozen()
    assert frozen is not None
    assert frozen.rule == "best_of_all"
    assert result.verdict.comparison is not None


def test_a_hybrid_asks_the_tuned_model_under_its_own_prompt(project: Path) -> None:
    edit(project, "metrics:", "  hybrid: {technique: few_shot, model: tuned, k: 2}\nmetrics:")
    result = run(project)
    fit = result.directory.fit("hybrid")
    assert fit is not None
    assert fit.model == "scripted/fake.py:tuned"
    assert fit.recipe["system"].startswith("Names.")
    frozen = result.directory.frozen()
    assert frozen is not None
    assert set(frozen.candidates) == {"tuned", "hybrid"}


def fit_of(arm: str, score: float, model: str, usd: float | None, tokens: float) -> Fit:
    trial = DevTrial({}, 10, score, input_tokens=tokens, usd=usd, kept=True)
    return Fit(arm, "prompt", model, {}, dev_score=score, trials=(trial,))


def test_of_arms_with_equal_dev_scores_the_cheaper_is_the_better() -> None:
    one = {"a": fit_of("a", 0.1 + 0.2, "m", 0.1, 90), "b": fit_of("b", 0.3, "m", 0.2, 50)}
    assert choice.best_on_dev(["a", "b"], one) == ["b", "a"], "one model: fewer prompt tokens"
    two = {"a": fit_of("a", 0.3, "dear", 0.5, 50), "b": fit_of("b", 0.3, "cheap", 0.2, 90)}
    assert choice.best_on_dev(["a", "b"], two) == ["b", "a"], "two models: fewer dollars"
    unknown = two | {"b": fit_of("b", 0.3, "cheap", None, 10)}
    assert choice.best_on_dev(["a", "b"], unknown) == ["a", "b"]
    same = {"b": fit_of("b", 0.3, "m", 0.1, 9), "a": fit_of("a", 0.3, "m", 0.1, 9)}
    assert choice.best_on_dev(["b", "a"], same) == ["b", "a"]


def test_scores_that_are_gone_are_no_answer_and_are_made_anew_from_the_trials(project: Path) -> None:
    directory = run(project).directory
    scores, before = directory.file("scores.jsonl"), directory.file("verdict.json").read_bytes()
    kept = scores.read_bytes()
    scores.write_bytes(b"")
    with pytest.raises(DataError, match="the scores of the run are gone"):
        reading.rewrite(directory)
    assert directory.file("verdict.json").read_bytes() == before
    directory.file("manifest.json").unlink()
    run(project)
    assert sorted(scores.read_bytes().splitlines()) == sorted(kept.splitlines())
    assert reading.rewrite(directory).verdict.comparison is not None


def test_a_second_configuration_on_the_same_test_rows_is_a_second_look(project: Path) -> None:
    first = run(project)
    assert (first.manifest.test_looks, first.verdict.test_looks) == (1, 1)
    assert run(project).manifest.test_looks == 1
    edit(project, "system: [Name the ingredients., List them plainly.]", "system: [Plainly., Or not.]")
    second = run(project)
    assert second.directory.path != first.directory.path
    assert (second.manifest.test_looks, second.verdict.test_looks) == (2, 2)
    edit(project, "requests_per_month: 1000", "requests_per_month: 2000")
    assert run(project).manifest.test_looks == 2, "other terms, the same arms: no further look"
    (project / "other.yaml").write_text((project / "bench.yaml").read_text().replace("k: [2, 3]", "k: 1"))
    other = asyncio.run(pipeline.run_benchmark(specfile.read(project / "other.yaml")))
    assert other.manifest.test_looks == 3, "another benchmark file on the same rows counts too"
    lines = (project / "data" / "test.jsonl").read_text().splitlines(keepends=True)
    (project / "data" / "test.jsonl").write_text("".join(lines[:-1]))
    assert run(project).manifest.test_looks == 3, "most of the rows were seen before"
    edit(project, "version: 1", "version: 1\nverdict: {min_effect: 0.3}")
    assert run(project).manifest.test_looks == 4, "another question to the same rows"
    fresh = [json.loads(line) | {"title": f"Another {i}"} for i, line in enumerate(lines)]
    (project / "data" / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in fresh))
    assert run(project).manifest.test_looks == 1, "other rows, another count"
    assert reading.rewrite(second.directory).verdict.test_looks == 2


def test_a_verdict_that_hangs_on_a_near_duplicate_is_no_verdict(project: Path) -> None:
    rows = [json.loads(line) for line in (project / "data" / "test.jsonl").read_text().splitlines()]
    with (project / "data" / "train.jsonl").open("a") as file:
        for i, row in enumerate(rows):
            row |= {"id": f"copy{i}", "title": row["title"] + " again"}
            file.write(json.dumps(row) + "\n")
    with pytest.raises(DataError, match="allow_near_duplicates"):
        run(project)
    edit(project, "economics:", "run: {allow_near_duplicates: true}\neconomics:")
    result = run(project)
    assert result.verdict.leakage is not None
    assert len(result.verdict.leakage.ids) > 4
    assert result.verdict.beat == "inconclusive"


@pytest.mark.parametrize("polite", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_ctrl_c_ends_within_two_seconds_and_says_how_to_go_on(polite: signal.Signals, project: Path) -> None:
    fake = (project / "fake.py").read_text()
    body = "def _lines(request):\n    import time\n    time.sleep(0.05)\n    open('calls.log', 'a').write('.')"
    (project / "fake.py").write_text(fake.replace("def _lines(request):", body))
    command = [sys.executable, "-m", "harness.cli", "run", "bench.yaml"]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)}
    process = subprocess.Popen(command, cwd=project, env=environment, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not (project / "calls.log").exists():
        time.sleep(0.01)
    process.send_signal(polite)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "the same command goes on from there" in said
    assert "Traceback" not in said


class Recorded:
    """A tuner that trains nothing: its checkpoints are directories, and it notes what it was told to keep."""

    kind = "trl"

    def __init__(self) -> None:
        self.kept: list[str] = []

    def validate(self, job: TuneJob) -> list[Finding]:
        return []

    def estimate(self, job: TuneJob) -> Estimate:
        return Estimate(100, 2.0, None, (1.0, 2.0))

    async def find(self, job: TuneJob) -> str | None:
        return None

    async def submit(self, job: TuneJob) -> str:
        return "job"

    async def follow(self, job: TuneJob, id: str, report: Report) -> Tuned:
        return Tuned(id, (Checkpoint("epoch-1", 1), Checkpoint("epoch-2", 2)), 100, 1.0, None)

    async def serve(self, job: TuneJob, checkpoint: Checkpoint) -> str:
        folder = job.workdir / "models" / checkpoint.id
        folder.mkdir(parents=True, exist_ok=True)
        return str(folder)

    async def cancel(self, job: TuneJob, id: str) -> None: ...

    async def clean(self, job: TuneJob, keep: str = "") -> None:
        self.kept.append(keep)


def test_the_chosen_checkpoint_is_kept_under_the_name_that_its_tuner_gave_it(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tuner, make = Recorded(), Workbench._make
    monkeypatch.setattr(Workbench, "tuner", lambda self, kind: tuner)
    monkeypatch.setattr(
        Workbench, "_make", lambda self, r: make(self, "scripted/fake.py:tuned" if r.startswith("tuned/") else r)
    )
    edit(project, 'tuner: existing, served: "scripted/fake.py:tuned", ', "tuner: trl, ")
    fit = run(project).directory.fit("tuned")
    assert fit is not None
    assert fit.artifact is not None
    assert tuner.kept == [str(project / ".harness" / fit.artifact.model)]
    assert Path(tuner.kept[0]).is_dir()


def test_prompts_that_overflow_are_not_timed(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A base with a context shorter than the rows is told by its failures, not by an estimate that cannot be made."""
    located = specfile.read(project / "bench.yaml")
    bench, tasks = Workbench(located, pipeline.quiet), pipeline.prepare(located).tasks

    async def main() -> list[estimate.Speed | None]:
        model = await bench.base()
        bench.max_tokens = 32
        assert isinstance(model, Cached)
        found: list[estimate.Speed | None] = []
        for context in (40, None):
            monkeypatch.setattr(model.model, "context", context)
            found.append(await estimate._speed(bench, model, tasks, True))
        await bench.close()
        return found

    without, known = asyncio.run(main())
    assert without is None
    assert known is not None
    assert known.answer > 0
