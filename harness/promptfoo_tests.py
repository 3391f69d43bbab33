"""promptfoo's tests as rows: variables become columns, the assertion that says most about the answer gives the target.

A benchmark scores every row alike, so what most rows can be scored by is the metric; rows that it cannot score are left
out, and said.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from harness import rows, template, yamlfile
from harness.columns import labels_of
from harness.errors import DataError, Problem
from harness.imported import Note
from harness.paths import shown
from harness.yamlfile import Source, YamlPath, dotted

# What an assertion's value is: the whole answer, words that it holds, or a text that means the same.
WHOLE = ("equals",)
MEANING = ("similar", "factuality", "levenshtein", "rouge-n", "bleu", "gleu", "meteor")
HELD = ("contains", "icontains", "contains-all", "icontains-all", "contains-any", "icontains-any")
METRICS = {"json_match": "json_match", "exact": "accuracy", "contains": "contains", "semantic_similarity": "relevance"}
FITS = {"json": tuple(METRICS), "whole": ("exact", "contains", "semantic_similarity"), "held": ("contains",),
        "meaning": ("semantic_similarity",)}  # fmt: skip
DIFFERS = {
    "equals": "wants the same text to the letter; `exact` passes over case, spaces and outer punctuation",
    "contains": "looks for letters in their case; `contains` here for whole words, whatever the case",
    "icontains": "looks for letters; `contains` here for whole words",
    "similar": "passes or fails at its threshold; here the similarity itself is compared",
}
WHY = {
    "is-json": "asks for JSON of any content; give rows the right JSON as target and score it with json_match",
    "contains-json": "asks for JSON of any content; give rows the right JSON as target and score it with json_match",
    "llm-rubric": "is judged by a model; add a metric with a judge, or a scorer of your own",
    "g-eval": "is judged by a model; add a metric with a judge, or a scorer of your own",
    "model-graded-closedqa": "is judged by a model; add a metric with a judge, or a scorer of your own",
    "answer-relevance": "is judged by a model; semantic_similarity to a target is the nearest metric",
    "javascript": "is code; write it as a Python scorer: scorer: file.py:function",
    "python": "is code; write it as a scorer: scorer: file.py:function",
    "regex": "is a pattern; write it as a scorer of your own: scorer: file.py:function",
    "cost": "is a gate here: max_usd_per_1k", "latency": "is a gate here: max_seconds",
}  # fmt: skip
OTHER = "has no counterpart here; a scorer of your own can check it: scorer: file.py:function"
OURS = ("id", "split", "target", "tags", "cluster", "relevant")
LISTS = (".yaml", ".yml", ".json")
_TYPED = re.compile(r"^\s*((?:not-)?[a-z]+(?:-[a-z]+)*)(?:\(([\d.]+)\))?(?::\s*(.*))?$", re.S)
_TYPES = {*WHOLE, *MEANING, *HELD, *WHY, "starts-with", "grade", "fn", "eval", "is-sql", "is-refusal", "is-xml",
          "webhook", "context-recall", "context-faithfulness", "context-relevance", "perplexity"}  # fmt: skip


@dataclass(frozen=True)
class Spot:
    """A place that people find: a path of a file, or a row of a table (`table` and its line)."""

    source: Source
    path: YamlPath
    table: str = ""
    line: int = 0

    def at(self, *path: str | int) -> Spot:
        """A place inside this one."""
        return replace(self, path=(*self.path, *path))

    def note(self, text: str) -> Note:
        """Something to say of it."""
        if self.table:
            return Note(text, self.table, self.line)
        line, _ = self.source.place(self.path, key=True)
        return Note(text, shown(self.source.file), line, dotted(self.path))


Say = Callable[[Spot, str], None]


@dataclass(frozen=True)
class Row:
    """One test with its variables filled in. `kind` is what the target is: json, whole, held or meaning."""

    spot: Spot
    columns: Mapping[str, Any]
    target: str | list[str]
    kind: str
    assertion: str


@dataclass(frozen=True)
class Scored:
    """Rows that one benchmark can score, and by what."""

    rows: list[dict[str, Any]]
    metrics: Mapping[str, str]
    format: Literal["text", "label", "json"]
    labels: tuple[str, ...]


def scored(found: Iterator[tuple[str, Row]], note: Say) -> Scored:
    """The rows under the metric that fits most of them; the others are noted."""
    made = list(found)
    fit = {s: sum(s in FITS[row.kind] for _, row in made) for s in METRICS}
    primary = max(fit, key=lambda s: fit[s])
    kept = [(id, row) for id, row in made if primary in FITS[row.kind]]
    for _, row in made:
        if primary not in FITS[row.kind]:
            note(row.spot, f"left out: `{row.assertion}` is not scored by {primary}, as most rows are")
        elif primary == "contains" and row.kind != "held":
            note(row.spot, f"`{row.assertion}` is scored by contains here, as most rows are")
    if primary == "contains" and kept:
        text = "what an answer must hold is the target here: shots and training would teach these words as the answer"
        note(kept[0][1].spot, f"{text}; write whole answers as targets before tuning")
    if primary == "semantic_similarity" and any(row.kind == "whole" for _, row in kept):
        note(next(r for _, r in kept if r.kind == "whole").spot, "`equals` is scored by similarity, as most rows are")
    result = [{"id": id, **row.columns, "target": row.target} for id, row in kept]
    labels = labels_of([row["target"] for row in result]) if primary == "exact" else ()
    format: Literal["text", "label", "json"] = "json" if primary == "json_match" else "label" if labels else "text"
    return Scored(result, {METRICS[primary]: primary}, format, labels)


class Tests:
    """The tests of a configuration: `tests`, `scenarios`, and what `defaultTest` adds to each."""

    def __init__(self, source: Source, note: Say) -> None:
        self.names: dict[str, str] = {}  # variables whose column has another name
        self._source = source
        self._folder = source.file.resolve().parent
        self._note = note
        self._said: set[str] = set()
        self._default = self._mapping(Spot(source, ("defaultTest",)), source.data.get("defaultTest"))

    def rows(self) -> Iterator[tuple[str, Row]]:
        """Every row that an assertion gives a target for, with an id."""
        if self._default:
            self._options(*self._default)
        for id, spot, test in self._all():
            self._options(spot, test)
            values = {**self._values(*self._default), **self._values(spot, test)}
            asserts = [*self._asserts(*self._default), *self._asserts(spot, test)]
            options = {**(self._default[1].get("options") or {}), **(test.get("options") or {})}
            for n, chosen in enumerate(_combinations(values, expand=not options.get("disableVarExpansion"))):
                columns = {self._column(k): self._value(spot, v) for k, v in chosen.items()}
                row = self._row(spot, asserts, columns)
                if row is not None:
                    yield (f"{id}.{n}" if n else id), row
                elif n == 0:
                    self._note(spot, "no assertion gives a target to score against; the row is left out")

    # Where tests are

    def _all(self) -> Iterator[tuple[str, Spot, dict[str, Any]]]:
        yield from self._listed(Spot(self._source, ("tests",)), self._source.data.get("tests"), "")
        scenarios = self._source.data.get("scenarios")
        for i, scenario in enumerate(scenarios if isinstance(scenarios, list) else []):
            spot = Spot(self._source, ("scenarios", i))
            if not isinstance(scenario, dict):
                self._note(spot, "is not carried over")
                continue
            tests = list(self._listed(spot.at("tests"), scenario.get("tests") or [{}], f"s{i}-"))
            configs: list[Any] = scenario.get("config") or [{}]
            for c, config in enumerate(configs):
                if not isinstance(config, dict):
                    self._note(spot.at("config", c), "is not carried over")
                    continue
                for id, place, test in tests:
                    given = {**self._values(spot.at("config", c), config), **(test.get("vars") or {})}
                    asserts = [*(config.get("assert") or []), *(test.get("assert") or [])]
                    yield f"{id}-{c}", place, {**test, "vars": given, "assert": asserts}

    def _listed(self, spot: Spot, tests: Any, prefix: str) -> Iterator[tuple[str, Spot, dict[str, Any]]]:
        many = isinstance(tests, list)
        for i, test in enumerate(tests if many else [] if tests is None else [tests]):
            place = spot.at(i) if many else spot
            if isinstance(test, str):
                for n, (where, made) in enumerate(self._files(place, test)):
                    yield f"{prefix}{i}-{n}", where, made
            elif isinstance(test, dict) and "path" not in test:
                yield f"{prefix}{i}", place, test
            else:
                self._note(place, "is made by code, which is not run here" if isinstance(test, dict) else "is no test")

    def _files(self, spot: Spot, name: str) -> Iterator[tuple[Spot, dict[str, Any]]]:
        """The tests of a file, or of all files that a pattern finds."""
        path = name.removeprefix("file://")
        files = sorted(self._folder.glob(path)) if "*" in path and not path.startswith("/") else [self._folder / path]
        for file in files:
            if file.suffix.lower() in rows.SUFFIXES and file.suffix.lower() not in LISTS and file.is_file():
                yield from self._table(file)
            elif file.suffix.lower() in LISTS and file.is_file():
                source = yamlfile.load(file, foreign=True)
                yield from ((place, t) for _, place, t in self._listed(Spot(source, ("",)), source.data.get(""), ""))
                if "" not in source.data:
                    yield Spot(source, ()), source.data
            else:
                valid = ", ".join(dict.fromkeys((*rows.SUFFIXES, *LISTS)))
                self._note(spot, f"{name} is not carried over: files that are here can be read ({valid})")
        if not files:
            self._note(spot, f"no file fits {path}")

    def _table(self, file: Path) -> Iterator[tuple[Spot, dict[str, Any]]]:
        """A table with columns `__expected`, or one test a line."""
        for row in rows.read(file):
            if isinstance(row, Problem):
                raise DataError(row)
            spot = Spot(self._source, (), shown(file), row.line)
            if "vars" in row.data:
                yield spot, row.data
                continue
            asserts: list[dict[str, Any]] = []
            for key, value in row.data.items():
                if key.startswith("__expected") and rows.text(value).strip():
                    asserts.append(_expected(rows.text(value)))
                elif key.startswith("__") and key not in ("__description",) and value:
                    self._note(Spot(self._source, (), shown(file), 1), f"the column {key} has no counterpart here")
            # A cell is text there, one with a list in JSON too.
            given = {k: json.dumps(v) if isinstance(v, list) else v for k, v in row.data.items() if k[:2] != "__"}
            yield spot, {"vars": given, "assert": asserts}

    def _mapping(self, spot: Spot, value: Any) -> tuple[Spot, dict[str, Any]]:
        """A mapping that stands here, or in the file that is named here."""
        if isinstance(value, str):
            file = self._folder / value.removeprefix("file://")
            if file.suffix.lower() in LISTS and file.is_file():
                source = yamlfile.load(file, foreign=True)
                return Spot(source, ()), source.data
            self._note(spot, f"{value} is no file that can be read")
        return spot, value if isinstance(value, dict) else {}

    # What a test holds

    def _options(self, spot: Spot, test: Mapping[str, Any]) -> None:
        for key in test:
            if key not in ("vars", "assert", "description", "options", "metadata"):
                self._note(spot.at(key), "has no counterpart here")
        options = test.get("options")
        for key in options if isinstance(options, dict) else ():
            if key != "disableVarExpansion":
                self._note(spot.at("options", key), "has no counterpart here")

    def _values(self, spot: Spot, test: Mapping[str, Any]) -> dict[str, Any]:
        """The variables; a mapping gives a column for each of its texts (`user.name`)."""
        _, given = self._mapping(spot.at("vars"), test.get("vars"))
        flat: dict[str, Any] = {}
        for name, value in given.items():
            flat |= dict(_leaves(name, value)) if isinstance(value, dict) else {name: value}
        return flat

    def _asserts(self, spot: Spot, test: Mapping[str, Any]) -> list[tuple[Spot, dict[str, Any]]]:
        """The assertions, templates put in, sets taken apart."""
        found: list[tuple[Spot, dict[str, Any]]] = []
        listed = test.get("assert")
        for i, wanted in enumerate(listed if isinstance(listed, list) else []):
            place = spot.at("assert", i)
            if isinstance(wanted, dict) and str(wanted.get("$ref", "")).startswith("#/"):
                path = tuple(str(wanted["$ref"]).removeprefix("#/").split("/"))
                wanted, place = self._source.get(path), Spot(self._source, path)
            if not isinstance(wanted, dict):
                self._note(place, "is no assertion")
            elif wanted.get("type") == "assert-set":
                self._note(place, "a set of assertions is taken apart; its threshold and weight are not kept")
                found += self._asserts(place, wanted)
            else:
                found.append((place, wanted))
        return found

    def _value(self, spot: Spot, value: Any) -> Any:
        """A variable's value; the text of a file that it names."""
        if isinstance(value, str) and value.startswith("file://"):
            file = self._folder / value.removeprefix("file://")
            if file.suffix in (".txt", ".md", ".json", ".csv", ".yaml") and file.is_file():
                return file.read_text(encoding="utf-8", errors="replace").strip()
            self._note(spot, f"{value} is no text file that can be read")
        return value

    def _column(self, name: str) -> str:
        """The column of a variable: a word that templates can name and that means nothing else here."""
        word = re.sub(r"\W+", "_", str(name)).strip("_") or "value"
        word = f"var_{word}" if word in OURS or not word.isidentifier() else word
        if word != name:
            self.names[str(name)] = word
        return word

    def _row(self, spot: Spot, asserts: Sequence[tuple[Spot, Any]], columns: Mapping[str, Any]) -> Row | None:
        """The row with the target that says most: a whole answer before a text of its meaning, before words in it."""
        found: list[tuple[Spot, str, str, str | list[str]]] = []
        for place, wanted in asserts:
            kind = str(wanted.get("type"))
            for key in wanted:
                if key not in ("type", "value", "threshold", "description"):
                    self._note(place, f"`{key}` of `{kind}` is not carried over")
            value = self._value(place, wanted.get("value"))
            made = self._target(place, kind, value, columns)
            if made is None:
                self._note(place, f"`{kind}` {WHY.get(kind, OTHER)}")
            else:
                found.append((place, kind, *made))
        if not found:
            return None
        order = ("json", "whole", "meaning", "held")
        place, assertion, kind, target = min(found, key=lambda f: order.index(f[2]))
        if kind != "json" and assertion not in self._said and assertion in DIFFERS:
            self._said.add(assertion)
            self._note(place, f"`{assertion}` {DIFFERS[assertion]}")
        for other, also, _, value in found:
            if other is not place and value != target:
                self._note(other, f"`{also}` compares with another value than the row's target")
        return Row(spot, columns, target, kind, assertion)

    def _target(
        self, spot: Spot, kind: str, value: Any, columns: Mapping[str, Any]
    ) -> tuple[str, str | list[str]] | None:
        """What an assertion's value is, and the target that it gives; None where it gives none."""
        if value in (None, "", []) or kind not in (*WHOLE, *MEANING, *HELD):
            return None
        if isinstance(value, str) and value.startswith(("file://", "javascript:", "python:")):
            return None
        if isinstance(value, dict):
            return "json", json.dumps(value, ensure_ascii=False)
        parts = [self._filled(spot, rows.text(v), columns) for v in (value if isinstance(value, list) else [value])]
        if kind in MEANING:
            if kind != "similar":
                self._note(spot, f"`{kind}` is scored by semantic_similarity to its value")
            if len(parts) > 1:
                self._note(spot, f"any of {len(parts)} values was right; the first is the target")
            return "meaning", parts[0]
        if kind in HELD:
            if kind.endswith("-any") and len(parts) > 1:
                self._note(spot, f"any of {len(parts)} values was right; the first is the target")
            return "held", parts if kind.endswith("-all") and len(parts) > 1 else parts[0]
        return ("json" if _is_json(parts[0]) else "whole"), parts[0]

    def _filled(self, spot: Spot, text: str, columns: Mapping[str, Any]) -> str:
        if "{{" not in text:
            return text
        try:
            return template.render(renamed(text, self.names), {k: rows.text(v) for k, v in columns.items()})
        except DataError as error:
            self._note(spot, error.problems[0].what)
            return text


