"""How much faster the embedded model answers than plain `transformers.generate`: short prompts, and shared shots.

    python benchmarks/speed/generation.py [--weights DIR] [--rows 63] [--rounds 3] [--max-tokens 128]

The baseline is what one writes by hand: f32, prompts sorted by length, left-padded, batches of 16, `model.generate`.
Both run in processes of their own, in turn, `--rounds` times; medians of wall and processor seconds are printed. Only
train and dev rows are used, the first ones. Every round has other words in front of its prompts, so that the fast
engine's prefix cache holds nothing of the round before. Wall time is what counts on a quiet machine; on a busy one
trust the processor seconds. Give a tuned model's directory (a run leaves it under `.harness/tuned`) for answers of the
length that the task has: the untuned model writes to the limit, which spares the baseline the wait for its longest row.
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


def chats(n: int, shots: int, salt: str) -> list[Chat]:
    """`n` prompts with the same shots in front. `salt` makes the beginning new."""
    front = [Message("system", f"{salt} {SYSTEM}")]
    for row in rows("train", shots):
        front += [user(row), Message("assistant", json.dumps(row["generic"]))]
    return [(*front, user(row)) for row in rows("dev", n)]


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


async def main() -> int:
    """Print the two ratios; exit code 1 when one of them is below 3."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", default=NAME)
    parser.add_argument("--rows", type=int, default=63)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--max-tokens", type=int, default=128)
    args = parser.parse_args()
    directory = fetch(args.weights)
    tokenizer = Tokenizer(directory)
    command = [sys.executable, "-c", BASELINE, str(directory), str(tokenizer.eos[0])]
    process = await asyncio.to_thread(started, command)
    model = open_local(directory, engine="openvino")
    low = False
    try:
        await model.generate(Request((Message("user", "x"),), 1))  # loads the engine
        for title, shots in (("short prompts", 0), ("few-shot, 5 shared shots", 5)):
            taken: list[tuple[float, float, float, float]] = []
            same: list[str] = []
            for i in range(args.rounds):
                prompts = chats(args.rows, shots, f"Round {i}.")
                ours, wall, cpu = await fast(model, prompts, args.max_tokens)
                theirs, plain_wall, plain_cpu = plain(process, tokenizer, prompts, args.max_tokens)
                taken.append((wall, cpu, plain_wall, plain_cpu))
                same.append(str(agreement(theirs, ours)))
            wall, cpu, plain_wall, plain_cpu = (statistics.median(x) for x in zip(*taken, strict=True))
            low = low or min(plain_wall / wall, plain_cpu / cpu) < 3
            tokens = statistics.mean(len(tokenizer.encode(p)) for p in prompts)
            print(f"{title}: {args.rows} prompts of {tokens:.0f} tokens, {args.rounds} rounds")
            for word, a, b in (("wall", wall, plain_wall), ("cpu ", cpu, plain_cpu)):
                print(f"  {word}  fast {a / args.rows:.3f}  plain {b / args.rows:.3f} s each: {b / a:.1f}x")
            print(f"  {same[0]}", flush=True)
    finally:
        await model.close()
        process.kill()
        process.communicate()
    return int(low)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
