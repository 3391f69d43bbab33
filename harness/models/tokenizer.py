"""Messages into token ids by the model's own chat template, without torch or transformers.

transformers does the same, but importing it takes seconds, and serving has no other use for it. A test holds the two
to the same ids. Note what a template may do by itself: SmolLM2's puts in a default system prompt where none is given.
"""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

from harness.errors import ModelError, Problem
from harness.models.base import Message


class Tokenizer:
    """The tokenizer and chat template of a Hugging Face directory (`tokenizer.json` needed)."""

    def __init__(self, directory: Path) -> None:
        from tokenizers import Tokenizer as Fast

        file = directory / "tokenizer.json"
        if not file.is_file():
            raise ModelError(
                Problem("this model has no tokenizer.json", where=str(directory), fix="save it with a fast tokenizer")
            )
        try:
            self._fast: Any = Fast.from_file(str(file))
        except Exception as error:  # the library raises plain Exceptions
            raise unreadable(file, error) from None
        self._fast.no_truncation()
        self._fast.no_padding()
        self._config = read_json(directory / "tokenizer_config.json")
        self._template = _compile(_template_source(directory, self._config), directory)
        self._directory = directory
        self._folds = False  # whether the template is known to refuse a system turn
        self.eos = _eos_ids(directory, self._config, self._fast)

    def render(self, messages: tuple[Message, ...]) -> str:
        """The prompt as text, up to where the answer begins."""
        from jinja2.exceptions import TemplateError

        special = {k: _content(v) for k, v in self._config.items() if k.endswith("_token")}
        turns = [{"role": m.role, "content": m.content} for m in messages]
        try:
            if not self._folds:
                return self._template.render(messages=turns, add_generation_prompt=True, **special)
        except TemplateError as error:
            if folded(turns) == turns:
                raise unreadable(self._directory, error, "its chat template cannot write these messages") from None
            self._folds = True
        try:
            return self._template.render(messages=folded(turns), add_generation_prompt=True, **special)
        except TemplateError as error:
            raise unreadable(self._directory, error, "its chat template cannot write these messages") from None

    def encode(self, messages: tuple[Message, ...]) -> list[int]:
        """The prompt as ids. The template writes the special tokens, so that none are added."""
        return self._fast.encode(self.render(messages), add_special_tokens=False).ids

    def decode(self, ids: list[int]) -> str:
        """The text of an answer, special tokens left out."""
        return self._fast.decode(ids, skip_special_tokens=True)


def folded(turns: list[dict[str, str]]) -> list[dict[str, str]]:
    """The system turn put in front of the first user turn, for templates that know none (Gemma's, older Mistral's)."""
    if len(turns) < 2 or turns[0]["role"] != "system" or turns[1]["role"] != "user":
        return turns
    content = f"{turns[0]['content']}\n\n{turns[1]['content']}"
    return [{"role": "user", "content": content}, *turns[2:]]


def unreadable(where: Path, error: Exception, what: str = "this file of the model cannot be read") -> ModelError:
    """What is said of weights that came to harm or were never whole."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return ModelError(Problem(what, where=str(where), got=lines[0], fix="get the model's files again"))


def read_json(file: Path) -> dict[str, Any]:
    """A JSON object, or {} where there is no such file. Raises `ModelError` where it is none."""
    if not file.is_file():
        return {}
    try:
        made = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise unreadable(file, error) from None
    if not isinstance(made, dict):
        raise unreadable(file, ValueError(f"a JSON {type(made).__name__}, not an object"))
    return made


def context_of(directory: Path) -> int | None:
    """The context window that the model was made for, in tokens."""
    value = read_json(directory / "config.json").get("max_position_embeddings")
    return int(value) if value else None


def _content(token: Any) -> Any:
    """A special token is a string, or an object that holds it."""
    return token["content"] if isinstance(token, dict) else token


def _template_source(directory: Path, config: dict[str, Any]) -> str:
    """The template's text: its own file, or a string or a list of named ones in the configuration."""
    file = directory / "chat_template.jinja"
    if file.is_file():
        try:
            return file.read_text("utf-8")
        except (OSError, ValueError) as error:
            raise unreadable(file, error) from None
    found = config.get("chat_template")
    if isinstance(found, list):
        found = {t["name"]: t["template"] for t in found}.get("default")
    if not found:
        raise ModelError(
            Problem(
                "this model has no chat template",
                where=str(directory),
                fix="use an instruction-tuned model, or put a chat_template.jinja beside its weights",
            )
        )
    return str(found)


def _compile(source: str, directory: Path) -> Any:
    """The template, in the sandbox and with the functions that transformers offers."""
    from jinja2.exceptions import TemplateError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    def refuse(message: str) -> None:
        raise TemplateError(message)

    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"])

    def tojson(value: Any, indent: int | None = None) -> str:
        return json.dumps(value, ensure_ascii=False, indent=indent)

    def strftime_now(form: str) -> str:
        return datetime.now().strftime(form)

    env.filters["tojson"] = tojson
    try:
        return env.from_string(source, {"raise_exception": refuse, "strftime_now": strftime_now})
    except TemplateError as error:
        raise unreadable(directory, error, "its chat template is no template") from None


def _eos_ids(directory: Path, config: dict[str, Any], fast: Any) -> tuple[int, ...]:
    """Every id that ends an answer: of the generation configuration, the model and the tokenizer."""
    found: set[int] = set()
    for name in ("generation_config.json", "config.json"):
        value = read_json(directory / name).get("eos_token_id")
        if value is not None:
            found |= set(value) if isinstance(value, list) else {int(value)}
    token = _content(config.get("eos_token"))
    if token is not None and (i := fast.token_to_id(token)) is not None:
        found.add(int(i))
    return tuple(sorted(found))
