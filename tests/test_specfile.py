"""Sound benchmark files: what is read, what identifies it, what the schema says, what reading costs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness import mistakes, paths, references, specfile, yamlfile
from harness.errors import SpecError
from harness.techniques import FewShot, FineTune, fine_tune
from tests.benchmarks import YAML, sound


def test_a_sound_file_is_read(tmp_path: Path) -> None:
    located = specfile.read(sound(tmp_path))
    benchmark = located.benchmark
    assert located.name == "bench"
    assert located.folder == tmp_path / "benchmarks"
    assert located.project == tmp_path
    few_shot, tuned = benchmark.arms["few_shot"], benchmark.arms["tuned"]
    assert isinstance(few_shot, FewShot)
    assert isinstance(tuned, FineTune)
    assert (few_shot.k, few_shot.select) == ((3, 6), ("random", "nearest"))
    assert (tuned.epochs, tuned.lora.r, tuned.lora.alpha) == (2, 8, 32)
    assert benchmark.primary == "accuracy"
    assert benchmark.baseline == "auto"
    assert references.swept(few_shot) == {"k": (3, 6), "select": ("random", "nearest")}


def test_yaml_comforts(tmp_path: Path) -> None:
    text = YAML.replace("question: Does tuning help?", "question: >\n  Does tuning\n  help?  # not a comment")
    text = text.replace("run: {max_usd: 5}", "run: &r {max_usd: 5, seed: 0x10}")
    text = "﻿" + text.replace("gpt-4.1-mini", "ünïcode-模型")
    benchmark = specfile.read(sound(tmp_path, text)).benchmark
    assert benchmark.question.startswith("Does tuning help?")
    assert benchmark.model == "openai/ünïcode-模型"
    assert benchmark.run.seed == 16


def test_a_merge_key_fills_what_is_absent(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\nc: {<<: [*a, {z: 4}]}\non: no\nday: 2027-01-31\n")
    data = yamlfile.load(file).data
    assert data["b"] == {"x": 1, "y": 3}
    assert data["c"] == {"x": 1, "y": 2, "z": 4}
    assert (data["on"], data["day"]) == ("no", "2027-01-31")


def test_windows_line_ends(tmp_path: Path) -> None:
    file = sound(tmp_path)
    file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    assert specfile.read(file).digest


def digest(folder: Path, yaml: str = YAML, **files: str) -> str:
    """The digest of the sound benchmark, with files changed (path with __ for /)."""
    file = sound(folder, yaml)
    for name, text in files.items():
        (folder / name.replace("__", "/").replace("_md", ".md").replace("_py", ".py")).write_text(text)
    return specfile.read(file).digest


def test_the_digest_is_of_what_is_meant(tmp_path: Path) -> None:
    first = digest(tmp_path / "a")
    assert digest(tmp_path / "b") == first, "another place changes nothing"
    lines = YAML.splitlines()
    moved = "# a comment\n" + "\n".join([*lines[1:3], lines[0], *lines[3:]])
    assert digest(tmp_path / "c", moved) == first, "neither does the order of keys, nor a comment"
    assert digest(tmp_path / "d", YAML.replace("top_k: 4", "top_k: [4]")) == first
    assert digest(tmp_path / "e", YAML.replace("top_k: 4", "top_k: 5")) != first
    assert digest(tmp_path / "f", benchmarks__prompts__plain_md="Another prompt.\n") != first
    assert digest(tmp_path / "g", data__rule_py="def extract(row):\n    return []\n") != first


def test_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = tmp_path / "p"
    (project / "a" / "b").mkdir(parents=True)
    assert paths.project_of(project / "a" / "b") in (project / "a" / "b", *(project / "a" / "b").parents)
    (project / ".git").write_text("gitdir: elsewhere")
    assert paths.project_of(project / "a" / "b") == project
    assert paths.locate("../x", project / "a", project) == project / "x"
    with pytest.raises(SpecError, match="leaves the project"):
        paths.locate("../../x", project / "a", project)
    assert paths.locate("../../x", project / "a", project, allow_outside=True) == tmp_path / "x"
    with pytest.raises(SpecError, match="not a usable path"):
        paths.locate("a\0b", project, project)
    monkeypatch.chdir(project)
    assert paths.shown(project / "a") == "a"
    assert paths.shown(tmp_path) == str(tmp_path)


def test_who_is_fine_tuned(tmp_path: Path) -> None:
    extra = "  hybrid: {technique: few_shot, model: tuned, k: 3}\n"
    extra += "  deeper: {technique: rag, extends: hybrid, documents: ../data/documents.jsonl}\n"
    benchmark = specfile.read(sound(tmp_path, YAML.replace("candidate:", extra + "candidate:"))).benchmark
    tuned = [name for name in benchmark.arms if references.is_tuned(name, dict(benchmark.arms))]
    assert tuned == ["tuned", "hybrid", "deeper"]


def test_every_setting_of_a_training_is_read_by_a_tuner(tmp_path: Path) -> None:
    read = {*fine_tune.TRAINING, *(key for keys in fine_tune.READ.values() for key in keys)}
    whole = set(FineTune.model_fields) - fine_tune.ASIDE
    assert whole <= read, "a setting that no tuner reads"
    off = "learning_rate: null, quantization: none, suffix: '', learning_curve: false, seeds: [], lora: {r: 8}"
    assert specfile.read(sound(tmp_path, YAML.replace("lora: {r: 8}", off)))
    hosted = "tuner: azure, learning_rate: null, quantization: none, training_type: Developer, deployment_capacity: 9"
    yaml = YAML.replace("lora: {r: 8}", hosted).replace("openai/gpt-4.1-mini", "azure/mini")
    assert specfile.read(sound(tmp_path / "hosted", yaml))


def properties(schema: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Every property of a schema by its dotted name."""
    parts = {"Benchmark": schema, **schema["$defs"]}
    return {f"{n}.{k}": v for n, part in parts.items() for k, v in part.get("properties", {}).items()}


