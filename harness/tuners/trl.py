"""Fine-tuning on this machine: LoRA by TRL's SFTTrainer, in a process of its own (`trl_worker`).

The job is its directory: `plan.json` says what to train, the worker's checkpoints say how far it is, `done.json` that
it ended. So a job is found again after any kill, and a second caller follows the first one's training.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

from harness.errors import ModelError, Problem, TuneError
from harness.tuners import merged, training_file
from harness.tuners.base import Checkpoint, Estimate, Finding, Progress, Report, Tuned, TuneJob
from harness.tuners.trl_files import BUSY, CANCELLED, VALID_ROWS, Line, Plan, Result, write_whole
from harness.tuners.trl_speed import Speed, waiting

LEARNING_RATE = 1e-3
EPOCHS = 3
BATCH = 8
IGNORED = {
    "learning_rate_multiplier": "use learning_rate",
    "training_type": "it belongs to tuner: azure",
    "deployment_sku": "it belongs to tuner: azure",
}


class TrlTuner:
    """Trains LoRA adapters on the CPU or a GPU. `serve` merges one into a directory that opens as a local model.

    Args:
        locate: model reference -> its directory (config.json, *.safetensors, tokenizer.json), fetched where needed.
        merge: (base directory, adapter directory, directory to make) -> None; writes what the local engines read.
        speed: what remembers how fast trainings were here.
        threads: CPU threads; default: the processors that this process may use.

    Attributes:
        elsewhere: makes a training on another machine and brings its files into the job's directory; None: here.
    """

    kind = "trl"

    def __init__(
        self,
        locate: Callable[[str], Path],
        merge: Callable[[Path, Path, Path], Any],
        speed: Speed,
        threads: int | None = None,
    ) -> None:
        self._locate = locate
        self._merge = merge
        self._speed = speed
        self._threads = threads or processors()
        self.elsewhere: Callable[[TuneJob], Awaitable[Tuned]] | None = None

    def validate(self, job: TuneJob) -> list[Finding]:
        """Everything wrong with the training file, the dev file and the parameters, at once."""
        encode = self._encode(job)
        limit = self._limit(job)
        findings = training_file.check(job.train, limit=limit, encode=encode, over_limit="warning")
        if job.valid:
            findings += [
                msgspec.structs.replace(f, message=f"{job.valid.name}: {f.message}")
                for f in training_file.check(job.valid, limit=limit, encode=encode, over_limit="warning", min_rows=0)
            ]
        return findings + _parameters(job.params) + _machine(job.params)

    def estimate(self, job: TuneJob) -> Estimate:
        """Trained tokens and seconds; dollars are hours at the caller's rate."""
        encode = self._encode(job)
        limit = self._limit(job)
        try:
            rows = training_file.read(job.train)
            dev = training_file.read(job.valid) if job.valid else []
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise TuneError(Problem(f"the training file cannot be read: {error}", where=str(job.train))) from None
        epochs = _number(job.params.get("epochs"), EPOCHS)
        size = [min(training_file.count_tokens(r, encode), limit or sys.maxsize) for r in rows]
        tokens = sum(size) * epochs
        # A dev row takes the forward third of a training row's work.
        work = tokens + epochs * sum(training_file.count_tokens(r, encode) for r in dev[:VALID_ROWS]) / 3
        seconds, why = self._speed.seconds(work, parameters(self._directory(job)), self._threads)
        return Estimate(trained_tokens=tokens, epochs=float(epochs), usd=None, seconds=seconds, why=why)

    async def find(self, job: TuneJob) -> str | None:
        """The id in `plan.json`, unless the weights that it names have moved (then the plan is written anew)."""
        try:
            plan = msgspec.json.decode((job.workdir / "plan.json").read_bytes(), type=Plan)
        except (OSError, msgspec.DecodeError):
            return None
        return plan.id if Path(plan.base).is_dir() else None

    async def submit(self, job: TuneJob) -> str:
        """Write `plan.json`; training starts with `follow`."""
        base = await asyncio.to_thread(self._locate, job.base)
        params, lora = job.params, job.params.get("lora") or {}
        targets = lora.get("target_modules", "all-linear")
        plan = Plan(
            id=f"trl-{job.key[:12]}",
            base=str(base),
            train=str(job.train),
            valid=str(job.valid) if job.valid else None,
            epochs=_number(params.get("epochs"), EPOCHS),
            batch_size=_number(params.get("batch_size"), BATCH),
            learning_rate=float(params.get("learning_rate") or LEARNING_RATE),
            r=int(lora.get("r", 16)),
            alpha=int(lora.get("alpha", 32)),
            dropout=float(lora.get("dropout", 0.0)),
            target_modules=targets if isinstance(targets, str) else tuple(targets),
            quantization=str(params.get("quantization", "none")),
            max_length=self._limit(job),
            seed=job.seed,
            threads=self._threads,
        )
        job.workdir.mkdir(parents=True, exist_ok=True)
        write_whole(job.workdir / "plan.json", msgspec.json.encode(plan))
        return plan.id

    async def follow(self, job: TuneJob, id: str, report: Report) -> Tuned:
        """Train, or wait for the process that trains this job already. A cancelled call stops its training at once."""
        (job.workdir / "cancel").unlink(missing_ok=True)
        if self.elsewhere is not None and self.kind == "trl" and not (job.workdir / "done.json").exists():
            return await self.elsewhere(job)
        while not (job.workdir / "done.json").exists():
            code = await self._work(job, report)
            if code == BUSY:
                await _wait(job, report)
            elif code == CANCELLED:
                raise TuneError(
                    Problem(f"the training {id} was cancelled", fix="run again: it goes on from its checkpoint")
                )
            elif code != 0:
                raise TuneError(_reason(job, id, code))
        return self._tuned(job, id)

    async def serve(self, job: TuneJob, checkpoint: Checkpoint) -> str:
        """Merge a checkpoint into the base: a directory that opens as a local model, made once."""
        made = job.workdir / "models" / checkpoint.id
        return str(await asyncio.to_thread(merged.make, made, job.base, self._locate, self._merge))

    async def cancel(self, job: TuneJob, id: str) -> None:
        """Stop the training wherever it runs; its last checkpoint stays."""
        (job.workdir / "cancel").touch()

    async def clean(self, job: TuneJob, keep: str = "") -> None:
        """Nothing bills by the hour, but half a gigabyte a checkpoint is freed: `serve` makes it again when asked.

        What a killed merge left goes always; merged models go only where one is named to be kept.
        """
        made = [m for m in job.workdir.glob("models/*") if keep and m != Path(keep)]
        for folder in (*made, *job.workdir.glob("models/*.part"), *job.workdir.glob("adapters/*.part")):
            shutil.rmtree(folder, ignore_errors=True)

    async def _work(self, job: TuneJob, report: Report) -> int:
        """Run the worker until it ends; returns its exit code. The worker dies with us: it reads our pipe."""
        environment = {
            **{k: v for k, v in os.environ.items() if k not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")},
            **await asyncio.to_thread(waiting),
            "OMP_NUM_THREADS": str(self._threads),
            "MKL_NUM_THREADS": str(self._threads),
            # oneDNN keeps what it made for every length that it met, 1,024 at most: 700 MB of them in an epoch.
            "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "128",
            "TOKENIZERS_PARALLELISM": "false",
            "HF_HUB_OFFLINE": "1",
            "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]).rstrip(
                os.pathsep
            ),
        }
        with (job.workdir / "worker.log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "harness.tuners.trl_worker", str(job.workdir)),
                stdin=asyncio.subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,  # a Ctrl-C is ours to pass on
            )
            lines = Tail(job.workdir / "progress.jsonl")
            ended = asyncio.ensure_future(process.wait())
            try:
                while not ended.done():
                    await asyncio.wait({ended}, timeout=0.25)
                    lines.tell(report)
                return ended.result()
            finally:
                if process.returncode is None:
                    process.kill()
                    await asyncio.shield(ended)

    def _tuned(self, job: TuneJob, id: str) -> Tuned:
        result = msgspec.json.decode((job.workdir / "done.json").read_bytes(), type=Result)
        losses = {step: (loss, valid) for step, loss, valid in result.curve}
        checkpoints = tuple(
            Checkpoint(
                id=f"epoch-{epoch}",
                step=step,
                epoch=float(epoch),
                model=str(job.workdir / "models" / f"epoch-{epoch}"),
                train_loss=losses.get(step, (None, None))[0],
                valid_loss=losses.get(step, (None, None))[1],
            )
            for epoch, step in result.epochs
        )
        self._speed.learn(result, parameters(self._directory(job)), self._threads)
        return Tuned(
            job=id,
            checkpoints=checkpoints,
            trained_tokens=result.tokens,
            seconds=result.seconds,
            usd=None,
            curve=result.curve,
            info=result.info,
        )

    def _directory(self, job: TuneJob) -> Path | None:
        """The base's directory where it is on this machine already."""
        try:
            path = self._locate(job.base)
        except ModelError:
            return None
        return path if path.is_dir() else None

    def _limit(self, job: TuneJob) -> int | None:
        """Tokens at which a row is cut: `max_length`, and never more than the base's context."""
        folder = self._directory(job)
        try:
            config: Any = json.loads((folder / "config.json").read_bytes()) if folder else {}
        except (OSError, ValueError):
            config = {}
        known = [n for n in (job.params.get("max_length"), config.get("max_position_embeddings")) if n]
        return min(known, default=None)

    def _encode(self, job: TuneJob) -> training_file.Encode:
        """The base's own tokenizer, or four bytes a token where it is not to be had."""
        folder = self._directory(job)
        if folder is None or not (folder / "tokenizer.json").exists():
            return training_file.rough
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)


