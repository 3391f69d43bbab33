"""A YAML file as plain data with the place of every key and value, read safely and within bounds.

ruamel's node graph keeps the places; unfolding it here instead of constructing it bounds what aliases can grow to and
finds every duplicate key, not the first. YAML 1.2: `on` and `no` are words.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.errors import Problem, SpecError
from harness.paths import shown, siblings
from harness.rows import wide

MAX_BYTES = 128 * 1024
MAX_VALUES = 10_000
FOREIGN_BYTES = 8 * 1024 * 1024  # other tools keep their rows in the configuration
FOREIGN_VALUES = 500_000
MAX_DEPTH = 40

Place = tuple[int, int]
YamlPath = tuple[str | int, ...]

_DEEP = re.compile(rf"(?:[\[{{]\s*){{{MAX_DEPTH + 1}}}")
_TAG = "tag:yaml.org,2002:"
_SECRET = re.compile(
    r"sk-[A-Za-z0-9_-]{16,}|AKIA[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|hf_[A-Za-z0-9]{20,}"
    r"|xox[abprs]-[A-Za-z0-9-]{10,}|AIza[0-9A-Za-z_-]{30,}|eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}"
    r"|(?<=://)[^/\s:@]+:[^/\s:@]+(?=@)|-----BEGIN [A-Z ]*PRIVATE KEY-----"
)
_SECRET_KEY = re.compile(r"(?i)^(api[_-]?key|.*secret.*|.*password.*|.*token|authorization)$")


def dotted(path: YamlPath) -> str:
    """`arms.few_shot.k`, `arms.prompt.system[1]`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def quoted(value: Any) -> str:
    """A value as `got:` shows it: one line, short, a secret never."""
    if isinstance(value, dict):
        return "a mapping" if value else "an empty mapping"
    text = repr(value)
    if _SECRET.search(text):
        return "(hidden: it looks like a secret)"
    return text if len(text) <= 80 else text[:76] + "..."


@dataclass(frozen=True)
class Source:
    """What was read, and where: `keys` and `values` map a path inside the YAML to line and column, from 1."""

    file: Path
    data: dict[str, Any]
    keys: Mapping[YamlPath, Place] = field(repr=False)
    values: Mapping[YamlPath, Place] = field(repr=False)

    def get(self, path: YamlPath) -> Any:
        """The value at a path, None when there is none."""
        value: Any = self.data
        for part in path:
            try:
                value = value[part]
            except (KeyError, IndexError, TypeError):
                return None
        return value

    def place(self, path: YamlPath, *, key: bool = False) -> Place:
        """Line and column of a value, or of its key (if asked, or if it is a mapping).

        What is not in the file has the place of the nearest parent's key.
        """
        if path in self.keys and (key or isinstance(self.get(path), dict | None)):
            return self.keys[path]  # a mapping begins where its name stands; nothing stands nowhere else
        if path in self.values:
            return self.values[path]
        while path:
            path = path[:-1]
            if path in self.keys:
                return self.keys[path]
        return (1, 1)

    def problem(
        self, path: YamlPath, what: str, *, key: bool = False, got: str = "", valid: str = "", fix: str = ""
    ) -> Problem:
        """A mistake at a path of this file."""
        line, column = self.place(path, key=key)
        return Problem(what, f"{shown(self.file)}:{line}:{column}", dotted(path), got, valid, fix)


def load(file: Path, *, foreign: bool = False) -> Source:
    """Read a YAML file whose top is a mapping.

    Args:
        foreign: another tool's file: it may be larger, its settings are not held to hold no secret, and its top may be
            a list, which is then `data[""]`.

    Raises:
        SpecError: no such file, too large, not UTF-8, not YAML, duplicate keys, tags, values out of bounds; all
            that can be said at once, pasted secrets among it (without printing them).
    """
    text = _text(file, FOREIGN_BYTES if foreign else MAX_BYTES)
    name = shown(file)
    node = _compose(text, name)
    walk = _Walk(name, FOREIGN_VALUES if foreign else MAX_VALUES)
    listed = foreign and type(node).__name__ == "SequenceNode"
    data = {"": walk.value(node, ("",), 1)} if listed else walk.value(node, (), 0)
    if not isinstance(data, dict):
        kind = "a list" if isinstance(data, list) else "one value"
        raise SpecError(
            Problem(f"the file holds {kind}, not a mapping", f"{name}:1:1", fix="start it with `version: 1`"),
            *walk.problems,
        )
    source = Source(file, data, walk.keys, walk.values)
    problems = [*walk.problems, *([] if foreign else _secrets(text, source))]
    if problems:
        raise SpecError(problems)
    return source


