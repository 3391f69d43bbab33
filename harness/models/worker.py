"""The process in which a local engine runs, and the lines that it speaks.

A process, not a thread: openvino-genai holds the interpreter lock during a step (up to a second), which would stall
the event loop, the progress bar and Ctrl-C. A process also gives all its memory back when closed, can be killed in
the middle of a step, and never has two OpenMP runtimes in it. Jobs come in on stdin, answers leave on stdout, one
JSON line each; at the end of stdin the process ends, so that a killed parent leaves no orphan. While a step or the
loading holds the lock nobody sees that end, so on Linux the kernel is asked to see to it.
"""

from __future__ import annotations

import argparse
import os
import queue
import select
import signal
import sys
import threading
import time
from typing import BinaryIO, Literal, Protocol

import msgspec

EngineName = Literal["openvino", "transformers"]


class Job(msgspec.Struct, frozen=True, omit_defaults=True):
    """One prompt to be answered; `ids` are its tokens. `cancel` takes an earlier one back."""

    id: int
    ids: list[int] = []
    max_tokens: int = 0
    temperature: float = 0.0
    seed: int = 0
    logprobs: bool = False
    cancel: bool = False


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of a job. `ids` hold no end token; `busy` is its share of the engine's wall time in seconds."""

    id: int
    ids: list[int] = []
    finish: Literal["stop", "length", "error"] = "stop"
    cached: int = 0
    busy: float = 0.0
    logprob: float | None = None
    error: str = ""


class Hello(msgspec.Struct, frozen=True, omit_defaults=True):
    """The first line: how long the engine took to load, or why it did not."""

    seconds: float = 0.0
    error: str = ""


class Options(msgspec.Struct, frozen=True):
    """How an engine is opened."""

    directory: str
    weights: str
    eos: tuple[int, ...]
    max_batch: int
    threads: int | None
    cache_mb: int
    device: Literal["cpu", "cuda"] = "cpu"


class Engine(Protocol):
    """What generates. It is called from one thread only."""

    def add(self, job: Job) -> None:
        """Take a job in."""
        ...

    def cancel(self, id: int) -> None:
        """Forget a job, if it is still there."""
        ...

    def step(self) -> tuple[list[int], list[Answer]]:
        """Do a bit of work. Returns the ids of the jobs that it was for, and the answers that are complete."""
        ...

    @property
    def busy(self) -> bool:
        """Whether any job is left."""
        ...


def _end_with_parent() -> None:
    """On Linux: be killed when the thread that started this process ends (prctl's PR_SET_PDEATHSIG)."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(1, int(signal.SIGKILL))
        parent = select.poll()
        parent.register(0, select.POLLHUP)
        if any(event & select.POLLHUP for _, event in parent.poll(0)):
            os._exit(0)  # it ended before it was asked for


def _open(name: EngineName, options: Options) -> Engine:
    """The engine of this name; only its own libraries are imported."""
    if name == "openvino":
        from harness.models.openvino import OpenVino

        return OpenVino(options)
    from harness.models.transformers import Reference

    return Reference(options)


def _read(stream: BinaryIO, inbox: queue.SimpleQueue[Job]) -> None:
    """Lines into jobs, until the parent is gone."""
    decoder = msgspec.json.Decoder(Job)
    for line in stream:
        inbox.put(decoder.decode(line))
    os._exit(0)


def _gather(inbox: queue.SimpleQueue[Job], wait: bool) -> list[Job]:
    """What has come in. When idle: wait for a first job, then a moment for those that come with it."""
    jobs: list[Job] = []
    if wait:
        jobs.append(inbox.get())
    while True:
        try:
            jobs.append(inbox.get(timeout=0.01) if wait else inbox.get_nowait())
        except queue.Empty:
            return jobs


def serve(engine: Engine, inbox: queue.SimpleQueue[Job], out: BinaryIO) -> None:
    """Work for ever: new jobs join the running ones between two steps."""
    shares: dict[int, float] = {}
    while True:
        for job in _gather(inbox, wait=not engine.busy):
            if job.cancel:
                engine.cancel(job.id)
                shares.pop(job.id, None)
            else:
                shares[job.id] = 0.0
                engine.add(job)
        if not engine.busy:
            continue
        start = time.perf_counter()
        active, answers = engine.step()
        share = (time.perf_counter() - start) / max(len(active), 1)
        for id in active:
            if id in shares:
                shares[id] += share
        for answer in answers:
            if answer.id in shares:
                done = msgspec.structs.replace(answer, busy=shares.pop(answer.id))
                out.write(msgspec.json.encode(done) + b"\n")
        if answers:
            out.flush()


def main() -> None:
    """`python -m harness.models.worker ENGINE OPTIONS`, where OPTIONS is JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("engine")
    parser.add_argument("options")
    args = parser.parse_args()
    _end_with_parent()
    # Ctrl-C reaches the whole terminal group; the parent decides what ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Native libraries print to file 1: the protocol gets a copy of it, they get stderr.
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    inbox: queue.SimpleQueue[Job] = queue.SimpleQueue()
    start = time.perf_counter()
    try:
        engine = _open(args.engine, msgspec.json.decode(args.options, type=Options))
    except Exception as error:
        out.write(msgspec.json.encode(Hello(error=f"{type(error).__name__}: {error}")) + b"\n")
        out.flush()
        raise
    out.write(msgspec.json.encode(Hello(seconds=time.perf_counter() - start)) + b"\n")
    out.flush()
    threading.Thread(target=_read, args=(sys.stdin.buffer, inbox), daemon=True).start()
    serve(engine, inbox, out)


if __name__ == "__main__":
    main()
