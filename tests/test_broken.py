"""Broken benchmark files and task sets: each ends with exit code 2, the exact place and advice, and nothing has run."""

# ruff: noqa: E501  # tables: one case a line
from __future__ import annotations

import sys
from pathlib import Path

import pytest

from harness import cli, question, specfile, taskset, yamlfile
from harness.errors import DataError, HarnessError, SpecError
from tests.benchmarks import YAML, row, sound, write

SECRET = "sk-" + "proj-abcdefghij0123456789"

# (what, text of the sound file, its replacement, line:column, path, words that must be said)
SPEC: list[tuple[str, str, str, str, str, tuple[str, ...]]] = [
    ("wrong type", "k: [3, 6]", "k: [3, three]", "12:59", "arms.few_shot.k[1]", ("got: 'three'", "whole number")),
    ("text for a number", "epochs: 2", 'epochs: "2"', "14:58", "arms.tuned.epochs", ("got: '2'", "without quotes")),
    ("number for a text", "question: Does tuning help?", "question: 42", "2:11", "question", ('write "42"',)),
    ("word for a truth", "primary: true", "primary: yes", "17:39", "metrics.accuracy.primary", ("write true",)),
    ("truth for a number", "r: 8", "r: true", "14:71", "arms.tuned.lora.r", ("got: True", "1 to 1024")),
    ("unknown key", "epochs: 2", "epoch: 2", "14:50", "arms.tuned.epoch", ("did you mean `epochs`?",)),
    ("unknown key at the top", "candidate:", "candidates:", "15:1", "candidates", ("did you mean `candidate`?",)),
    ("unknown key in a map", "task:\n", "task:\n  limit: {tset: 3}\n", "5:11", "task.limit.tset", ("`test`?",)),
    ("unknown technique", "technique: few_shot", "technique: fewshot", "12:25", "arms.few_shot.technique",
     ("'fewshot'", "did you mean `few_shot`?", "fine_tune, prompt, rag, rule")),
    ("no technique", "technique: rag, ", "", "13:3", "arms.rag", ("`technique` is missing",)),
    ("unknown tuner", "epochs: 2", "tuner: trll", "14:57", "arms.tuned.tuner", ("did you mean `trl`?", "autotrain")),
    ("missing key", "  input: ", "  inputs: ", "4:1", "task.input", ("`input` is missing", "add `input:`")),
    ("no such version", "version: 1", "version: 2", "1:10", "version", ("valid: 1",)),
    ("out of range", "max_usd: 5", "max_usd: -1", "20:16", "run.max_usd", ("of at least 0", "got: -1")),
    ("bad arm name", "  rag:", "  My-Rag:", "13:3", "arms.My-Rag", ("write `my_rag`",)),
    ("an arm that is no map", "rule: {technique: rule, call: ../data/rule.py:extract}", "rule: 3", "10:9", "arms.rule",
     ("must be a mapping", "got: 3")),
    ("expect below min_effect", "expect: 0.07", "expect: 0.01", "19:1", "verdict", ("must be above `min_effect`",)),
    ("label without labels", "format: list", "format: label", "8:3", "task.answer", ("needs `labels`",)),
    ("a gate asks two things", "by: 0.02}", "min: 0.5}", "22:3", "gates.worth_it", ("got beats and min",)),
    ("unknown arm in extends", "extends: few_shot", "extends: few_shott", "13:34", "arms.rag.extends",
     ("there is no arm 'few_shott'", "did you mean `few_shot`?")),
    ("an arm extends itself", "extends: few_shot", "extends: rag", "13:34", "arms.rag.extends", ("extend itself",)),
    ("extends in a circle", "technique: prompt,", "technique: prompt, extends: rag,", "11:40", "arms.prompt.extends",
     ("prompt -> rag -> few_shot -> prompt",)),
    ("extends a rule", "extends: few_shot", "extends: rule", "13:34", "arms.rag.extends", ("no prompt to hand on",)),
    ("candidate unknown", "candidate: tuned", "candidate: tund", "15:12", "candidate", ("did you mean `tuned`?",)),
    ("candidate not tuned", "candidate: tuned", "candidate: rag", "15:12", "candidate", ("no fine-tuned arm", "tuned")),
    ("baseline unknown", "candidate: tuned", "baseline: atuo", "15:11", "baseline", ("did you mean `auto`?",)),
    ("baseline is the candidate", "candidate: tuned", "candidate: tuned\nbaseline: tuned", "16:11", "baseline",
     ("the same arm",)),
    ("gate on unknown arm", "{arm: tuned", "{arm: tuend", "22:19", "gates.worth_it.arm", ("did you mean `tuned`?",)),
    ("gate on unknown metric", "on: accuracy", "on: acuracy", "22:47", "gates.worth_it.on", ("`accuracy`?",)),
    ("gate against unknown arm", "beats: baseline", "beats: baselin", "22:33", "gates.worth_it.beats", ("`baseline`?",)),
    ("two primaries", "unsupported_items}", "unsupported_items, primary: true}", "18:50", "metrics.invented.primary",
     ("`accuracy` is",)),
    ("no primary", ", primary: true", "", "16:1", "metrics", ("add `primary: true`",)),
    ("unknown scorer", "scorer: set_f1", "scorer: set_f2", "17:22", "metrics.accuracy.scorer", ("set_f1", "did you mean")),
    ("scorer turned round", "unsupported_items}", "unsupported_items, higher_is_better: true}", "18:59",
     "metrics.invented.higher_is_better", ("better when lower",)),
    ("unknown model", "openai/gpt-4.1-mini", "gpt-4.1-mini", "3:8", "model", ("openai/gpt-4.1-mini", "local/")),
    ("unknown embedded model", "openai/gpt-4.1-mini", "local/smollm-135m-instruct", "3:8", "model",
     ("there is no embedded model", "did you mean `local/smollm2-135m-instruct`?")),
    ("unknown provider", "openai/gpt-4.1-mini", "opnai/gpt-4.1-mini", "3:8", "model", ("did you mean `openai/`?",)),
    ("arm's model tunes nothing", "top_k: 4", "model: prompt", "13:87", "arms.rag.model", ("tunes no model", "tuned")),
    ("endpoint without id", "openai/gpt-4.1-mini", "{base_url: http://localhost:1/v1}", "3:1", "model.id", ("missing",)),
    ("no such day", "openai/gpt-4.1-mini", "{id: openai/x, retires: 2027-02-30}", "3:32", "model.retires", ("no such day",)),
    ("rag without documents", "documents: ../data/documents.jsonl, ", "", "13:3", "arms.rag.documents", ("missing",)),
    ("too many candidates", "k: [3, 6]", "k: [1, 2, 3, 6]", "12:3", "arms.few_shot",
     ("8 configurations (4 k x 2 select)", "6 dev trials", "run.dev_trials to 8")),
    ("twice in a sweep", "k: [3, 6]", "k: [3, 3]", "12:55", "arms.few_shot.k", ("3 stands twice",)),
    ("no such data", "data: ../data", "data: ../dta", "5:9", "task.data", ("no such file: dta", "did you mean `data`?")),
    ("no such prompt", "prompts/plain.md", "prompts/plane.md", "11:40", "arms.prompt.system[0]", ("`plain.md`?",)),
    ("prompt without file://", "file://prompts/plain.md", "prompts/plain.md", "11:40", "arms.prompt.system[0]",
     ("write file://prompts/plain.md",)),
    ("no such documents", "documents.jsonl", "docs.jsonl", "13:55", "arms.rag.documents", ("no such file",)),
    ("no such function", "rule.py:extract", "rule.py:extrct", "10:33", "arms.rule.call", ("did you mean `extract`?",)),
    ("no function named", "rule.py:extract", "rule.py", "10:33", "arms.rule.call", ("file.py:function",)),
    ("path escape", "data: ../data", "data: ../../elsewhere", "5:9", "task.data", ("leaves the project",)),
    ("absolute path escape", "documents: ../data/documents.jsonl", "documents: /etc/passwd", "13:55",
     "arms.rag.documents", ("leaves the project", "/etc/passwd")),
    ("python outside", "../data/rule.py:extract", "../../rule.py:extract", "10:33", "arms.rule.call",
     ("only from inside the project",)),
    ("template that does not parse", "{{ title }}", "{{ title }", "6:10", "task.input", ("does not parse",)),
    ("template with an unknown column", "{{ title }}", "{{ titel }}", "6:10", "task.input", ("did you mean `title`?",)),
    ("template without a column", '"{{ items }}"', "items", "7:11", "task.target", ("names no column",)),
    ("key with an unknown column", "task:\n", 'task:\n  key: "{{ titel }}"\n', "5:8", "task.key", ("`title`?",)),
    ("kept column that is not there", "task:\n", "task:\n  keep: [titel]\n", "5:10", "task.keep[0]", ("`title`?",)),
    ("template that loops over text", "{{ lines }}", "{% for l in lines %}{{ l }}{% endfor %}", "6:10", "task.input",
     ("single letters",)),
    ("the input shows the target", "{{ lines }}", "{{ items }}", "6:10", "task.input", ("target column `items`",)),
    ("renamed column that is not there", "task:\n", "task:\n  columns: {name: titel}\n", "5:19", "task.columns.name",
     ("did you mean `title`?",)),
    ("bad indentation", "  target:", "   target:", "7:4", "", ("not valid YAML",)),
    ("tab", "  data:", "\tdata:", "5:1", "", ("spaces, never with tabs",)),
    ("template without quotes", '"{{ items }}"', "{{ items }}", "7:12", "task.target", ("in quotes",)),
    ("duplicate key", "candidate: tuned", "candidate: tuned\nversion: 1", "16:1", "version", ("stands twice", "line 1")),
    ("a tag", "question: Does", "question: !!python/name:os.system Does", "2:11", "question", ("not allowed",)),
    ("endless alias", "run: {max_usd: 5}", "run: &a {max_usd: *a}", "20:6", "run.max_usd", ("no end",)),
    ("not a finite number", "max_usd: 5", "max_usd: .inf", "20:16", "run.max_usd", ("finite",)),
    ("half a character", "question: Does", 'question: "\\ud800"\nx: Does', "2:11", "question", ("surrogate",)),
    ("the key itself mistyped", "technique: few_shot", "technqiue: few_shot", "12:14", "arms.few_shot.technqiue",
     ("`technique` is missing", "write `technique:`")),
    ("below zero, or a list of such", "top_k: 4", "top_k: -4", "13:87", "arms.rag.top_k", ("out of range", "got: -4")),
    ("no epoch", "epochs: 2", "epochs: 0", "14:58", "arms.tuned.epochs", ("out of range", "from 1 to 100, or auto")),
    ("more than any number", "top_k: 4", f"top_k: 0x{'f' * 5000}", "13:87", "arms.rag.top_k", ("too large",)),
    ("more than any answer", "max_usd: 5", "max_tokens: 9999999", "20:19", "run.max_tokens", ("to 1000000",)),
    ("a seed that numpy does not take", "max_usd: 5", "seed: -5", "20:13", "run.seed", ("out of range",)),
    ("a version in quotes", "version: 1", 'version: "1"', "1:10", "version", ("write 1 without quotes",)),
    ("nothing", "question: Does tuning help?", "question:", "2:1", "question", ("write a value",)),
    ("a merge of no mapping", "version: 1", "version: 1\n<<: 3", "2:5", "", ("`<<` takes a mapping", "got: 3")),
    ("an arm called as a role", "  rag:", "  baseline:", "13:3", "arms.baseline", ("of its own", "baseline_arm")),
    ("a cascade on itself", "{technique: rag, extends: few_shot, documents: ../data/documents.jsonl, top_k: 4}",
     "{technique: cascade, first: rag, then: prompt}", "13:36", "arms.rag.first", ("on itself",)),
    ("a setting of local trainings", "epochs: 2, lora: {r: 8}", "tuner: openai, lora: {r: 8}", "14:65", "arms.tuned.lora",
     ("means nothing to `tuner: openai`", "remove `lora`; it belongs to tuner: trl or autotrain", "learning_rate_multiplier")),
    ("merged weights are no provider's", "epochs: 2, lora: {r: 8}", "tuner: azure, merge: false", "14:71",
     "arms.tuned.merge", ("means nothing to `tuner: azure`", "deployment_sku")),
    ("a provider's tuner elsewhere", "epochs: 2, lora: {r: 8}", "tuner: azure", "14:57", "arms.tuned.tuner",
     ("`tuner: azure` cannot tune 'openai/gpt-4.1-mini'", "valid: azure/DEPLOYMENT")),
    ("a rate instead of a multiplier", "lora: {r: 8}", "tuner: openai, learning_rate: 0.001", "14:91",
     "arms.tuned.learning_rate", ("write `learning_rate_multiplier`",)),
    ("a provider's setting", "lora: {r: 8}", "suffix: mine", "14:69", "arms.tuned.suffix", ("to tuner: openai or azure",)),
    ("a deployment's setting", "lora: {r: 8}", "deployment_capacity: 50", "14:82", "arms.tuned.deployment_capacity",
     ("means nothing to `tuner: trl`", "it belongs to tuner: azure")),
    ("an adapter kept apart", "lora: {r: 8}", "tuner: autotrain, merge: false", "14:86", "arms.tuned.merge",
     ("the engines read merged weights",)),
    ("training what is there already", "epochs: 2, lora: {r: 8}", "tuner: existing, served: openai/ft:x, seed: 0", "14:94",
     "arms.tuned.seed", ("trains nothing", "remove `seed`")),
    ("passages of no documents", "lora: {r: 8}", "top_k: 3", "14:68", "arms.tuned.top_k", ("add `documents`",)),
    ("labels that differ in case", "format: list", "format: label, labels: [a, A]", "8:3", "task.answer",
     ("'a' stands twice",)),
    ("an environment variable", "openai/gpt-4.1-mini", "${MODEL}", "3:8", "model", ("from no environment variable",)),
    ("a folder without weights", "openai/gpt-4.1-mini", "../data", "3:8", "model", ("no config.json",)),
    ("a column in a system prompt", "Name the items.", "Name {{ title }}.", "11:65", "arms.prompt.system[1]",
     ("sent as it is", "task.input")),
    ("secret as a value", "openai/gpt-4.1-mini", SECRET, "3:8", "model", ("a secret", "revoke")),
    ("secret in a comment", "version: 1", f"version: 1  # {SECRET}", "1:15", "version", ("a secret",)),
    ("secret under a key's name", "openai/gpt-4.1-mini", "{id: x, base_url: http://localhost:1, api_key: hunter2hunter2}",
     "3:46", "model.api_key", ("a secret",)),
]  # fmt: skip