def parse(text: str) -> Any:
    """The plain data of a YAML text.

    Raises:
        SpecError: it is not YAML, or not within bounds.
    """
    walk = _Walk("", FOREIGN_VALUES)
    data = walk.value(_compose(text, ""), (), 0)
    if walk.problems:
        raise SpecError(walk.problems)
    return data


def _text(file: Path, most: int) -> str:
    name = shown(file)
    if file.is_dir():
        found = sorted(p.name for p in [*file.glob("*.yaml"), *file.glob("*.yml")])
        valid = ", ".join(found[:8])
        raise SpecError(Problem("a folder, not a benchmark file", name, valid=valid, fix="name a YAML in it"))
    try:
        with file.open("rb") as stream:
            raw = stream.read(most + 1)
    except FileNotFoundError:
        if file.is_symlink():
            raise SpecError(
                Problem(f"{file} is a link to a file that is not there", name, fix="mend the link")
            ) from None
        fix = siblings(file.absolute()) or "write one with `harness init DATA`"
        raise SpecError(Problem("no such file", name, fix=fix)) from None
    except OSError as error:
        raise SpecError(Problem(f"cannot be read: {error.strerror}", name)) from None
    if len(raw) > most:
        raise SpecError(
            Problem(
                f"larger than {most // 1024} KB, which no benchmark file is",
                name,
                fix="keep prompts in their own files (file://...) and rows in the data file",
            )
        )
    if wide(raw):
        raise SpecError(Problem("UTF-16, not UTF-8", f"{name}:1:1", fix="save the file as UTF-8"))
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        column = error.start - (raw.rfind(b"\n", 0, error.start) + 1) + 1
        raise SpecError(
            Problem(
                f"not UTF-8 at byte {error.start}",
                f"{name}:{line}:{column}",
                got=f"byte 0x{raw[error.start]:02x}",
                fix="save the file as UTF-8",
            )
        ) from None
    if not text.strip():
        raise SpecError(Problem("the file is empty", f"{name}:1:1", fix="write one with `harness init DATA`"))
    return text


def _compose(text: str, name: str) -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    if _DEEP.search(text):  # before ruamel, which takes seconds to find out
        raise _too_deep(name)
    try:
        node = YAML(typ="safe", pure=True).compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
        what = " ".join(str(part) for part in (error.context, error.problem) if part)
        fix = "indent with spaces, never with tabs" if "\\t" in what else _advice(text, mark.line if mark else 0, what)
        raise SpecError(Problem(f"not valid YAML: {what}", where, fix=fix)) from None
    except YAMLError as error:
        spot = getattr(error, "position", None)
        line = text.count("\n", 0, spot) + 1 if isinstance(spot, int) else 1
        column = spot - text.rfind("\n", 0, spot) if isinstance(spot, int) else 1
        raise SpecError(
            Problem("a control character, which YAML cannot hold", f"{name}:{line}:{column}", fix="delete it")
        ) from None
    except RecursionError:
        raise _too_deep(name) from None
    if node is None:
        fix = "write one with `harness init DATA`"
        raise SpecError(Problem("the file holds only comments", f"{name}:1:1", fix=fix))
    return node


def _too_deep(name: str) -> SpecError:
    return SpecError(Problem(f"nested deeper than {MAX_DEPTH} levels", f"{name}:1:1", fix="no benchmark needs that"))


def _advice(text: str, line: int, what: str) -> str:
    lines = text.splitlines()
    here = lines[line] if line < len(lines) else ""
    if "\t" in here[: len(here) - len(here.lstrip())]:
        return "indent with spaces, never with tabs"
    if "mapping values are not allowed" in what:
        return "put a text that holds `: ` in quotes, or check the indentation"
    if re.search(r":\s*\{\{", here):
        return "put a text with {{ column }} in quotes"
    if "single document" in what:
        return "one file is one benchmark: take out the line `---` or `...` and all that follows"
    if "alias" in what:
        return "put a text that starts with * in quotes"
    return "check quotes, brackets and indentation on this line and the one before"


