"""How much faster the embedded model answers than plain `transformers.generate`: short prompts, shared shots, RAG.

    python benchmarks/speed/generation.py [--case NAME ...] [--weights DIR] [--rows 32] [--rounds 3] [--max-tokens 128]

The baseline is what one writes by hand: f32, prompts sorted by length, left-padded, batches of 16, `model.generate`.
Both run in processes of their own, in turn, `--rounds` times; medians of wall and processor seconds are printed, and
every round on stderr as it ends (a minute or three for the baseline). Only train and dev rows are used, the first
ones. Every round has other words in front of its prompts, so that the fast engine's prefix cache holds nothing of the
round before; `reuse` is the processor time of the fast engine on the same prompts with a word of its own before each,
so that nothing is shared, over that with sharing (asked once). Wall time is what counts
on a quiet machine; on a busy one trust the processor seconds. Give a tuned model's directory (a run leaves it under
`.harness/tuned`) for answers of the length that the task has: the untuned model writes to the limit, which spares the
baseline the wait for its longest row.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from harness.models.base import Message, Request
from harness.models.engines import agreement
from harness.models.local import LocalModel, open_local
from harness.models.tokenizer import Tokenizer
from harness.models.weights import fetch

NAME = "smollm2-135m-instruct"
RECIPES = Path(__file__).parents[2] / "datasets" / "recipes"
SYSTEM = """Name the ingredients.
Answer with a JSON list of strings and nothing else, like ["first", "second"]."""
Chat = tuple[Message, ...]

BASELINE = """
import json, os, sys, time
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
import torch
from transformers import AutoModelForCausalLM
model = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.float32).eval()
pad = int(sys.argv[2])
print("ready", flush=True)
for line in sys.stdin:
    job = json.loads(line)
    wall, cpu = time.perf_counter(), time.process_time()
    order = sorted(range(len(job["ids"])), key=lambda i: len(job["ids"][i]))
    texts = [None] * len(order)
    for start in range(0, len(order), 16):
        batch = order[start : start + 16]
        width = max(len(job["ids"][i]) for i in batch)
        ids = torch.tensor([[pad] * (width - len(job["ids"][i])) + job["ids"][i] for i in batch])
        mask = torch.tensor([[0] * (width - len(job["ids"][i])) + [1] * len(job["ids"][i]) for i in batch])
        with torch.inference_mode():
            out = model.generate(input_ids=ids, attention_mask=mask, do_sample=False, eos_token_id=pad,
                                 pad_token_id=pad, max_new_tokens=job["max_tokens"])
        for i, row in zip(batch, out[:, width:].tolist()):
            texts[i] = row[: row.index(pad)] if pad in row else row
    print(json.dumps([texts, time.perf_counter() - wall, time.process_time() - cpu]), flush=True)
"""


def rows(split: str, n: int) -> list[dict[str, list[str] | str]]:
    """The first rows of a split."""
    with (RECIPES / f"{split}.jsonl").open(encoding="utf-8") as file:
        return [json.loads(line) for line in file][:n]


def user(row: dict[str, list[str] | str]) -> Message:
    """A recipe as the user's turn."""
    return Message("user", f"Title: {row['title']}\n\nIngredients:\n" + "\n".join(row["ingredients"]))


def chats(n: int, shots: int, passages: int, salt: str, *, shared: bool = True) -> list[Chat]:
    """`n` prompts: the same shots in front, then passages of their own. `salt` makes the beginning new."""
    front: list[Message] = []
    for row in rows("train", shots):
        front += [user(row), Message("assistant", json.dumps(row["generic"]))]
    documents = rows("documents", n * passages)
    made: list[Chat] = []
    for i, row in enumerate(rows("dev", n)):
        notes = "".join(f"- {d['title']}: {d['text']}\n" for d in documents[i * passages : (i + 1) * passages])
        last = Message("user", (f"Reference notes:\n{notes}\n" if notes else "") + user(row).content)
        system = Message("system", f"{salt} {SYSTEM}" if shared else f"{i} {salt} {SYSTEM}")
        made.append((system, *front, last))
    return made


