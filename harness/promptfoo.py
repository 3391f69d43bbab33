"""promptfoo's configuration (`promptfooconfig.yaml`): prompts, the first known provider, tests with their assertions.

The last prompt variable of promptfoo is our input template; an assertion that compares with a value gives the target.
"""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from harness import rows, template, yamlfile
from harness.errors import DataError, Problem
from harness.imported import Imported
from harness.paths import shown
from harness.yamlfile import Source, YamlPath, dotted

SCORERS = {
    "equals": "exact", "contains": "contains", "icontains": "contains", "contains-all": "contains",
    "icontains-all": "contains", "similar": "semantic_similarity", "contains-json": "json_match",
}  # fmt: skip
PROVIDERS = {"openai": "openai", "azure": "azure", "azureopenai": "azure", "huggingface": "hf"}
WHY = {
    "is-json": "asks for JSON of any content; score fields with json_match against a target",
    "llm-rubric": "is judged by a model; add a judge metric", "factuality": "is judged by a model; add a judge metric",
    "answer-relevance": "is judged by a model; semantic_similarity to the target is the nearest metric",
    "javascript": "is code; write it as a Python scorer: scorer: file.py:function",
    "python": "is code; write it as a scorer: scorer: file.py:function",
    "cost": "is a gate here: max_usd_per_1k", "latency": "is a gate here: max_seconds",
}  # fmt: skip
KNOWN = ("description", "prompts", "providers", "targets", "tests", "defaultTest")
OURS = ("id", "split", "target", "tags", "cluster")


def read(file: Path) -> Imported:
    """Read a promptfoo configuration.

    Raises:
        SpecError: the file is no YAML that can be read.
        DataError: it has neither prompts nor tests, or the tests' file cannot be read.
    """
    return _Reader(yamlfile.load(file)).read()


