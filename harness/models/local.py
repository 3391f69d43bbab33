"""Weights on this machine as a model: the ordinary `generate`, answered by a worker process that batches behind it.

Opening is cheap: the digest is read, nothing is loaded. The worker starts with the first request, so that a run whose
answers are all stored never pays for it. Which engine works there is decided in `engines`.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Literal

import msgspec

from harness.errors import Failed, ModelError, Problem
from harness.models.base import Completion, Failure, Message, Request, Usage
from harness.models.engines import Choice, Wanted, pick, weights_for
from harness.models.tokenizer import Tokenizer, context_of
from harness.models.weights import digest_of, fetch
from harness.models.worker import Answer, EngineName, Hello, Job, Options
from harness.taskset import digest

# A step on a CPU takes hardly longer for 64 prompts than for 32: its matrices are too flat to fill the processor.
BATCH = {"openvino": 64, "transformers": 16}
# Workers end with the thread that started them, so it is one that lives as long as this process.
_STARTER = ThreadPoolExecutor(1, "workers")


def open_local(
    dir_or_name: str | Path,
    *,
    name: str | None = None,
    engine: Wanted = "auto",
    choice: Choice | None = None,
    max_batch: int | None = None,
    threads: int | None = None,
    cache_mb: int = 768,
    progress: Callable[[int, int], None] | None = None,
) -> LocalModel:
    """A model on local weights; fetches them when they are named and not here yet.

    Args:
        dir_or_name: a directory in Hugging Face's form, a name of the catalogue, or `hf/ORG/NAME`.
        name: as the user names it; default: `local/` and the last part of the directory's path.
        engine: "auto" takes the fast one where it is installed, can read the weights and is not known to disagree.
        choice: the engine where it was chosen before (`engine` is then not asked).
        max_batch: how many prompts run together.
        threads: processor threads; default: the engine's own choice.
        cache_mb: bound of the fast engine's KV cache.
        progress: told bytes done and bytes in all while fetching.

    Raises:
        ModelError: no such weights, or the engine asked for cannot run them.
    """
    directory = fetch(dir_or_name, progress)
    choice = choice or pick(directory, engine)
    batch = max_batch or BATCH[choice.engine]
    return LocalModel(
        directory, choice, name or f"local/{directory.name}", max_batch=batch, threads=threads, cache_mb=cache_mb
    )


class CannotLoad(ModelError):
    """An engine says of itself that it cannot take these weights."""


class LocalModel:
    """See the module. It may be used from any event loop; `close` when done."""

    def __init__(
        self, directory: Path, choice: Choice, name: str, *, max_batch: int, threads: int | None, cache_mb: int
    ) -> None:
        self.name = name
        self.directory = directory
        self.engine: EngineName = choice.engine
        self.why = choice.why
        self.precision = choice.precision
        self.context = context_of(directory)
        self._device: Literal["cpu", "cuda"] = choice.device
        self._settings = (max_batch, threads, cache_mb)
        self.before_start: Callable[[LocalModel], None] | None = None
        self._process: _Process | None = None
        self._lock = threading.Lock()
        self._closed = False

    @property
    def digest(self) -> str:
        """Content hash of weights, tokenizer, engine, its version and precision."""
        return self._digest

    @cached_property
    def _digest(self) -> str:
        return digest(["local", digest_of(self.directory), self.engine, self.precision])

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        return Tokenizer(self.directory)

    @property
    def pid(self) -> int | None:
        """The worker's process id while there is one."""
        return self._process.pid if self._process else None

    def count_tokens(self, messages: tuple[Message, ...]) -> int:
        """Prompt tokens of these messages, chat template included; exact."""
        return len(self._tokenizer.encode(messages))

    async def generate(self, request: Request) -> Completion:
        """Answer one request. Raises `Failed` when prompt and answer do not fit the context, `ModelError` when the
        engine died."""
        start = time.perf_counter()
        ids = self._tokenizer.encode(request.messages)
        if self.context is not None and len(ids) + request.max_tokens > self.context:
            message = f"{len(ids)} prompt tokens + {request.max_tokens} for the answer > {self.context} of context"
            raise Failed(Failure("model", "overflow", message=message, usage=Usage(input=len(ids)), model=self.name))
        answer = None
        while answer is None:
            process = await asyncio.to_thread(self._started)
            try:
                answer = await process.answer(
                    lambda id: Job(id, ids, request.max_tokens, request.temperature, _seed(request), request.logprobs)
                )
            except ModelError:
                if self._closed or not process.rested:
                    raise
                # Between its start and this job another model started, and it was sent to rest: it starts again.
        seconds = time.perf_counter() - start
        usage = Usage(input=len(ids), cached_input=answer.cached, output=len(answer.ids))
        if answer.finish == "error":
            failure = Failure("model", "error", message=answer.error, usage=usage, seconds=seconds, model=self.name)
            raise Failed(failure)
        return Completion(
            text=self._tokenizer.decode(answer.ids),
            usage=usage,
            seconds=seconds,
            compute_seconds=answer.busy,
            model=self.name,
            finish=answer.finish,
            logprob=answer.logprob,
        )

    async def close(self) -> None:
        """End the worker, within 2 s; safe to call twice."""
        with self._lock:
            self._closed = True
            process, self._process = self._process, None
        if process is not None:
            await asyncio.to_thread(process.close)

    def rest(self) -> None:
        """End the worker for its memory when nobody waits for it; the next request starts one again."""
        if not self._lock.acquire(blocking=False):
            return  # it is just being started
        try:
            if self._process is not None and self._process.idle:
                self._process.rested = True
                self._process.close()
                self._process = None
        finally:
            self._lock.release()

    def _started(self) -> _Process:
        """The worker, started now if need be. Blocks while the engine loads."""
        with self._lock:
            if self._closed:
                raise ModelError(Problem(f"model {self.name} is closed"))
            if self._process is None:
                if self.before_start is not None:
                    self.before_start(self)
                weights = weights_for(self.directory, self.engine)
                options = Options(str(self.directory), str(weights), self._tokenizer.eos, *self._settings, self._device)
                self._process = _Process(self.name, self.engine, options)
            process = self._process
        process.ready.wait()
        return process


