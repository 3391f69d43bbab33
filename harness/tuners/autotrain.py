"""Fine-tuning by AutoTrain Advanced 0.8.36, in its own virtual environment and a process of its own.

The job is its directory. A process that trains holds its lock, and keeps it when we are killed, so that a second run
waits for the same training. Whether it succeeded, only the files say.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from typing import Any

import msgspec

from harness.errors import Problem, TuneError
from harness.tuners import autotrain_env, autotrain_files, training_file
from harness.tuners.base import Checkpoint, Estimate, Finding, Progress, Report, Struct, Tuned, TuneJob
from harness.tuners.lock import Lock
from harness.tuners.trl import TrlTuner
from harness.tuners.trl_files import Result, write_whole

WAIT = 0.5
SLOWER = (1.0, 6.0)
"""AutoTrain's time as multiples of our own trainer's, which pads and recomputes nothing."""


class Plan(Struct, frozen=True):
    """What was submitted: `plan.json`."""

    id: str
    block: int
    tokens: int


class AutoTrainTuner(TrlTuner):
    """Trains a LoRA adapter with AutoTrain; `serve` merges it like TRL's. One checkpoint: AutoTrain keeps the last."""

    kind = "autotrain"

    def validate(self, job: TuneJob) -> list[Finding]:
        """Everything wrong with the file, the parameters and the environment, at once."""
        limit, encode = self._limit(job), self._encode(job)
        findings = training_file.check(job.train, limit=limit, encode=encode, over_limit="warning")
        if not any(f.severity == "error" for f in findings):
            sizes = _sizes(job, encode)
            if sum(sizes) < 2 * _block(sizes, limit):
                said = "too few tokens: AutoTrain packs rows into blocks, and these do not fill two"
                findings.append(Finding("error", said))
        if why := autotrain_env.missing():
            findings.append(Finding("error", why))
        for name in ("learning_rate_multiplier", "training_type", "deployment_sku"):
            if job.params.get(name) is not None:
                findings.append(Finding("warning", f"{name} does nothing with tuner: autotrain"))
        findings.append(Finding("info", "AutoTrain learns prompts and answers alike, and keeps its last epoch only"))
        return findings

    def estimate(self, job: TuneJob) -> Estimate:
        """As TRL's, with a wider band: AutoTrain was not made for a CPU."""
        known = super().estimate(job)
        assert known.seconds is not None
        low, high = known.seconds
        why = f"{known.why}; AutoTrain takes up to {SLOWER[1]:g} times that"
        return msgspec.structs.replace(known, seconds=(low * SLOWER[0], high * SLOWER[1] + 60.0), why=why)

    async def find(self, job: TuneJob) -> str | None:
        """The id in `plan.json`."""
        plan = _plan(job)
        return plan.id if plan else None

    async def submit(self, job: TuneJob) -> str:
        """Write base, rows and YAML as AutoTrain wants them; training starts with `follow`."""
        base = await asyncio.to_thread(self._locate, job.base)
        sizes = _sizes(job, self._encode(job))
        block = _block(sizes, self._limit(job))
        autotrain_files.prepare(base, job.workdir / "base")
        data = job.workdir / "data"
        data.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(job.train, data / "train.jsonl")
        shape: Any = json.loads((base / "config.json").read_bytes())
        width = int(shape.get("num_hidden_layers", 1)) * int(shape.get("hidden_size", 1))
        made = autotrain_files.config(job.params, block, job.seed, width)
        write_whole(job.workdir / "autotrain.yml", json.dumps(made, indent=1).encode())
        plan = Plan(f"autotrain-{job.key[:12]}", block, sum(sizes) * int(made["params"]["epochs"]))
        write_whole(job.workdir / "plan.json", msgspec.json.encode(plan))
        return plan.id

    async def follow(self, job: TuneJob, id: str, report: Report) -> Tuned:
        """Train, or wait for the process that does. A cancelled call stops the training; a killed one does not."""
        (job.workdir / "cancel").unlink(missing_ok=True)
        lock = Lock(job.workdir / "training.lock")
        started = False
        while not (job.workdir / "done.json").exists():
            if not lock.take():
                _tell(job, report)
                await asyncio.sleep(WAIT)
                continue
            try:
                if not autotrain_files.artifact(job.workdir):
                    _finish(job)
                elif (job.workdir / "cancel").exists():
                    raise TuneError(Problem(f"the training {id} was cancelled", fix="run again: it starts anew"))
                elif started:
                    raise TuneError(_failure(job, id))
                else:
                    started = True
                    await self._train(job, lock, report)
            finally:
                lock.release()
        return self._finished(job, id)

    async def cancel(self, job: TuneJob, id: str) -> None:
        """Stop the training wherever it runs. What it learnt is lost: AutoTrain keeps no checkpoints."""
        (job.workdir / "cancel").touch()
        lock = Lock(job.workdir / "training.lock")
        if lock.take():
            lock.release()
        elif (job.workdir / "pid").exists():
            _kill(int((job.workdir / "pid").read_text("utf-8")))

    async def clean(self, job: TuneJob, keep: str = "") -> None:
        """Nothing bills by the hour; what a killed merge left is removed."""
        for part in job.workdir.glob("models/*.part"):
            shutil.rmtree(part, ignore_errors=True)

    async def _train(self, job: TuneJob, lock: Lock, report: Report) -> None:
        """One training, to its end. The child holds the lock's file, so that the lock outlives us."""
        shutil.rmtree(job.workdir / autotrain_files.PROJECT, ignore_errors=True)
        (job.workdir / "pid").unlink(missing_ok=True)
        write_whole(job.workdir / "begun", str(time.time()).encode())
        with (job.workdir / "autotrain.log").open("wb") as log:
            process = subprocess.Popen(  # noqa: ASYNC220  # asyncio's would tie the child to this loop
                [str(autotrain_env.program()), "--config", "autotrain.yml"],
                cwd=job.workdir,
                env=autotrain_env.environment(self._threads),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(lock.descriptor,) if lock.descriptor is not None else (),
                start_new_session=True,  # a Ctrl-C is ours to pass on
            )
        try:
            write_whole(job.workdir / "pid", str(process.pid).encode())
            while process.poll() is None:
                _tell(job, report)
                await asyncio.sleep(WAIT)
        except BaseException:
            _kill(process.pid)
            process.wait()
            raise
        _tell(job, report)  # its last steps may have come since it was looked at

    def _finished(self, job: TuneJob, id: str) -> Tuned:
        result = msgspec.json.decode((job.workdir / "done.json").read_bytes(), type=Result)
        step, loss, _ = result.curve[-1] if result.curve else (result.steps, None, None)
        checkpoint = Checkpoint(
            id="final",
            step=step,
            epoch=float(result.info["epochs"]),
            model=str(job.workdir / "models" / "final"),
            train_loss=loss,
        )
        return Tuned(id, (checkpoint,), result.tokens, result.seconds, None, result.curve, result.info)


