"""Learning curve, training seeds, forgetting: planned, estimated, resumed, stored and decided."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness import console_check, learning, pipeline, reading, specfile
from harness.check import check
from harness.errors import DataError, SpecError
from harness.reading import Result
from harness.records import Forgetting, LearningCurve, SeedRuns
from harness.techniques.fine_tune import CurveSpec
from tests import fake_tuner

WORDS = [a + b for a in ("red", "blue", "old", "new", "hot", "cold", "wet", "dry") for b in ("cup", "hat", "pen", "map",
         "key", "box", "jar", "bag", "fan", "rug", "net", "tap", "bin", "mug", "bed", "car", "pot")]  # fmt: skip

YAML = """\
version: 1
question: Does it learn?
model: scripted/fake.py:base
task: {data: data, input: "Say {{ word }}", target: "{{ said }}"}
arms:
  prompt: {technique: prompt, system: Repeat it.}
  tuned:  {technique: fine_tune, tuner: trl, system: Repeat it., epochs: 2}
metrics: {accuracy: {scorer: exact, primary: true}}
economics: {local_usd_per_hour: 0.2}
"""

# A tuned model says the word right if the word's number is small enough for the rows that it was trained on.
FAKE = """\
import re, zlib
def number(word, salt=""):
    return zlib.crc32((word + salt).encode()) % 100
def word(request):
    return request.messages[-1].content.removeprefix("Say ").removeprefix("Other ")
def base(request):
    other = request.messages[-1].content.startswith("Other")
    return word(request) if number(word(request)) < (80 if other else 20) else "no"
