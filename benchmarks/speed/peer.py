"""The same tasks through another tool, written as its documentation says is fastest; run by the peers' own Python.

    .harness/peers/venv/bin/python benchmarks/speed/peer.py TOOL TASKS URL CONCURRENCY

TASKS is a file of JSON lines with system, prompt and expected. Every answer is compared with what is expected; the
number of equal ones is printed. The tools' displays, telemetry and caches are off. Where a tool lets one bring the
client, it is AsyncOpenAI on its default transport behind the tool's own limit of concurrency.
"""

# pyright: reportMissingImports=false
# The tools are installed in the peers' environment alone.

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

MODEL = "gpt-test"
SETTINGS: dict[str, Any] = {"max_tokens": 100, "temperature": 0, "seed": 20}


@asynccontextmanager
async def asking(url: str) -> AsyncGenerator[Any]:
    """A function that asks one task."""
    from openai import AsyncOpenAI

    async with AsyncOpenAI(base_url=url, api_key="none") as client:

        async def ask(task: dict[str, str]) -> str:
            messages: Any = [{"role": "system", "content": task["system"]}, {"role": "user", "content": task["prompt"]}]
            done = await client.chat.completions.create(model=MODEL, messages=messages, **SETTINGS)
            return done.choices[0].message.content or ""

        yield ask


def pydantic_evals(tasks: list[dict[str, str]], url: str, concurrency: int) -> int:
    """A case a task, its own evaluator; the report is not printed."""
    from pydantic_evals import Case, Dataset
    from pydantic_evals.evaluators import EqualsExpected

    cases = [Case(name=str(i), inputs=task, expected_output=task["expected"]) for i, task in enumerate(tasks)]
    dataset = Dataset(name="tasks", cases=cases, evaluators=[EqualsExpected()])

    async def run() -> Any:
        async with asking(url) as ask:
            return await dataset.evaluate(ask, max_concurrency=concurrency, progress=False)

    report = asyncio.run(run())
    return sum(case.assertions["EqualsExpected"].value for case in report.cases)


def inspect_ai(tasks: list[dict[str, str]], url: str, concurrency: int) -> int:
    """Its own OpenAI provider; samples are logged, neither as they go nor with the raw calls."""
    from inspect_ai import Task, eval
    from inspect_ai.dataset import MemoryDataset, Sample
    from inspect_ai.model import ChatMessageSystem, ChatMessageUser
    from inspect_ai.scorer import exact
    from inspect_ai.solver import generate

    samples = [
        Sample(
            id=i,
            input=[ChatMessageSystem(content=task["system"]), ChatMessageUser(content=task["prompt"])],
            target=task["expected"],
        )
        for i, task in enumerate(tasks)
    ]
    with tempfile.TemporaryDirectory() as logs:
        (log,) = eval(
            Task(dataset=MemoryDataset(samples), solver=generate(), scorer=exact()),
            model=f"openai/{MODEL}",
            model_base_url=url,
            model_args={"api_key": "none", "responses_api": False},
            display="none",
            log_dir=logs,
            log_realtime=False,
            log_model_api=False,
            log_level="error",
            max_connections=concurrency,
            max_samples=concurrency,
            **SETTINGS,
        )
    assert log.status == "success", log.error
    assert log.results is not None
    return round(log.results.scores[0].metrics["mean"].value * len(tasks))


def deepeval(tasks: list[dict[str, str]], url: str, concurrency: int) -> int:
    """It scores answers that one has asked for oneself: gathered behind a semaphore, then evaluated."""
    from deepeval import evaluate
    from deepeval.evaluate import AsyncConfig, CacheConfig, DisplayConfig
    from deepeval.metrics import ExactMatchMetric
    from deepeval.test_case import LLMTestCase

    async def answers() -> list[str]:
        gate = asyncio.Semaphore(concurrency)

        async def one(task: dict[str, str]) -> str:
            async with gate:
                return await ask(task)

        async with asking(url) as ask:
            return await asyncio.gather(*map(one, tasks))

    said = asyncio.run(answers())
    cases = [
        LLMTestCase(input=task["prompt"], actual_output=text, expected_output=task["expected"])
        for task, text in zip(tasks, said, strict=True)
    ]
    found = evaluate(
        cases,
        [ExactMatchMetric()],
        async_config=AsyncConfig(max_concurrent=concurrency),
        display_config=DisplayConfig(show_indicator=False, print_results=False, inspect_after_run=False),
        cache_config=CacheConfig(write_cache=False),
    )
    return sum(bool(result.success) for result in found.test_results)


def promptfoo_files(folder: Path, tasks: Path, url: str, concurrency: int) -> list[str]:
    """The arguments of `promptfoo eval`, after what its files say is written; its troubleshooting page's advice."""
    chat = [{"role": "system", "content": "{{ system }}"}, {"role": "user", "content": "{{ prompt }}"}]
    (folder / "chat.json").write_text(json.dumps(chat))
    with tasks.open() as lines, (folder / "tests.jsonl").open("w") as tests:
        for line in lines:
            task = json.loads(line)
            asserted = [{"type": "equals", "value": task.pop("expected")}]
            tests.write(json.dumps({"vars": task, "assert": asserted}) + "\n")
    config = {
        "prompts": ["file://chat.json"],
        "providers": [{"id": f"openai:chat:{MODEL}", "config": {"apiBaseUrl": url, "apiKey": "none", **SETTINGS}}],
        "tests": "file://tests.jsonl",
    }
    (folder / "config.json").write_text(json.dumps(config))
    return [
        *("eval", "-c", "config.json", "-o", "results.jsonl", "-j", str(concurrency)),
        *("--no-cache", "--no-table", "--no-progress-bar", "--no-share"),
    ]


def main() -> None:
    """Run one tool."""
    tool, file, url, concurrency = sys.argv[1:]
    with open(file, encoding="utf-8") as lines:
        tasks = [json.loads(line) for line in lines]
    run = {"pydantic-evals": pydantic_evals, "inspect-ai": inspect_ai, "deepeval": deepeval}[tool]
    print(f"EQUAL {run(tasks, url, int(concurrency))}")


if __name__ == "__main__":
    main()