class _Reader:
    def __init__(self, source: Source) -> None:
        self._source = source
        self._data = source.data
        self._folder = source.file.resolve().parent
        self._notes: list[str] = []
        self._scorers: Counter[str] = Counter()

    def _note(self, path: YamlPath, text: str) -> None:
        line, _ = self._source.place(path, key=True)
        self._notes.append(f"{shown(self._source.file)}:{line}: {dotted(path)}: {text}")

    def read(self) -> Imported:
        """All of it."""
        if not {"prompts", "tests"} <= set(self._data):
            raise DataError(
                Problem(
                    "this is no promptfoo configuration", shown(self._source.file), got=", ".join(self._data)[:80],
                    valid="a mapping with prompts, providers, tests",
                )
            )  # fmt: skip
        for key in self._data:
            if key not in KNOWN:
                self._note((key,), "has no counterpart here")
        made = list(self._rows())
        columns = list(dict.fromkeys(c for row in made for c in row if c not in ("id", "target")))
        text, systems = self._prompts(columns)
        lists = any(isinstance(row["target"], list) for row in made)
        metrics = {_metric(s): s for s, _ in self._scorers.most_common()}
        used = template.columns(text)
        kept = [row for row in made if used <= set(row)]
        for row in made:
            if not used <= set(row):
                self._notes.append(
                    f"row {row['id']}: left out, it has no value for {', '.join(sorted(used - set(row)))}"
                )
        json_only = set(metrics.values()) == {"json_match"}
        return Imported(
            question=str(self._data.get("description") or "Does a fine-tune beat these prompts?"),
            model=self._model(), input=text, systems=systems,
            format="list" if lists else "json" if json_only else "text",
            metrics=metrics, rows=kept, notes=tuple(self._notes),
        )  # fmt: skip

    def _model(self) -> str:
        key = "targets" if "targets" in self._data else "providers"
        providers = self._data.get(key) or []
        chosen = ""
        for i, provider in enumerate(providers if isinstance(providers, list) else [providers]):
            path: YamlPath = (key, i) if isinstance(providers, list) else (key,)
            id = provider
            if isinstance(provider, dict):
                id = provider.get("id") or next(iter(provider), "")
                if provider.get("config"):
                    self._note((*path, "config"), "is not carried over; see run: and the model's fields")
            name, *rest = str(id).split(":")
            model = f"{PROVIDERS[name]}/{rest[-1]}" if name in PROVIDERS and rest else ""
            if not model:
                self._note(path, f"provider {id} is not known here; give its endpoint as {{base_url, id}}")
            elif chosen:
                self._note(path, f"{model} is left out: every arm runs on one base model, {chosen}")
            chosen = chosen or model
        if not chosen:
            self._note((key,), "no provider is known here; the embedded model was put in")
        return chosen or "local/smollm2-135m-instruct"

    def _prompts(self, columns: list[str]) -> tuple[str, tuple[str, ...]]:
        """The input template and the system prompts."""
        prompts = self._data["prompts"]
        found: list[tuple[str, str]] = []  # system, user
        for i, prompt in enumerate(prompts if isinstance(prompts, list) else [prompts]):
            path: YamlPath = ("prompts", i) if isinstance(prompts, list) else ("prompts",)
            text = self._prompt(path, prompt)
            if text is None:
                continue
            system, user = self._chat(path, text)
            system, user = (_renamed(t, columns) for t in (system, user))
            mistake = template.mistake(user)
            absent = sorted(template.columns(user) - set(columns)) if mistake is None else []
            if mistake is not None or absent:
                self._note(path, mistake.what if mistake else f"no test has a value for {', '.join(absent)}")
            elif "{{" in system:
                self._note(path, "variables in a system message are not filled here; the prompt is left out")
            else:
                found.append((system, user))
        plain = "\n".join(f"{c}: {{{{ {c} }}}}" for c in columns)
        inputs = {user for _, user in found}
        if len(inputs) == 1 and template.columns(next(iter(inputs))):
            return inputs.pop(), tuple(dict.fromkeys(system for system, _ in found if system))
        if found:
            self._note(("prompts",), "several prompts became system prompts; variables follow in the user turn")
        bare = ((system, re.sub(r"{{ *(.*?) *}}", r"[\1]", user)) for system, user in found)
        systems = ("\n".join(part for part in parts if part) for parts in bare)
        return plain, tuple(dict.fromkeys(s for s in systems if s))

    def _prompt(self, path: YamlPath, prompt: Any) -> str | None:
        if isinstance(prompt, dict):
            prompt = prompt.get("raw") or prompt.get("id") or ""
        text = str(prompt)
        if not text.startswith("file://") and not re.fullmatch(r"\S+\.(txt|md|json|py|js|yaml)", text):
            return text
        file = self._folder / text.removeprefix("file://")
        if file.suffix not in (".txt", ".md", ".json") or not file.is_file():
            self._note(path, f"{text} is no text file that can be read; the prompt is left out")
            return None
        return file.read_text(encoding="utf-8", errors="replace").strip()

    def _chat(self, path: YamlPath, text: str) -> tuple[str, str]:
        """System and user part of a prompt, which may be a JSON list of messages."""
        try:
            messages = json.loads(text) if text.startswith("[") else None
        except ValueError:
            messages = None
        if not isinstance(messages, list) or not all(isinstance(m, dict) for m in messages):
            return "", text
        parts = {"system": list[str](), "user": list[str]()}
        for message in messages:
            role = "system" if message.get("role") in ("system", "developer") else "user"
            if message.get("role") == "assistant":
                self._note(path, "an assistant's turn in a prompt became text of the user's")
            parts[role].append(str(message.get("content", "")))
        return "\n".join(parts["system"]), "\n".join(parts["user"])

    def _rows(self) -> Iterator[dict[str, Any]]:
        default = self._data.get("defaultTest")
        default = default if isinstance(default, dict) else {}
        for path, test in self._tests():
            for key in test:
                if key not in ("vars", "assert", "description", "options", "metadata"):
                    self._note((*path, key), "has no counterpart here")
            values = {**(default.get("vars") or {}), **(test.get("vars") or {})}
            asserts = [(("defaultTest", "assert", i), a) for i, a in enumerate(default.get("assert") or [])]
            asserts += [((*path, "assert", i), a) for i, a in enumerate(test.get("assert") or [])]
            for n, chosen in enumerate(_combinations(values)):
                filled = {_column(k): self._value((*path, "vars", k), v) for k, v in chosen.items()}
                target = self._target(path, asserts, filled, say=n == 0)
                if target is None:
                    if n == 0:
                        self._note(path, "no assertion gives a target to score against; the row is left out")
                    continue
                place = "-".join(str(p) for p in path[1:]) or "0"
                yield {"id": f"{place}.{n}" if n else place, **filled, "target": target}

    def _tests(self) -> Iterator[tuple[YamlPath, dict[str, Any]]]:
        tests = self._data["tests"]
        for i, test in enumerate(tests if isinstance(tests, list) else [tests]):
            path: YamlPath = ("tests", i)
            if isinstance(test, str):
                for n, made in enumerate(self._file(path, test)):
                    yield (*path, n), made
            elif isinstance(test, dict):
                yield path, test
            else:
                self._note(path, "is no test")

    def _file(self, path: YamlPath, name: str) -> Iterator[dict[str, Any]]:
        """The tests of a file: a table with a column `__expected`, or one test a line."""
        file = self._folder / name.removeprefix("file://")
        if file.suffix.lower() not in rows.SUFFIXES or not file.is_file():
            self._note(path, f"{name} is not carried over: {', '.join(rows.SUFFIXES)} can be read")
            return
        for row in rows.read(file):
            if isinstance(row, Problem):
                raise DataError(row)
            if "vars" in row.data:
                yield row.data
                continue
            asserts = [_expected(rows.text(v)) for k, v in row.data.items() if k.startswith("__expected") and v]
            yield {"vars": {k: v for k, v in row.data.items() if not k.startswith("__")}, "assert": asserts}

    def _value(self, path: YamlPath, value: Any) -> Any:
        if isinstance(value, str) and value.startswith("file://"):
            file = self._folder / value.removeprefix("file://")
            if file.suffix in (".txt", ".md", ".json") and file.is_file():
                return file.read_text(encoding="utf-8", errors="replace")
            self._note(path, f"{value} is no text file that can be read")
        return value

    def _target(
        self, path: YamlPath, asserts: list[tuple[YamlPath, Any]], values: Mapping[str, Any], *, say: bool
    ) -> str | list[str] | None:
        """The target of a row: the value of the first assertion that compares with one."""
        target: str | list[str] | None = None
        for place, wanted in asserts:
            kind = str(wanted.get("type")) if isinstance(wanted, dict) else "no mapping"
            value = wanted.get("value") if isinstance(wanted, dict) else None
            scorer = SCORERS.get(kind)
            if scorer is None or value in (None, ""):
                if say:
                    self._note(place, f"`{kind}` {WHY.get(kind, 'has no counterpart here')}")
                continue
            if isinstance(value, dict):
                value, scorer = json.dumps(value, ensure_ascii=False), "json_match"
            parts = [self._filled(place, rows.text(v), values) for v in (value if isinstance(value, list) else [value])]
            made = parts if len(parts) > 1 else parts[0]
            if target is not None and made != target:
                if say:
                    self._note(place, f"`{kind}` compares with another value than the row's target")
                continue
            target = made
            self._scorers[scorer] += 1
            if say and wanted.get("threshold") is not None:
                self._note(
                    place, f"threshold {wanted['threshold']}: the score itself is compared here, not pass or fail"
                )
        return target

    def _filled(self, path: YamlPath, text: str, values: Mapping[str, Any]) -> str:
        if "{{" not in text:
            return text
        text = _renamed(text, list(values))
        try:
            return template.render(text, {k: rows.text(v) for k, v in values.items()})
        except DataError as error:
            self._note(path, error.problems[0].what)
            return text


