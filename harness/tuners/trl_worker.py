"""The process in which TRL trains: `python -m harness.tuners.trl_worker WORKDIR`, started by `TrlTuner`.

It is a process of its own so that the parent never holds torch's memory, thread settings are made before torch is
imported, and a stop is a kill. It dies with its parent (its stdin closes), trains alone in its directory (a lock), and
goes on from the last checkpoint that was written whole.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from harness.models.base import Struct
from harness.tuners import training_file

BUSY, CANCELLED = 75, 76
"""Exit codes: another process trains in this directory; `cancel` was asked for."""
SAVE_SECONDS = 30.0
MICRO_TOKENS = 768
"""Tokens of one forward pass: what keeps a 135M model's activations under a gigabyte."""
LONG_ROW = 1024
"""From here on a row's activations are computed again in the backward pass instead of kept."""


class Plan(Struct, frozen=True):
    """All that the worker must know: `plan.json`."""

    id: str
    base: str
    train: str
    valid: str | None
    epochs: int
    batch_size: int
    learning_rate: float
    r: int
    alpha: int
    dropout: float
    target_modules: str | tuple[str, ...]
    quantization: str
    max_length: int | None
    seed: int
    threads: int


class Result(Struct, frozen=True):
    """What the worker leaves: `done.json`. `curve` holds (step, training loss, validation loss or None)."""

    steps: int
    tokens: int
    seconds: float
    curve: tuple[tuple[int, float | None, float | None], ...]
    epochs: tuple[tuple[int, int], ...]
    info: dict[str, Any]


class Line(Struct, frozen=True):
    """One line of `progress.jsonl`."""

    status: str
    step: int = 0
    total: int = 0
    loss: float | None = None
    left: float | None = None
    message: str = ""


class Journal:
    """Appends progress lines that any process may follow."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab", buffering=0)

    def __call__(self, line: Line) -> None:
        """Append one line."""
        self._file.write(msgspec.json.encode(line) + b"\n")


def watch(workdir: Path) -> None:
    """End this process at once when the parent dies or a cancel is asked for.

    Nothing needs saving: every file is written beside its place and renamed, or marked when whole.
    """

    def parent() -> None:
        while os.read(0, 1):  # raw: a thread inside a buffered read would hold up the exit
            pass
        os._exit(CANCELLED)

    def cancel() -> None:
        while not (workdir / "cancel").exists():
            time.sleep(0.25)
        os._exit(CANCELLED)

    for target in (parent, cancel):
        threading.Thread(target=target, daemon=True).start()


def main(argv: Sequence[str]) -> int:
    """Train what `WORKDIR/plan.json` says. Returns the exit code."""
    from filelock import FileLock, Timeout

    workdir = Path(argv[0])
    watch(workdir)
    lock = FileLock(workdir / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return BUSY
    plan = msgspec.json.decode((workdir / "plan.json").read_bytes(), type=Plan)
    say = Journal(workdir / "progress.jsonl")
    say(Line("loading"))
    result = train(plan, workdir, say)
    write_whole(workdir / "done.json", msgspec.json.encode(result))
    shutil.rmtree(workdir / "trainer", ignore_errors=True)
    say(Line("trained", result.steps, result.steps))
    return 0


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that it is there whole or not at all."""
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)


def mark_whole(folder: Path, seconds: float) -> None:
    """Say of a checkpoint that it was written whole: names and sizes of its files, and seconds trained until then."""
    files = {str(f.relative_to(folder)): f.stat().st_size for f in sorted(folder.rglob("*")) if f.is_file()}
    for name in files:
        with (folder / name).open("rb") as file:
            os.fsync(file.fileno())
    write_whole(folder / "whole.json", json.dumps({"files": files, "seconds": seconds}).encode())


def last_whole(trainer: Path) -> tuple[Path, float] | None:
    """The newest checkpoint that was written whole, with its seconds; torn ones are removed."""
    folders = sorted(trainer.glob("checkpoint-*"), key=lambda p: int(p.name.split("-")[1]), reverse=True)
    for folder in folders:
        try:
            mark = json.loads((folder / "whole.json").read_bytes())
            if all((folder / name).stat().st_size == size for name, size in mark["files"].items()):
                return folder, float(mark["seconds"])
        except (OSError, ValueError, KeyError):
            pass
        shutil.rmtree(folder, ignore_errors=True)
    return None


