"""The files that a benchmark names: there, inside the project, readable, and fitting its templates.

Only the first rows of the data are looked at here; `taskset.load` reads and checks them all.
"""

from __future__ import annotations

import ast
import hashlib
import itertools
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

from harness import hub, judging, referred, rows, splits, template
from harness.errors import DataError, Problem, SpecError, near
from harness.paths import locate, shown, siblings
from harness.references import documents_of
from harness.scorers import style
from harness.scorers.sandbox import Databases
from harness.spec import Benchmark, ModelSpec, TaskSpec
from harness.techniques import Rule
from harness.yamlfile import Source, YamlPath, quoted

PROVIDERS = ("openai/", "azure/", "hf/", "local/")
MAX_PROMPT = 1_000_000
LOOK = 20
_HOLES = re.compile(r"\{\{-?\s*(\w+)\s*-?\}\}")


@dataclass
class Attachments:
    """Checks every file of one benchmark; `problems` and `digests` (path as written -> sha256) fill up."""

    benchmark: Benchmark
    source: Source
    folder: Path
    project: Path
    allow_outside: bool
    local_models: Callable[[], Collection[str]]
    problems: list[Problem] = field(default_factory=list[Problem])
    digests: dict[str, str] = field(default_factory=dict[str, str])
    _prompts: list[tuple[YamlPath, str]] = field(default_factory=list[tuple[YamlPath, str]])

    def check(self) -> None:
        """Look at all of them."""
        benchmark = self.benchmark
        self._model(("model",), benchmark.model)
        for name, arm in benchmark.arms.items():
            here: YamlPath = ("arms", name)
            written = getattr(arm, "system", None)
            texts = (written,) if isinstance(written, str) else written or ()
            for i, text in enumerate(texts):
                path: YamlPath = (*here, "system", i)
                self._prompt(path if path in self.source.values else (*here, "system"), text)
            if isinstance(arm, Rule):
                self._python((*here, "call"), arm.call)
            if (file := documents_of(arm)) is not None:
                self._rows((*here, "documents"), file)
            if arm.model is not None and arm.model != name and arm.model not in (self.source.get(("arms",)) or {}):
                self._model((*here, "model"), arm.model)
            served = getattr(arm, "served", None)
            if served:
                self._model((*here, "served"), served)
        for name, metric in benchmark.metrics.items():
            if ":" in metric.scorer:
                self._python(("metrics", name, "scorer"), metric.scorer)
            if metric.judge is not None:
                self._model(("metrics", name, "judge"), metric.judge)
            if metric.scorer == "sql_execution" and isinstance(folder := metric.settings.get("databases"), str):
                self._databases(("metrics", name, "settings", "databases"), folder)
            if metric.judge is not None and isinstance(file := metric.settings.get("labels"), str):
                self._examples(("metrics", name, "settings", "labels"), file, judging.read)
            if metric.scorer == "style" and isinstance(file := metric.settings.get("examples"), str):
                self._examples(("metrics", name, "settings", "examples"), file, style.read)
        if benchmark.task.documents is not None:
            self._rows(("task", "documents"), benchmark.task.documents)
        self._task("task", benchmark.task)
        if benchmark.forgetting is not None:
            self._task("forgetting", benchmark.forgetting)
            self._prompt(("forgetting", "system"), benchmark.forgetting.system)
            if ":" in benchmark.forgetting.scorer:
                self._python(("forgetting", "scorer"), benchmark.forgetting.scorer)

    def _say(self, path: YamlPath, what: str, got: str = "", valid: str = "", fix: str = "") -> None:
        self.problems.append(self.source.problem(path, what, got=got, valid=valid, fix=fix))

    def _locate(self, path: YamlPath, value: str, *, python: bool = False) -> Path | None:
        """The file or folder, or None once what is wrong with it has been said."""
        outside = self.allow_outside and not python
        try:
            file = locate(value, self.folder, self.project, allow_outside=outside)
        except SpecError as error:
            problem = error.problems[0]
            fix = "Python is called only from inside the project; copy the file there" if python else problem.fix
            self._say(path, problem.what, problem.got, problem.valid, fix)
            return None
        if not file.exists():
            self._say(path, f"no such file: {shown(file)}", quoted(value), fix=siblings(file) or "check the path")
            return None
        return file

    def _bytes(self, path: YamlPath, value: str, *, python: bool = False) -> tuple[Path, bytes] | None:
        file = self._locate(path, value, python=python)
        if file is None:
            return None
        if not file.is_file():
            self._say(path, f"{shown(file)} is a folder, not a file", quoted(value))
            return None
        raw = file.read_bytes()
        self.digests[value] = hashlib.sha256(raw).hexdigest()
        return file, raw

    def _prompt(self, path: YamlPath, text: str) -> None:
        if not text.startswith("file://"):
            if text.endswith((".md", ".txt")) and "\n" not in text and " " not in text:
                self._say(path, "a file's name where a prompt was expected", quoted(text), fix=f"write file://{text}")
            self._prompts.append((path, text))
            return
        found = self._bytes(path, text.removeprefix("file://"))
        if found is None:
            return
        file, raw = found
        try:
            prompt = raw.decode("utf-8")
            self._prompts.append((path, prompt))
        except UnicodeDecodeError as error:
            self._say(path, f"{shown(file)} is not UTF-8 at byte {error.start}", fix="save the file as UTF-8")
            return
        if not prompt.strip():
            self._say(path, f"the prompt file {shown(file)} is empty", fix="write the prompt, or leave the file out")
        elif "\0" in prompt:  # as in a YAML's own text and in a row: no tokenizer means the same by it
            line = prompt[: prompt.index("\0")].count("\n") + 1
            self._say(path, f"{shown(file)}:{line} has a NUL in it", fix="delete it; is this a text file?")
        elif len(raw) > MAX_PROMPT:
            self._say(path, f"the prompt file {shown(file)} is larger than {MAX_PROMPT:,} bytes")

    def _python(self, path: YamlPath, call: str) -> None:
        """`file.py:function`: the file parses and defines it. Nothing of it is run here."""
        name, _, function = call.rpartition(":")
        if not name.endswith(".py") or not function.isidentifier():
            self._say(path, "not a Python function", quoted(call), "file.py:function", "name file and function")
            return
        found = self._bytes(path, name, python=True)
        if found is None:
            return
        file, raw = found
        try:
            tree = ast.parse(raw)
        except (SyntaxError, ValueError, RecursionError) as error:
            line = getattr(error, "lineno", None) or 1
            self._say(path, f"{shown(file)}:{line} is not valid Python: {getattr(error, 'msg', error)}")
            return
        names = _defined(tree)
        if function not in names and "*" not in names:
            public = sorted(n for n in names if not n.startswith("_"))
            what = f"{shown(file)} has no function {function!r}"
            self._say(path, what, valid=", ".join(public[:12]), fix=near(function, public))

    def _databases(self, path: YamlPath, value: str) -> None:
        folder = self._locate(path, value)
        if folder is None:
            return
        databases = Databases(folder)
        if not databases.names():
            self._say(path, f"no NAME/schema.sql in {shown(folder)}", quoted(value), fix="one folder a database")
            return
        try:
            self.digests[value] = databases.digest
        except DataError as error:
            for problem in error.problems:
                self._say(path, f"{problem.what}: {problem.where}", fix=problem.fix)

    def _examples(self, path: YamlPath, value: str, read: Callable[[Path], object]) -> None:
        found = self._bytes(path, value)
        if found is None:
            return
        try:
            read(found[0])
        except DataError as error:
            for problem in error.problems:
                self._say(path, f"{problem.where}: {problem.what}", problem.got, problem.valid, problem.fix)

    def _rows(self, path: YamlPath, value: str) -> None:
        file = self._locate(path, value)
        if file is not None and (problem := rows.unreadable(file)):
            self._say(path, problem.what, quoted(value), problem.valid, problem.fix)

    def _model(self, path: YamlPath, model: str | ModelSpec) -> None:
        if isinstance(model, ModelSpec):
            if model.base_url is not None:
                return  # any id that the endpoint knows
            path, model = (*path, "id"), model.id
        provider, slash, name = model.partition("/")
        if provider + slash == "local/":
            if name not in self.local_models():
                known = [f"local/{m}" for m in sorted(self.local_models())]
                what = f"there is no embedded model {quoted(model)}"
                self._say(path, what, valid=", ".join(known), fix=near(model, known))
        elif provider == "scripted":
            self._python(path, name)
        elif provider + slash in PROVIDERS:
            if not name:
                self._say(path, f"`{model}` names no model", fix=f"write {model}NAME")
        elif model.startswith((".", "/", "~")) or (self.folder / model).is_dir():
            self._weights(path, model)
        elif referred.spec_of(self.benchmark, model, self.folder).base_url is not None and not (
            path[-1] == "model" and near(model, self.benchmark.arms)
        ):
            return  # the endpoint's own name of it
        else:
            known = [*(f"local/{m}" for m in sorted(self.local_models())), *self.benchmark.arms]
            fix = near(model, known) or near(f"{provider}/", PROVIDERS) or f"an OpenAI model is openai/{model}"
            if "$" in model or "{{" in model:
                fix = "write the name itself: nothing is filled in here, from no environment variable either"
            valid = "local/..., openai/..., azure/..., hf/..., a folder with weights, or {base_url, id}"
            self._say(path, f"unknown model {quoted(model)}", valid=valid, fix=fix)

    def _weights(self, path: YamlPath, value: str) -> None:
        folder = self._locate(path, value)
        lacking = [f for f in ("config.json", "tokenizer.json") if folder and not (folder / f).is_file()]
        if folder is not None and lacking:
            what = f"{shown(folder)} holds no model: there is no {' and no '.join(lacking)}"
            fix = "name a folder in Hugging Face's form, saved with its fast tokenizer"
            self._say(path, what, quoted(value), fix=fix)

    def _task(self, here: str, task: TaskSpec) -> None:
        sound: dict[str, frozenset[str]] = {}
        for key, text in (("input", task.input), ("target", task.target), ("key", task.key)):
            if text is None:
                continue
            if mistake := template.mistake(text):
                self._say((here, key), mistake.what, quoted(text), mistake.valid, mistake.fix)
            elif not template.columns(text):
                fix = "write the column as {{ name }}"
                self._say((here, key), f"the {key} template names no column", quoted(text), fix=fix)
            else:
                sound[key] = template.columns(text)
        if {"input", "target"} <= sound.keys():
            old = {key: {task.columns.get(c, c) for c in names} for key, names in sound.items()}
            for column in sorted(old["input"] & old["target"]):
                what = f"the input shows the target column `{column}`: every arm would only copy it"
                fix = f"take {{{{ {column} }}}} out of the input"
                self._say((here, "input"), what, quoted(task.input), fix=fix)
        data = self._data(here, task.data)
        if data is None:
            return
        try:
            files = splits.files(data)
        except DataError as error:
            for problem in error.problems:
                self._say((here, "data"), problem.what, quoted(task.data), problem.valid, problem.fix)
            return
        if not self.allow_outside and not task.data.startswith(hub.PREFIX):
            for file in (f.path for f in files if not f.path.resolve().is_relative_to(self.project)):
                what = f"{file.name} is a link that leaves the project"
                self._say(
                    (here, "data"),
                    what,
                    quoted(task.data),
                    fix="copy the file into the project, or run with --allow-outside",
                )
                return
        known = first_columns(files)
        if known:
            self._columns(here, task, sound, known)

    def _data(self, here: str, value: str) -> Path | None:
        """The file or folder of the rows; None for the hub's, which is fetched and looked at when it is read."""
        if not value.startswith(hub.PREFIX):
            return self._locate((here, "data"), value)
        wanted = hub.parse(value)
        if wanted is None:
            self._say((here, "data"), "no address of a data set", quoted(value), hub.FORM)
        elif wanted.folder:
            self._locate((here, "data"), wanted.name)
        return None

    def _columns(self, here: str, task: TaskSpec, sound: dict[str, frozenset[str]], known: set[str]) -> None:
        for new, old in task.columns.items():
            if old not in known:
                what = f"the data has no column `{old}` (new name `{new}`)"
                self._say((here, "columns", new), what, valid=", ".join(sorted(known)), fix=near(old, known))
        available = known | set(task.columns)
        for path, text in self._prompts if here == "task" else ():
            if meant := sorted(available.intersection(_HOLES.findall(text))):
                what = f"a system prompt is sent as it is, with `{{{{ {meant[0]} }}}}` in it"
                self._say(path, what, fix=f"put {{{{ {meant[0]} }}}} into task.input, which is the user's turn")
        for key, names in sound.items():
            for name in sorted(names - available):
                what = f"the data has no column `{name}`"
                self._say((here, key), what, valid=", ".join(sorted(available)), fix=near(name, available))
        for i, name in enumerate(task.keep):
            if name not in available:
                what = f"the data has no column `{name}`"
                self._say((here, "keep", i), what, valid=", ".join(sorted(available)), fix=near(name, available))
        for key, default, name in (("id", "id", task.id), ("cluster", "cluster", task.cluster)):
            if name is not None and name != default and name not in available:
                what = f"the data has no column `{name}`"
                self._say((here, key), what, valid=", ".join(sorted(available)), fix=near(name, available))


def first_columns(files: Collection[splits.DataFile]) -> set[str]:
    """The columns of the first rows of every file. Empty for Parquet, whose reader costs more than all other checks."""
    found: set[str] = set()
    for item in files:
        if item.path.suffix == ".parquet":
            return set()  # `taskset.load` looks
        for row in itertools.islice(rows.read(item.path), LOOK):
            if isinstance(row, rows.Row):
                found.update(row.data)
    return found


def _defined(tree: ast.Module) -> set[str]:
    """The names that a module binds at its top level (inside `if` and `try` too); `*` for a star import."""
    names: set[str] = set()
    nodes: list[ast.AST] = list(tree.body)
    for node in nodes:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                names.add(node.name)
            case ast.Import() | ast.ImportFrom():
                names.update(alias.asname or alias.name for alias in node.names)
            case ast.Assign() | ast.AnnAssign():
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                names.update(t.id for t in targets if isinstance(t, ast.Name))
            case ast.If() | ast.Try() | ast.With() | ast.ExceptHandler():
                nodes.extend(ast.iter_child_nodes(node))
            case _:
                pass
    return names