class Tail:
    """Reports what is new in a progress file."""

    def __init__(self, path: Path, *, from_start: bool = False) -> None:
        self._path = path
        self._at = 0 if from_start or not path.exists() else path.stat().st_size

    def tell(self, report: Report) -> None:
        """Report the latest whole line, if there is a new one."""
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._at)
            new = file.read()
        whole = new[: new.rfind(b"\n") + 1]
        self._at += len(whole)
        if not whole:
            return
        try:
            line = msgspec.json.decode(whole.splitlines()[-1], type=Line)
        except msgspec.DecodeError:  # torn by a kill
            return
        left = "" if line.left is None else f"{line.left:.0f} s left"
        report(Progress(line.status, line.step, line.total, line.loss, ", ".join(filter(None, (line.message, left)))))


async def _wait(job: TuneJob, report: Report) -> None:
    """Until the process that trains this job ends, or 2 s without news (then the lock is tried again)."""
    lines = Tail(job.workdir / "progress.jsonl")
    until = time.monotonic() + 2
    while time.monotonic() < until and not (job.workdir / "done.json").exists():
        await asyncio.sleep(0.25)
        lines.tell(report)


def _reason(job: TuneJob, id: str, code: int) -> Problem:
    """Why a worker failed, from the end of its log."""
    log = job.workdir / "worker.log"
    text = log.read_text("utf-8", "replace").strip() if log.exists() else ""
    last = text.splitlines()[-1] if text else "it left no message"
    if code in (-9, 137):
        last = "it was killed, most likely because memory ran out"
    if missing := re.search(r"No module named '(\w+)", last):
        fix = f"`pip install 'harness-evals[local]'` brings {missing[1]}"
    else:
        fix = "run again: it goes on from its last checkpoint"
    return Problem(f"the training {id} failed: {last}", where=str(log), got=f"exit code {code}", fix=fix)


