"""Rows of a data file, one after the other, with the line of each: JSONL, a JSON array, CSV, TSV, Parquet.

A row that cannot be read is a `Problem` in its place, and the reading goes on: a file tells all its mistakes at once.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from harness.errors import Problem
from harness.paths import shown

MAX_LINE = 10 * 1024 * 1024
JSONL = (".jsonl", ".ndjson")
TABLES = (".csv", ".tsv")
SUFFIXES = (*JSONL, ".json", *TABLES, ".parquet")
MAX_ARRAY = 1024 * MAX_LINE  # a JSON array is read whole; JSONL is not
NUMBER = "index"  # the name of a first column without one: the number that a data frame writes before its rows


class Row(NamedTuple):
    """One row. `line` is the line of the file that it starts on (Parquet: its number), both from 1."""

    line: int
    data: dict[str, Any]


def unreadable(file: Path) -> Problem | None:
    """Why a path is no data file at all, or None."""
    name = shown(file)
    if not file.exists():
        return Problem("no such file", name)
    if file.is_dir():
        return Problem("a folder, not a data file", name)
    if file.suffix.lower() not in SUFFIXES:
        return Problem(f"the ending {file.suffix or '(none)'} is no data format that is known here", name,
                       valid=", ".join(SUFFIXES), fix="convert it")  # fmt: skip
    if file.stat().st_size == 0:
        return Problem("the file is empty", name, fix="write rows into it, or remove it")
    return None


def read(file: Path) -> Iterator[Row | Problem]:
    """The rows of a file in one pass.

    CSV cells that are a JSON list of texts become lists; everything else in a CSV is text. Blank lines are passed over.
    """
    if problem := unreadable(file):
        yield problem
        return
    match file.suffix.lower():
        case ".parquet":
            yield from _parquet(file)
        case ".json":
            yield from _array(file)
        case ".csv" | ".tsv" as suffix:
            yield from _table(file, "\t" if suffix == ".tsv" else None)
        case _:
            with file.open("rb") as stream:
                yield from _jsonl(stream, shown(file))


def wide(start: bytes) -> bool:
    """Whether bytes begin like UTF-16: with its mark, or with a sign of ASCII in two bytes."""
    return start.startswith((b"\xff\xfe", b"\xfe\xff")) or start[:2].count(0) == 1


def text(value: Any) -> str:
    """A cell as text: a list is one item a line, null is nothing, other structures are JSON."""
    match value:
        case str():
            return value
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case list() | tuple():
            return "\n".join(text(v) for v in value)
        case dict():
            return json.dumps(value, ensure_ascii=False, default=str)
        case _:
            return str(value)


def _jsonl(stream: BinaryIO, name: str) -> Iterator[Row | Problem]:
    offset, number = 0, 0
    while line := stream.readline(MAX_LINE + 1):
        number += 1
        if len(line) > MAX_LINE:
            while line and not line.endswith(b"\n"):
                offset += len(line)
                line = stream.readline(MAX_LINE)
            offset += len(line)
            yield Problem(f"a line of more than {MAX_LINE // 2**20} MB", f"{name}:{number}", valid="one row a line",
                          fix="end each row with a newline")  # fmt: skip
            continue
        if number == 1 and wide(line):
            yield Problem("UTF-16, not UTF-8", f"{name}:1:1", fix="save the file as UTF-8")
            return
        if number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        if line.strip():
            yield _object(line, number, offset, name)
        offset += len(line)


def _object(line: bytes, number: int, offset: int, name: str) -> Row | Problem:
    where = f"{name}:{number}"
    if b"\0" in line:
        return Problem("a NUL byte", f"{where}:{line.index(0) + 1}", fix="delete it; is this a text file?")
    try:
        text = line.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        return Problem(
            f"not UTF-8 at byte {offset + error.start} of the file", f"{where}:{error.start + 1}",
            got=f"byte 0x{line[error.start]:02x}", fix="save the file as UTF-8",
        )  # fmt: skip
    twice: list[str] = []
    try:
        data = json.loads(text, object_pairs_hook=_pairs(twice), parse_constant=_constant, parse_float=_finite)
    except json.JSONDecodeError as error:
        got = text[max(error.pos - 20, 0) : error.pos + 20]
        hint = "one object a line" if error.msg.startswith("Extra data") else "a JSON object"
        return Problem(f"not valid JSON: {error.msg.lower()}", f"{where}:{error.pos + 1}", got=repr(got), valid=hint,
                       fix=_json_advice(text, error))  # fmt: skip
    except (ValueError, RecursionError) as error:
        return _refused(error, f"{where}:1")
    return _checked(data, number, twice, text, where)


def _pairs(twice: list[str]) -> Callable[[list[tuple[str, Any]]], dict[str, Any]]:
    """Makes an object of its pairs; a key that stands twice is put into `twice`."""

    def made(items: list[tuple[str, Any]]) -> dict[str, Any]:
        data = dict(items)
        if len(data) < len(items):
            seen: set[str] = set()
            twice.extend(k for k, _ in items if k in seen or seen.add(k))
        return data

    return made


def _checked(data: Any, number: int, twice: list[str], text: str, where: str) -> Row | Problem:
    """A row, if it is an object whose keys stand once and whose texts can be written again."""
    if not isinstance(data, dict):
        kind = "list" if isinstance(data, list) else type(data).__name__
        return Problem("the row is not an object", f"{where}:1", got=f"a {kind}", valid='{"id": "...", ...}')
    if twice:
        return Problem(f"the key `{twice[0]}` stands twice in the row", f"{where}:1", fix="keep one of them")
    if "\\u" in text and (bad := _bad_text(data)):
        return Problem(f"half a character (lone surrogate) or NUL in `{bad}`", f"{where}:1", path=bad, fix="delete it")
    return Row(number, data)


def _array(file: Path) -> Iterator[Row | Problem]:
    """The objects of one JSON array, each with the line that it starts on."""
    name = shown(file)
    if file.stat().st_size > MAX_ARRAY:
        size = f"more than {MAX_ARRAY // 2**30} GB"
        yield Problem(
            f"a JSON array of {size}", name, fix="write it as JSONL, one object a line: that is not read whole"
        )
        return
    raw = file.read_bytes()
    if wide(raw):
        yield Problem("UTF-16, not UTF-8", f"{name}:1:1", fix="save the file as UTF-8")
        return
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        yield Problem(f"not UTF-8 at byte {error.start} of the file", f"{name}:{line}", fix="save the file as UTF-8")
        return
    twice: list[str] = []
    decoder = json.JSONDecoder(object_pairs_hook=_pairs(twice), parse_constant=_constant, parse_float=_finite)
    at = _after(text, 0)
    if text[at : at + 1] != "[":
        fix = "write [{...}, {...}], or one object a line in a .jsonl file"
        yield Problem("the file holds no JSON array", f"{name}:1:1", got=repr(text[at : at + 20]), fix=fix)
        return
    line, counted, sign = 1, 0, "["
    while sign in ("[", ","):
        start = _after(text, at + 1)
        if sign == "[" and text[start : start + 1] == "]":
            return
        line, counted = line + text.count("\n", counted, start), start
        try:
            data, at = decoder.raw_decode(text, start)
        except json.JSONDecodeError as error:
            got = text[max(error.pos - 20, 0) : error.pos + 20]
            yield Problem(f"not valid JSON: {error.msg.lower()}", f"{name}:{error.lineno}:{error.colno}", got=repr(got),
                          fix="check the quotes and commas there")  # fmt: skip
            return
        except (ValueError, RecursionError) as error:
            yield _refused(error, f"{name}:{line}")
            return
        yield _checked(data, line, twice, text[start:at], f"{name}:{line}")
        twice.clear()
        at = _after(text, at)
        sign = text[at : at + 1]
    line += text.count("\n", counted, at)
    if sign != "]":
        valid = "`,` and another row, or `]`"
        yield Problem("not valid JSON: the array does not go on", f"{name}:{line}", got=repr(text[at : at + 20]),
                      valid=valid)  # fmt: skip
    elif text[_after(text, at + 1) :]:
        yield Problem("something stands after the array", f"{name}:{line}", fix="a .jsonl file has one object a line")


def _after(text: str, at: int) -> int:
    """Where the next sign stands that is no space."""
    while text[at : at + 1] in (" ", "\n", "\r", "\t") and at < len(text):
        at += 1
    return at


def _constant(word: str) -> float:
    raise ValueError(f"{word} is no JSON number")


def _finite(word: str) -> float:
    return number if math.isfinite(number := float(word)) else _constant(word)


def _refused(error: Exception, where: str) -> Problem:
    """What is said of JSON that Python's reader takes apart and then cannot hold."""
    if isinstance(error, RecursionError):
        return Problem("not valid JSON: nested too deeply", where, fix="write the cell as a text")
    said = "a number of more than 4,300 digits" if "int_max_str_digits" in str(error) else str(error)
    return Problem(f"not valid JSON: {said}", where, fix="write null, a number, or a text in quotes")