def tokenize(rows: Sequence[Sequence[dict[str, Any]]], tokenizer: Any, limit: int | None) -> list[dict[str, list[int]]]:
    """Token ids and labels of each row; labels are -100 outside the last answer.

    The prompt is rendered exactly as inference renders it. A row over `limit` is cut at its end, and dropped when
    nothing of its answer is left.
    """
    examples: list[dict[str, list[int]]] = []
    for messages in rows:
        prompt = tokenizer.apply_chat_template(messages[:-1], tokenize=False, add_generation_prompt=True)
        whole = tokenizer.apply_chat_template(messages, tokenize=False)
        if not whole.startswith(prompt):
            raise ValueError("the chat template renders a prompt differently when its answer follows")
        start = len(tokenizer(prompt, add_special_tokens=False)["input_ids"])
        ids = tokenizer(whole, add_special_tokens=False)["input_ids"][:limit]
        if len(ids) > start:
            examples.append({"input_ids": ids, "labels": [-100] * start + ids[start:]})
    return examples


def train(plan: Plan, workdir: Path, say: Journal) -> Result:
    """Train `plan`, from the last whole checkpoint on where there is one."""
    import torch
    import transformers

    from datasets import Dataset, disable_progress_bars

    disable_progress_bars()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(plan.threads)
    tokenizer = transformers.AutoTokenizer.from_pretrained(plan.base)
    choose_pad(tokenizer)
    examples = tokenize(training_file.read(Path(plan.train)), tokenizer, plan.max_length)
    dev = tokenize(training_file.read(Path(plan.valid)), tokenizer, plan.max_length) if plan.valid else []
    resumed = last_whole(workdir / "trainer")
    clock = Clock(before=resumed[1] if resumed else 0.0)
    trainer, info = build(plan, workdir, tokenizer, examples, Dataset.from_list(dev) if dev else None)
    steps = -(-len(examples) // plan.batch_size)
    trainer.remove_callback(transformers.PrinterCallback)
    trainer.add_callback(follow(workdir, say, clock, steps, bool(dev)))
    say(Line("training", 0, steps * plan.epochs, message="resumed" if resumed else ""))
    trainer.train(resume_from_checkpoint=str(resumed[0]) if resumed else None)
    history = trainer.state.log_history
    valid = {h["step"]: h["eval_loss"] for h in history if "eval_loss" in h}
    curve = tuple((int(h["step"]), float(h["loss"]), valid.get(h["step"])) for h in history if "loss" in h)
    tokens = sum(len(e["input_ids"]) for e in examples) * plan.epochs
    seconds = clock.seconds
    info |= {"peak_mb": peak_mb(), "tokens_per_second": round(tokens / seconds, 1), "rows": len(examples)}
    epochs = tuple((e, e * steps) for e in range(1, plan.epochs + 1))
    return Result(steps=steps * plan.epochs, tokens=tokens, seconds=seconds, curve=curve, epochs=epochs, info=info)


def choose_pad(tokenizer: Any) -> None:
    """A pad token that is neither the end of an answer nor its start, so that no model learns never to stop."""
    taken = {tokenizer.eos_token_id, tokenizer.bos_token_id}
    if tokenizer.pad_token_id is not None and tokenizer.pad_token_id not in taken:
        return
    known = tokenizer.get_vocab()
    names = ("<|endoftext|>", "<pad>", "[PAD]", "<|finetune_right_pad_id|>", "<unk>", tokenizer.unk_token)
    for name in names:
        if name in known and known[name] not in taken:
            tokenizer.pad_token = name
            return


class Clock:
    """Seconds trained, those before a kill included."""

    def __init__(self, before: float) -> None:
        self._before = before
        self._start = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Until now."""
        return self._before + time.perf_counter() - self._start


def build(
    plan: Plan, workdir: Path, tokenizer: Any, examples: list[dict[str, list[int]]], dev: Any
) -> tuple[Any, dict[str, Any]]:
    """The trainer, and what people should know of it."""
    import torch
    from peft import LoraConfig
    from transformers import AutoConfig, AutoModelForCausalLM
    from trl.trainer.sft_config import SFTConfig
    from trl.trainer.sft_trainer import SFTTrainer

    from datasets import Dataset

    cuda = torch.cuda.is_available()
    packed = False
    if not cuda:
        from harness.tuners import packed as fast

        packed = fast.fits(AutoConfig.from_pretrained(plan.base))
    kind = "bf16" if (torch.cuda.is_bf16_supported() if cuda else bf16_pays(workdir)) else "fp16" if cuda else "fp32"
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}[kind]
    longest = max(len(e["input_ids"]) for e in examples)
    micro = max(
        m for m in range(1, plan.batch_size + 1) if plan.batch_size % m == 0 and (m * longest <= MICRO_TOKENS or m == 1)
    )
    model = AutoModelForCausalLM.from_pretrained(
        plan.base,
        dtype=dtype,
        attn_implementation="harness_packed" if packed else "sdpa",
        quantization_config=quantized(plan.quantization, dtype),
    )
    arguments = SFTConfig(
        output_dir=str(workdir / "trainer"),
        num_train_epochs=plan.epochs,
        per_device_train_batch_size=micro,
        per_device_eval_batch_size=micro,
        gradient_accumulation_steps=plan.batch_size // micro,
        learning_rate=plan.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=0.03,
        seed=plan.seed,
        data_seed=plan.seed,
        max_length=None,
        padding_free=packed,
        bf16=cuda and kind == "bf16",
        fp16=cuda and kind == "fp16",
        use_cpu=not cuda,
        gradient_checkpointing=longest > LONG_ROW,
        logging_steps=1,
        save_strategy="no",
        eval_strategy="no",
        save_total_limit=2,
        report_to=[],
        disable_tqdm=True,
        dataloader_pin_memory=cuda,
        dataset_kwargs={"skip_prepare_dataset": True},
    )
    lora = LoraConfig(
        r=plan.r,
        lora_alpha=plan.alpha,
        lora_dropout=plan.dropout,
        target_modules=plan.target_modules if isinstance(plan.target_modules, str) else list(plan.target_modules),
        task_type="CAUSAL_LM",
    )
    kind_of_trainer: Any = SFTTrainer
    if packed:
        from harness.tuners.packed import PackedTrainer

        kind_of_trainer = PackedTrainer
    trainer = kind_of_trainer(
        model=model,
        args=arguments,
        train_dataset=Dataset.from_list(examples),
        eval_dataset=dev,
        processing_class=tokenizer,
        peft_config=lora,
    )
    fused = 0
    if packed:
        from harness.tuners.packed import fuse

        fused = fuse(trainer.model)
    return trainer, {
        "device": torch.cuda.get_device_name() if cuda else "cpu",
        "precision": kind,
        "threads": plan.threads,
        "packed": packed,
        "fused_layers": fused,
        "micro_batch": micro,
        "learning_rate": plan.learning_rate,
    }


def bf16_pays(workdir: Path) -> bool:
    """Whether this processor multiplies bf16 clearly faster than fp32; asked once a job, so that a resume agrees."""
    import torch

    note = workdir / "precision.json"
    if note.exists():
        return bool(json.loads(note.read_bytes())["bf16"])
    features = torch.cpu.get_capabilities()
    pays = bool(features.get("avx512_bf16") or features.get("amx_bf16") or features.get("bf16"))
    seconds = {dtype: _product_seconds(dtype) for dtype in (torch.float32, torch.bfloat16)}
    pays = pays and seconds[torch.bfloat16] * 1.3 < seconds[torch.float32]
    write_whole(note, json.dumps({"bf16": pays, "seconds": list(seconds.values())}).encode())
    return pays


def _product_seconds(dtype: Any) -> float:
    import torch

    x, w = torch.ones(512, 576, dtype=dtype), torch.ones(1536, 576, dtype=dtype)
    best = float("inf")
    for _ in range(9):
        start = time.perf_counter()
        x @ w.t()
        best = min(best, time.perf_counter() - start)
    return best


def quantized(kind: str, dtype: Any) -> Any:
    """QLoRA's 4 bits (nf4, double quantisation) or 8 bits; a GPU with bitsandbytes only."""
    if kind == "none":
        return None
    from transformers import BitsAndBytesConfig

    if kind == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=dtype
    )