def _combinations(values: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """promptfoo makes one test of every combination of variables that are lists."""
    lists = [v if isinstance(v, list) else [v] for v in values.values()]
    for chosen in itertools.product(*lists):
        yield dict(zip(values, chosen, strict=True))


def _expected(text: str) -> dict[str, Any]:
    """An assertion of a table's `__expected` cell: `contains: x`, `similar(0.8): x`, or the text itself."""
    match = re.match(r"^\s*([a-z-]+)(?:\(([\d.]+)\))?:\s*(.*)$", text, re.S)
    if match is None:
        return {"type": "equals", "value": text}
    kind, threshold, value = match.groups()
    kind = {"grade": "llm-rubric", "fn": "javascript", "eval": "javascript"}.get(kind, kind)
    many = [v.strip() for v in value.split(",")] if kind.endswith("-all") else value
    return {"type": kind, "value": many} | ({"threshold": float(threshold)} if threshold else {})


def _column(name: str) -> str:
    word = re.sub(r"\W+", "_", str(name)).strip("_") or "value"
    return f"var_{word}" if word in OURS or not word.isidentifier() else word


def _renamed(text: str, columns: list[str]) -> str:
    """A prompt whose variables bear the columns' names."""
    for name in OURS:
        if f"var_{name}" in columns:
            text = re.sub(rf"{{{{\s*{name}\b", f"{{{{ var_{name}", text)
    return text


def _metric(scorer: str) -> str:
    return {"exact": "accuracy", "semantic_similarity": "relevance"}.get(scorer, scorer)
