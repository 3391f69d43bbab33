"""Weights from one form into another with transformers, as a command, so that its gigabyte of memory is given back.

python -m harness.models.convert unpack MODEL.gguf OUT     a quantised GGUF as a plain Hugging Face directory
python -m harness.models.convert merge BASE ADAPTER OUT    a base model with a LoRA adapter merged into it
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any


def unpack(file: Path, out: Path) -> None:
    """A GGUF file as config, F16 safetensors, tokenizer and chat template in `out`.

    Weights are stored as F16 (the quantised ones have no more digits) and opened as f32, so that the fast engine's F16
    file and the reference hold the same numbers.
    """
    import gguf
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    model: Any = AutoModelForCausalLM.from_pretrained(
        file.parent, gguf_file=file.name, dtype=torch.float32, quantization_config=GgufConfig(dequantize=True)
    )
    tokenizer: Any = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    tokenizer.model_max_length = model.config.max_position_embeddings
    model.half().save_pretrained(out)
    tokenizer.save_pretrained(out)
    _edit(out / "config.json", dtype="float32")
    fields = gguf.GGUFReader(file).fields
    if "tokenizer.ggml.pre" in fields and fields["tokenizer.ggml.pre"].contents() == "smollm":
        # transformers' reader leaves this step out; the original tokenizer of SmolLM2 splits digits.
        digits = {"type": "Digits", "individual_digits": True}
        before = json.loads((out / "tokenizer.json").read_text("utf-8"))["pre_tokenizer"]
        _edit(out / "tokenizer.json", pre_tokenizer={"type": "Sequence", "pretokenizers": [digits, before]})


def merge(base: Path, adapter: Path, out: Path) -> None:
    """The base model with the adapter's deltas added in f32, stored as f32 with the base's tokenizer."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model: Any = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    merged: Any = PeftModel.from_pretrained(model, str(adapter)).merge_and_unload()
    merged.save_pretrained(out)
    AutoTokenizer.from_pretrained(base).save_pretrained(out)


def _edit(file: Path, **changes: Any) -> None:
    """Change keys of a JSON file."""
    data = json.loads(file.read_text("utf-8"))
    file.write_text(json.dumps(data | changes, ensure_ascii=False, indent=1), "utf-8")


def main() -> None:
    """See the module."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    parser = argparse.ArgumentParser(prog="python -m harness.models.convert")
    parser.add_argument("what", choices=("unpack", "merge"))
    parser.add_argument("paths", type=Path, nargs="+")
    args = parser.parse_args()
    paths: list[Path] = args.paths
    if args.what == "unpack":
        unpack(*paths)
    else:
        merge(*paths)


if __name__ == "__main__":
    main()