def cpu_of(pid: int) -> float:
    """Processor seconds that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def fast(model: LocalModel, prompts: list[Chat], max_tokens: int) -> tuple[list[str], float, float]:
    """The texts, wall seconds, processor seconds (of the worker; this process only waits)."""
    assert model.pid
    wall, cpu = time.perf_counter(), cpu_of(model.pid)
    answers = await asyncio.gather(*(model.generate(Request(p, max_tokens)) for p in prompts))
    return [a.text for a in answers], time.perf_counter() - wall, cpu_of(model.pid) - cpu


def plain(
    process: subprocess.Popen[str], tokenizer: Tokenizer, prompts: list[Chat], max_tokens: int
) -> tuple[list[str], float, float]:
    """The same of the baseline."""
    assert process.stdin
    assert process.stdout
    job = {"ids": [tokenizer.encode(p) for p in prompts], "max_tokens": max_tokens}
    process.stdin.write(json.dumps(job) + "\n")
    process.stdin.flush()
    ids, wall, cpu = json.loads(process.stdout.readline())
    return [tokenizer.decode(i) for i in ids], wall, cpu


def started(command: list[str]) -> subprocess.Popen[str]:
    """The baseline's process, once its weights are loaded."""
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    process.stdout.readline()
    return process


CASES = {
    "short": ("short prompts", 0, 0),
    "few-shot": ("few-shot, 5 shared shots", 5, 0),
    "rag": ("RAG, 5 shared shots, 4 passages", 5, 4),
}


async def main() -> int:
    """Print the ratios of every case as JSON; exit code 1 when one is below 3 where that is asked (all but RAG)."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--weights", default=NAME)
    parser.add_argument("--rows", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--max-tokens", type=int, default=128)
    args = parser.parse_args()
    directory = fetch(args.weights)
    tokenizer = Tokenizer(directory)
    command = [sys.executable, "-c", BASELINE, str(directory), str(tokenizer.eos[0])]
    process = await asyncio.to_thread(started, command)
    model = open_local(directory, engine="openvino")
    found: dict[str, dict[str, Any]] = {}
    try:
        await model.generate(Request((Message("user", "x"),), 1))  # loads the engine
        for title, shots, passages in (CASES[name] for name in args.case):
            taken: list[tuple[float, float, float, float]] = []
            same: list[str] = []
            prompts: list[Chat] = []
            for i in range(args.rounds):
                prompts = chats(args.rows, shots, passages, f"Round {i}.")
                ours, wall, cpu = await fast(model, prompts, args.max_tokens)
                theirs, plain_wall, plain_cpu = plain(process, tokenizer, prompts, args.max_tokens)
                taken.append((wall, cpu, plain_wall, plain_cpu))
                same.append(str(agreement(theirs, ours)))
                ratio = f"{plain_wall / wall:.2f}x wall, {plain_cpu / cpu:.2f}x CPU"
                print(f"{title}, round {i + 1}: {plain_wall:.1f} s against {wall:.1f} s, {ratio}", file=sys.stderr)
            wall, cpu, plain_wall, plain_cpu = (statistics.median(x) for x in zip(*taken, strict=True))
            alone = chats(args.rows, shots, passages, "Alone.", shared=False)
            _, _, unshared = await fast(model, alone, args.max_tokens)
            found[title] = {
                "prompt tokens": round(statistics.mean(len(tokenizer.encode(p)) for p in prompts)),
                "wall": round(plain_wall / wall, 2),
                "cpu": round(plain_cpu / cpu, 2),
                "cpu seconds each": round(cpu / args.rows, 3),
                "plain cpu seconds each": round(plain_cpu / args.rows, 3),
                "reuse": round(unshared / cpu, 2),
                "agreement": same[0],
            }
    finally:
        await model.close()
        process.kill()
        process.communicate()
    print(json.dumps(found, indent=1))
    return int(any(min(f["wall"], f["cpu"]) < 3 for title, f in found.items() if not title.startswith("RAG")))


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
