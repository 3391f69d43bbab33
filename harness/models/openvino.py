"""The fast CPU engine: openvino-genai with continuous batching, so that new prompts join the running ones.

Weights and KV cache are F16, arithmetic is f32: as fast as the defaults, and the texts stay those of transformers (with
the default u8 cache 54 of 64 do). What prompts share is computed once: the cache is found again by its content.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.models.tokenizer import read_json
from harness.models.worker import Answer, Job, Options

# Tokens of a block of the KV cache on the CPU.
BLOCK = 32
# Tokens that a prompt must share with one in work before waiting for it pays.
WORTH_WAITING = 64
# Prompts computed earlier that are remembered, to know what the cache may hold.
REMEMBERED = 64


class _Running:
    """A job that the pipeline has taken in."""

    def __init__(self, job: Job, handle: Any) -> None:
        self.job = job
        self.handle = handle
        self.ids: list[int] = []
        self.logprobs: list[float] = []
        self.finish = ""


class OpenVino:
    """See the module."""

    def __init__(self, options: Options) -> None:
        import openvino_genai as genai

        scheduler = genai.SchedulerConfig()
        scheduler.num_kv_blocks = _blocks(options)
        scheduler.max_num_batched_tokens = 512
        scheduler.max_num_seqs = options.max_batch
        scheduler.enable_prefix_caching = True
        properties: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f16"}
        if options.threads:
            properties["INFERENCE_NUM_THREADS"] = options.threads
        self._pipeline: Any = genai.ContinuousBatchingPipeline(options.weights, scheduler, "CPU", properties)
        self._eos = set(options.eos)
        self._waiting: list[Job] = []
        self._running: dict[int, _Running] = {}
        self._computed: list[list[int]] = []

    @property
    def busy(self) -> bool:
        """Whether any job is left."""
        return bool(self._waiting or self._running)

    def add(self, job: Job) -> None:
        """Take a job in; it starts with the next step, or when what it shares with another is computed."""
        self._waiting.append(job)

    def cancel(self, id: int) -> None:
        """Forget a job."""
        self._waiting = [j for j in self._waiting if j.id != id]
        if running := self._running.pop(id, None):
            running.handle.cancel()

    def step(self) -> tuple[list[int], list[Answer]]:
        """One forward pass for all that run."""
        self._admit()
        active = list(self._running)
        self._pipeline.step()
        answers: list[Answer] = []
        for id in active:
            running = self._running[id]
            self._collect(running)
            if answer := self._finished(running):
                answers.append(answer)
                del self._running[id]
        return active, answers

    def _admit(self) -> None:
        """Start the waiting jobs, but hold those back whose beginning is being computed right now for another.

        The pipeline looks for cached blocks only when a prompt is added: eight prompts with the same 1,000 tokens in
        front, added together, took 14.6 s; seven of them added after the first one 2.2 s.
        """
        held: list[Job] = []
        for job in self._waiting:
            prefilling = [r.job.ids for r in self._running.values() if not r.ids]
            gain = _shared(job.ids, prefilling) - _shared(job.ids, self._computed)
            if gain >= WORTH_WAITING:
                held.append(job)
            else:
                self._start(job)
        self._waiting = held

    def _start(self, job: Job) -> None:
        """Hand a job to the pipeline."""
        import numpy as np
        import openvino as ov
        import openvino_genai as genai

        config: Any = genai.GenerationConfig()
        config.max_new_tokens = job.max_tokens
        config.apply_chat_template = False
        config.logprobs = int(job.logprobs)
        config.stop_token_ids = self._eos
        config.do_sample = job.temperature > 0
        if job.temperature > 0:
            config.temperature = job.temperature
            config.rng_seed = job.seed
        ids = ov.Tensor(np.array([job.ids], dtype=np.int64))
        self._running[job.id] = _Running(job, self._pipeline.add_request(job.id, ids, config))

    def _collect(self, running: _Running) -> None:
        """Take over the tokens that a step has made."""
        import openvino_genai as genai

        while running.handle.can_read():
            for output in running.handle.read().values():
                if not running.ids:
                    self._computed = [*self._computed[1 - REMEMBERED :], running.job.ids]
                running.ids += output.generated_ids
                running.logprobs += output.generated_log_probs
                if output.finish_reason == genai.GenerationFinishReason.LENGTH:
                    running.finish = "length"

    def _finished(self, running: _Running) -> Answer | None:
        """The answer, when it is complete."""
        import openvino_genai as genai

        status = running.handle.get_status()
        if status == genai.GenerationStatus.RUNNING:
            return None
        job = running.job
        if status != genai.GenerationStatus.FINISHED:
            return Answer(job.id, finish="error", error="the engine's KV cache has no room for this prompt")
        ids, logprobs = running.ids, running.logprobs
        if ids and ids[-1] in self._eos:
            ids, logprobs = ids[:-1], logprobs[:-1]
            running.finish = "stop"
        mean = sum(logprobs) / len(logprobs) if job.logprobs and logprobs else None
        return Answer(job.id, ids, "length" if running.finish == "length" else "stop", logprob=mean)


def _blocks(options: Options) -> int:
    """Blocks of the KV cache: as many as the bound allows, but enough for one full context (up to 2 GB)."""
    config = read_json(Path(options.directory) / "config.json")
    heads = int(config["num_attention_heads"])
    width = int(config.get("head_dim") or config["hidden_size"] // heads)
    kv_heads = int(config.get("num_key_value_heads") or heads)
    token = int(config["num_hidden_layers"]) * 2 * kv_heads * width * 2
    context = (int(config["max_position_embeddings"]) + BLOCK) * token
    return int(max(options.cache_mb * 1e6, min(context, 2e9)) // (token * BLOCK))


def _shared(ids: list[int], others: list[list[int]]) -> int:
    """The longest beginning that `ids` has in common with any of the others."""
    best = 0
    for other in others:
        n = 0
        for a, b in zip(ids, other, strict=False):
            if a != b:
                break
            n += 1
        best = max(best, n)
    return best
