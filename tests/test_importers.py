"""Other tools' task sets: what is carried over reads as a sound benchmark, what is not is said with its line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness import importers, specfile, taskset
from harness.errors import DataError, HarnessError
from harness.importers import Imported
from tests.benchmarks import write

PROMPTFOO = """\
description: Where is it?
prompts:
  - "Name the capital of {{ country }}."
  - file://second.txt
  - file://code.py
providers:
  - openai:chat:gpt-4.1-mini
  - id: anthropic:messages:claude
    config: {temperature: 0}
  - openai:gpt-4.1
defaultTest:
  assert:
    - {type: latency, threshold: 2000}
tests:
  - vars: {country: France}
    assert: [{type: equals, value: Paris}]
  - vars: {country: Peru}
    assert:
      - {type: llm-rubric, value: is polite}
      - {type: similar, value: Lima, threshold: 0.8}
      - {type: contains, value: Lima}
  - vars: {country: [Spain, Chad]}
    assert: [{type: contains, value: "the capital of {{country}}"}]
  - vars: {country: Mars}
    assert: [{type: javascript, value: output.length > 3}]
  - file://more.csv
outputPath: out.json
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").write_text("")
    (tmp_path / "second.txt").write_text("Be brief. What is the capital of {{country}}?")
    (tmp_path / "code.py").write_text("")
    (tmp_path / "more.csv").write_text(
        'country,__expected\nChile,Santiago\nItaly,"similar(0.9): Rome"\nLaos,"grade: x"\n'
    )
    file = tmp_path / "promptfooconfig.yaml"
    file.write_text(PROMPTFOO)
    return file


def written(imported: Imported, folder: Path) -> taskset.TaskSet:
    """The import as written, read back by the reader of benchmarks and task sets."""
    located = specfile.read(importers.write(imported, folder, "made"))
    return taskset.load(located.benchmark.task, located.folder, located.project)


def test_promptfoo(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(config.parent)
    made = importers.read("promptfoo", config)
    assert made.model == "openai/gpt-4.1-mini"
    assert made.input == "country: {{ country }}"
    assert made.systems == ("Name the capital of [country].", "Be brief. What is the capital of [country]?")
    assert made.metrics == {"contains": "contains", "relevance": "semantic_similarity", "accuracy": "exact"}
    assert [(r["id"], r["country"], r["target"]) for r in made.rows] == [
        ("0", "France", "Paris"), ("1", "Peru", "Lima"), ("2", "Spain", "the capital of Spain"),
        ("2.1", "Chad", "the capital of Chad"), ("4-0", "Chile", "Santiago"), ("4-1", "Italy", "Rome"),
    ]  # fmt: skip
    said = "\n".join(made.notes)
    for words in (
        "promptfooconfig.yaml:27: outputPath: has no counterpart",
        "promptfooconfig.yaml:8: providers[1]: provider anthropic:messages:claude is not known",
        "openai/gpt-4.1 is left out",
        "`latency` is a gate here",
        "tests[1].assert[0]: `llm-rubric` is judged by a model",
        "threshold 0.8",
        "tests[3]: no assertion gives a target",
        "`javascript` is code",
        "file://code.py is no text file",
        "several prompts became system prompts",
    ):
        assert words in said
    tasks = written(made, config.parent / "benchmarks")
    assert len(tasks.train) + len(tasks.dev) + len(tasks.test) == 6
    assert tasks.test


def test_one_prompt_stays_the_input(config: Path) -> None:
    config.write_text(
        'prompts: ["Translate {{id}} to {{lang}}:"]\nproviders: openai:gpt-4.1\n'
        "tests: [{vars: {id: cat, lang: French}, assert: [{type: contains-all, value: [chat, le]}]}]\n"
    )
    made = importers.read("promptfoo", config)
    assert made.input == "Translate {{ var_id}} to {{lang}}:"
    assert (made.systems, made.format) == ((), "list")
    assert made.rows == [{"id": "0", "var_id": "cat", "lang": "French", "target": ["chat", "le"]}]
    assert written(made, config.parent / "b").test[0].target == ("chat", "le")


def test_chat_prompts(config: Path) -> None:
    chat = [{"role": "system", "content": "Be terse."}, {"role": "user", "content": "Q: {{q}}"}]
    config.write_text(json.dumps({"prompts": [json.dumps(chat)], "tests": [
        {"vars": {"q": "1+1"}, "assert": [{"type": "equals", "value": {"a": 2}}]}]}))  # fmt: skip
    made = importers.read("promptfoo", config)
    assert (made.systems, made.input, made.format) == (("Be terse.",), "Q: {{q}}", "json")
    assert made.metrics == {"json_match": "json_match"}
    assert made.model.startswith("local/")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: 1\n", "no promptfoo configuration"),
        ("prompts: [x]\ntests: [{vars: {a: 1}, assert: [{type: is-json}]}]\n", "no row can be carried over"),
        ("prompts: [\n", "not valid YAML"),
    ],
)
def test_promptfoo_that_cannot_be_read(config: Path, text: str, words: str) -> None:
    config.write_text(text)
    with pytest.raises(HarnessError, match=words):
        importers.read("promptfoo", config)