def follow(workdir: Path, say: Journal, clock: Clock, steps: int, evaluate: bool) -> Any:
    """The callback that reports, saves by the clock and keeps each epoch's adapter."""
    from transformers import TrainerCallback

    class Follow(TrainerCallback):
        saved = time.perf_counter()
        first: tuple[int, float] | None = None

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
            now = time.perf_counter()
            self.first = self.first or (state.global_step, now)
            if state.global_step % steps == 0:
                keep(kwargs["model"], workdir / "adapters" / f"epoch-{state.global_step // steps}")
                control.should_evaluate = evaluate
                control.should_save = True
            elif now - self.saved >= SAVE_SECONDS:
                control.should_save = True
            return control

        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            mark_whole(Path(args.output_dir) / f"checkpoint-{state.global_step}", clock.seconds)
            self.saved = time.perf_counter()

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            if not logs or "loss" not in logs:
                return
            left = None
            if self.first and state.global_step > self.first[0]:
                a_step = (time.perf_counter() - self.first[1]) / (state.global_step - self.first[0])
                left = round(a_step * (state.max_steps - state.global_step), 1)
            say(Line("training", state.global_step, state.max_steps, round(float(logs["loss"]), 5), left))

    return Follow()


def keep(model: Any, folder: Path) -> None:
    """Save an adapter so that it is there whole or not at all."""
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    model.save_pretrained(part)
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(part, folder)


def peak_mb() -> int:
    """The most memory that this process held, in MB."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // (1024 * 1024 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # torch's own teardown takes seconds and has nothing left to save
