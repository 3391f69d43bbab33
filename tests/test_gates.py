"""Gates on real stored runs: three answers, and never a pass for what cannot be compared."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from typer.testing import CliRunner

from harness import baselines, gates, ratios, specfile
from harness.cli import app
from harness.errors import DataError, Incomplete, SpecError
from harness.gating import GateOutcome
from harness.store import RunDirectory
from tests.gated import BENCHMARK, N, change_lines, edit, run, write

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def blessed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a finished run that is the committed baseline."""
    folder = tmp_path_factory.mktemp("blessed")
    baselines.bless(run(write(folder)), "the first run, looked through")
    return folder


@pytest.fixture
def bench(blessed: Path, tmp_path: Path) -> Path:
    """A copy of it, to spoil."""
    shutil.copytree(blessed, tmp_path / "p")
    return tmp_path / "p" / "bench.yaml"


def stored(bench: Path) -> RunDirectory:
    return gates.open_run(bench).directory


def by_name(report: gates.Report) -> dict[str, GateOutcome]:
    return {f"{o.arm}::{o.gate}": o for o in report.outcomes}


def one(bench: Path, gate: str, arm: str = "") -> GateOutcome:
    """The answer to one gate that is put in place of all others."""
    bench.write_text(BENCHMARK + f"gates:\n  it: {{{gate}}}\n")
    found = gates.check(bench).outcomes
    return next(o for o in found if o.arm == arm) if arm else found[0]


def test_an_unchanged_run_passes_and_says_the_figures(bench: Path):
    report = gates.check(bench)
    assert {n: o.status for n, o in by_name(report).items()} == {
        "tuned::worth_it": "pass", "prompt::regression": "pass", "tuned::regression": "pass", "tuned::floor": "pass",
    }  # fmt: skip
    assert report.exit_code == 0
    assert "word for word" in by_name(report)["prompt::regression"].sentence
    worth = by_name(report)["tuned::worth_it"]
    assert worth.value == pytest.approx((80 - 22) / N)
    assert worth.n == N
    assert worth.low is not None
    assert worth.low > 0.02
    assert "4 pass" in gates.text(report)


def test_a_regression_fails_with_what_a_reviewer_needs(bench: Path):
    edit(bench.parent / "fake.py", "number % 3 == 0", "number % 3 == 0 or number % 5 == 1")
    run(bench)
    report = gates.check(bench)
    found = by_name(report)["prompt::regression"]
    assert (found.status, report.exit_code) == ("fail", 1)
    assert set(found.broken) == {f"t{i:03d}" for i in range(N) if i % 5 == 1 and i % 3}
    assert found.fixed == ()
    assert found.honest_margin is not None
    assert found.margin_needed == pytest.approx(-found.low if found.low else 0)
    text = gates.text(report)
    for words in ("n = 240", "margin needed to pass", "smallest honest margin", "worse on 32 (", "report.html"):
        assert words in text
    assert "its recipe or model is not the one" in text
    assert by_name(report)["tuned::regression"].status == "pass"


def test_inconclusive_blocks_only_when_strict(bench: Path):
    edit(bench.parent / "fake.py", "number % 3 == 0", "number % 3 == 1")
    run(bench)
    report = gates.check(bench)
    found = by_name(report)["prompt::regression"]
    assert found.status == "inconclusive"
    assert found.more is not None
    assert "more examples would decide" in gates.text(report)
    assert (report.exit_code, gates.check(bench, strict=True).exit_code) == (0, 3)


def test_a_worsened_score_is_never_a_pass(bench: Path):
    """The answers are the saved ones, one score is not: the statistics would not see it, the digests do."""
    scores = stored(bench).scores

    def worsen(line: dict[str, object]) -> dict[str, object]:
        return line | {"value": 0.0} if (line["arm"], line["example"]) == ("tuned", "t001") else line

    change_lines(scores, worsen)
    report = gates.check(bench)
    found = by_name(report)["tuned::regression"]
    assert (found.status, report.exit_code) == ("error", 2)
    assert "t001" in found.sentence
    assert "scores.jsonl was changed" in " ".join(found.details)
    change_lines(scores, lambda line: line | {"value": 0.0} if line["arm"] == "tuned" else line)
    report = gates.check(bench)
    assert (by_name(report)["tuned::regression"].status, report.exit_code) == ("fail", 1)


