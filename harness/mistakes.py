"""What pydantic says of a bad file, said again for people: the YAML's own path, what was read, what is valid.

pydantic's `loc` carries names of union branches and indices that a sweep added; it is walked against what was read.
What is valid comes from the JSON schema that editors use, so that the two cannot disagree.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from harness.errors import Problem, near
from harness.yamlfile import Source, YamlPath, quoted

Json = dict[str, Any]


def problems(errors: Iterable[Json], source: Source, schema: Json) -> list[tuple[YamlPath, Problem]]:
    """Every mistake once, with its path inside the YAML.

    Args:
        errors: `ValidationError.errors()`.
        source: the file that was read.
        schema: the JSON schema of the model.
    """
    found: dict[YamlPath, list[Json]] = {}
    for error in errors:
        found.setdefault(yaml_path(error["loc"], source.data), []).append(error)
    made: list[tuple[YamlPath, Problem]] = []
    for path, same in found.items():
        deeper = any(other[: len(path)] == path and len(other) > len(path) for other in found)
        if deeper and all(e["type"] == "string_type" for e in same):
            continue  # `model: {...}` is also no plain text; the branch that fits tells more
        made.append((path, _problem(path, same, source, schema)))
    return made


def yaml_path(loc: Sequence[str | int], data: Any) -> YamlPath:
    """pydantic's location as a path of the YAML: union branches and added indices left out."""
    path: list[str | int] = []
    here = data
    for i, part in enumerate(loc):
        if part == "[key]":
            break
        if loc[0] == "arms" and i == 2 and isinstance(here, dict) and here.get("technique") == part:
            continue  # the branch of the techniques' union
        if (isinstance(here, dict) and part in here) or (isinstance(here, list) and isinstance(part, int)):
            here = here[part]  # pyright: ignore[reportCallIssue, reportArgumentType]  # a list has an int here
            path.append(part)
        elif i == len(loc) - 1 and isinstance(here, dict) and isinstance(part, str):
            path.append(part)  # a key that is missing
    return tuple(path)


def _problem(path: YamlPath, errors: Sequence[Json], source: Source, schema: Json) -> Problem:
    error = errors[0]
    value = source.get(path)
    kind = error["type"]
    part = at(schema, schema, path, source.data)
    name = str(path[-1]) if path else ""
    match kind:
        case "missing":
            return source.problem(path, f"`{name}` is missing", valid=describe(part, schema), fix=f"add `{name}:`")
        case "extra_forbidden":
            keys = known_keys(at(schema, schema, path[:-1], source.data), schema)
            return source.problem(
                path, f"unknown key `{name}`", key=True, valid=", ".join(keys),
                fix=near(name, keys) or f"remove `{name}`",
            )  # fmt: skip
        case "union_tag_invalid":
            got = str(value.get("technique"))
            valid = sorted(branches(schema))
            return source.problem(
                (*path, "technique"), f"unknown technique {got!r}", valid=", ".join(valid), fix=near(got, valid)
            )
        case "union_tag_not_found":
            meant = next((k for k in value or () if near(k, ["technique"])), "") if isinstance(value, dict) else ""
            return source.problem(
                (*path, meant) if meant else path, "`technique` is missing", key=True,
                got=meant and f"the key `{meant}`", valid=", ".join(sorted(branches(schema))),
                fix="write `technique:`" if meant else "add `technique:` to the arm",
            )  # fmt: skip
        case "literal_error" if "[key]" in error["loc"]:
            valid = re.findall(r"'([^']+)'", error["ctx"]["expected"])
            return source.problem(
                path, f"unknown key `{name}`", key=True, valid=", ".join(valid),
                fix=near(name, valid) or f"remove `{name}`",
            )  # fmt: skip
        case "string_pattern_mismatch" if "[key]" in error["loc"]:
            better = re.sub(r"[^a-z0-9]+", "_", name.casefold()).strip("_")
            return source.problem(
                path, f"`{name}` cannot be a name", key=True,
                valid="a lower-case letter, then letters, digits, _ (40 at most)",
                fix=f"write `{better}`" if better[:1].isalpha() else "",
            )  # fmt: skip
        case "value_error":
            what = str(error["ctx"]["error"])
            return source.problem(path, what, key=True)
        case _:
            valid = describe(part, schema)
            fix = f"write a value, or remove `{name}`" if value is None else _next(value, part, schema)
            return source.problem(path, _says(errors, value), got=quoted(value), valid=valid, fix=fix)


def _says(errors: Sequence[Json], value: Any) -> str:
    kinds = {e["type"] for e in errors}
    bounds = {"greater_than", "greater_than_equal", "less_than", "less_than_equal"}
    if kinds <= bounds or (kinds & bounds and isinstance(value, int | float)):  # one of a union's branches fits
        return "out of range"
    if kinds & {"dict_type", "model_type", "model_attributes_type"}:
        return "must be a mapping"
    if kinds == {"too_short"}:
        return "may not be empty"
    if kinds == {"literal_error"}:
        return "not one of the valid words"
    if "string_pattern_mismatch" in kinds:
        return "not in the right form"
    return "of the wrong type"


