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

from harness.tuners import training_file
from harness.tuners.lora import build, choose_pad, tokenize
from harness.tuners.trl_files import BUSY, CANCELLED, VALID_ROWS, Line, Plan, Result, write_whole

SAVE_SECONDS = 30.0


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
    if (workdir / "done.json").exists():  # whoever had the lock ended while this process began
        return 0
    plan = msgspec.json.decode((workdir / "plan.json").read_bytes(), type=Plan)
    say = Journal(workdir / "progress.jsonl")
    say(Line("loading"))
    result = train(plan, workdir, say)
    write_whole(workdir / "done.json", msgspec.json.encode(result))
    shutil.rmtree(workdir / "trainer", ignore_errors=True)
    say(Line("trained", result.steps, result.steps))
    return 0


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
    if not examples:
        raise ValueError(f"no row has any of its answer within {plan.max_length} tokens")
    valid = training_file.read(Path(plan.valid))[:VALID_ROWS] if plan.valid else []
    dev = tokenize(valid, tokenizer, plan.max_length)
    resumed = last_whole(workdir / "trainer")
    clock = Clock(before=resumed[1] if resumed else 0.0)
    trainer, info = build(plan, workdir, tokenizer, examples, Dataset.from_list(dev) if dev else None)
    steps = -(-len(examples) // plan.batch_size)
    trainer.remove_callback(transformers.PrinterCallback)
    trainer.add_callback(follow(workdir, say, clock, steps, bool(dev)))
    say(Line("training", 0, steps * plan.epochs, message="resumed" if resumed else ""))
    trainer.train(resume_from_checkpoint=str(resumed[0]) if resumed else None)
    history = trainer.state.log_history
    losses = {h["step"]: h["eval_loss"] for h in history if "eval_loss" in h}
    curve = tuple((int(h["step"]), float(h["loss"]), losses.get(h["step"])) for h in history if "loss" in h)
    tokens = sum(len(e["input_ids"]) for e in examples) * plan.epochs
    seconds = clock.seconds
    info |= {"peak_mb": peak_mb(), "tokens_per_second": round(tokens / seconds, 1), "rows": len(examples)}
    epochs = tuple((e, e * steps) for e in range(1, plan.epochs + 1))
    return Result(steps=steps * plan.epochs, tokens=tokens, seconds=seconds, curve=curve, epochs=epochs, info=info)


class Clock:
    """Seconds trained, those before a kill included."""

    def __init__(self, before: float) -> None:
        self._before = before
        self._start = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Until now."""
        return self._before + time.perf_counter() - self._start


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