def _seed(request: Request) -> int:
    """A seed of its own for every repeat of a prompt (only used above temperature 0)."""
    return int(request.digest("seed")[:8], 16)


class _Process:
    """A worker process and the two threads that speak with it, so that no event loop ever waits on a pipe."""

    def __init__(self, name: str, engine: EngineName, options: Options) -> None:
        self.ready = threading.Event()
        self.rested = False
        self._name = name
        self._ids = itertools.count()
        self._waiting: dict[int, tuple[asyncio.AbstractEventLoop, asyncio.Future[Answer]]] = {}
        self._outbox: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._error = ""
        self._loads = True
        self._lock = threading.Lock()
        command = [sys.executable, "-m", "harness.models.worker", engine, msgspec.json.encode(options).decode()]
        pipe = subprocess.PIPE
        self._popen = _STARTER.submit(subprocess.Popen, command, stdin=pipe, stdout=pipe, stderr=pipe).result()
        self.pid = self._popen.pid
        self._stderr = b""
        self._threads = [
            threading.Thread(target=run, daemon=True) for run in (self._read_errors, self._read, self._write)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def idle(self) -> bool:
        """Whether nobody waits for an answer."""
        with self._lock:
            return not self._waiting

    async def answer(self, job: Callable[[int], Job]) -> Answer:
        """Hand in a job and wait. When the caller is cancelled, the job is taken back."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()
        id = next(self._ids)
        with self._lock:
            if self._error:
                raise self._stopped()
            self._waiting[id] = (loop, future)
        self._outbox.put(job(id))
        try:
            return await future
        except asyncio.CancelledError:
            with self._lock:
                self._waiting.pop(id, None)
            self._outbox.put(Job(id, cancel=True))
            raise

    def close(self) -> None:
        """End of input ends the worker after its step; one that takes longer is killed."""
        self._fail("it was closed")
        self._outbox.put(None)
        try:
            self._popen.wait(1.0)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()
        for thread in self._threads:
            thread.join(0.5)
        for stream in (self._popen.stdout, self._popen.stderr):
            if stream:
                stream.close()

    def _write(self) -> None:
        """Jobs into the pipe, in a thread because a full pipe blocks."""
        stdin = self._popen.stdin
        assert stdin is not None
        # Of a worker that ended the reader thread sees the end too, and tells why. Closing writes what is left, so it
        # can fail as well; the descriptor is closed all the same.
        with contextlib.suppress(BrokenPipeError), stdin:
            while (job := self._outbox.get()) is not None:
                stdin.write(msgspec.json.encode(job) + b"\n")
                if self._outbox.empty():
                    stdin.flush()

    def _read(self) -> None:
        """Answers out of the pipe, to the loops that wait for them; at its end all who still wait are told."""
        with contextlib.suppress(msgspec.DecodeError):  # killed in the middle of a line
            self._pass_on()
        self._threads[0].join(0.5)  # it was started first
        lines = self._stderr.decode(errors="replace").strip().splitlines()
        self._fail(f"it ended unasked{': ' + lines[-1] if lines else ''}")
        self.ready.set()

    def _pass_on(self) -> None:
        stdout = self._popen.stdout
        assert stdout is not None
        hello = msgspec.json.decode(stdout.readline() or b'{"error":"it ended while loading"}', type=Hello)
        if hello.error:
            self._loads = False
            self._fail(hello.error)
        self.ready.set()
        decoder = msgspec.json.Decoder(Answer)
        for line in stdout:
            answer = decoder.decode(line)
            with self._lock:
                waiting = self._waiting.pop(answer.id, None)
            if waiting:
                _settle(*waiting, answer)

    def _read_errors(self) -> None:
        """The end of what the worker says on stderr, for the message when it dies."""
        stderr = self._popen.stderr
        assert stderr is not None
        for line in stderr:
            self._stderr = (self._stderr + line)[-4000:]

    def _fail(self, why: str) -> None:
        """Nothing more comes: everybody who waits is told."""
        with self._lock:
            self._error = self._error or why
            waiting, self._waiting = list(self._waiting.values()), {}
        for one in waiting:
            _settle(*one, self._stopped())

    def _stopped(self) -> ModelError:
        if not self._loads:
            return CannotLoad(Problem(f"the local engine cannot load the weights of {self._name}", got=self._error))
        return ModelError(Problem(f"the local engine of {self._name} stopped: {self._error}"))


def _settle(loop: asyncio.AbstractEventLoop, future: asyncio.Future[Answer], result: Answer | ModelError) -> None:
    """Give a future its result from another thread; a loop that is closed has nobody left who waits."""

    def set_result() -> None:
        if future.done():
            return
        if isinstance(result, ModelError):
            future.set_exception(result)
        else:
            future.set_result(result)

    try:
        loop.call_soon_threadsafe(set_result)
    except RuntimeError:
        return
