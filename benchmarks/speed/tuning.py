"""Our tuning against stock TRL: tokens a second, the same rows, steps, LoRA and learning rate, turn by turn.

    python benchmarks/speed/tuning.py MODEL_DIR --rows datasets/recipes/train.jsonl --steps 6 --rounds 3

Stock is `SFTTrainer(model, SFTConfig(...))` with its defaults (bf16 autocast, gradient checkpointing, padded batches)
and the same thread settings as ours. Each turn is a fresh process, ours and stock one after the other, so that a busy
machine hurts both. The first step of a turn (warm-up) is left out. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SYSTEM = "List the generic names of the ingredients.\nAnswer with a JSON list of strings and nothing else."


def chats(path: Path, count: int) -> list[dict]:
    """Chat rows: as they are, or made of recipe rows."""
    rows = []
    for line in path.read_text("utf-8").splitlines():
        row = json.loads(line)
        if "messages" not in row:
            if row.get("split", "train") != "train":
                continue
            text = f"Title: {row['title']}\nIngredients:\n" + "\n".join(row["ingredients"])
            answer = json.dumps(row["generic"], ensure_ascii=False)
            turns = (("system", SYSTEM), ("user", text), ("assistant", answer))
            row = {"messages": [{"role": r, "content": c} for r, c in turns]}
        rows.append({"messages": row["messages"]})
    if len(rows) < count:
        sys.exit(f"{path} has {len(rows)} rows; {count} are needed")
    return rows[:count]


def stock(model: str, rows: list[dict], folder: str):
    """SFTTrainer as its documentation shows it."""
    from peft import LoraConfig
    from transformers import AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    from datasets import Dataset
    from harness.tuners.lora import choose_pad

    tokenizer = AutoTokenizer.from_pretrained(model)
    choose_pad(tokenizer)
    pairs = [{"prompt": r["messages"][:-1], "completion": r["messages"][-1:]} for r in rows]
    return SFTTrainer(
        model=model,
        args=SFTConfig(
            output_dir=folder,
            num_train_epochs=1,
            per_device_train_batch_size=8,
            learning_rate=1e-3,
            lr_scheduler_type="cosine",
            warmup_steps=0.03,
            seed=0,
            data_seed=0,
            logging_steps=1,
            save_strategy="no",
            use_cpu=True,  # without it the defaults are refused where there is no GPU
            report_to=[],
            disable_tqdm=True,
            dataloader_pin_memory=False,
        ),
        train_dataset=Dataset.from_list(pairs),
        processing_class=tokenizer,
        peft_config=LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"),
    )


def ours(model: str, rows: list[dict], folder: str):
    """The trainer of our worker."""
    from transformers import AutoTokenizer

    from harness.tuners import lora
    from harness.tuners.trl_files import Plan

    plan = Plan(
        id="",
        base=model,
        train="",
        valid=None,
        epochs=1,
        batch_size=8,
        learning_rate=1e-3,
        r=16,
        alpha=32,
        dropout=0.0,
        target_modules="all-linear",
        quantization="none",
        max_length=None,
        seed=0,
        threads=int(os.environ["OMP_NUM_THREADS"]),
    )
    tokenizer = AutoTokenizer.from_pretrained(model)
    lora.choose_pad(tokenizer)
    examples = lora.tokenize([r["messages"] for r in rows], tokenizer, None)
    return lora.build(plan, Path(folder), tokenizer, examples, None)[0]


def turn(which: str, model: str, file: str) -> dict:
    """Train on a file's rows once; tokens a second and the losses."""
    import transformers
    from transformers import AutoTokenizer, TrainerCallback

    from harness.tuners.lora import tokenize
    from harness.tuners.trl_worker import peak_mb

    transformers.logging.set_verbosity_error()
    rows = chats(Path(file), len(Path(file).read_text("utf-8").splitlines()))
    tokens = sum(
        len(e["input_ids"]) for e in tokenize([r["messages"] for r in rows], AutoTokenizer.from_pretrained(model), None)
    )
    marks = []

    class Watch(TrainerCallback):
        def on_step_end(self, args, state, control, **_):
            marks.append((time.perf_counter(), time.process_time()))

    with tempfile.TemporaryDirectory() as folder:
        trainer = {"stock": stock, "ours": ours}[which](model, rows, folder)
        trainer.add_callback(Watch())
        trainer.train()
    # Rows differ in length: the share of the tokens that the timed steps had, in the mean.
    timed = tokens * (len(marks) - 1) / len(marks)
    wall, cpu = (marks[-1][i] - marks[0][i] for i in (0, 1))
    return {
        "tokens_per_second": timed / wall,
        "cpu_seconds_per_1000_tokens": 1000 * cpu / timed,
        "losses": [h["loss"] for h in trainer.state.log_history if "loss" in h],
        "peak_mb": peak_mb(),
    }


def main() -> None:
    """Run the turns and print the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="directory of the base model")
    parser.add_argument("--rows", type=Path, default=Path("datasets/recipes/train.jsonl"))
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--turn", choices=("stock", "ours"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.turn:
        print("RESULT " + json.dumps(turn(given.turn, given.model, str(given.rows))))
        return
    threads = str(len(os.sched_getaffinity(0)))
    env = os.environ | {"OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": threads, "HF_HUB_OFFLINE": "1"}
    turns: dict[str, list[dict]] = {"stock": [], "ours": []}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.jsonl"
        file.write_text("".join(json.dumps(r) + "\n" for r in chats(given.rows, given.steps * 8)), "utf-8")
        for number in range(given.rounds):
            for which in ("stock", "ours") if number % 2 == 0 else ("ours", "stock"):
                command = [sys.executable, __file__, given.model, "--rows", str(file), "--turn", which]
                ended = subprocess.run(command, env=env, capture_output=True, text=True)
                if ended.returncode:
                    sys.exit(f"{which} failed:\n{ended.stderr[-2000:]}")
                turns[which].append(json.loads(ended.stdout.split("RESULT ")[-1]))
                print(number, which, {k: v for k, v in turns[which][-1].items() if k != "losses"}, file=sys.stderr)
    middle = {
        which: {
            key: round(statistics.median(t[key] for t in done), 2)
            for key in ("tokens_per_second", "cpu_seconds_per_1000_tokens", "peak_mb")
        }
        for which, done in turns.items()
    }
    losses = {which: done[0]["losses"] for which, done in turns.items()}
    pairs = list(zip(losses["stock"], losses["ours"], strict=True))
    ratios = [
        o["tokens_per_second"] / s["tokens_per_second"] for s, o in zip(turns["stock"], turns["ours"], strict=True)
    ]
    cpu = [
        s["cpu_seconds_per_1000_tokens"] / o["cpu_seconds_per_1000_tokens"]
        for s, o in zip(turns["stock"], turns["ours"], strict=True)
    ]
    result = {
        "steps": given.steps,
        "rounds": given.rounds,
        **middle,
        "ratio": round(statistics.median(ratios), 2),
        "ratios": [round(r, 2) for r in ratios],
        "cpu_ratio": round(statistics.median(cpu), 2),
        "losses": losses,
        "largest_loss_difference": round(max(abs(a - b) for a, b in pairs), 4),
        "last_loss_difference": round(pairs[-1][1] - pairs[-1][0], 4),
    }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
