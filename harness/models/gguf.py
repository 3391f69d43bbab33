"""A plain Hugging Face directory written as one F16 GGUF file, which is what the fast CPU engine reads.

The engine's own LoRA switch does nothing on GGUF models, so that a tuned model is merged first and written whole. Only
numpy, safetensors and the `gguf` package are used: no torch, so that it also runs beside a serving process.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.errors import ModelError, Problem

ARCHITECTURES = ("llama",)


def reason_against(config: dict[str, Any]) -> str:
    """Why a model with this `config.json` cannot be written, or "" when it can.

    Only what has been compared with transformers is allowed; everything else is served by transformers.
    """
    kind = config.get("model_type")
    if kind not in ARCHITECTURES:
        return f"model type {kind!r} is not among {', '.join(ARCHITECTURES)}"
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    if rope.get("rope_type", rope.get("type", "default")) != "default":
        return f"scaled rotary embeddings ({rope.get('rope_type', rope.get('type'))})"
    if config.get("attention_bias") or config.get("mlp_bias"):
        return "biases in its linear layers"
    return ""


def write_gguf(model_dir: Path, out: Path) -> Path:
    """Write `model_dir` (config.json, *.safetensors, tokenizer.json) as F16 GGUF to `out`, atomically.

    Matrices become F16, norms F32. Raises `ModelError` for an architecture that was not compared with transformers.
    """
    import gguf

    config: dict[str, Any] = json.loads((model_dir / "config.json").read_text("utf-8"))
    if reason := reason_against(config):
        raise ModelError(Problem("this model cannot be written as GGUF", where=str(model_dir), got=reason))
    part = out.with_name(f"{out.name}.{os.getpid()}.part")
    writer = gguf.GGUFWriter(part, "llama")
    try:
        _describe(writer, config)
        _vocabulary(writer, model_dir, int(config["vocab_size"]))
        _tensors(writer, model_dir, config)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    finally:
        writer.close()
    os.replace(part, out)
    return out


def merge(base_dir: Path, adapter_dir: Path, out_dir: Path) -> Path:
    """A base model with a PEFT adapter merged into it, as a directory that both engines open.

    The fast engine's file is written with it where the architecture allows. Runs in processes of its own; `out_dir` is
    given its name last, so that it is whole when it is there. Raises `ModelError` when it fails.
    """
    from harness.models.engines import weights_for
    from harness.models.weights import convert, digest_of

    part = out_dir.with_name(f"{out_dir.name}.merging")
    shutil.rmtree(part, ignore_errors=True)
    part.parent.mkdir(parents=True, exist_ok=True)
    convert("merge", base_dir, adapter_dir, part)
    digest_of(part)
    if not reason_against(json.loads((part / "config.json").read_text("utf-8"))):
        weights_for(part, "openvino")
    shutil.rmtree(out_dir, ignore_errors=True)
    part.rename(out_dir)
    return out_dir


def _describe(writer: Any, config: dict[str, Any]) -> None:
    """The hyperparameters, under the names that llama.cpp gave them."""
    import gguf

    heads = int(config["num_attention_heads"])
    head_dim = int(config.get("head_dim") or config["hidden_size"] // heads)
    rope = config.get("rope_parameters") or {}
    writer.add_name(str(config.get("_name_or_path") or config["model_type"]))
    writer.add_block_count(int(config["num_hidden_layers"]))
    writer.add_context_length(int(config["max_position_embeddings"]))
    writer.add_embedding_length(int(config["hidden_size"]))
    writer.add_feed_forward_length(int(config["intermediate_size"]))
    writer.add_head_count(heads)
    writer.add_head_count_kv(int(config.get("num_key_value_heads") or heads))
    writer.add_key_length(head_dim)
    writer.add_value_length(head_dim)
    writer.add_rope_dimension_count(head_dim)
    writer.add_rope_freq_base(float(rope.get("rope_theta") or config.get("rope_theta") or 10000.0))
    writer.add_layer_norm_rms_eps(float(config["rms_norm_eps"]))
    writer.add_vocab_size(int(config["vocab_size"]))
    writer.add_file_type(int(gguf.LlamaFileType.MOSTLY_F16))


def _vocabulary(writer: Any, model_dir: Path, size: int) -> None:
    """The tokens. Prompts reach the engine as ids, so that this only has to be well formed and in order."""
    import gguf

    data: dict[str, Any] = json.loads((model_dir / "tokenizer.json").read_text("utf-8"))
    if data["model"]["type"] != "BPE":
        got = data["model"]["type"]
        raise ModelError(Problem("the tokenizer is not a BPE", where=str(model_dir / "tokenizer.json"), got=repr(got)))
    names = {int(i): token for token, i in data["model"]["vocab"].items()}
    special = {int(t["id"]) for t in data["added_tokens"] if t["special"]}
    names |= {int(t["id"]): t["content"] for t in data["added_tokens"]}
    tokens = [names.get(i, f"<unused_{i}>") for i in range(size)]
    types = [gguf.TokenType.CONTROL if i in special else gguf.TokenType.NORMAL for i in range(size)]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    merges = data["model"]["merges"]
    writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in merges])
    config: dict[str, Any] = json.loads((model_dir / "config.json").read_text("utf-8"))
    for name in ("bos", "eos", "pad"):
        value = config.get(f"{name}_token_id")
        if value is not None:
            first = value[0] if isinstance(value, list) else value
            getattr(writer, f"add_{name}_token_id")(int(first))


def _tensors(writer: Any, model_dir: Path, config: dict[str, Any]) -> None:
    """All weights: names mapped, rows of q and k permuted to llama.cpp's rotary order."""
    import gguf
    import numpy as np

    heads = int(config["num_attention_heads"])
    kv_heads = int(config.get("num_key_value_heads") or heads)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, int(config["num_hidden_layers"]))
    tied = bool(config.get("tie_word_embeddings"))
    for name, array in _arrays(model_dir):
        if tied and name == "lm_head.weight":
            continue
        if re.search(r"\.rotary_emb\.inv_freq$", name):
            continue
        target = names.get_name(name, try_suffixes=(".weight",))
        if target is None:
            raise ModelError(Problem("a tensor has no place in GGUF", where=str(model_dir), got=repr(name)))
        if name.endswith("q_proj.weight"):
            array = _permute(array, heads)
        elif name.endswith("k_proj.weight"):
            array = _permute(array, kv_heads)
        dtype = np.float32 if array.ndim == 1 else np.float16
        writer.add_tensor(target, np.ascontiguousarray(array, dtype=dtype))


def _permute(rows: Any, heads: int) -> Any:
    """Reorder the rows of a head from half-split to interleaved rotary pairs, as llama.cpp's converter does."""
    return rows.reshape(heads, 2, rows.shape[0] // heads // 2, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def _arrays(model_dir: Path) -> Iterator[tuple[str, Any]]:
    """Every tensor of every safetensors file. numpy has no bfloat16: its bits are the upper half of a float32."""
    import numpy as np

    for file in sorted(model_dir.glob("*.safetensors")):
        with file.open("rb") as f:
            length = int.from_bytes(f.read(8), "little")
            header: dict[str, Any] = json.loads(f.read(length))
        raw = np.memmap(file, dtype=np.uint8, mode="r", offset=8 + length)
        for name, info in header.items():
            if name == "__metadata__":
                continue
            begin, end = info["data_offsets"]
            data = raw[begin:end]
            if info["dtype"] == "BF16":
                array = (data.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
            else:
                array = data.view({"F16": np.float16, "F32": np.float32}[info["dtype"]])
            yield name, array.reshape(info["shape"])