def test_the_schema_describes_every_field() -> None:
    found = properties(specfile.schema())
    assert len(found) > 100
    assert [name for name, field in found.items() if len(field.get("description", "")) < 10] == []
    json.dumps(specfile.schema())


def test_the_schema_agrees_with_the_reader(tmp_path: Path) -> None:
    schema = specfile.schema()
    kinds = ["cascade", "classifier", "few_shot", "fine_tune", "prompt", "rag", "rule"]
    assert sorted(mistakes.branches(schema)) == kinds
    part = mistakes.at(schema, schema, ("arms", "x", "k"), {"arms": {"x": {"technique": "few_shot", "k": 1}}})
    assert mistakes.describe(part, schema) == "a whole number of at least 1, or a list of such"
    data = yamlfile.load(sound(tmp_path)).data
    for path in (("task", "answer", "format"), ("arms", "tuned", "lora", "r"), ("gates", "worth_it", "by")):
        assert mistakes.describe(mistakes.at(schema, schema, path, data), schema)


def test_reading_loads_nothing_heavy(tmp_path: Path) -> None:
    file = sound(tmp_path)
    code = f"""
import sys
from pathlib import Path
from harness import specfile
specfile.read(Path({str(file)!r}))
names = "torch pandas pyarrow scipy.stats chromadb ragas transformers openai".split()
print([m for m in names if m in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_large_sound_file(tmp_path: Path) -> None:
    prompts = "\n".join(f'      - "Prompt {i}: {"name the items " * 40}"' for i in range(150))
    text = (
        YAML.replace('[file://prompts/plain.md, "Name the items."]', "X")
        .replace(
            "  prompt: {technique: prompt, system: X}", f"  prompt:\n    technique: prompt\n    system:\n{prompts}"
        )
        .replace("max_usd: 5", "dev_trials: 200")
    )
    file = sound(tmp_path, text)
    assert file.stat().st_size > 90_000
    assert len(references.swept(specfile.read(file).benchmark.arms["prompt"])["system"]) == 150