def made(rows, seed):
    def tuned(request):
        other = request.messages[-1].content.startswith("Other")
        level = 30 if other else 95 - 300 / rows
        return word(request) if number(word(request), str(seed)) < level else "no"
    return tuned
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A benchmark whose fine-tunes get better with more rows."""
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    (tmp_path / "bench.yaml").write_text(YAML)
    names = "".join(f"m{r}_{s} = made({r}, {s})\n" for r in (10, 20, 40, 80) for s in range(1, 40))
    (tmp_path / "fake.py").write_text(FAKE + names)
    for split, words in (("train", WORDS[:80]), ("dev", WORDS[80:110]), ("test", WORDS[110:])):
        write(tmp_path / "data" / f"{split}.jsonl", words)
    write(tmp_path / "second" / "test.jsonl", [f"x{i}" for i in range(150)])
    return tmp_path


def write(file: Path, words: list[str]) -> None:
    file.parent.mkdir(exist_ok=True)
    rows = [json.dumps({"id": f"{file.parent.name}-{w}", "word": w, "said": w}) + "\n" for w in words]
    file.write_text("".join(rows))


def edit(folder: Path, before: str, after: str) -> None:
    text = (folder / "bench.yaml").read_text()
    assert before in text
    (folder / "bench.yaml").write_text(text.replace(before, after))


def run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Result:
    monkeypatch.setattr("harness.tuners.open_tuner", fake_tuner.open_tuner)
    return asyncio.run(pipeline.run_benchmark(specfile.read(folder / "bench.yaml")))


def trainings(folder: Path) -> list[str]:
    log = folder / ".harness" / "trainings.log"
    return log.read_text().splitlines() if log.exists() else []


def test_a_learning_curve_trains_each_size_and_says_what_twice_the_rows_would_bring(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit(folder, "epochs: 2", "epochs: 2, learning_curve: true")
    result = run(folder, monkeypatch)
    curve = result.directory.load("learning/tuned.json", LearningCurve)
    assert curve is not None
    assert curve.sizes == (10, 20, 40, 80)
    assert curve.seeds == (20, 21), "the run's own seed and the next"
    assert curve.split == "dev", "nothing is asked of test for it"
    assert [(p.rows, p.seed) for p in curve.points] == [(m, s) for m in curve.sizes for s in curve.seeds]
    assert all(len(p.values) == len(curve.examples) == 30 for p in curve.points)
    assert curve.means[0] < curve.means[-1]
    assert curve.fit is not None
    assert 0 <= curve.fit.gain_low <= curve.fit.gain <= curve.fit.gain_high
    # The whole set under the arm's own seed is the arm's own training, and is not paid for twice.
    assert len(trainings(folder)) == 8
    assert len(set(trainings(folder))) == 8


def test_no_arm_tries_more_checkpoints_than_the_dev_trials_and_without_dev_the_last_is_taken(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit(folder, "economics:", "run: {dev_trials: 1}\neconomics:")
    fit = run(folder, monkeypatch).directory.fit("tuned")
    assert fit is not None
    assert [t.config["extra"]["checkpoint"] for t in fit.trials] == ["epoch-2"]
    (folder / "data" / "dev.jsonl").unlink()
    edit(folder, "dev_trials: 1", "dev_trials: 6")
    without = run(folder, monkeypatch).directory.fit("tuned")
    assert without is not None
    assert without.artifact is not None
    assert (without.artifact.checkpoint, without.dev_score) == ("epoch-2", None)


def test_larger_shares_hold_the_smaller_ones_in_the_order_of_the_file(folder: Path) -> None:
    from harness.taskset import Example

    rows = [Example(str(i), {}, "", "train") for i in range(50)]
    small, large = (learning.share(rows, n, seed=3) for n in (10, 20))
    assert [e.id for e in large] == sorted((e.id for e in large), key=int)
    assert {e.id for e in small} < {e.id for e in large}
    assert learning.share(rows, 50, seed=3) == rows
    assert {e.id for e in learning.share(rows, 10, seed=4)} != {e.id for e in small}


def test_seeds_are_trained_scored_on_test_and_shown_against_the_baseline(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit(folder, "epochs: 2", "epochs: 2, seeds: [3, 1, 2]")
    result = run(folder, monkeypatch)
    runs = result.directory.load("seeds/tuned.json", SeedRuns)
    assert runs is not None
    assert (runs.first, [r.seed for r in runs.runs]) == (3, [1, 2])
    shown = result.verdict.seeds
    assert [s.seed for s in shown] == [3, 1, 2]
    assert shown[0].comparison is not None
    assert result.verdict.comparison is not None
    assert shown[0].comparison.delta == pytest.approx(result.verdict.comparison.delta)
    assert len({s.mean for s in shown}) > 1, "seeds differ"
    assert reading.rewrite(result.directory).verdict.seeds == shown
    assert len(trainings(folder)) == 3


def test_forgetting_holds_the_tuned_model_against_the_base_under_one_prompt(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit(folder, "metrics:", SECOND + "metrics:")
    result = run(folder, monkeypatch)
    found = result.directory.load("forgetting.json", Forgetting)
    assert found is not None
    assert found.base_mean == pytest.approx(0.8, abs=0.1)
    (kept,) = found.arms
    assert (kept.arm, kept.answer) == ("tuned", "lost")
    assert kept.high < -0.03
    assert kept.delta == pytest.approx(kept.mean - found.base_mean)
    assert found.system == "Be brief."
    assert len(found.examples) == len(found.base) == len(kept.values) == 150


SECOND = (
    'forgetting: {data: second, input: "Other {{ word }}", target: "{{ said }}", scorer: exact, system: Be brief.}\n'
)


@pytest.mark.parametrize(
    ("base", "tuned", "answer"), [(1.0, 1.0, "kept"), (1.0, 0.5, "lost"), (0.5, 1.0, "kept"), (0.0, 0.0, "kept")]
)
def test_kept_or_lost(base: float, tuned: float, answer: str) -> None:
    from harness.forgetting import kept
    from harness.techniques.base import Scored

    found = Forgetting("s", "exact", 0.03, "", ("e",) * 200, base=(base,) * 200)
    assert kept("a", "m", Scored((tuned,) * 200), found).answer == answer
    few = Forgetting("s", "exact", 0.03, "", ("e",) * 20, base=(base,) * 20)
    assert kept("a", "m", Scored((base,) * 20), few).answer == "unclear", "twenty rows cannot show three points"
    nearly = Forgetting("s", "exact", 0.03, "", ("e",) * 96, base=(base,) * 96)
    told = kept("a", "m", Scored((base,) * 96), nearly)
    assert told.low > -0.03
    assert (told.answer, "too rare to be seen" in told.because) == ("unclear", True)


def test_an_arm_that_asks_a_tuned_model_pays_for_its_training(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    edit(folder, "metrics:", HYBRIDS + "metrics:")
    directory = run(folder, monkeypatch).directory
    tuned, hybrid, cascade = (directory.fit(a) for a in ("tuned", "hybrid", "cascade"))
    assert tuned is not None
    assert hybrid is not None
    assert cascade is not None
    assert tuned.cost.trained_tokens == 800
    for fit in (hybrid, cascade):
        assert (fit.cost.trained_tokens, fit.cost.train_seconds) == (800, 1.0)
        assert fit.cost.labelled_rows == 80
    plain = directory.fit("prompt")
    assert plain is not None
    assert (plain.cost.trained_tokens, plain.cost.labelled_rows) == (0, 0)


HYBRIDS = """\
  hybrid: {technique: few_shot, model: tuned, k: 1}
  cascade: {technique: cascade, first: hybrid, then: prompt}