def told(error: HarnessError, where: str, path: str, words: tuple[str, ...]) -> None:
    """The problem at that place says these words, and the message is fit for people."""
    assert error.exit_code == 2
    here = [p for p in error.problems if p.where.endswith(where) and p.path == path]
    assert here, f"nothing said of {path} at {where} in:\n{error}"
    text = "\n".join(map(str, here))
    for word in words:
        assert word in text
    assert SECRET not in str(error)
    assert "hunter2" not in str(error)
    assert "Traceback" not in str(error)
    assert "pydantic" not in str(error)


@pytest.mark.parametrize(("old", "new", "where", "path", "words"), [c[1:] for c in SPEC], ids=[c[0] for c in SPEC])
def test_broken_benchmark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], old: str, new: str, where: str,
    path: str, words: tuple[str, ...],
) -> None:  # fmt: skip
    assert YAML.count(old) == 1, "the case must change one thing"
    file = sound(tmp_path, YAML.replace(old, new))
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(SpecError) as caught:
        specfile.read(file)
    told(caught.value, f"benchmarks/bench.yaml:{where}", path, words)
    assert len(caught.value.problems) <= 2, str(caught.value)
    ends_with_2(file, monkeypatch, capsys)
    assert sorted(tmp_path.rglob("*")) == before