def _number(value: Any, default: int) -> int:
    return default if value is None or value == "auto" else int(value)


def _parameters(params: dict[str, Any]) -> list[Finding]:
    findings = [
        Finding("warning", f"{name} does nothing with tuner: trl: {why}")
        for name, why in IGNORED.items()
        if params.get(name) is not None
    ]
    if params.get("merge") is False:
        findings.append(
            Finding("warning", "merge: false does nothing with tuner: trl: the engines read merged weights")
        )
    for name in ("epochs", "batch_size"):
        if params.get(name) == "auto":
            used = EPOCHS if name == "epochs" else BATCH
            findings.append(Finding("info", f"{name}: auto is {used} with tuner: trl"))
    return findings


def _machine(params: dict[str, Any]) -> list[Finding]:
    from importlib.util import find_spec

    findings = [
        Finding("error", f"the package {name} is missing: `pip install 'harness-evals[local]'`")
        for name in ("torch", "transformers", "peft", "trl", "datasets")
        if find_spec(name) is None
    ]
    if params.get("quantization", "none") != "none" and (find_spec("bitsandbytes") is None or not _has_gpu()):
        findings.append(
            Finding("error", f"quantization: {params['quantization']} needs an NVIDIA GPU and the package bitsandbytes")
        )
    return findings


def _has_gpu() -> bool:
    """Whether an NVIDIA driver is there; asked without torch."""
    return Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None


def processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def parameters(folder: Path | None) -> float | None:
    """Parameters of the model in a directory, from the headers of its weight files; None when not known."""
    count = 0
    for file in sorted(folder.glob("*.safetensors")) if folder else ():
        with file.open("rb") as raw:
            header = json.loads(raw.read(int.from_bytes(raw.read(8), "little")))
        for name, tensor in header.items():
            size = 1
            for side in tensor.get("shape", ()):
                size *= side
            count += 0 if name == "__metadata__" else size
    return float(count) or None