def renamed(text: str, names: Mapping[str, str]) -> str:
    """A template whose variables bear the columns' names."""
    for old in sorted(names, key=len, reverse=True):
        inside = rf"(?<![\w.'\"]){re.escape(old)}(?![\w'\"])"
        text = re.sub(r"{[{%].*?[%}]}", lambda m, i=inside, n=names[old]: re.sub(i, n, m.group()), text, flags=re.S)
    return text


def _leaves(name: str, value: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, inner in value.items():
        if isinstance(inner, dict):
            yield from _leaves(f"{name}.{key}", inner)
        else:
            yield f"{name}.{key}", inner


def _combinations(values: Mapping[str, Any], *, expand: bool) -> Iterator[dict[str, Any]]:
    """promptfoo makes one test of every combination of variables that are lists."""
    lists = [v if isinstance(v, list) and v and expand else [v] for v in values.values()]
    for chosen in itertools.product(*lists):
        yield dict(zip(values, chosen, strict=True))


def _is_json(text: str) -> bool:
    if not text.lstrip().startswith("{"):
        return False
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


def _expected(text: str) -> dict[str, Any]:
    """An assertion of a table's `__expected` cell: `contains: x`, `similar(0.8): x`, or the text itself."""
    match = _TYPED.match(text)
    if match is None or match.group(1).removeprefix("not-") not in _TYPES:
        return {"type": "equals", "value": text}
    kind, threshold, value = match.groups()
    kind = {"grade": "llm-rubric", "fn": "javascript", "eval": "javascript"}.get(kind, kind)
    many = [v.strip() for v in (value or "").split(",")] if kind.endswith(("-all", "-any")) else value
    return {"type": kind, "value": many} | ({"threshold": float(threshold)} if threshold else {})