def _json_advice(text: str, error: json.JSONDecodeError) -> str:
    rest = text[error.pos : error.pos + 1]
    if text.strip() in ("{", "[") or (text.lstrip().startswith("[") and not text.rstrip().endswith("]")):
        return "write one object a line; a JSON array over several lines is no JSONL"
    if rest == "'" or "'" in text[:3]:
        return 'use double quotes: {"id": "..."}'
    if "control character" in error.msg:
        return "write a line break inside a text as \\n"
    return "check the quotes and commas there"


def _bad_text(data: dict[str, Any]) -> str:
    """The first key whose text cannot be written again as UTF-8 or holds NUL."""
    for key, value in data.items():
        text = json.dumps([key, value], ensure_ascii=False)
        if "\\u0000" in text or any("\ud800" <= c <= "\udfff" for c in text):
            return key if key.isprintable() else "?"
    return ""


def _table(file: Path, delimiter: str | None) -> Iterator[Row | Problem]:
    name = shown(file)
    with file.open("rb") as stream:
        start = stream.read(4)
    encoding = "utf-16" if start.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    csv.field_size_limit(MAX_LINE)
    try:
        with file.open(encoding=encoding, newline="") as text:
            yield from _records(text, name, delimiter)
    except UnicodeDecodeError:
        yield _undecodable(file, name, encoding)