def removed_arm(bench: Path) -> None:
    edit(
        bench,
        "  prompt: {technique: prompt, system: Name the colour.}\n",
        "  plain: {technique: prompt, system: Say.}\n",
    )
    run(bench)


def renamed_metric(bench: Path) -> None:
    edit(bench, "accuracy", "correct")
    run(bench)


def fewer_rows(bench: Path) -> None:
    edit(bench, "  answer:", "  limit: {test: 200}\n  answer:")
    run(bench)


def other_inputs(bench: Path) -> None:
    edit(bench.parent / "data" / "test.jsonl", "call number 7", "call the number 7")
    run(bench)


def other_scorer(bench: Path) -> None:
    edit(stored(bench).file("manifest.json"), '"scorer accuracy":"', '"scorer accuracy":"0')


def unsaid_scorer(bench: Path) -> None:
    edit(stored(bench).file("manifest.json"), '"scorer accuracy"', '"scorer other"')


def no_baseline(bench: Path) -> None:
    (bench.parent / "benchmarks" / "baselines" / "bench.json").unlink()


def corrupt_baseline(bench: Path) -> None:
    file = bench.parent / "benchmarks" / "baselines" / "bench.json"
    file.write_bytes(file.read_bytes()[:3000])


def signed(bench: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the baseline and make its digest fit: what a careful forger, or a copy under another name, would hold."""
    file = bench.parent / "benchmarks" / "baselines" / "bench.json"
    body = json.loads(file.read_text())
    change(body)
    body["digest"] = baselines.signature(msgspec.convert(body, baselines.Baseline))
    file.write_text(json.dumps(body))


def of_another_benchmark(bench: Path) -> None:
    signed(bench, lambda body: body.update(benchmark="other"))


def of_other_ids(bench: Path) -> None:
    signed(bench, lambda body: body["ids"].__setitem__(1, "t999"))


@pytest.mark.parametrize(
    ("spoil", "arm", "words"),
    [
        (removed_arm, "prompt", "is no longer in the run"),
        (removed_arm, "plain", "a new or renamed arm"),
        (renamed_metric, "prompt", "has no metric correct (it has accuracy)"),
        (fewer_rows, "prompt", "0 new, 40 gone"),
        (other_inputs, "prompt", "the ids are the same, inputs, targets or clusters are not"),
        (other_scorer, "prompt", "another version of its scorer"),
        (unsaid_scorer, "prompt", "does not say which scorer"),
        (no_baseline, "prompt", "there is no saved baseline"),
        (corrupt_baseline, "prompt", "no JSON"),
        (of_another_benchmark, "prompt", "is of another benchmark: other"),
        (of_other_ids, "prompt", "1 new, 1 gone"),
    ],
    ids=lambda v: getattr(v, "__name__", None),
)
def test_what_cannot_be_compared_is_an_error(bench: Path, spoil: Callable[[Path], None], arm: str, words: str):
    spoil(bench)
    report = gates.check(bench)
    found = by_name(report)[f"{arm}::regression"]
    assert found.status == "error"
    assert words in found.sentence
    assert any(line.startswith("next: ") for line in found.details)
    assert report.exit_code == 2


def test_a_score_that_cannot_be_is_said_with_what_was_read(bench: Path):
    change_lines(stored(bench).scores, lambda line: line | {"value": 2.0} if line["example"] == "t003" else line)
    found = gates.check(bench).outcomes[0]
    assert found.status == "error"
    assert found.details[:2] == ("read: 2.0", "valid: one score in [0, 1] for each trial of a test example")


@pytest.mark.parametrize(
    "gate",
    [
        "arm: prompt, not_worse_than: saved, on: accuracy",
        "arm: prompt, not_worse_than: tuned, on: accuracy",
        "arm: tuned, min: 0.8, on: accuracy",
        "arm: tuned, not_worse_than: prompt, on: seconds, margin: 0.9",
    ],
)
def test_one_cluster_answers_nothing_and_more_of_it_would_not_either(tmp_path: Path, gate: str):
    bench = write(tmp_path, group=lambda i: "one")
    edit(bench, "  input:", "  cluster: group\n  input:")
    baselines.bless(run(bench), "the first run, looked through")
    edit(tmp_path / "fake.py", "number % 3 == 0", "number % 3 == 1")
    text = bench.read_text().partition("gates:")[0] + f"gates: {{it: {{{gate}}}}}\n"
    bench.write_text(text)
    directory = run(bench)

    def timed(line: dict[str, Any]) -> dict[str, Any]:
        line["completion"]["seconds"] = 0.1 + len(line["arm"]) * int(str(line["example"])[1:]) / 1e4
        return line

    change_lines(directory.trials, timed)
    (found,) = gates.check(bench).outcomes
    said = " ".join(found.details)
    assert (found.status, found.more) == ("inconclusive", None)
    assert "fewer than 6 clusters (there is 1)" in said
    assert "examples would decide" not in said


def test_missing_answers_make_it_incomplete(bench: Path):
    change_lines(stored(bench).scores, lambda line: None if line["example"] < "t006" else line)
    report = gates.check(bench)
    assert report.exit_code == 4
    for found in report.outcomes:
        assert found.status == "incomplete"
        assert "6 of 240" in found.sentence
    change_lines(stored(bench).scores, lambda line: None)
    assert {o.status for o in gates.check(bench).outcomes} == {"incomplete"}


def test_scores_of_answers_that_are_gone_make_it_incomplete(bench: Path):
    change_lines(stored(bench).trials, lambda line: None if line["example"] < "t006" else line)
    report = gates.check(bench)
    assert {o.status for o in report.outcomes} == {"incomplete"}
    assert all("6 of 240" in o.sentence for o in report.outcomes)
    stored(bench).trials.unlink()
    (lost, *_) = gates.check(bench).outcomes
    assert (lost.status, "delete manifest.json" in lost.details[0]) == ("incomplete", True)
    stored(bench).file("manifest.json").unlink()
    run(bench)
    assert {o.status for o in gates.check(bench).outcomes} == {"pass"}


def test_a_run_of_another_question_is_not_judged(bench: Path):
    edit(bench, "Name the colour.", "Name it.")
    with pytest.raises(Incomplete, match="the benchmark file or a file that it names changed since") as caught:
        gates.check(bench)
    assert caught.value.exit_code == 4
    edit(bench, "Name it.", "Name the colour.")
    edit(bench.parent / "data" / "train.jsonl", "number 1000", "number 1010")
    with pytest.raises(Incomplete, match="the task set changed since"):
        gates.check(bench)


def test_unfinished_and_absent_runs(bench: Path):
    directory = stored(bench)
    directory.file("manifest.json").unlink()
    for path in (bench, directory.path):
        with pytest.raises(Incomplete, match="not finished"):
            gates.check(path)
    shutil.rmtree(bench.parent / "reports")
    with pytest.raises(Incomplete, match="there is no run of this benchmark yet"):
        gates.check(bench)


def test_changing_a_gate_needs_no_new_run(bench: Path):
    edit(bench, "min: 0.8", "min: 0.99")
    found = by_name(gates.check(bench))["tuned::floor"]
    assert (found.status, found.limit) == ("fail", 0.99)
    bench.write_text(BENCHMARK)
    with pytest.raises(SpecError, match="no gates"):
        gates.check(bench)


def test_a_run_directory_is_asked_its_own_gates(bench: Path):
    report = gates.check(stored(bench).path)
    assert (len(report.outcomes), report.exit_code) == (4, 0)
    assert report.baseline.endswith("benchmarks/baselines/bench.json")


@pytest.mark.parametrize(
    ("gate", "status", "words"),
    [
        ("arm: tuned, not_worse_than: prompt, on: accuracy", "pass", "is not worse than prompt"),
        ("arm: prompt, not_worse_than: tuned, on: accuracy", "fail", "is worse than tuned"),
        ("arm: prompt, beats: tuned, on: accuracy", "fail", "does not beat tuned"),
        ("arm: tuned, beats: prompt, on: accuracy, by: 0.24", "inconclusive", "not settled"),
        ("arm: prompt, beats: baseline, on: accuracy", "error", "cannot beat it"),
        ("arm: prompt, min: 0.67, on: accuracy", "inconclusive", "is not settled"),
        ("arm: prompt, min: 0.9, on: accuracy", "fail", "does not hold"),
        ("arm: tuned, max: 0.5, on: accuracy", "fail", "at most 50.0 %"),
        ("arm: tuned, min: 0.94, on: accuracy", "inconclusive", "the exact test does not agree"),
        ("arm: tuned, min: 0.942, on: accuracy", "fail", "does not hold"),
        ("arm: tuned, min: 7, on: accuracy", "error", "cannot be held to 7"),
        ("arm: tuned, max_failure_rate: 0", "pass", "0.0 %"),
        ("arm: tuned, max_failure_rate: 0.001", "inconclusive", "with no failure at all it takes 3850"),
        ("arm: tuned, max_seconds: 100", "pass", "says nothing of another machine"),
        ("arm: tuned, max_seconds: 1.0e-9", "fail", "the median latency"),
        ("arm: tuned, max_usd_per_1k: 0.05", "pass", "$0"),
        ("arm: prompt, max_break_even: 1000", "error", "only a fine-tuned arm"),
        ("arm: tuned, max_break_even: 1000", "error", "the volume is not said"),
        ("arm: prompt, min_recall_at: [2, 0.5]", "error", "is not measured"),
        ('arm: "*", min_recall_at: [2, 0.5]', "error", "no arm of which this can be asked"),
        ("arm: tuned, not_worse_than: prompt, on: usd", "pass", "neither tuned nor prompt"),
    ],
)  # fmt: skip
def test_every_kind(bench: Path, gate: str, status: str, words: str):
    found = one(bench, gate)
    assert found.status == status
    said = " ".join((found.sentence, *found.details))
    assert words in said
    assert not ("exact test" in said and "would decide" in said)


def test_severity_softens_failures_but_not_what_cannot_be_asked():
    def made(status: str, severity: str) -> GateOutcome:
        return GateOutcome("g", "a", status, "s", severity)  # type: ignore[arg-type]

    assert gates.exit_code([made("fail", "warn"), made("inconclusive", "warn")], strict=True) == 0
    assert gates.exit_code([made("error", "warn")], strict=False) == 2
    assert gates.exit_code([made("incomplete", "warn")], strict=False) == 4
    assert gates.exit_code([made("fail", "error"), made("error", "error")], strict=False) == 1


def test_what_only_warns_is_not_counted_as_a_failure(bench: Path):
    bench.write_text(BENCHMARK + "gates: {it: {arm: tuned, min: 0.99, on: accuracy, severity: warn}}\n")
    report = gates.check(bench)
    assert report.exit_code == 0
    assert "1 warned · run" in gates.text(report)
    body = gates.markdown(report.outcomes)
    assert body.startswith("### Gates: 1 warned\n")
    assert "| ⚠️ fail (warn) | tuned" in body


def test_a_folder_that_is_no_run_is_not_called_unfinished(bench: Path):
    with pytest.raises(DataError, match="this folder holds no run"):
        gates.check(bench.parent)


def test_seconds_of_another_machine_are_refused(bench: Path):
    gate = "arm: tuned, not_worse_than: saved, on: seconds, margin: 0.2"
    assert one(bench, gate).status == "pass"
    edit(stored(bench).file("manifest.json"), '"processors":', '"processors":9')
    found = one(bench, gate)
    assert found.status == "error"
    assert "not compared, another machine" in found.sentence
    assert gates.check(bench).exit_code == 2
    warned = one(bench, f"{gate}, severity: warn")
    assert (warned.status, gates.check(bench, strict=True).exit_code) == ("inconclusive", 0)
    assert warned.sentence == found.sentence
    assert "not compared, another machine" in gates.text(gates.check(bench))


def test_slower_and_dearer_answers_are_found(bench: Path):
    def slow(line: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
        line["completion"]["seconds"] = 2 * line["completion"].get("seconds", 0.0) + 1e-4
        return line

    change_lines(stored(bench).trials, slow)
    found = one(bench, "arm: tuned, not_worse_than: saved, on: seconds, margin: 0.2")
    assert found.status in ("fail", "inconclusive")  # a real latency may be all outliers
    assert found.value is not None
    assert found.value > 1.2
    assert "machine" in found.details[0]


def test_failures_and_cost_of_a_stored_run(bench: Path):
    def spoil(line: dict[str, object]) -> dict[str, object]:
        if line["arm"] != "tuned":
            return line
        line["completion"]["compute_seconds"] = 36.0  # type: ignore[index]  # a cent, at a dollar an hour
        if str(line["example"]) >= "t200":
            line["failure"] = {"boundary": "answer", "type": "empty", "compute_seconds": 36.0}
            del line["completion"]
        return line

    change_lines(stored(bench).trials, spoil)
    rate = one(bench, "arm: tuned, max_failure_rate: 0.05")
    assert rate.status == "fail"
    assert rate.value == pytest.approx(40 / N)
    assert "t200" in rate.details[0]
    assert "40 empty" in rate.details[0]
    unknown = one(bench, "arm: tuned, max_usd_per_1k: 1")
    assert (unknown.status, "price is missing" in unknown.sentence) == ("error", True)


def test_recall_of_what_was_retrieved(tmp_path: Path):
    bench = write(tmp_path, "", relevant=lambda i: [f"d{i}", "shared"] if i != 5 else [])
    directory = run(bench)

    def retrieve(line: dict[str, object]) -> dict[str, object]:
        i = int(str(line["example"])[1:])
        found = [f"d{i}#2", "shared", "other"] if i % 2 else [f"d{i}0", "shared", f"d{i}"]
        line["completion"]["passages"] = found if line["arm"] == "prompt" else []  # type: ignore[index]
        return line

    change_lines(directory.trials, retrieve)
    found = one(bench, "arm: prompt, min_recall_at: [2, 0.5]")
    odd = N // 2 - 1
    assert found.value == pytest.approx((odd + 0.5 * (N // 2)) / (N - 1))
    assert (found.status, found.n) == ("pass", N - 1)
    assert "1 rows without relevant documents" in " ".join(found.details)
    assert one(bench, "arm: prompt, min_recall_at: [3, 0.99]").value == 1.0
    assert "retrieves 3 passages" in one(bench, "arm: prompt, min_recall_at: [4, 0.5]").sentence
    assert "retrieves no passages" in one(bench, "arm: tuned, min_recall_at: [2, 0.5]").sentence


def test_break_even_of_a_priced_run(tmp_path: Path):
    bench = write(tmp_path, "economics: {requests_per_month: 1000, local_usd_per_hour: 1, labelling_usd_per_row: 2}\n")
    directory = run(bench)

    def price(line: dict[str, object]) -> dict[str, object]:
        i = int(str(line["example"])[1:])
        line["completion"]["compute_seconds"] = (36 if line["arm"] == "prompt" else 3.6) + i % 3  # type: ignore[index]
        return line

    change_lines(directory.trials, price)
    fit = directory.file("fits/tuned.json")
    edit(fit, '"cost":{', '"cost":{"labelled_rows":50,')
    text = BENCHMARK + "economics: {requests_per_month: 1000, local_usd_per_hour: 1, labelling_usd_per_row: 2}\n"
    for most, status in ((20_000, "pass"), (9_000, "inconclusive"), (5_000, "fail")):
        bench.write_text(text + f"gates: {{it: {{arm: '*', max_break_even: {most}}}}}\n")
        (found,) = gates.check(bench).outcomes
        assert (found.arm, found.status) == ("tuned", status)
        assert found.value == pytest.approx(100 / 0.009)
    bench.write_text(text + "gates: {it: {arm: tuned, max_usd_per_1k: 2}, dear: {arm: prompt, max_usd_per_1k: 2}}\n")
    assert [o.status for o in gates.check(bench).outcomes] == ["pass", "fail"]


def test_the_ratio_of_two_costs():
    rng = np.random.default_rng(3)
    then = rng.lognormal(0, 0.3, 400)
    now = 1.1 * then * rng.lognormal(-0.005, 0.1, 400)
    value, low, high = ratios.ratio(now, then, None)
    assert value == pytest.approx(now.mean() / then.mean())
    assert low < 1.1 < high
    assert low > 1.0
    assert high < 1.25
    wide = ratios.ratio(now, then, [i // 100 for i in range(400)])
    assert wide[1] < value < wide[2]


def test_markdown_is_safe_and_puts_failures_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    bad = GateOutcome("g", "a", "fail", "broke <img src=x> | @team", details=("worse on 1 (`x`)",))
    body = gates.markdown([GateOutcome("g", "b", "pass", "fine"), bad], link="reports/x/report.html")
    assert body.index("fail |") < body.index("pass |")
    assert "\\<img" in body or "&lt;img" in body
    assert " <img" not in body
    assert "@team" not in body
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "s.md"))
    gates.step_summary(body)
    gates.step_summary(body)
    assert (tmp_path / "s.md").read_text() == 2 * (body + "\n")


def test_a_step_summary_that_cannot_be_written_changes_no_exit_code(
    bench: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path))
    made = CliRunner().invoke(app, ["gate", str(bench)])
    assert made.exit_code == 0
    assert "the step's summary was not written" in made.output
    edit(bench, "min: 0.8", "min: 0.99")
    assert CliRunner().invoke(app, ["gate", str(bench)]).exit_code == 1


@pytest.mark.parametrize(
    ("gate", "words"),
    [
        ("arm: tuned, max_seconds: 1, on: accuracy", "means nothing"),
        ("arm: tuned, min_recall_at: [0, 0.5]", "k from 1"),
        ("arm: tuned, min: 0.5, on: seconds", "there is no metric"),
        ("arm: tuned, not_worse_than: saved, on: accuracy, margin: 1.0", "below 1"),
        ("arm: tuned, min: 0.5, on: accuracy, margin: 0.1", "`margin` belongs to `not_worse_than`"),
        ("arm: tuned, not_worse_than: saved, on: accuracy, by: 0.1", "`by` belongs to `beats`"),
    ],
)
def test_gates_that_mean_nothing_are_told(bench: Path, gate: str, words: str):
    bench.write_text(BENCHMARK + f"gates:\n  it: {{{gate}}}\n")
    with pytest.raises(SpecError, match=words):
        specfile.read(bench)


def test_the_text_of_a_pull_request_comment(bench: Path, tmp_path: Path):
    edit(bench.parent / "fake.py", "number % 3 == 0", "number % 3 == 0 or number % 5 == 1")
    run(bench)
    file = tmp_path / "comment.md"
    made = CliRunner().invoke(app, ["gate", str(bench), "--summary", str(file)])
    assert made.exit_code == 1
    text = file.read_text()
    assert text.startswith("### Gates of bench: 3 pass, 1 fail")
    assert "❌ fail | prompt" in text
    assert "worse on 32" in text
    assert "<details><summary>bench: the run</summary>\n\n## " in text
    assert text.rstrip().endswith("</details>")


# The run that is committed with the benchmark


@pytest.fixture
def committed(tmp_path: Path) -> Path:
    """What a fresh clone holds of the recipes benchmark; returns its file."""
    for part in ("benchmarks", "datasets/recipes", "reports/example"):
        shutil.copytree(ROOT / part, tmp_path / part)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path / "benchmarks" / "recipes.yaml"


def test_the_committed_run_passes_its_gates_as_its_benchmark_stands(committed: Path):
    by_file = gates.check(committed)
    assert (by_file.exit_code, by_file.run) == (0, gates.check(committed.parents[1] / "reports/example/recipes").run)
    assert {o.status for o in by_file.outcomes if o.gate == "regression"} == {"pass"}


@pytest.mark.parametrize(("most", "code", "words"), [(1, 2, "got other scores on accuracy"), (999, 1, "fell behind")])
def test_a_score_in_it_that_is_worsened_is_told(committed: Path, most: int, code: int, words: str):
    left = most

    def worsen(line: dict[str, object]) -> dict[str, object]:
        nonlocal left
        if (line["arm"], line["metric"]) != ("few_shot", "accuracy") or not line["value"] or not left:
            return line
        left -= 1
        return line | {"value": 0.0}

    change_lines(committed.parents[1] / "reports" / "example" / "recipes" / "scores.jsonl", worsen)
    made = CliRunner().invoke(app, ["gate", str(committed)])
    assert made.exit_code == code
    assert "few_shot::regression" in made.output
    assert words in made.output
    assert "Traceback" not in made.output