"""


def test_all_of_it_stands_in_the_estimate(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(folder, "epochs: 2", "epochs: 2, seeds: [1, 2, 3], learning_curve: {sizes: [10, 20, 40, 80], seeds: [5, 6]}")
    edit(folder, "metrics:", SECOND + "metrics:")
    monkeypatch.setattr("harness.tuners.open_tuner", fake_tuner.open_tuner)
    estimate = asyncio.run(check(specfile.read(folder / "bench.yaml"))).estimate
    assert estimate is not None
    extras = {e.name: e for e in estimate.extras}
    assert set(extras) == {"learning curve of tuned", "training seeds of tuned", "forgetting"}
    curve, seeds, forgetting = extras.values()
    whole = next(a for a in estimate.arms if a.arm == "tuned")
    assert (curve.trainings, curve.answers) == (8, 8 * 30)
    assert seeds.trainings == 2
    assert seeds.answers == 2 * (whole.dev + whole.test)
    assert forgetting.answers == 2 * 150
    assert trainings(folder) == []
    assert estimate.seconds is not None
    assert curve.seconds is not None
    assert estimate.seconds[1] > curve.seconds[1] > 0
    console_check.print_check(asyncio.run(check(specfile.read(folder / "bench.yaml"))))
    said = capsys.readouterr().out
    for words in ("learning curve of tuned", "8 trainings", "240 answers", "forgetting"):
        assert words in said


@pytest.mark.parametrize(
    ("knob", "said"),
    [
        ("learning_curve: {sizes: [10, 20, 40]}", "at least 4 sizes"),
        ("learning_curve: {sizes: [10, 20, 30, 60]}", "at least twice"),
        ("learning_curve: {seeds: [1]}", "2 different seeds"),
        ("learning_curve: {size: [1]}", "size"),
        ("seeds: [1, 1]", "twice"),
        ("seeds: [1, 2], seed: 3", "the same thing"),
    ],
)
def test_what_cannot_be_measured_is_said_with_its_line(folder: Path, knob: str, said: str) -> None:
    edit(folder, "epochs: 2", f"epochs: 2, {knob}")
    with pytest.raises(SpecError, match=said) as error:
        specfile.read(folder / "bench.yaml")
    assert "bench.yaml:7" in str(error.value)


def test_too_few_rows_are_said_before_anything_is_trained(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    edit(folder, "epochs: 2", "epochs: 2, learning_curve: {sizes: [20, 40, 80, 160]}")
    with pytest.raises(DataError, match="160 rows, and there are 80"):
        run(folder, monkeypatch)
    assert trainings(folder) == []
    with pytest.raises(DataError, match="79 are too few"):
        learning.sizes_of(CurveSpec(), 79, "tuned")
    assert learning.sizes_of(CurveSpec(), 259, "tuned") == (32, 64, 129, 259)


def test_an_existing_model_has_no_curve_and_a_missing_second_set_is_named(folder: Path) -> None:
    edit(
        folder,
        "tuner: trl, system: Repeat it., epochs: 2",
        "tuner: existing, served: scripted/fake.py:m10_1, learning_curve: true, seeds: [1, 2]",
    )
    edit(folder, "metrics:", 'forgetting: {data: nowhere, input: "{{ a }}", target: b, scorer: exactly}\nmetrics:')
    with pytest.raises(SpecError) as error:
        specfile.read(folder / "bench.yaml")
    said = str(error.value)
    for words in ("`learning_curve` means nothing", "`seeds` means nothing", "no such file", "no such scorer",
                  "forgetting.target"):  # fmt: skip
        assert words in said, said


DRIVER = """\
import asyncio, sys
from pathlib import Path
import harness.tuners
from tests import fake_tuner
harness.tuners.open_tuner = fake_tuner.open_tuner
from harness import pipeline, specfile
asyncio.run(pipeline.run_benchmark(specfile.read(Path("bench.yaml"))))
"""


@pytest.mark.parametrize("after", [2, 5, 8, 10])
def test_killed_between_trainings_it_goes_on_and_trains_nothing_twice(folder: Path, after: int) -> None:
    edit(folder, "epochs: 2", "epochs: 2, seeds: [1, 2, 3], learning_curve: {sizes: [10, 20, 40, 80], seeds: [1, 2]}")
    edit(folder, "metrics:", SECOND + "metrics:")
    (folder / "driver.py").write_text(DRIVER)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent), "FAKE_TUNER_SECONDS": "0.05"}
    process = subprocess.Popen([sys.executable, "driver.py"], cwd=folder, env=environment)
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline and len(trainings(folder)) < after:
        time.sleep(0.005)
    if process.poll() is None:
        os.kill(process.pid, signal.SIGKILL)
    process.wait()
    subprocess.run([sys.executable, "driver.py"], cwd=folder, env=environment, check=True)
    made = trainings(folder)
    # What was in the middle of a training when it was killed is submitted once more, at most.
    assert len(set(made)) == 3 + 8 - 2, "three seeds and eight points, two of which are trainings of the arm's own"
    assert len(made) <= len(set(made)) + 1
    directory = reading.find(folder / "bench.yaml")
    curve, seeds = directory.load("learning/tuned.json", LearningCurve), directory.load("seeds/tuned.json", SeedRuns)
    assert curve is not None
    assert seeds is not None
    assert len(curve.points) == 8
    assert curve.fit is not None
    assert [r.seed for r in seeds.runs] == [2, 3]
    assert directory.load("forgetting.json", Forgetting) is not None


REAL = """\
version: 1
question: Does all of it work on real weights?
model: {id: ./tiny, engine: transformers}
task: {data: data, input: "{{ word }}", target: "{{ said }}"}
arms:
  prompt:  {technique: prompt, system: Spell.}
  tuned:   {technique: fine_tune, system: Spell., epochs: 1, lora: {r: 4, alpha: 8}, seeds: [1, 2], learning_curve: {sizes: [10, 20, 40, 80], seeds: [1, 2]}}
  shots:   {technique: few_shot, model: tuned, k: [1, 2]}
  cascade: {technique: cascade, first: tuned, then: shots, escalate: [0.25, 0.5]}