def _records(text: Iterable[str], name: str, delimiter: str | None) -> Iterator[Row | Problem]:
    lines = iter(text)
    first = next(lines, "")
    if delimiter is None:
        delimiter = max(",;\t", key=lambda d: (first.count(d), d == ","))
    header = next(csv.reader([first], delimiter=delimiter), [])
    header = [h.strip() for h in header]
    if len(header) > 1 and not header[0] and NUMBER not in header:
        header[0] = NUMBER
    if problem := _header(header, first, name):
        yield problem
        return
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    started = 2
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            fix = "close the quote, and double quotes inside a quoted cell"
            yield Problem(f"not valid CSV: {error}", f"{name}:{started}", fix=fix)
            return
        line, started = started, reader.line_num + 2
        if not any(c.strip() for c in cells):
            continue
        if len(cells) != len(header):
            yield Problem(
                f"{len(cells)} cells, but the header has {len(header)} columns", f"{name}:{line}",
                valid=delimiter.join(header), fix="put a cell that holds the separator in quotes",
            )  # fmt: skip
        elif any("\0" in c for c in cells):
            yield Problem("a NUL byte", f"{name}:{line}", fix="delete it; is this a text file?")
        else:
            yield Row(line, {h: _cell(c) for h, c in zip(header, cells, strict=True)})


def _header(header: list[str], first: str, name: str) -> Problem | None:
    if not all(header) or any("\0" in h for h in header):
        return Problem("the first line names no columns", f"{name}:1", got=repr(first[:60]), fix="add a header line")
    twice = [h for i, h in enumerate(header) if h in header[:i]]
    if twice:
        return Problem(f"two columns are called `{twice[0]}`", f"{name}:1", fix="rename one of them")
    return None


def _cell(text: str) -> str | list[str]:
    if text.startswith("[") and text.endswith("]"):
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return text
        if isinstance(value, list) and all(isinstance(v, str) for v in value):
            return value
    return text


def _undecodable(file: Path, name: str, encoding: str) -> Problem:
    """Where a file stops being text, found by reading it again line by line."""
    offset = 0
    with file.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                if encoding == "utf-16":
                    break
                return Problem(
                    f"not UTF-8 at byte {offset + error.start} of the file", f"{name}:{number}:{error.start + 1}",
                    got=f"byte 0x{line[error.start]:02x}", fix='save the file as UTF-8 (Excel: "CSV UTF-8")',
                )  # fmt: skip
            offset += len(line)
    return Problem(f"cannot be read as {encoding}", f"{name}:1:1", fix="save the file as UTF-8")


def _parquet(file: Path) -> Iterator[Row | Problem]:
    try:
        import pyarrow
        import pyarrow.parquet as parquet
    except ImportError:
        fix = 'pip install "harness-evals[local]", or use JSONL'
        yield Problem("reading Parquet needs pyarrow", shown(file), fix=fix)
        return
    number = 0
    try:
        with parquet.ParquetFile(file) as table:
            for batch in table.iter_batches(batch_size=1024):
                for data in batch.to_pylist():
                    number += 1
                    yield Row(number, data)
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        yield Problem(f"not valid Parquet: {said}", f"{shown(file)}:{number + 1}")
