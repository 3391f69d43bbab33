"""Other tools' task sets: what is carried over passes a check as it is, what is not is said with its line."""

from __future__ import annotations

import asyncio
import csv
import itertools
import json
from pathlib import Path

import pytest

from harness import importers, specfile
from harness.check import check
from harness.errors import HarnessError
from harness.importers import Imported
from harness.pipeline import Question
from tests.benchmarks import write

WORDS = {
    "greet": "hello morning dear welcome friend",
    "buy": "order basket price pay item",
    "bye": "later ciao see you",
}


def checked(imported: Imported, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Question:
    """The import as written, through `harness check`: all that it lacks is a key, or a server that runs."""
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    made = asyncio.run(check(specfile.read(importers.write(imported, folder / "out", "made"))))
    assert made.estimate is not None
    assert [a.arm for a in made.estimate.arms] == list(made.question.located.benchmark.arms)
    assert [e for e in made.errors if "_API_KEY is not set" not in e and "localhost" not in e] == []
    return made.question


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "pyproject.toml").write_text("")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def promptfoo(folder: Path, text: str, **files: str) -> Imported:
    """The import of a configuration; files by name, `__` for the dot."""
    for name, content in files.items():
        file = folder / name.replace("__", ".").replace("_in_", "/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    config = folder / "promptfooconfig.yaml"
    config.write_text(text)
    return importers.read("promptfoo", config)


def said(imported: Imported, *words: str) -> None:
    text = "\n".join(imported.said)
    for word in words:
        assert word in text, text


def utterances() -> list[tuple[str, str]]:
    """Forty-two texts of three intents, none like another."""
    return [
        (f"{' '.join(words)} {chr(97 + i) * 5}{chr(110 + i % 9) * 4}", intent)
        for intent, known in WORDS.items()
        for i, words in zip(range(14), itertools.cycle(itertools.combinations(known.split(), 3)), strict=False)
    ]


def test_labels_from_a_table(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (project / "t.csv").open("w", newline="") as file:
        rows = [(text, f"equals: {intent}", "latency(2000)", "x") for text, intent in utterances()]
        csv.writer(file).writerows([("utterance", "__expected", "__expected2", "__metric"), *rows])
    made = promptfoo(
        project,
        'prompts: [file://p.txt]\nproviders: [{id: "openai:chat:gpt-4.1-mini", config: {temperature: 0.2, top_p: 1}}]\n'
        "tests: file://t.csv\nevaluateOptions: {repeat: 2, maxConcurrency: 3, showProgressBar: false}\n",
        p__txt="Which intent?\n{{ utterance }}\n",
    )
    assert (made.model, made.input) == ("openai/gpt-4.1-mini", "Which intent?\n{{ utterance }}")
    assert (made.format, made.labels) == ("label", ("buy", "bye", "greet"))
    said(
        made,
        "t.csv:2-43: `latency` is a gate here: max_seconds",
        "t.csv:2: `equals` wants the same text to the letter",
        "t.csv:1: the column __metric has no counterpart",
        "promptfooconfig.yaml:2: providers[0].config.top_p: is not carried over",
        "promptfooconfig.yaml:4: evaluateOptions.showProgressBar: has no counterpart",
    )
    benchmark = checked(made, project, monkeypatch).located.benchmark
    assert list(benchmark.arms) == ["prompt", "classifier", "few_shot", "fine_tuned"]
    assert benchmark.arms["fine_tuned"].model_dump()["tuner"] == "openai"
    assert (benchmark.run.repeats, benchmark.run.max_concurrency, benchmark.run.temperature) == (2, 3, 0.2)
    assert benchmark.task.answer.instruction == ""


def test_words_that_an_answer_holds(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = promptfoo(
        project,
        """\
description: Where is it?
prompts: ["Name the capital of {{ country }}."]
providers: openai:gpt-4o-mini
defaultTest:
  options: {transform: output.trim()}
  assert:
    - {type: latency, threshold: 2000}
tests:
  - vars: {country: Peru}
    assert: [{type: contains, value: Lima, weight: 2}, {type: llm-rubric, value: polite}]
  - vars: {country: [Spain, Chad]}
    assert: [{type: icontains, value: "the capital of {{country}}"}]
  - vars: {country: Mali}
    assert: [{type: contains-all, value: [Bamako, Niger]}, {type: not-contains, value: AI}]
  - vars: {country: Laos}
    assert: [{type: contains-any, value: [Vientiane, Viangchan]}]
  - vars: {country: Mars}
    assert: [{type: javascript, value: output.length > 3}]
  - vars: {country: Oman}
    assert: [{type: similar, value: Muscat is the capital, threshold: 0.8}]
outputPath: out.json
""",
    )
    assert made.metrics == {"contains": "contains"}
    assert [(r["id"], r["country"], r["target"]) for r in made.rows] == [
        ("0", "Peru", "Lima"), ("1", "Spain", "the capital of Spain"), ("1.1", "Chad", "the capital of Chad"),
        ("2", "Mali", ["Bamako", "Niger"]), ("3", "Laos", "Vientiane"),
    ]  # fmt: skip
    said(
        made,
        "promptfooconfig.yaml:5: defaultTest.options.transform: has no counterpart",
        "promptfooconfig.yaml:7: defaultTest.assert[0]: `latency` is a gate here",
        "promptfooconfig.yaml:10: tests[0].assert[0]: `weight` of `contains` is not carried over",
        "promptfooconfig.yaml:10: tests[0].assert[1]: `llm-rubric` is judged by a model",
        "promptfooconfig.yaml:14: tests[2].assert[1]: `not-contains` has no counterpart here",
        "promptfooconfig.yaml:16: tests[3].assert[0]: any of 2 values was right; the first is the target",
        "promptfooconfig.yaml:18: tests[4].assert[0]: `javascript` is code",
        "promptfooconfig.yaml:17: tests[4]: no assertion gives a target",
        "promptfooconfig.yaml:19: tests[5]: left out: `similar` is not scored by contains",
        "promptfooconfig.yaml:21: outputPath: has no counterpart",
        "write whole answers as targets before tuning",
        "5 rows are few, so all are test rows",
    )
    assert list(checked(made, project, monkeypatch).located.benchmark.arms) == ["prompt"]


def test_several_prompts_and_providers(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = promptfoo(
        project,
        """\
prompts: ["Name the capital of {{ country }}.", file://more/*.txt, file://code.py]
providers: [vertex:gemini, "openai:embedding:x", {id: "anthropic:messages:claude-sonnet-4-5"}, openai:gpt-4.1]
tests:
  - {vars: {country: Peru}, assert: [{type: equals, value: Lima}]}
""",
        more_in_a__txt="Be brief. What is the capital?\n{{country}}\n---\nOne word: {{country}}\n",
        code__py="",
    )
    assert made.input == "{{ country }}"
    assert made.systems == (
        "Name the capital of [country].", "Be brief. What is the capital?", "One word: [country]",
    )  # fmt: skip
    assert isinstance(made.model, dict)
    assert made.model["base_url"] == "https://api.anthropic.com/v1"
    said(
        made,
        "prompts[2]: code.py is no text file",
        "providers[0]: provider vertex:gemini is not known",
        "providers[1]: provider openai:embedding:x is not known",
        "providers[2]: anthropic:messages:claude-sonnet-4-5 is asked at https://api.anthropic.com/v1",
        "providers[3]: openai:gpt-4.1 is left out: every arm runs on one base model, claude-sonnet-4-5",
        "several prompts became system prompts",
    )
    arms = checked(made, project, monkeypatch).located.benchmark.arms
    assert list(arms) == ["prompt_1", "prompt_2", "prompt_3"]  # one row: there is no dev to choose on


def test_variables_are_columns(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = promptfoo(
        project,
        """\
prompts: ["{{ tone | default('Calm.') }} {{ env.HOUSE }}: {{ user.name }} of {{id}} asks {{ question }}{{ file }}"]
providers: [{id: "openai:chat:my-own", config: {apiBaseUrl: "http://localhost:1/v1", apiKey: sk-abcdefghijklmnopqrst}}]
env: {HOUSE: Acme}
tests:
  - vars: {user: {name: Ann}, id: q7, question: when?, file: file://f.txt}
    assert: [{type: equals, value: "at {{ user.name }}'s"}]
  - {vars: file://v.yaml, assert: [{type: equals, value: x}]}
""",
        f__txt="(and where?)\n",
        v__yaml="user: {name: Bo}\nid: q8\nquestion: why?\nfile: ''\n",
    )
    assert made.input == "Calm. Acme: {{ user_name }} of {{var_id}} asks {{ question }}{{ file }}"
    assert made.rows[0] == {
        "id": "0", "user_name": "Ann", "var_id": "q7", "question": "when?", "file": "(and where?)",
        "target": "at Ann's",
    }  # fmt: skip
    said(made, "config.apiKey: is not carried over", "env: fills the prompts", "no price of openai/my-own is known")
    assert "sk-abc" not in made.yaml("made")
    assert checked(made, project, monkeypatch).located.benchmark.run.max_usd is None


def test_scenarios_templates_sets_and_json(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = promptfoo(
        project,
        """\
prompts: [chat.json]
providers: [ollama:chat:llama3.2]
assertionTemplates:
  short: {type: javascript, value: output.length < 100}
scenarios:
  - config:
      - {vars: {q: 2+2?, expected: '{"sum": 4}'}}
      - {vars: {q: 3+3?, expected: '{"sum": 6}'}}
    tests:
      - assert:
          - $ref: "#/assertionTemplates/short"
          - {type: assert-set, assert: [{type: equals, value: "{{expected}}"}, {type: is-json}]}
tests: file://more.yaml
""",
        chat__json=json.dumps([{"role": "system", "content": "JSON."}, {"role": "user", "content": "Q: {{q}}"}]),
        more__yaml="- {vars: {q: 1+1?}, assert: [{type: equals, value: {sum: 2}}]}\n",
    )
    assert (made.format, made.metrics, made.systems) == ("json", {"json_match": "json_match"}, ("JSON.",))
    assert {r["q"]: r["target"] for r in made.rows} == {
        "1+1?": '{"sum": 2}', "2+2?": '{"sum": 4}', "3+3?": '{"sum": 6}',
    }  # fmt: skip
    said(
        made,
        "promptfooconfig.yaml:4: assertionTemplates.short: `javascript` is code",
        "promptfooconfig.yaml:12: scenarios[0].tests[0].assert[1]: a set of assertions is taken apart",
        "assert[1].assert[1]: `is-json` asks for JSON of any content",
    )
    checked(made, project, monkeypatch)


def test_a_system_message_with_variables_stands_before_the_input(project: Path) -> None:
    made = promptfoo(
        project,
        "prompts: [c.yaml]\nproviders: [openai:gpt-4o]\ntests: [{vars: {q: a, who: us}, assert: [{type: equals, "
        "value: b}]}]\n",
        c__yaml='- {role: system, content: "You serve {{who}}."}\n- {role: user, content: "{{q}}"}\n',
    )
    assert (made.input, made.systems) == ("You serve {{who}}.\n\n{{q}}", ())


def test_the_same_input_twice_and_rows_alike(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tests = [{"vars": {"q": f"Tell the story of the fox and the hen, part {i % 30}"}, "assert": [
        {"type": "equals", "value": f"{i}"}]} for i in range(31)]  # fmt: skip
    made = promptfoo(project, json.dumps({"prompts": ["{{q}}"], "providers": "openai:gpt-4o", "tests": tests}))
    assert len(made.rows) == 30
    said(made, "row 30: left out, its input is that of row 0", "run.allow_near_duplicates lets them through")
    assert checked(made, project, monkeypatch).tasks.train


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: 1\n", "no promptfoo configuration"),
        ("prompts: [x]\ntests: [{vars: {a: 1}, assert: [{type: is-json}]}]\n", "no row can be carried over"),
        ("prompts: [x]\ntests: file://gen.py:make\n", r"gen\.py:make is not carried over"),
        ("prompts: [x]\ntests: https://docs.google.com/x\n", "files that are here can be read"),
        ("prompts: [x]\ntests: {path: file://gen.py, config: {}}\n", "made by code"),
        ("prompts: [\n", "not valid YAML"),
    ],
)
def test_promptfoo_that_cannot_be_read(project: Path, text: str, words: str) -> None:
    with pytest.raises(HarnessError, match=words):
        promptfoo(project, text)


def test_a_configuration_in_code_is_not_run(project: Path) -> None:
    (project / "promptfooconfig.js").write_text("module.exports = {}")
    with pytest.raises(HarnessError, match="in code is not run"):
        importers.read("promptfoo", project / "promptfooconfig.js")


def sample(question: str, ideal: object, system: str = "Answer.", **more: object) -> dict[str, object]:
    messages = [{"role": "system", "content": system}, {"role": "user", "content": question}]
    return {"input": messages, "ideal": ideal, **more}


def registry(folder: Path, kind: str, *samples: dict[str, object], args: str = "") -> Path:
    """A registry as the tool has it: evals/arith.yaml, data/arith/s.jsonl."""
    (folder / "evals").mkdir()
    (folder / "data" / "arith").mkdir(parents=True)
    write(folder / "data" / "arith" / "s.jsonl", *samples)
    file = folder / "evals" / "arith.yaml"
    file.write_text(
        f"arith:\n  id: arith.dev.v0\n  description: Sums\n  metrics: [accuracy]\narith.dev.v0:\n  class: {kind}\n"
        f"  args:\n    samples_jsonl: arith/s.jsonl\n{args}"
    )
    return file


def test_openai_evals_samples(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(
        project / "samples.jsonl", sample("2+2?", "4"), sample("Rome is in?", ["Italy", "Europe"]), {"input": "x"},
        {"input": [{"role": "system", "content": "Answer."}, {"role": "user", "content": "a"},
                   {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}], "ideal": "d"},
        sample("2 + 2", "four"), sample("pick", "a", choices=["a", "b"]),
        {"input": [{"role": "user", "content": [{"type": "image_url"}]}], "ideal": "x"},
    )  # fmt: skip
    made = importers.read("openai-evals", file)
    assert (made.systems, made.input) == (("Answer.",), "{{ question }}")
    assert [(r["question"], r["target"]) for r in made.rows] == [
        ("2+2?", "4"), ("Rome is in?", "Italy"), ("User: a\nAssistant: b\nUser: c", "d"), ("pick", "a"),
    ]  # fmt: skip
    said(
        made,
        "samples.jsonl:2: any of several ideals",
        "samples.jsonl:3: left out, it has no `ideal`",
        "samples.jsonl:4: several turns",
        "row s5: left out, its input is that of row s1",
        "samples.jsonl:6: choices is not carried over",
        "samples.jsonl:7: left out, it has no `input`",
    )
    assert checked(made, project, monkeypatch).tasks.test


def test_openai_evals_registry(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [sample(text, intent, "One." if i % 2 else "Two.") for i, (text, intent) in enumerate(utterances())]
    args = "    num_few_shot: 3\nother:\n  class: evals.elsuite.modelgraded.classify:ModelBasedClassify\n"
    file = registry(project, "evals.elsuite.basic.match:Match", *rows, args=args)
    made = importers.read("openai-evals", file)
    assert (made.question, made.metrics) == ("Sums", {"accuracy": "exact"})
    assert made.input == "{{ system }}\n\n{{ question }}"
    assert made.labels == ("buy", "bye", "greet")
    said(
        made,
        "arith.yaml:6: arith.dev.v0.class: Match accepts any answer that begins with the ideal",
        "arith.yaml:9: arith.dev.v0.args.num_few_shot: is not carried over",
        "arith.yaml:10: other: is left out",
    )
    arms = checked(made, project, monkeypatch).located.benchmark.arms
    assert list(arms) == ["prompt", "classifier", "few_shot", "fine_tuned"]
    file.write_text(file.read_text().replace("arith/s.jsonl", "arith/t.jsonl"))
    with pytest.raises(HarnessError, match=r"(?s)arith\.yaml:8:20.*samples are not there"):
        importers.read("openai-evals", file)


@pytest.mark.parametrize(
    ("kind", "ideal", "metrics", "format", "words"),
    [
        ("basic.includes:Includes", "4", {"contains": "contains"}, "text", "whole words"),
        ("basic.fuzzy_match:FuzzyMatch", "4", {"contains": "contains"}, "text", "part of the ideal"),
        ("basic.json_match:JsonMatch", {"sum": 4}, {"json_match": "json_match"}, "json", "put in"),
        ("modelgraded.classify:ModelBasedClassify", "4", {"relevance": "semantic_similarity"}, "text", "judged"),
        ("own.thing:Thing", "4", {"accuracy": "exact"}, "text", "Thing has no counterpart here"),
    ],
)
def test_openai_evals_classes(
    project: Path, kind: str, ideal: object, metrics: dict[str, str], format: str, words: str
) -> None:
    made = importers.read("openai-evals", registry(project, f"evals.elsuite.{kind}", sample("2+2?", ideal)))
    assert (made.metrics, made.format) == (metrics, format)
    said(made, words)


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    made = importers.read("openai-evals", write(tmp_path / "s.jsonl", sample("a", "b")))
    importers.write(made, tmp_path, "made")
    with pytest.raises(HarnessError, match="there already"):
        importers.write(made, tmp_path, "made")
