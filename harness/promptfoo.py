"""promptfoo's configuration (`promptfooconfig.yaml`): prompts, the first known provider, tests with their assertions.

A prompt of promptfoo becomes our input template, its system part a system prompt; tests are read in `promptfoo_tests`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from harness import promptfoo_tests, rows, template, yamlfile
from harness.errors import DataError, Problem, SpecError
from harness.imported import Imported, Note
from harness.paths import shown
from harness.promptfoo_tests import Spot, Tests
from harness.yamlfile import Source

# provider -> our reference, or the address of its API that is OpenAI's and the variable that holds its key
PROVIDERS = {"openai": "openai", "azure": "azure", "azureopenai": "azure", "huggingface": "hf"}
ENDPOINTS = {
    "ollama": ("http://localhost:11434/v1", ""), "groq": ("https://api.groq.com/openai/v1", "GROQ_API_KEY"),
    "mistral": ("https://api.mistral.ai/v1", "MISTRAL_API_KEY"),
    "deepseek": ("https://api.deepseek.com/v1", "DEEPSEEK_API_KEY"),
    "openrouter": ("https://openrouter.ai/api/v1", "OPENROUTER_API_KEY"),
    "togetherai": ("https://api.together.xyz/v1", "TOGETHER_API_KEY"),
    "anthropic": ("https://api.anthropic.com/v1", "ANTHROPIC_API_KEY"),
    "google": ("https://generativelanguage.googleapis.com/v1beta/openai", "GEMINI_API_KEY"),
}  # fmt: skip
KINDS = ("chat", "messages", "completion", "responses", "text-generation")  # openai:chat:NAME and the like
OTHERS = ("embedding", "embeddings", "image", "moderation", "realtime", "assistant", "transcription", "tts", "video")
KNOWN = ("description", "prompts", "providers", "targets", "tests", "defaultTest", "scenarios", "assertionTemplates",
         "evaluateOptions", "env", "$schema")  # fmt: skip
TEXTS = (".txt", ".md", ".j2", ".json", ".yaml", ".yml")
EMBEDDED = "local/smollm2-135m-instruct"


def read(file: Path) -> Imported:
    """Read a promptfoo configuration.

    Raises:
        SpecError: the file is no YAML that can be read.
        DataError: it has neither prompts nor tests, or the tests' file cannot be read.
    """
    if file.suffix.lower() not in (".yaml", ".yml", ".json"):
        fix = "write prompts, providers and tests as YAML or JSON"
        raise DataError(Problem("a configuration in code is not run here", shown(file), valid=".yaml, .json", fix=fix))
    return _Reader(yamlfile.load(file, foreign=True)).read()


class _Reader:
    def __init__(self, source: Source) -> None:
        self._source = source
        self._data = source.data
        self._folder = source.file.resolve().parent
        self._notes: list[Note] = []
        self._run: dict[str, Any] = {}

    def _note(self, spot: Spot, text: str) -> None:
        self._notes.append(spot.note(text))

    def _at(self, *path: str | int) -> Spot:
        return Spot(self._source, path)

    def read(self) -> Imported:
        """All of it."""
        if "prompts" not in self._data or not {"tests", "scenarios"} & set(self._data):
            raise DataError(
                Problem(
                    "this is no promptfoo configuration", shown(self._source.file), got=", ".join(self._data)[:80],
                    valid="a mapping with prompts, providers, tests",
                )
            )  # fmt: skip
        for key in self._data:
            if key not in KNOWN:
                self._note(self._at(key), "has no counterpart here")
            elif key == "env":
                self._note(self._at(key), "fills the prompts that name it and nothing else; keys are not carried over")
        tests = Tests(self._source, self._note)
        made = promptfoo_tests.scored(tests.rows(), self._note)
        columns = list(dict.fromkeys(c for row in made.rows for c in row if c not in ("id", "target")))
        text, systems = self._prompts(columns, tests.names)
        used = template.columns(text)
        for row in made.rows:
            if not used <= set(row):
                without = ", ".join(sorted(used - set(row)))
                self._notes.append(Note(f"left out, it has no value for {without}", path=f"row {row['id']}"))
        model = self._model()
        self._options()
        return Imported(
            question=str(self._data.get("description") or "Does a fine-tune beat these prompts?"),
            model=model, input=text, systems=systems, format=made.format, labels=made.labels, metrics=made.metrics,
            rows=[row for row in made.rows if used <= set(row)], run=self._run, notes=tuple(self._notes),
        )  # fmt: skip

    def _options(self) -> None:
        options = self._data.get("evaluateOptions")
        for key, value in options.items() if isinstance(options, dict) else ():
            ours = {"repeat": "repeats", "maxConcurrency": "max_concurrency"}.get(key)
            if ours and isinstance(value, int) and value > 0:
                self._run[ours] = value
            else:
                self._note(self._at("evaluateOptions", key), "has no counterpart here")

    def _model(self) -> str | dict[str, Any]:
        """The first provider that is known here."""
        key = "targets" if "targets" in self._data else "providers"
        listed = self._data.get(key) or []
        chosen: str | dict[str, Any] = ""
        for i, provider in enumerate(listed if isinstance(listed, list) else [listed]):
            spot = self._at(key, i) if isinstance(listed, list) else self._at(key)
            id, config = self._provider(spot, provider)
            name, *rest = id.split(":")
            bare = ":".join(rest[1:] if rest and rest[0] in KINDS else rest)
            if not bare or name not in (*PROVIDERS, *ENDPOINTS) or rest[0] in OTHERS:
                self._note(spot, f"provider {id} is not known here; give its endpoint as {{base_url, id}}")
            elif chosen:
                named = chosen if isinstance(chosen, str) else chosen["id"]
                self._note(spot, f"{id} is left out: every arm runs on one base model, {named}")
            elif name in PROVIDERS:
                chosen = self._configured(spot, f"{PROVIDERS[name]}/{bare}", config)
            else:
                url, variable = ENDPOINTS[name]
                endpoint = {"id": bare, "base_url": url} | ({"api_key_env": variable} if variable else {})
                self._note(spot, f"{id} is asked at {url}, its OpenAI-compatible address")
                chosen = self._configured(spot, endpoint, config)
        if not chosen:
            self._note(self._at(key), "no provider is known here; the embedded model was put in")
        return chosen or EMBEDDED

    def _provider(self, spot: Spot, provider: Any) -> tuple[str, Mapping[str, Any]]:
        """Id and configuration: `openai:x`, `{id, config}`, `{openai:x: {config}}` or a file of one."""
        if isinstance(provider, str) and provider.startswith("file://"):
            file = self._folder / provider.removeprefix("file://")
            if file.suffix not in (".yaml", ".yml", ".json") or not file.is_file():
                return provider, {}
            provider = yamlfile.load(file, foreign=True).data
            provider = provider[""][0] if provider.get("") else provider
        if not isinstance(provider, dict):
            return str(provider), {}
        body = provider if "id" in provider else next(iter(provider.values()), None)
        config = body.get("config") if isinstance(body, dict) else None
        for key in provider if "id" in provider else ():
            if key not in ("id", "config", "label"):
                self._note(spot.at(key), "has no counterpart here")
        return str(provider.get("id") or next(iter(provider), "")), config if isinstance(config, dict) else {}

    def _configured(self, spot: Spot, model: str | dict[str, Any], config: Mapping[str, Any]) -> str | dict[str, Any]:
        for key, value in config.items():
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if key in ("temperature", "max_tokens") and number:
                self._run[key] = value
            elif key in ("apiBaseUrl", "apiKeyEnvar") and isinstance(value, str) and "{{" not in value:
                model = {"id": model} if isinstance(model, str) else model
                model["base_url" if key == "apiBaseUrl" else "api_key_env"] = value
            elif key == "apiHost":
                self._note(spot.at("config", key), f"set AZURE_OPENAI_ENDPOINT to https://{value}")
            elif key == "apiKey":
                self._note(spot.at("config", key), "is not carried over: a key comes from the environment only")
            else:
                self._note(spot.at("config", key), "is not carried over; see run: and the model's fields")
        return model

    def _prompts(self, columns: list[str], names: Mapping[str, str]) -> tuple[str, tuple[str, ...]]:
        """The input template and the system prompts."""
        found: list[tuple[Spot, str, str]] = []  # its place, system, user
        for spot, text in self._texts():
            system, user = (
                promptfoo_tests.renamed(_defaults(self._environment(t), columns), names) for t in self._chat(spot, text)
            )
            if "{{" in system or "{%" in system:
                self._note(spot, "a system message with variables stands before the input here")
                system, user = "", f"{system}\n\n{user}".strip()
            mistake = template.mistake(user)
            absent = sorted(template.columns(user) - set(columns)) if mistake is None else []
            if "{%" in user:
                self._note(spot, "conditions see texts here: `false` and `0` are texts, and count as true")
            if mistake is not None:
                self._note(spot, f"{mistake.what}; the prompt is left out")
            elif absent:
                self._note(spot, f"no test that is kept has a value for {', '.join(absent)}; the prompt is left out")
            else:
                found.append((spot, system, user))
        named = "{c}: " if len(columns) > 1 else ""
        plain = "\n".join(f"{named.format(c=c)}{{{{ {c} }}}}" for c in columns)
        inputs = {user for _, _, user in found}
        if len(inputs) == 1 and template.columns(next(iter(inputs))):
            return inputs.pop(), tuple(dict.fromkeys(system for _, system, _ in found if system))
        for spot, _, user in found:
            if "{%" in user:
                self._note(spot, "conditions are not filled in a system prompt; the prompt is left out")
        found = [f for f in found if "{%" not in f[2]]
        if found:
            self._note(self._at("prompts"), "several prompts became system prompts; variables follow in the user turn")
        ends = re.compile(r"(\n\s*{{[^{}]*}})+\s*$")  # a last line that is a variable alone is the user turn's
        bare = ((system, re.sub(r"{{ *(.*?) *}}", r"[\1]", ends.sub("", user))) for _, system, user in found)
        systems = ("\n".join(part for part in parts if part) for parts in bare)
        return plain, tuple(dict.fromkeys(s for s in systems if s))

    def _environment(self, text: str) -> str:
        """`{{ env.NAME }}` filled where the configuration itself gives the value."""
        given = self._data.get("env")
        for name, value in given.items() if isinstance(given, dict) else ():
            filled = rows.text(value).replace("\\", r"\\")
            text = re.sub(rf"{{{{\s*env\.{re.escape(name)}\s*}}}}", filled, text)
        return text

    def _texts(self) -> Iterator[tuple[Spot, str]]:
        """Every prompt's text, files read, each with its place."""
        prompts = self._data["prompts"]
        if isinstance(prompts, dict):  # an older form: file or text, and its label
            prompts = list(prompts)
        for i, prompt in enumerate(prompts if isinstance(prompts, list) else [prompts]):
            spot = self._at("prompts", i) if isinstance(self._data["prompts"], list) else self._at("prompts")
            if isinstance(prompt, dict):
                for key in prompt:
                    if key not in ("raw", "id", "label", "display"):
                        self._note(spot.at(key), "has no counterpart here")
                prompt = prompt.get("raw") or prompt.get("id") or prompt.get("label") or ""
            text = str(prompt)
            if text.startswith("file://") or re.fullmatch(r"\S+\.(txt|md|j2|json|jsonl|csv|py|js|ts|ya?ml)", text):
                yield from ((spot, part) for part in self._files(spot, text.removeprefix("file://")))
            else:
                yield spot, text

    def _files(self, spot: Spot, name: str) -> Iterator[str]:
        """The prompts of one file or of all that a pattern finds."""
        files = sorted(self._folder.glob(name)) if "*" in name and not name.startswith("/") else [self._folder / name]
        if not files:
            self._note(spot, f"no file fits {name}")
        for file in files:
            if file.is_file() and file.suffix in (*rows.JSONL, *rows.TABLES):
                yield from self._table(spot, file)
            elif file.suffix not in TEXTS or not file.is_file():
                self._note(spot, f"{name} is no text file that can be read; the prompt is left out")
            else:
                text = file.read_text(encoding="utf-8", errors="replace").strip()
                # promptfoo's own separator of several prompts in one text file
                yield from (p.strip() for p in re.split(r"(?m)^---\s*$", text)) if file.suffix == ".txt" else (text,)

    def _table(self, spot: Spot, file: Path) -> Iterator[str]:
        """A prompt a row: the column `prompt` of a CSV, a list of messages a line of JSONL."""
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
        if file.suffix in rows.JSONL:
            yield from (line.strip() for line in lines if line.strip())
            return
        for row in rows.read(file):
            if isinstance(row, Problem) or "prompt" not in row.data:
                self._note(spot, f"{file.name} has no column `prompt`; its prompts are left out")
                return
            yield rows.text(row.data["prompt"])

    def _chat(self, spot: Spot, text: str) -> tuple[str, str]:
        """System and user part of a prompt, which may be a list of messages in JSON or YAML."""
        messages = _messages(text)
        if messages is None:
            return "", text
        parts = {"system": list[str](), "user": list[str]()}
        for message in messages:
            role = "system" if message.get("role") in ("system", "developer") else "user"
            if message.get("role") == "assistant":
                self._note(spot, "an assistant's turn in a prompt became text of the user's")
            content = message.get("content", "")
            if isinstance(content, list):
                pieces = [p for p in content if isinstance(p, dict)]
                if any(p.get("type") not in ("text", "input_text") for p in pieces):
                    self._note(spot, "images and files in a message are not carried over")
                content = "\n".join(str(p["text"]) for p in pieces if "text" in p)
            parts[role].append(str(content))
        return "\n".join(parts["system"]), "\n".join(parts["user"])


def _defaults(text: str, columns: list[str]) -> str:
    """A template without the variables that no test gives and that have a default: the default in their place."""
    found = re.compile(r"{{\s*(\w+)\s*\|\s*default\(\s*(['\"])(.*?)\2\s*\)\s*}}")
    return found.sub(lambda m: m.group() if m.group(1) in columns else m.group(3), text)


def _messages(text: str) -> list[dict[str, Any]] | None:
    """A list of chat messages, or None for any other text."""
    if not re.match(r"\s*(\[|-\s+\{?\s*[\"']?role\b)", text):
        return None
    try:
        found = json.loads(text)
    except ValueError:
        try:
            found = yamlfile.parse(text)
        except SpecError:
            return None
    sound = isinstance(found, list) and found and all(isinstance(m, dict) and "role" in m for m in found)
    return found if sound else None
