"""The reference engine: transformers' own `generate`, on the CPU or a GPU, in left-padded batches of like length.

Sampling above temperature 0 is greedy choice on logits with seeded Gumbel noise, which is the same distribution: each
answer depends on its own seed and not on what shares its batch.
"""

from __future__ import annotations

import os
from typing import Any

from harness.models.worker import Answer, Job, Options

# Tokens of a batch, padding and answers included: bounds the KV cache (46 KB a token for SmolLM2 in f32).
BATCH_TOKENS = 16384


class Reference:
    """See the module."""

    def __init__(self, options: Options) -> None:
        # Spinning threads starve whoever shares the cores; only read when torch is first imported.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        import torch
        from transformers import AutoModelForCausalLM

        if options.threads:
            torch.set_num_threads(options.threads)
        if options.device == "cuda" and not torch.cuda.is_available():
            raise RuntimeError("torch sees no GPU; set CUDA_VISIBLE_DEVICES to the empty string to run on the CPU")
        model: Any = AutoModelForCausalLM.from_pretrained(options.directory, dtype=torch.float32)
        self._model = model.to(options.device).eval()
        self._options = options
        self._waiting: list[Job] = []

    @property
    def busy(self) -> bool:
        """Whether any job is left."""
        return bool(self._waiting)

    def add(self, job: Job) -> None:
        """Take a job in; it waits for its batch."""
        self._waiting.append(job)

    def cancel(self, id: int) -> None:
        """Forget a job that waits; one in a batch is gone when the batch is."""
        self._waiting = [j for j in self._waiting if j.id != id]

    def step(self) -> tuple[list[int], list[Answer]]:
        """One whole batch."""
        batch = self._next_batch()
        taken = {j.id for j in batch}
        self._waiting = [j for j in self._waiting if j.id not in taken]
        return list(taken), self._generate(batch)

    def _next_batch(self) -> list[Job]:
        """The oldest job, with those nearest to it in length, as many as fit."""
        oldest = self._waiting[0]
        near = sorted(self._waiting, key=lambda j: (j.id != oldest.id, abs(len(j.ids) - len(oldest.ids))))
        batch: list[Job] = []
        for job in near[: self._options.max_batch]:
            grown = [*batch, job]
            size = len(grown) * (max(len(j.ids) for j in grown) + max(j.max_tokens for j in grown))
            if batch and size > BATCH_TOKENS:
                break
            batch = grown
        return batch

    def _generate(self, batch: list[Job]) -> list[Answer]:
        """All answers of a batch."""
        import torch
        from transformers import GenerationConfig

        eos = list(self._options.eos)
        width = max(len(j.ids) for j in batch)
        pad = eos[0] if eos else 0
        ids = torch.tensor([[pad] * (width - len(j.ids)) + j.ids for j in batch], device=self._options.device)
        mask = torch.tensor([[0] * (width - len(j.ids)) + [1] * len(j.ids) for j in batch], device=self._options.device)
        config = GenerationConfig(
            max_new_tokens=max(j.max_tokens for j in batch), do_sample=False, eos_token_id=eos or None, pad_token_id=pad
        )
        chooser = _Chooser(batch)

        def full(input_ids: Any, scores: Any, **_: Any) -> Any:
            made = input_ids.shape[1] - width
            return torch.tensor([made >= j.max_tokens for j in batch], device=input_ids.device)

        with torch.inference_mode():
            out = self._model.generate(
                input_ids=ids,
                attention_mask=mask,
                generation_config=config,
                logits_processor=[chooser],
                stopping_criteria=[full],
            )
        rows = out[:, width:].tolist()
        return [
            _answer(job, row, eos, chooser.logprobs[i]) for i, (job, row) in enumerate(zip(batch, rows, strict=True))
        ]


class _Chooser:
    """A logits processor that adds each row's own noise, and notes the log-probability of what will be chosen."""

    def __init__(self, batch: list[Job]) -> None:
        import torch

        self._batch = batch
        self._noise = {i: torch.Generator().manual_seed(j.seed) for i, j in enumerate(batch) if j.temperature > 0}
        self.logprobs: list[list[float]] = [[] for _ in batch]

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        import torch

        chosen = scores
        if self._noise:
            chosen = scores.clone()
            for i, generator in self._noise.items():
                uniform = torch.rand(scores.shape[1], generator=generator, dtype=torch.float64).clamp_min(1e-300)
                gumbel = -torch.log(-torch.log(uniform))
                chosen[i] = scores[i] / self._batch[i].temperature + gumbel.to(scores)
        wanted = [i for i, j in enumerate(self._batch) if j.logprobs]
        if wanted:
            logs = torch.log_softmax(scores[wanted].float(), -1)
            picked = logs.gather(1, chosen[wanted].argmax(-1, keepdim=True)).squeeze(1).tolist()
            for i, value in zip(wanted, picked, strict=True):
                self.logprobs[i].append(value)
        return chosen


def _answer(job: Job, row: list[int], eos: list[int], logprobs: list[float]) -> Answer:
    """A row up to its first end token, or to the job's own length."""
    row = row[: job.max_tokens]
    end = next((i for i, token in enumerate(row) if token in eos), None)
    made = row[:end]
    kept = logprobs[: len(made)]
    mean = sum(kept) / len(kept) if kept else None
    return Answer(job.id, made, "length" if end is None else "stop", logprob=mean)