class _Walk:
    """Unfolds a node graph into plain data, noting places; mistakes are collected, the walk goes on."""

    def __init__(self, name: str, most: int) -> None:
        self.keys: dict[YamlPath, Place] = {}
        self.values: dict[YamlPath, Place] = {}
        self.problems: list[Problem] = []
        self._name = name
        self._seen = 0
        self._most = most
        self._open: set[int] = set()

    def _say(self, node: Any, path: YamlPath, what: str, fix: str = "", got: str = "") -> None:
        mark = node.start_mark
        where = f"{self._name}:{mark.line + 1}:{mark.column + 1}"
        self.problems.append(Problem(what, where, dotted(path), got=got, fix=fix))

    def value(self, node: Any, path: YamlPath, depth: int) -> Any:
        """The data of one node."""
        self._seen += 1
        self.values[path] = (node.start_mark.line + 1, node.start_mark.column + 1)
        if self._seen > self._most:
            raise SpecError(
                Problem(
                    f"the file unfolds to more than {self._most:,} values",
                    f"{self._name}:1:1",
                    fix="write it without nested aliases (*name)",
                )
            )
        if depth > MAX_DEPTH:
            raise _too_deep(self._name)
        if id(node) in self._open:
            self._say(node, path, "an alias inside its own anchor, which has no end", "write the value out")
            return None
        kind = type(node).__name__
        if kind == "ScalarNode":
            return self._scalar(node, path)
        if str(node.tag) not in (_TAG + "map", _TAG + "seq"):
            self._say(node, path, f"the YAML tag {node.tag} is not allowed", "write plain values")
            return None
        self._open.add(id(node))
        try:
            if kind == "SequenceNode":
                return [self.value(item, (*path, i), depth + 1) for i, item in enumerate(node.value)]
            return self._mapping(node, path, depth)
        finally:
            self._open.discard(id(node))

    def _mapping(self, node: Any, path: YamlPath, depth: int) -> dict[str, Any]:
        data: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if type(key_node).__name__ != "ScalarNode":
                self._say(key_node, path, "a key must be a word", "put a text that starts with { or [ in quotes")
                continue
            if str(key_node.tag) == _TAG + "merge":
                part = self.value(value_node, path, depth + 1)
                for one in part if isinstance(part, list) else [part]:
                    if isinstance(one, dict):
                        merged |= {k: v for k, v in one.items() if k not in merged}
                    else:
                        self._say(value_node, path, "`<<` takes a mapping", "write `<<: *name`", got=quoted(one))
                continue
            key = str(key_node.value)
            here = (*path, key)
            if key in data:
                first = self.keys[here][0]
                self._say(key_node, here, f"the key `{key}` stands twice (first on line {first})", "keep one of them")
                continue
            self.keys[here] = (key_node.start_mark.line + 1, key_node.start_mark.column + 1)
            data[key] = self.value(value_node, here, depth + 1)
        return merged | data

    def _scalar(self, node: Any, path: YamlPath) -> Any:
        text = str(node.value)
        match str(node.tag).removeprefix(_TAG):
            case "str" | "timestamp":  # a date is kept as it is written
                if any("\ud800" <= c <= "\udfff" or c == "\0" for c in text):
                    self._say(node, path, "a text with half a character (lone surrogate) or NUL in it", "delete it")
                    return ""
                return text
            case "null":
                return None
            case "bool":
                return text.lower() == "true"
            case "int" | "float" as kind:
                return self._number(node, path, text.replace("_", ""), kind)
            case tag:
                self._say(node, path, f"the YAML tag {tag} is not allowed", "write plain values")
                return None

    def _number(self, node: Any, path: YamlPath, text: str, kind: str) -> int | float | str:
        try:
            number = int(text, 0 if text.lstrip("+-")[:2].lower() in ("0x", "0o", "0b") else 10)
        except ValueError:
            try:
                number = float(text)
            except ValueError:
                number = math.nan
        if isinstance(number, int) and abs(number) >= 2**63:  # what no setting means and no record holds
            number = math.nan
        if kind == "float":
            number = float(number) if not isinstance(number, int) or abs(number) < 2**53 else math.nan
        if isinstance(number, float) and not math.isfinite(number):
            self._say(node, path, "not a finite number, or too large", "write a plain number", got=repr(text[:40]))
            return 0
        return number


def _secrets(text: str, source: Source) -> list[Problem]:
    """Pasted keys, in values, keys and comments. What they are is not said."""
    problems: list[Problem] = []
    fix = "delete it, revoke the key, and name its environment variable (api_key_env)"
    lines: set[int] = set()
    for number, line in enumerate(text.splitlines(), 1):
        match = _SECRET.search(line)
        if match:
            lines.add(number)
            path = max((p for p, at in source.values.items() if at <= (number, match.start() + 1)), default=(),
                       key=lambda p: source.values[p])  # fmt: skip
            where = f"{shown(source.file)}:{number}:{match.start() + 1}"
            problems.append(Problem("a secret in a benchmark file (not printed here)", where, dotted(path), fix=fix))
    for path, (line, _) in source.keys.items():
        value = source.get(path)
        named = path[0] != "task" and _SECRET_KEY.match(str(path[-1]))
        if named and isinstance(value, str) and len(value) >= 8 and line not in lines:
            problems.append(source.problem(path, "a secret in a benchmark file (not printed here)", key=True, fix=fix))
    return problems