def sample(question: str, ideal: object, system: str = "Answer.") -> dict[str, object]:
    messages = [{"role": "system", "content": system}, {"role": "user", "content": question}]
    return {"input": messages, "ideal": ideal}


def test_openai_evals_samples(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("")
    file = write(
        tmp_path / "samples.jsonl", sample("2+2?", "4"), sample("Rome is in?", ["Italy", "Europe"]), {"input": "x"},
        {"input": [{"role": "system", "content": "Answer."}, {"role": "user", "content": "a"},
                   {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}], "ideal": "d"},
    )  # fmt: skip
    made = importers.read("openai-evals", file)
    assert (made.systems, made.input) == (("Answer.",), "{{ question }}")
    assert [(r["question"], r["target"]) for r in made.rows] == [
        ("2+2?", "4"), ("Rome is in?", "Italy"), ("User: a\nAssistant: b\nUser: c", "d"),
    ]  # fmt: skip
    said = "\n".join(made.notes)
    for words in ("samples.jsonl:2: any of 2 ideals", "samples.jsonl:3: left out", "samples.jsonl:4: 3 turns"):
        assert words in said
    assert written(made, tmp_path / "benchmarks").test


def test_openai_evals_registry(tmp_path: Path) -> None:
    (tmp_path / "evals").mkdir()
    (tmp_path / "data" / "arith").mkdir(parents=True)
    write(tmp_path / "data" / "arith" / "s.jsonl", sample("2+2?", "4", "One."), sample("3+3?", "6", "Two."))
    file = tmp_path / "evals" / "arith.yaml"
    file.write_text(
        "arith:\n  id: arith.dev.v0\n  metrics: [accuracy]\n"
        "arith.dev.v0:\n  class: evals.elsuite.basic.includes:Includes\n"
        "  args:\n    samples_jsonl: arith/s.jsonl\n    num_few_shot: 3\n"
        "other:\n  class: evals.elsuite.modelgraded.classify:ModelBasedClassify\n"
    )
    made = importers.read("openai-evals", file)
    assert made.metrics == {"contains": "contains"}
    assert made.input == "{{ system }}\n\n{{ question }}"
    said = "\n".join(made.notes)
    assert "arith.yaml:8: arith.dev.v0.args.num_few_shot: has no counterpart" in said
    assert "arith.yaml:9: other: is left out" in said
    file.write_text(file.read_text().replace("arith/s.jsonl", "arith/t.jsonl"))
    with pytest.raises(DataError, match=r"(?s)arith\.yaml:7:20.*samples are not there"):
        importers.read("openai-evals", file)


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    made = importers.read("openai-evals", write(tmp_path / "s.jsonl", sample("a", "b")))
    importers.write(made, tmp_path, "made")
    with pytest.raises(DataError, match="there already"):
        importers.write(made, tmp_path, "made")
