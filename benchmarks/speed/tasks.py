"""The tasks that ours, the floor and the peers are asked alike: a benchmark's folder and the same as plain lines."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from string import ascii_lowercase

from benchmarks.speed.client import ANSWER, SYSTEM

BENCHMARK = """\
version: 1
question: How fast is it asked?
model: {{id: gpt-test, base_url: "{url}", usd_per_mtok: {{input: 0.15, output: 0.6}}}}
task:
  data: data
  input: "{{{{ text }}}}"
  target: "{{{{ answer }}}}"
  answer: {{format: list, instruction: ""}}
arms:
  prompt: {{technique: prompt, system: "{system}"}}
metrics:
  accuracy: {{scorer: exact, primary: true}}
run: {{max_concurrency: {concurrency}, max_tokens: 100, max_usd: 50}}
"""


def texts(count: int) -> Iterator[str]:
    """So many inputs of invented words, which have no more in common than sentences of a language have."""
    chance = random.Random(20)
    for i in range(count):
        items = ["".join(chance.choices(ascii_lowercase, k=chance.randint(4, 9))) for _ in range(15)]
        yield f"Title: {items[0]} {i}\n\nIngredients:\n" + "\n".join(
            " ".join(items[n : n + 3]) for n in range(0, 15, 3)
        )


def lines(file: Path, count: int) -> None:
    """For the peers: system, prompt, expected."""
    with file.open("w") as out:
        for text in texts(count):
            out.write(json.dumps({"system": SYSTEM.strip(), "prompt": text, "expected": ANSWER["content"]}) + "\n")


def project(folder: Path, count: int, url: str, concurrency: int) -> None:
    """For ours: a folder with bench.yaml and its rows."""
    (folder / "data").mkdir(parents=True)
    (folder / "pyproject.toml").write_text("[project]\nname = 'tasks'\n")
    with (folder / "data" / "test.jsonl").open("w") as out:
        for i, text in enumerate(texts(count)):
            out.write(json.dumps({"id": f"t{i}", "text": text, "answer": json.loads(ANSWER["content"])}) + "\n")
    (folder / "bench.yaml").write_text(BENCHMARK.format(url=url, concurrency=concurrency, system=SYSTEM.strip()))


SCRIPTED = """\
version: 1
question: What does a trial cost us?
model: scripted/fake.py:answer
task:
  data: data
  input: "{{ text }}"
  target: "{{ label }}"
  answer: {format: label, labels: [odd, even]}
arms:
  prompt: {technique: prompt, system: Odd or even?}
  tuned:  {technique: fine_tune, tuner: existing, served: "scripted/fake.py:tuned", system: Odd or even.}
metrics:
  accuracy: {scorer: exact, primary: true}
"""
FAKE = """\
def _say(request, every):
    number = int(request.messages[-1].content.split("\\n")[0].split()[-1])
    return ("odd", "even")[(number % 2 == 0) != (number % every == 0)]


def answer(request):
    return _say(request, 3)


def tuned(request):
    return _say(request, 11)
"""


def scripted(folder: Path, count: int, repeats: int = 1) -> None:
    """A folder with bench.yaml, so many test rows, and two arms of a scripted model that takes no time."""
    (folder / "data").mkdir(parents=True)
    (folder / "pyproject.toml").write_text("[project]\nname = 'scripted'\n")
    (folder / "bench.yaml").write_text(f"{SCRIPTED}run: {{repeats: {repeats}, temperature: 0.5}}\n")
    (folder / "fake.py").write_text(FAKE)
    for split, rows in (
        ("train", [f"An example of a number: {i}" for i in range(4)]),
        ("dev", [f"One more number to look at, {i}" for i in range(10)]),
        ("test", texts(count)),
    ):
        with (folder / "data" / f"{split}.jsonl").open("w") as out:
            for i, text in enumerate(rows):
                out.write(json.dumps({"id": f"{split}-{i}", "text": text, "label": ("even", "odd")[i % 2]}) + "\n")