metrics: {accuracy: {scorer: exact, primary: true}}
forgetting: {data: second, input: "{{ word }}", target: "{{ said }}", scorer: exact, limit: {test: 10}}
economics: {local_usd_per_hour: 0.2}
run: {max_tokens: 8}
"""  # noqa: E501


@pytest.mark.slow
@pytest.mark.timeout(900)  # minutes of real training: on a machine that is shared, more
def test_all_of_it_on_real_weights(folder: Path) -> None:
    from tests import tiny

    tiny.model(folder / "tiny")
    (folder / "bench.yaml").write_text(REAL)
    for split in ("dev", "test"):
        file = folder / "data" / f"{split}.jsonl"
        file.write_text("".join(file.read_text().splitlines(keepends=True)[:8]))
    result = asyncio.run(pipeline.run_benchmark(specfile.read(folder / "bench.yaml")))
    curve = result.directory.load("learning/tuned.json", LearningCurve)
    seeds, kept = (
        result.directory.load("seeds/tuned.json", SeedRuns),
        result.directory.load("forgetting.json", Forgetting),
    )
    assert curve is not None
    assert seeds is not None
    assert kept is not None
    assert curve.fit is not None
    tokens = {
        n: [p.trained_tokens for p in curve.points if p.rows == n] for n in sorted({p.rows for p in curve.points})
    }
    assert all(max(a) < min(b) for a, b in itertools.pairwise(tokens.values())), "seeds draw other rows of one size"
    assert all(p.seconds > 0 and p.usd for p in curve.points)
    assert [r.seed for r in seeds.runs] == [2]
    assert [k.arm for k in kept.arms] == ["tuned"]
    assert kept.arms[0].answer == "unclear", "ten rows settle nothing"
    # The arm's own training is that of its first seed, and of the curve's whole set: trained once, and kept.
    jobs = [p for p in (folder / ".harness" / "tuned").iterdir() if (p / "tuned.json").exists()]
    assert len(jobs) == 8
    models = [m for p in jobs for m in (p / "models").iterdir()]
    assert len(models) == 2, "the arm's own and the other seed's; the curve's are put away"
    tuned, shots, cascade = (result.directory.fit(a) for a in ("tuned", "shots", "cascade"))
    assert tuned is not None
    assert shots is not None
    assert cascade is not None
    assert shots.cost.trained_tokens == cascade.cost.trained_tokens == tuned.cost.trained_tokens > 0
    assert [t.config["k"] for t in shots.trials] == [1, 2]
    trials = [t for t in result.directory.read_trials() if t.arm in ("tuned", "cascade")]
    assert any(t.completion is not None and t.completion.logprob is not None for t in trials) or all(
        t.failure is not None for t in trials
    )