def _finish(job: TuneJob) -> None:
    """Keep the adapter where `serve` looks for it, and write down that the training ended."""
    plan = _plan(job)
    assert plan is not None
    project = job.workdir / autotrain_files.PROJECT
    kept = job.workdir / "adapters" / "final"
    shutil.rmtree(kept, ignore_errors=True)
    kept.mkdir(parents=True)
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        shutil.copyfile(project / name, kept / name)
    params: Any = json.loads((project / "training_params.json").read_bytes())
    found = autotrain_files.losses(_log(job))
    curve = tuple((i, loss, None) for i, (_, loss) in enumerate(found, start=1))
    ended = (project / "README.md").stat().st_mtime
    begun = job.workdir / "begun"
    result = Result(
        steps=max(len(curve), 1),
        tokens=plan.tokens,
        seconds=max(ended - float(begun.read_text("utf-8")), 0.0) if begun.exists() else 0.0,
        curve=curve,
        epochs=((params["epochs"], max(len(curve), 1)),),
        info={"autotrain": "0.8.36", "block": plan.block, "epochs": params["epochs"], "learning_rate": params["lr"]},
    )
    write_whole(job.workdir / "done.json", msgspec.json.encode(result))


def _tell(job: TuneJob, report: Report) -> None:
    """Report the last step in the log; the number of steps in all is known from the share of an epoch."""
    found = autotrain_files.losses(_log(job))
    if not found:
        report(Progress("starting AutoTrain"))
        return
    config: Any = json.loads((job.workdir / "autotrain.yml").read_bytes())
    epoch, loss = found[-1]
    total = round(len(found) * config["params"]["epochs"] / epoch) if epoch > 0 else 0
    report(Progress("training", len(found), max(total, len(found)), loss))


def _log(job: TuneJob) -> str:
    log = job.workdir / "autotrain.log"
    return log.read_text("utf-8", "replace") if log.exists() else ""


def _failure(job: TuneJob, id: str) -> Problem:
    """Why there is no model: what lacks, and the last error that AutoTrain logged (it exits with 0 all the same)."""
    lacks, said = autotrain_files.artifact(job.workdir), autotrain_files.complaint(_log(job))
    log = str(job.workdir / "autotrain.log")
    return Problem(
        f"the training {id} failed: {said}", where=log, got=lacks, fix="mend it and run again: it starts anew"
    )


def _plan(job: TuneJob) -> Plan | None:
    try:
        return msgspec.json.decode((job.workdir / "plan.json").read_bytes(), type=Plan)
    except (OSError, msgspec.DecodeError):
        return None


def _sizes(job: TuneJob, encode: training_file.Encode) -> list[int]:
    return [training_file.count_tokens(row, encode) for row in training_file.read(job.train)]


def _block(sizes: list[int], limit: int | None) -> int:
    """Tokens of a packed block: the longest row, in steps of 32, so that a step sees about as many rows as TRL's."""
    longest = -(-max(sizes, default=32) // 32) * 32
    return min(longest, limit) if limit else longest


def _kill(group: int) -> None:
    """End AutoTrain with all that it started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)