def ends_with_2(file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """`harness run` says the same and exits 2."""
    monkeypatch.setattr(sys, "argv", ["harness", "run", str(file)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    said = capsys.readouterr()
    assert "error" in said.err
    assert "Traceback" not in said.err
    assert SECRET not in said.err + said.out


# (what, raw bytes, line:column or end of where, words)
FILES: list[tuple[str, bytes, str, tuple[str, ...]]] = [
    ("empty", b"", "x.yaml:1:1", ("empty", "harness init")),
    ("only comments", b"# nothing\n", "x.yaml:1:1", ("only comments",)),
    ("a list", b"- 1\n", "x.yaml:1:1", ("a list, not a mapping",)),
    ("no benchmark", b"services: {}\nversion: 3\n", "x.yaml:1:1", ("no benchmark file", "services")),
    ("not UTF-8", b"version: 1\nquestion: caf\xe9\n", "x.yaml:2:14", ("byte 24", "0xe9", "UTF-8")),
    ("UTF-16", "version: 1".encode("utf-16"), "x.yaml:1:1", ("UTF-16",)),
    ("NUL", b"version: 1\nquestion: a\x00b\n", "x.yaml:2:12", ("control character",)),
    ("UTF-16 without a mark", "version: 1".encode("utf-16-le"), "x.yaml:1:1", ("UTF-16",)),
    ("open bracket", b"version: [1\n", "", ("not valid YAML",)),
    ("two documents", b"version: 1\n---\nversion: 1\n", "x.yaml:2:1", ("one file is one benchmark",)),
    ("too large", b"# " + b"x" * 200_000, "x.yaml", ("128 KB", "file://")),
    ("nested deeply", b"arms: " + b"[" * 5000, "x.yaml:1:1", ("nested deeper",)),
]


@pytest.mark.parametrize(("raw", "where", "words"), [c[1:] for c in FILES], ids=[c[0] for c in FILES])
def test_no_yaml_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], raw: bytes, where: str,
    words: tuple[str, ...],
) -> None:  # fmt: skip
    file = tmp_path / "x.yaml"
    file.write_bytes(raw)
    with pytest.raises(SpecError) as caught:
        specfile.read(file)
    assert any(p.where.endswith(where) for p in caught.value.problems), str(caught.value)
    for word in words:
        assert word in str(caught.value)
    ends_with_2(file, monkeypatch, capsys)


@pytest.mark.timeout(60)  # unfolded, it would hold 10^12 values
def test_a_yaml_bomb_is_refused_before_it_unfolds(tmp_path: Path) -> None:
    file = tmp_path / "bomb.yaml"
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    file.write_text("\n".join(lines))
    with pytest.raises(SpecError, match="unfolds to more than"):
        specfile.read(file)


def test_missing_files_and_folders_say_what_is_near(tmp_path: Path) -> None:
    sound(tmp_path)
    with pytest.raises(SpecError, match=r"did you mean `bench\.yaml`"):
        specfile.read(tmp_path / "benchmarks" / "bensh.yaml")
    with pytest.raises(SpecError, match=r"(?s)a folder.*bench\.yaml"):
        specfile.read(tmp_path / "benchmarks")


def test_a_prompt_file_with_a_nul_is_refused_like_a_text_with_one(tmp_path: Path) -> None:
    file = sound(tmp_path)
    (file.parent / "nul.md").write_bytes(b"Name them.\nOne a li\0ne.")
    file.write_text(YAML.replace("epochs: 2", "epochs: 2, system: file://nul.md", 1), "utf-8")
    with pytest.raises(SpecError, match=r"(?s)arms\.tuned\.system.*nul\.md:2 has a NUL in it"):
        specfile.read(file)


def test_every_mistake_is_told_at_once_in_the_order_of_lines(tmp_path: Path) -> None:
    text = YAML
    for old, new in (
        ("k: [3, 6]", "k: three"), ("candidate: tuned", "candidate: tund"), ("data: ../data", "data: ../dta"),
        ("scorer: set_f1", "scorer: set_f2"), ("max_usd: 5", "max_usd: -1"), ("{{ lines }}", "{{ items }}"),
    ):  # fmt: skip
        text = text.replace(old, new)
    with pytest.raises(SpecError) as caught:
        specfile.read(sound(tmp_path, text))
    paths = [p.path for p in caught.value.problems]
    wanted = ["task.data", "task.input", "arms.few_shot.k", "candidate", "metrics.accuracy.scorer", "run.max_usd"]
    assert paths == wanted


def test_a_symlink_out_of_the_project_is_seen_through(tmp_path: Path) -> None:
    file = sound(tmp_path / "project", YAML.replace("../data/documents.jsonl", "../link.jsonl"))
    secret = write(tmp_path / "outside.jsonl", {"id": "d", "title": "t", "text": "x"})
    (tmp_path / "project" / "link.jsonl").symlink_to(secret)
    with pytest.raises(SpecError) as caught:
        specfile.read(file)
    told(caught.value, "13:55", "arms.rag.documents", ("leaves the project",))
    assert specfile.read(file, allow_outside=True).allow_outside


# (what, split, the lines of its file, place, path, words)
T = "test.jsonl"
DATA: list[tuple[str, str, list[dict[str, object] | str], str, str, tuple[str, ...]]] = [
    ("bad JSON", T, [row("a", "kale"), '{"id": "b", "title": }'], "test.jsonl:2:22", "", ("not valid JSON", "got:")),
    ("single quotes", T, ["{'id': 1}"], "test.jsonl:1:2", "", ("double quotes",)),
    ("a JSON array", T, ["[", "{}", "]"], "test.jsonl:1:2", "", ("one object a line",)),
    ("two objects on a line", T, ['{"id": 1} {"id": 2}'], "test.jsonl:1:11", "", ("one object a line",)),
    ("not an object", T, [row("a", "kale"), "[1, 2]"], "test.jsonl:2:1", "", ("not an object", "a list")),
    ("NaN", T, ['{"id": NaN}'], "test.jsonl:1:1", "", ("NaN",)),
    ("a number beyond all", T, ['{"id": 1e999}'], "test.jsonl:1:1", "", ("1e999 is no JSON number", "next: ")),
    ("5,000 digits", T, ['{"id": ' + "9" * 5000 + "}"], "test.jsonl:1:1", "", ("4,300 digits",)),
    ("UTF-16 without a mark", T, ["{\0}\0"], "test.jsonl:1:1", "", ("UTF-16",)),
    ("a key twice", T, ['{"id": "a", "id": "b"}'], "test.jsonl:1:1", "", ("`id` stands twice",)),
    ("half a character", T, ['{"id": "a", "title": "\\ud800"}'], "test.jsonl:1:1", "title", ("surrogate",)),
    ("an escaped NUL", T, ['{"id": "a", "title": "\\u0000"}'], "test.jsonl:1:1", "title", ("NUL",)),
    ("duplicate id", T, [row("a", "kale"), row("b", "chard"), row("a", "cress")], "test.jsonl:3", "id",
     ("'a' stands twice", "test.jsonl:1")),
    ("duplicate id over splits", T, [row("train-leek", "kale")], "test.jsonl:1", "id", ("train.jsonl:1",)),
    ("test row inside train", T, [row("a", "kale"), row("b", "Leek")], "test.jsonl:2", "", ("two splits", "train.jsonl:1")),
    ("missing id", T, [row("a", "kale"), row("", "chard")], "test.jsonl:2", "id", ("give every row a `id`, or none",)),
    ("an id with a line break", T, [row("a\nb", "kale")], "test.jsonl:1", "id", ("printable",)),
    ("an id that is a list", T, [row("a", "kale") | {"id": ["a"]}], "test.jsonl:1", "id", ("a list is no id",)),
    ("a target of lists", T, [row("a", "kale", items=[["x"]])], "test.jsonl:1", "items", ("is no text",)),
    ("missing column", T, [row("a", "kale"), {"id": "b", "titel": "x", "lines": "y", "items": ["z"]}], "test.jsonl:2",
     "title", ("no column `title`", "did you mean `titel`?")),
    ("null column", T, [row("a", "kale", lines=None)], "test.jsonl:1", "lines", ("is null",)),
    ("empty input", T, [row("a", "kale", title=" ", lines=[])], "test.jsonl:1", "", ("the input is empty",)),
    ("empty target", T, [row("a", "kale", items=[])], "test.jsonl:1", "items", ("target is empty", "abstain")),
    ("empty target item", T, [row("a", "kale", items=["x", " "])], "test.jsonl:1", "items", ("an item of it",)),
    ("cluster on some rows", T, [row("a", "kale", cluster="c"), row("b", "chard")], "test.jsonl:2", "cluster",
     ("others of test have",)),
    ("empty split", "dev.jsonl", ["\n"], "data", "", ("the dev split is empty",)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "lines", "where", "path", "words"), [c[1:] for c in DATA], ids=[c[0] for c in DATA])
def test_broken_task_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str,
    lines: list[dict[str, object] | str], where: str, path: str, words: tuple[str, ...],
) -> None:  # fmt: skip
    file = sound(tmp_path)
    write(tmp_path / "data" / name, *lines)
    monkeypatch.chdir(tmp_path)
    task = specfile.Benchmark.model_validate(yamlfile.load(file).data).task
    with pytest.raises(DataError) as caught:
        taskset.load(task, file.parent, tmp_path, need=("train", "dev", "test"))
    told(caught.value, where, path, words)
    ends_with_2(file, monkeypatch, capsys)
    assert not (tmp_path / "reports").exists()


