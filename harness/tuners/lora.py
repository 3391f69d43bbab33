"""A LoRA training as TRL runs it: rows to token ids, a plan to a trainer in the precision that this machine is good at.

CPU and GPU differ in this file alone. The GPU branch (bf16 or fp16, 4 and 8 bits by bitsandbytes) was never run on one.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from harness.models.tokenizer import folded
from harness.tuners.trl_files import Plan, write_whole

ACTIVATIONS = 14_000_000
"""Tokens x layers x width of one forward pass (800 tokens of a 135M model): its activations take about a gigabyte."""
WARMUP = 0.03
"""Share of the steps over which the learning rate rises."""


def tokenize(rows: Sequence[Sequence[dict[str, Any]]], tokenizer: Any, limit: int | None) -> list[dict[str, list[int]]]:
    """Token ids and labels of each row; labels are -100 outside the last answer.

    The prompt is rendered exactly as inference renders it. A row over `limit` is cut at its end, and dropped when
    nothing of its answer is left.
    """
    examples: list[dict[str, list[int]]] = []
    for messages in _written(rows, tokenizer):
        prompt = tokenizer.apply_chat_template(messages[:-1], tokenize=False, add_generation_prompt=True)
        whole = tokenizer.apply_chat_template(messages, tokenize=False)
        if not whole.startswith(prompt):
            raise ValueError("the chat template renders a prompt differently when its answer follows")
        start = len(tokenizer(prompt, add_special_tokens=False)["input_ids"])
        ids = tokenizer(whole, add_special_tokens=False)["input_ids"][:limit]
        if len(ids) > start:
            examples.append({"input_ids": ids, "labels": [-100] * start + ids[start:]})
    return examples


def _written(rows: Sequence[Sequence[dict[str, Any]]], tokenizer: Any) -> list[list[dict[str, Any]]]:
    """The rows as the template takes them: as inference does, the system turn is folded in where it refuses one."""
    from jinja2.exceptions import TemplateError

    made = [list(row) for row in rows]
    try:
        for row in made[:1]:
            tokenizer.apply_chat_template(row, tokenize=False)
    except TemplateError:
        return [folded(row) for row in made]
    return made


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


def build(
    plan: Plan, workdir: Path, tokenizer: Any, examples: list[dict[str, list[int]]], dev: Any
) -> tuple[Any, dict[str, Any]]:
    """The trainer of a plan, and what people should know of it.

    Args:
        plan: what to train.
        workdir: the job's directory; checkpoints go to its `trainer`.
        tokenizer: the base's, its pad token chosen.
        examples: the tokenized train rows.
        dev: a `datasets.Dataset` of tokenized dev rows, or None.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM
    from trl.trainer.sft_trainer import SFTTrainer

    from datasets import Dataset

    cuda = torch.cuda.is_available()
    config = AutoConfig.from_pretrained(plan.base)
    kind = "bf16" if (torch.cuda.is_bf16_supported() if cuda else bf16_pays(workdir)) else "fp16" if cuda else "fp32"
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}[kind]
    trainer_class: Any = SFTTrainer
    attention = "sdpa"
    if not cuda:
        from harness.tuners import packed

        if packed.fits(config):
            trainer_class, attention = packed.PackedTrainer, packed.ATTENTION
    micro, recompute = shape(plan.batch_size, [len(e["input_ids"]) for e in examples], config)
    model = AutoModelForCausalLM.from_pretrained(
        plan.base, dtype=dtype, attn_implementation=attention, quantization_config=quantized(plan.quantization, dtype)
    )
    trainer = trainer_class(
        model=model,
        args=arguments(plan, workdir / "trainer", micro, recompute, "cpu" if not cuda else kind, attention != "sdpa"),
        train_dataset=Dataset.from_list(examples),
        eval_dataset=dev,
        processing_class=tokenizer,
        peft_config=adapter(plan),
    )
    fused = 0
    if attention != "sdpa":
        from harness.tuners import packed

        fused = packed.fuse(trainer.model)
    return trainer, {
        "device": torch.cuda.get_device_name() if cuda else "cpu",
        "precision": kind,
        "threads": plan.threads,
        "packed": attention != "sdpa",
        "fused_layers": fused,
        "micro_batch": micro,
        "recompute": recompute,
        "learning_rate": plan.learning_rate,
        "versions": {name: version(name) for name in ("torch", "transformers", "peft", "trl")},
    }


def shape(batch: int, lengths: Sequence[int], config: Any) -> tuple[int, bool]:
    """Rows of one forward pass (a divisor of the batch), and whether activations must be computed again.

    The mean decides, because rows are packed; the longest row bounds the worst batch.
    """
    room = ACTIVATIONS / (config.num_hidden_layers * config.hidden_size)
    mean, longest = sum(lengths) / len(lengths), max(lengths)
    fitting = [m for m in range(1, batch + 1) if batch % m == 0 and m * mean <= room and m * longest <= 2 * room]
    return max(fitting, default=1), longest > 2 * room


def arguments(plan: Plan, folder: Path, micro: int, recompute: bool, kind: str, packed: bool) -> Any:
    """SFTConfig of a plan. `kind` is cpu (the weights are in the compute precision already), bf16 or fp16."""
    from trl.trainer.sft_config import SFTConfig

    return SFTConfig(
        output_dir=str(folder),
        num_train_epochs=plan.epochs,
        per_device_train_batch_size=micro,
        per_device_eval_batch_size=micro,
        gradient_accumulation_steps=plan.batch_size // micro,
        learning_rate=plan.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=WARMUP,
        seed=plan.seed,
        data_seed=plan.seed,
        max_length=None,
        padding_free=packed,
        bf16=kind == "bf16",
        fp16=kind == "fp16",
        use_cpu=kind == "cpu",
        gradient_checkpointing=recompute,
        logging_steps=1,
        save_strategy="no",  # the worker's callback says when
        eval_strategy="no",
        save_total_limit=2,
        report_to=[],
        disable_tqdm=True,
        dataloader_pin_memory=kind != "cpu",
        dataset_kwargs={"skip_prepare_dataset": True},
    )


def adapter(plan: Plan) -> Any:
    """LoRA as the plan asks for it."""
    from peft import LoraConfig

    return LoraConfig(
        r=plan.r,
        lora_alpha=plan.alpha,
        lora_dropout=plan.dropout,
        target_modules=plan.target_modules if isinstance(plan.target_modules, str) else list(plan.target_modules),
        task_type="CAUSAL_LM",
    )


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
        torch.mm(x, w.t())
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
