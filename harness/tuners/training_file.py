"""The training file that all four systems eat: chat JSONL, checked whole before a byte is uploaded.

One pass over the file gives every finding with its line, because a job that is refused one line at a time is paid for
in hours. Rules and token count are those of OpenAI's data preparation cookbook, which the other systems follow.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from harness.tuners.base import Finding

ROLES = ("system", "developer", "user", "assistant", "tool")
MIN_ROWS = 10
Encode = Callable[[str], int]
"""Number of tokens of a text."""


def rough(text: str) -> int:
    """Tokens of a text where no tokenizer is at hand: four bytes each."""
    return -(-len(text.encode()) // 4)


def count_tokens(messages: Sequence[Mapping[str, Any]], encode: Encode = rough) -> int:
    """Tokens of one row as it is billed: 3 an example, 3 a message, and the encoded values."""
    return 3 + sum(3 + sum(encode(v) for v in m.values() if isinstance(v, str)) for m in messages)


def read(path: Path) -> list[list[dict[str, Any]]]:
    """The messages of every row of a file that has passed `check`."""
    lines = path.read_text(encoding="utf-8-sig").split("\n")
    return [json.loads(line)["messages"] for line in lines if line.strip()]


def check(
    path: Path,
    *,
    limit: int | None = None,
    encode: Encode = rough,
    bom: Literal["allow", "refuse", "require"] = "allow",
    min_rows: int = MIN_ROWS,
    over_limit: Literal["error", "warning"] = "error",
) -> list[Finding]:
    """Everything wrong with a chat JSONL file, by line.

    Args:
        path: the file.
        limit: tokens that one row may have.
        encode: how tokens are counted.
        bom: whether a UTF-8 byte order mark is wanted (Azure), refused or indifferent.
        min_rows: below this the job is refused.
        over_limit: whether a row over the limit is refused or cut by the system.

    Returns:
        The findings in the order of their lines; those on the whole file come last. Never raises on content.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        return [Finding("error", f"the training file cannot be read: {error.strerror or error}")]
    marked = raw.startswith(b"\xef\xbb\xbf")
    findings: list[Finding] = []
    if marked and bom == "refuse":
        findings.append(Finding("error", "starts with a byte order mark, which is refused: save it as plain UTF-8", 1))
    if not marked and bom == "require":
        findings.append(Finding("error", "must start with a byte order mark (save it as UTF-8 with BOM)", 1))
    rows: dict[str, int] = {}
    total = 0
    for number, line in enumerate(raw.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        if not line.strip():
            continue
        total += 1
        row, problems = _row(line)
        findings += [Finding("error", problem, number) for problem in problems]
        if problems:
            continue
        content = json.dumps(row, sort_keys=True)
        if content in rows:
            findings.append(Finding("warning", f"the same row as line {rows[content]}", number))
        rows.setdefault(content, number)
        tokens = count_tokens(row["messages"], encode) if limit is not None else 0
        if limit is not None and tokens > limit:
            cut = "" if over_limit == "error" else ": its end is cut off"
            message = f"{tokens} tokens, over the limit of {limit} for one example{cut}"
            findings.append(Finding(over_limit, message, number))
    if total < min_rows:
        findings.append(Finding("error", f"{total} rows; a fine-tune takes at least {min_rows}"))
    return findings


def _row(line: bytes) -> tuple[Any, list[str]]:
    try:
        row = json.loads(line.decode("utf-8"), parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        return None, [f"not UTF-8 at byte {error.start} of the line"]
    except (ValueError, RecursionError) as error:
        return None, [f"not JSON: {error}"]
    if not isinstance(row, dict):
        return row, [f"not an object but {_shown(row)}"]
    messages = row.get("messages")
    if not isinstance(messages, list) or not messages:
        return row, [f"`messages` must be a list of at least one message, got {_shown(messages)}"]
    problems = [f"messages[{i}]: {p}" for i, m in enumerate(messages) for p in _message(m)]
    last = messages[-1]
    if not isinstance(last, dict) or last.get("role") != "assistant":
        problems.append("the last message must be the assistant's: it is what is learnt")
    elif last.get("weight") == 0 and not any(
        isinstance(m, dict) and m.get("role") == "assistant" and m.get("weight") != 0 for m in messages
    ):
        problems.append("no assistant message with a weight of 1: there is nothing to learn")
    return row, problems


def _message(message: Any) -> list[str]:
    if not isinstance(message, dict):
        return [f"not an object but {_shown(message)}"]
    problems: list[str] = []
    role, content = message.get("role"), message.get("content")
    if "role" not in message:
        problems.append("no `role`")
    elif role not in ROLES:
        problems.append(f"role {_shown(role)} is unknown; valid: {', '.join(ROLES)}")
    if content is None and role == "assistant" and message.get("tool_calls"):
        pass
    elif "content" not in message:
        problems.append("no `content`")
    elif not isinstance(content, str):
        problems.append(f"`content` must be a text, got {_shown(content)}")
    elif not content.strip():
        problems.append("`content` is empty")
    if "weight" in message:
        if role != "assistant":
            problems.append("`weight` belongs on assistant messages only")
        elif isinstance(message["weight"], bool) or message["weight"] not in (0, 1):
            problems.append(f"`weight` must be 0 or 1, got {_shown(message['weight'])}")
    return problems


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