def test_a_split_whose_file_is_misnamed_or_a_folder_is_not_only_called_empty(tmp_path: Path) -> None:
    file = sound(tmp_path)
    data = tmp_path / "data"
    (data / "train.jsonl").rename(data / "trian.jsonl")
    (data / "train.jsonl").mkdir()
    task = specfile.Benchmark.model_validate(yamlfile.load(file).data).task
    with pytest.raises(DataError) as caught:
        taskset.load(task, file.parent, tmp_path, need=("train", "dev", "test"))
    assert "no file of the folder is named for it" in str(caught.value)
    assert "train.jsonl/, trian.jsonl" in str(caught.value)


def test_links_in_a_circle_and_into_nothing(tmp_path: Path) -> None:
    (tmp_path / "loop.yaml").symlink_to("loop.yaml")
    (tmp_path / "gone.yaml").symlink_to("nowhere.yaml")
    with pytest.raises(SpecError, match="symbolic links"):
        specfile.read(tmp_path / "loop.yaml")
    with pytest.raises(SpecError, match="link to a file that is not there"):
        specfile.read(tmp_path / "gone.yaml")


def test_a_split_that_is_a_link_out_of_the_project_is_not_read(tmp_path: Path) -> None:
    file = sound(tmp_path / "project")
    split = tmp_path / "project" / "data" / "test.jsonl"
    split.rename(tmp_path / "outside.jsonl")
    split.symlink_to(tmp_path / "outside.jsonl")
    with pytest.raises(SpecError) as caught:
        specfile.read(file)
    told(caught.value, "5:9", "task.data", ("test.jsonl is a link that leaves the project", "--allow-outside"))
    assert specfile.read(file, allow_outside=True).allow_outside


