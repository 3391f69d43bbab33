"""What AutoTrain reads and leaves: the base model in the form that its old transformers knows, its YAML, its artifact.

It exits with 0 when training failed, so that only the files say whether there is a model.
"""

from __future__ import annotations

import ast
import json
import re
import shutil
from pathlib import Path
from typing import Any

from harness.tuners.trl_files import write_whole

PROJECT = "project"
"""AutoTrain's output folder: a plain word, for it takes letters, digits and hyphens only."""
PAD = ("<|endoftext|>", "<pad>", "[PAD]", "<|finetune_right_pad_id|>", "<unk>")
ROOM = 60_000_000
"""Tokens x layers x width of one batch whose activations are kept (some 4 GB); above, they are computed again."""


def prepare(base: Path, out: Path) -> None:
    """A view of a base model that transformers 4.48 opens: linked weights, names of its time, the template inside.

    The pad token becomes one that is not the end of an answer: pads are left out of the loss, and a model whose
    end is never learnt does not stop.
    """
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    for file in base.iterdir():
        if file.is_file() and file.suffix != ".jinja":
            (out / file.name).symlink_to(file.resolve())
    config = _read(base / "config.json")
    rope = config.get("rope_parameters") or {}
    config.setdefault("torch_dtype", config.get("dtype", "float32"))
    if "rope_theta" in rope:
        config.setdefault("rope_theta", rope["rope_theta"])
    _replace(out / "config.json", config)
    tokenizer = _read(base / "tokenizer_config.json")
    if tokenizer.get("tokenizer_class") == "TokenizersBackend":
        tokenizer["tokenizer_class"] = "PreTrainedTokenizerFast"
    template = base / "chat_template.jinja"
    if "chat_template" not in tokenizer and template.exists():
        tokenizer["chat_template"] = template.read_text("utf-8")
    pad = _pad(tokenizer, base / "tokenizer.json")
    if pad:
        tokenizer["pad_token"] = pad
    _replace(out / "tokenizer_config.json", tokenizer)


def config(params: dict[str, Any], block: int, seed: int, layers: int) -> dict[str, Any]:
    """AutoTrain's YAML; JSON is YAML. Every field is given: its defaults quantise to 4 bits and learn at 3e-5.

    Args:
        params: the arm's hyperparameters.
        block: tokens of a packed training sequence.
        seed: of the training.
        layers: layers x width of the base, to tell whether a batch's activations fit.
    """
    lora = params.get("lora") or {}
    batch = _or(params.get("batch_size"), 8)
    quantization = params.get("quantization", "none")
    targets = lora.get("target_modules", "all-linear")
    return {
        "task": "llm-sft",
        "base_model": "base",
        "project_name": PROJECT,
        "log": "none",
        "backend": "local",
        "data": {
            "path": "data",
            "train_split": "train",
            "valid_split": None,  # with a chat template it crashes
            "chat_template": "tokenizer",
            "column_mapping": {"text_column": "messages"},
        },
        "params": {
            "block_size": block,
            "model_max_length": max(block, 2048),
            "epochs": _or(params.get("epochs"), 3),
            "batch_size": batch,
            "gradient_accumulation": 1,
            "lr": params.get("learning_rate") or 1e-3,
            "scheduler": "cosine",
            "warmup_ratio": 0.03,
            "optimizer": "adamw_torch",
            "weight_decay": 0.0,
            "max_grad_norm": 1.0,
            "seed": seed,
            "logging_steps": 1,
            "padding": "right",
            "mixed_precision": None,
            "disable_gradient_checkpointing": block * batch * layers <= ROOM,
            "peft": True,
            "quantization": None if quantization == "none" else quantization,
            "target_modules": targets if isinstance(targets, str) else ",".join(targets),
            "lora_r": lora.get("r", 16),
            "lora_alpha": lora.get("alpha", 32),
            "lora_dropout": lora.get("dropout", 0.0),
            "merge_adapter": False,  # its merge rounds to 16 bits; ours does not
        },
        "hub": {"username": None, "token": None, "push_to_hub": False},
    }


def artifact(workdir: Path) -> str:
    """What is missing of a finished training, or empty. The card is what AutoTrain writes after the weights."""
    folder = workdir / PROJECT
    for name in ("training_params.json", "adapter_config.json", "adapter_model.safetensors", "README.md"):
        if not (folder / name).is_file():
            return f"{PROJECT}/{name} is missing"
    weights = folder / "adapter_model.safetensors"
    with weights.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        try:
            header: dict[str, Any] = json.loads(file.read(size))
            end = 8 + size + max(t["data_offsets"][1] for n, t in header.items() if n != "__metadata__")
        except (ValueError, KeyError, OverflowError, MemoryError):
            return f"{PROJECT}/{weights.name} cannot be read"
    return "" if weights.stat().st_size == end else f"{PROJECT}/{weights.name} was cut off"


def losses(log: str) -> list[tuple[float, float]]:
    """(epoch, training loss) of each step, from AutoTrain's log."""
    found: list[tuple[float, float]] = []
    for text in re.findall(r"on_log:\d+ - (\{'loss': .*?\})", log):  # each is printed a second time without it
        try:
            row = ast.literal_eval(text)
            found.append((float(row["epoch"]), float(row["loss"])))
        except (ValueError, SyntaxError, KeyError, TypeError):
            continue
    return found


def complaint(log: str) -> str:
    """The last error in AutoTrain's log, for people."""
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line).strip() for line in log.splitlines()]
    told = [line for line in lines if re.match(r"[\w.]*(Error|Exception|Interrupt)\b", line) or "| ERROR " in line]
    return (told or [line for line in lines if line] or ["it left no message"])[-1][-300:]


def _or(value: Any, default: int) -> int:
    return default if value in (None, "auto") else int(value)


def _pad(tokenizer: dict[str, Any], vocabulary: Path) -> str:
    """A pad token that is neither the end nor the beginning of an answer, or empty when the own one is good."""
    own = tokenizer.get("pad_token")
    name = own.get("content") if isinstance(own, dict) else own
    taken = {str(tokenizer.get("eos_token")), str(tokenizer.get("bos_token"))}
    if name and name not in taken:
        return ""
    known = {t.get("content") for t in _read(vocabulary).get("added_tokens", [])} if vocabulary.exists() else set()
    return next((p for p in (*PAD, str(tokenizer.get("unk_token"))) if p in known and p not in taken), "")


def _read(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text("utf-8")) if file.exists() else {}


def _replace(link: Path, data: dict[str, Any]) -> None:
    link.unlink(missing_ok=True)
    write_whole(link, json.dumps(data, ensure_ascii=False, indent=1).encode())
