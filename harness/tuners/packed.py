"""TRL's SFTTrainer on packed rows: the same loss and the same steps as stock, in less than half of the time on a CPU.

Stock on a CPU pads every row to the longest of its batch, recasts fp32 weights to bf16 on every call, projects every
position to the whole vocabulary and recomputes the forward pass. Here rows lie end to end, attention runs a row at a
time, weights stay in the compute precision, and only labelled positions see the vocabulary. Only the worker process
imports this file: it needs torch.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from transformers import AttentionInterface
from transformers.activations import SiLUActivation
from transformers.masking_utils import AttentionMaskInterface
from trl.trainer.sft_trainer import SFTTrainer

ATTENTION = "harness_packed"
KNOWN = ("llama", "mistral", "qwen2", "qwen3", "smollm3")
"""Model types whose attention is softmax(q k / sqrt(d)) v and nothing else; others take the stock path."""
MLPS = ("LlamaMLP", "MistralMLP", "Qwen2MLP", "Qwen3MLP", "SmolLM3MLP")
NORMS = ("LlamaRMSNorm", "MistralRMSNorm", "Qwen2RMSNorm", "Qwen3RMSNorm", "SmolLM3RMSNorm")


def fits(config: Any) -> bool:
    """Whether a model's attention is the plain one, in every layer."""
    windows = getattr(config, "use_sliding_window", True) and getattr(config, "sliding_window", None)
    return config.model_type in KNOWN and not windows and not getattr(config, "attention_dropout", 0.0)


def attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: Any = None,
    scaling: float | None = None,
    cu_seq_lens_q: torch.Tensor | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Causal attention within each packed row.

    Args:
        module: the attention layer.
        query: (1, heads, tokens, width).
        key: (1, kv heads, tokens, width).
        value: as `key`.
        attention_mask: unused: rows are cut out instead of masked.
        scaling: what scores are multiplied by.
        cu_seq_lens_q: where rows begin, and the end.

    Returns:
        (1, tokens, heads, width), None.
    """
    groups, width = key.shape[1], query.shape[-1]
    scale = scaling if scaling is not None else width**-0.5
    bounds = [0, query.shape[2]] if cu_seq_lens_q is None else cu_seq_lens_q.tolist()
    lengths = [end - start for start, end in itertools.pairwise(bounds)]
    rows: list[torch.Tensor] = []
    # Split, not sliced: the gradient of a slice is a tensor of zeros as long as the whole pack, once a row.
    for q, k, v in zip(*(t[0].split(lengths, 1) for t in (query, key, value)), strict=True):
        # The heads that share a key head are stacked under each other, so that it is never copied.
        n, stacked = q.shape[1], q.reshape(groups, -1, width)
        future = _future(n, stacked.shape[1] // n, q.dtype).expand(groups, -1, -1)
        scores = torch.baddbmm(future, stacked, k.transpose(1, 2), alpha=scale)
        rows.append(torch.bmm(torch.softmax(scores, -1), v).view(1, -1, n, width))
    return torch.cat(rows, 2).transpose(1, 2), None


@functools.lru_cache(64)
def _future(n: int, heads: int, dtype: torch.dtype) -> torch.Tensor:
    """What is added to the scores of `heads` stacked heads so that no token sees a later one: (heads * n, n)."""
    return torch.full((n, n), float("-inf"), dtype=dtype).triu_(1).repeat(heads, 1)


def _no_mask(*_: Any, **__: Any) -> None:
    return None


AttentionInterface.register(ATTENTION, attention)
AttentionMaskInterface.register(ATTENTION, _no_mask)  # pyright: ignore[reportArgumentType]


class _Lora(torch.autograd.Function):
    """x W^T + s (x A^T) B^T in the precision of x, with gradients for x, A and B alone."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, w: torch.Tensor, a: torch.Tensor, b: torch.Tensor, s: float) -> torch.Tensor:
        shape, flat = x.shape, x.reshape(-1, x.shape[-1])
        a, b = a.to(x.dtype), b.to(x.dtype)
        down = flat @ a.t()
        ctx.save_for_backward(flat, w, a, b, down)
        ctx.s, ctx.shape = s, shape
        return torch.mm(flat, w.t()).addmm_(down, b.t(), alpha=s).view(*shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        x, w, a, b, down = ctx.saved_tensors
        g = grads[0].reshape(-1, grads[0].shape[-1])
        up = g @ b
        gx = torch.mm(g, w).addmm_(up, a, alpha=ctx.s).view(ctx.shape) if ctx.needs_input_grad[0] else None
        return gx, None, (up.t() @ x).float().mul_(ctx.s), (g.t() @ down).float().mul_(ctx.s), None


class _Gated(torch.autograd.Function):
    """The last half of a gated MLP, silu(gate) * up through a LoRA layer, of which only gate and up are kept.

    Stock keeps silu(gate) and the product too: half of all that a layer keeps. The backward pass makes them again.
    """

    @staticmethod
    def forward(
        ctx: Any, gate: torch.Tensor, up: torch.Tensor, w: torch.Tensor, a: torch.Tensor, b: torch.Tensor, s: float
    ) -> torch.Tensor:
        flat = F.silu(gate).mul_(up).reshape(-1, gate.shape[-1])
        a, b = a.to(gate.dtype), b.to(gate.dtype)
        down = flat @ a.t()
        ctx.save_for_backward(gate, up, w, a, b, down)
        ctx.s = s
        return torch.mm(flat, w.t()).addmm_(down, b.t(), alpha=s).view(*gate.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        gate, up, w, a, b, down = ctx.saved_tensors
        g = grads[0].reshape(-1, grads[0].shape[-1])
        narrow = g @ b
        silu = F.silu(gate)
        x = (silu * up).view(-1, gate.shape[-1])
        ga, gb = (narrow.t() @ x).float().mul_(ctx.s), (g.t() @ down).float().mul_(ctx.s)
        gx = torch.mm(g, w).addmm_(narrow, a, alpha=ctx.s).view(gate.shape)
        ggate = torch.ops.aten.silu_backward(gx * up, gate)
        return ggate, gx.mul_(silu), None, ga, gb, None


class _Norm(torch.autograd.Function):
    """RMS norm with a frozen weight, rounded as transformers does; the backward pass needs one tensor, not four."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, w: torch.Tensor, eps: float) -> torch.Tensor:
        wide = x.float()
        scale = torch.rsqrt(wide.pow(2).mean(-1, keepdim=True).add_(eps))
        ctx.save_for_backward(x, w, scale)
        return (wide * scale).to(x.dtype).mul_(w)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        x, w, scale = ctx.saved_tensors
        unit, g = x.float() * scale, grads[0].float() * w
        return (g - unit * (g * unit).mean(-1, keepdim=True)).mul_(scale).to(x.dtype), None, None


def fuse(model: Any) -> int:
    """Give every plain LoRA layer and RMS norm of a PEFT model one fused forward. Returns how many LoRA layers took it.

    PEFT casts activations to the adapter's fp32 and back, layer by layer: a quarter of a step on a CPU. Weights stay in
    fp32 here too, only products are in the precision of the model. Layers with dropout, bias or a variant stay stock.
    """
    from peft.tuners.lora import Linear

    count = 0
    for layer in model.modules():
        if type(layer).__name__ in NORMS and not layer.weight.requires_grad:
            layer.forward = _norm(layer)
        if isinstance(layer, Linear) and _plain(layer):
            parts = (layer.base_layer, layer.lora_A["default"], layer.lora_B["default"])
            layer.forward = _lora(*parts, scale=float(layer.scaling["default"]))
            count += 1
    for mlp in (m for m in model.modules() if type(m).__name__ in MLPS and _is_gated(m)):
        mlp.forward = _mlp(mlp)
    return count


def _plain(layer: Any) -> bool:
    base: Any = layer.base_layer
    up: Any = layer.lora_B["default"]
    return (
        not layer.lora_variant
        and type(base) is torch.nn.Linear
        and getattr(base, "bias", None) is None
        and up.bias is None
        and isinstance(layer.lora_dropout["default"], torch.nn.Identity)
    )


def _is_gated(mlp: Any) -> bool:
    from peft.tuners.lora import Linear

    down: Any = mlp.down_proj
    return isinstance(mlp.act_fn, torch.nn.SiLU | SiLUActivation) and isinstance(down, Linear) and _plain(down)


def _mlp(mlp: Any) -> Callable[[torch.Tensor], Any]:
    down: Any = mlp.down_proj
    base, a, b, scale = down.base_layer, down.lora_A["default"], down.lora_B["default"], float(down.scaling["default"])

    def forward(x: torch.Tensor) -> Any:
        return _Gated.apply(mlp.gate_proj(x), mlp.up_proj(x), base.weight, a.weight, b.weight, scale)

    return forward


def _norm(layer: Any) -> Callable[[torch.Tensor], Any]:
    def forward(x: torch.Tensor) -> Any:
        return _Norm.apply(x, layer.weight, layer.variance_epsilon)

    return forward


def _lora(base: Any, down: Any, up: Any, scale: float) -> Callable[..., Any]:
    def forward(x: torch.Tensor, *_: Any, **__: Any) -> Any:
        return _Lora.apply(x, base.weight, down.weight, up.weight, scale)

    return forward


class PackedTrainer(SFTTrainer):
    """SFTTrainer whose loss is computed at labelled positions only, summed, and divided by the step's labelled tokens.

    The division by all labelled tokens of the step (not of the micro-batch) keeps gradient accumulation exact.
    """

    def compute_loss(
        self,
        model: Any,
        inputs: Mapping[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """Mean negative log-likelihood of the labelled tokens (of the whole step, under accumulation)."""
        labels = inputs["labels"][:, 1:]
        whole = self.accelerator.unwrap_model(model).get_base_model()
        keys = ("input_ids", "position_ids", "cu_seq_lens_q")
        hidden = whole.model(**{k: inputs[k] for k in keys}, use_cache=False).last_hidden_state[:, :-1]
        kept = labels != -100
        logits = F.linear(hidden[kept], whole.lm_head.weight).float()
        total = F.cross_entropy(logits, labels[kept], reduction="sum")
        count = kept.sum() if num_items_in_batch is None else num_items_in_batch
        loss = total / torch.as_tensor(count).clamp(min=1)
        return (loss, None) if return_outputs else loss