@pytest.mark.timeout(20)  # it would fill the memory
@pytest.mark.parametrize(
    ("does", "said"), [("title * 99999999999", "multiplies nothing"), ("title.__class__", "unsafe")]
)
def test_a_template_that_does_what_it_must_not_is_told_once_at_its_line(tmp_path: Path, does: str, said: str) -> None:
    with pytest.raises(SpecError) as caught:
        specfile.read(sound(tmp_path, YAML.replace("{{ title }}", f"{{{{ {does} }}}}")))
    told(caught.value, "6:10", "task.input", (said,))


def test_what_there_are_too_few_rows_for_is_said(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = project / "bench.yaml"
    file.write_text(file.read_text().replace("k: [2, 3]", "k: [2, 7]"))
    (project / "data" / "dev.jsonl").unlink()
    monkeypatch.setattr(sys, "argv", ["harness", "check", str(file)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "arms.few_shot.k: 7 shots, but train has 6 rows" in said
    assert "arms.prompt: there are no dev rows to choose system on: the first is taken" in said


def test_a_script_that_cannot_be_imported_leaves_no_run(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "rule.py").write_text("import no_such_module\n\n\ndef extract(columns):\n    return []\n")
    ends_with_2(project / "bench.yaml", monkeypatch, capsys)
    with pytest.raises(SpecError) as caught:
        question.try_scripts(specfile.read(project / "bench.yaml"))
    assert [p.path for p in caught.value.problems] == ["arms.rule.call"]
    assert "ModuleNotFoundError" in str(caught.value)
    assert not (project / "reports").exists()