def _next(value: Any, part: Json, schema: Json) -> str:
    words = [str(w) for w in _enums(part, schema)]
    if isinstance(value, str) and value in words:  # the word for a number: `version: "1"`
        return f"write {value} without quotes"
    if isinstance(value, str) and words and (hint := near(value, words)):
        return hint
    if isinstance(value, str) and _has(part, schema, ("integer", "number")):
        try:
            float(value)
            return f"write {value} without quotes"
        except ValueError:
            return ""
    if isinstance(value, str) and value.lower() in ("yes", "on", "no", "off") and _has(part, schema, ("boolean",)):
        return f"write {'true' if value.lower() in ('yes', 'on') else 'false'}"
    number = _has(part, schema, ("integer", "number"))
    if isinstance(value, int | float) and not number and _has(part, schema, ("string",)):
        return f'write "{value}" in quotes'
    return ""


def resolve(part: Json, schema: Json) -> Json:
    """A part of a JSON schema with its `$ref` followed."""
    while "$ref" in part:
        part = schema["$defs"][part["$ref"].rsplit("/", 1)[1]]
    return part


def branches(schema: Json) -> dict[str, Json]:
    """The techniques' schemas by name."""
    union = resolve(_others(schema["properties"]["arms"]) or {}, schema)
    return {k: resolve({"$ref": v}, schema) for k, v in union["discriminator"]["mapping"].items()}


def at(part: Json, schema: Json, path: YamlPath, data: Any) -> Json:
    """The schema of what stands at a path; empty where the schema says nothing. `data` chooses between branches."""
    part = resolve(part, schema)
    if "discriminator" in part:
        kind = data.get(part["discriminator"]["propertyName"]) if isinstance(data, dict) else None
        reference = part["discriminator"]["mapping"].get(kind if isinstance(kind, str) else "")
        return at({"$ref": reference}, schema, path, data) if reference else ({} if path else part)
    if not path:
        return part
    head, rest = path[0], path[1:]
    inner = data[head] if isinstance(data, dict) and head in data else None
    if isinstance(data, list) and isinstance(head, int) and head < len(data):
        inner = data[head]
    for option in (part, *(resolve(o, schema) for o in part.get("anyOf", ()))):
        if isinstance(head, int):
            if "items" in option:
                return at(option["items"], schema, rest, inner)
        elif head in option.get("properties", {}):
            return at(option["properties"][head], schema, rest, inner)
        elif others := _others(option):
            return at(others, schema, rest, inner)
    return {}


def _others(part: Json) -> Json | None:
    """The schema of the values of a mapping whose keys are the user's."""
    values = [*part.get("patternProperties", {}).values(), part.get("additionalProperties")]
    return next((v for v in values if isinstance(v, dict)), None)


def known_keys(part: Json, schema: Json) -> list[str]:
    """The keys of a mapping, in the schema's order."""
    for option in (part, *(resolve(o, schema) for o in part.get("anyOf", ()))):
        if "properties" in option:
            return list(option["properties"])
    return []


def _enums(part: Json, schema: Json) -> list[Any]:
    part = resolve(part, schema)
    values = list(part.get("enum", ())) + ([part["const"]] if "const" in part else [])
    for option in (*part.get("anyOf", ()), *([part["items"]] if "items" in part else ())):
        values += [v for v in _enums(option, schema) if v not in values]
    return values


def _has(part: Json, schema: Json, types: Sequence[str]) -> bool:
    part = resolve(part, schema)
    options = (*part.get("anyOf", ()), *([part["items"]] if "items" in part else ()))
    return part.get("type") in types or any(_has(o, schema, types) for o in options)


def describe(part: Json, schema: Json) -> str:
    """What a part of the schema takes, in words: `a whole number from 1 to 200, or a list of such`."""
    part = resolve(part, schema)
    if "discriminator" in part:
        return "a mapping with `technique`: " + ", ".join(sorted(part["discriminator"]["mapping"]))
    if "anyOf" in part:
        options = [resolve(o, schema) for o in part["anyOf"]]
        words: list[str] = []
        for option in options:
            if option.get("type") == "null":
                continue
            text = describe(option, schema)
            if option.get("type") == "array" and resolve(option["items"], schema) in options:
                text = "a list of such"
            words += [text] if text not in words else []
        return ", or ".join(words)
    if "enum" in part:
        return "one of " + ", ".join(str(v) for v in part["enum"])
    if "const" in part:
        return str(part["const"])
    match part.get("type"):
        case "integer":
            return "a whole number" + _range(part)
        case "number":
            return "a number" + _range(part)
        case "boolean":
            return "true or false"
        case "string":
            return f"a text of the form {part['pattern']}" if "pattern" in part else "a text"
        case "array":
            return "a list of " + (describe(part["items"], schema) if "items" in part else "values")
        case "object":
            keys = list(part.get("properties", ()))
            return "a mapping" + (f" with {', '.join(keys)}" if keys else " of names to values")
        case _:
            return ""


def _range(part: Json) -> str:
    low, above = part.get("minimum"), part.get("exclusiveMinimum")
    high, below = part.get("maximum"), part.get("exclusiveMaximum")
    start = f"from {low}" if low is not None else f"above {above}" if above is not None else ""
    end = f"to {high}" if high is not None else f"below {below}" if below is not None else ""
    if low is not None and not end:
        start = f"of at least {low}"
    joined = f"{start} and {end}" if above is not None and end else f"{start} {end}"
    return f" {joined}".rstrip() if start or end else ""


__all__ = ["Json", "at", "branches", "describe", "known_keys", "problems", "yaml_path"]
