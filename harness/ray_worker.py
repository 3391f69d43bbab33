"""What runs on a worker: it opens models, answers chunks of requests, trains. It writes nothing of the run.

One process, plain Python: `ray_engine` makes an actor of it. Answers go back as soon as there are any, so that what was
billed is with the run, and not here, when the machine is lost.
"""

from __future__ import annotations

import asyncio
import platform
import shutil
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import msgspec

from harness import __version__
from harness.errors import Failed, HarnessError, ModelError, Outage, Problem
from harness.models.base import Completion, Failure, Message, Missing, Model, Request, Struct
from harness.models.calls import CallFailed, Limits

if TYPE_CHECKING:
    from harness.models.engines import Choice, Wanted
    from harness.models.local import LocalModel
    from harness.models.openings import Opening, Weights
    from harness.tuners.base import Tuned, TuneJob

LINGER_SECONDS = 0.004
"""How long a first answer waits for others to travel with: a message costs more than a millisecond, an answer more."""


class Asked(Struct, frozen=True, gc=False):
    """A request on its way; `model` is the key under which its worker opened it."""

    id: int
    model: str
    request: Request


class Retry(Struct, frozen=True):
    """What `CallFailed` says beside its `Missing`."""

    retry: bool
    fatal: bool
    status: int | None = None
    after: float | None = None
    unreachable: bool = False


class Reply(Struct, frozen=True, gc=False):
    """What became of a request: one of the first three, or `error` (told to people, or a traceback where `fault`)."""

    id: int
    completion: Completion | None = None
    failure: Failure | None = None
    missing: Missing | None = None
    retry: Retry | None = None
    error: str = ""
    fault: bool = False

    @staticmethod
    def of(id: int, error: BaseException) -> Reply:
        """What a model raised."""
        match error:
            case Failed():
                return Reply(id, failure=error.failure)
            case CallFailed():
                said = Retry(error.retry, error.fatal, error.status, error.after, error.unreachable)
                return Reply(id, missing=error.missing, retry=said)
            case Outage():
                return Reply(id, missing=error.missing)
            case HarnessError():
                return Reply(id, error=str(error))
            case _:
                return Reply(id, error="".join(traceback.format_exception(error)), fault=True)

    def result(self) -> Completion:
        """The completion. Raises what the model raised."""
        if self.completion is not None:
            return self.completion
        if self.failure is not None:
            raise Failed(self.failure)
        if self.missing is not None:
            if self.retry is None:
                raise Outage(self.missing)
            r, m = self.retry, self.missing
            raise CallFailed(
                m.message,
                retry=r.retry,
                fatal=r.fatal,
                status=r.status,
                after=r.after,
                usage=m.usage,
                fix=m.fix,
                unreachable=r.unreachable,
            )
        raise RuntimeError(f"on a worker:\n{self.error}") if self.fault else ModelError(Problem(self.error))


class Answers(Struct, frozen=True):
    """What one exchange brings back: replies, and the rate limits that endpoints told meanwhile, by model."""

    replies: tuple[Reply, ...]
    limits: tuple[tuple[str, Limits], ...] = ()


_asked = msgspec.msgpack.Decoder(tuple[Asked, ...])


class Worker:
    """See the module. `Weights` that this machine lacks are sent by `receive`, after `has` said so."""

    def __init__(self) -> None:
        self._models: dict[str, Model] = {}
        self._flying: set[asyncio.Task[None]] = set()
        self._done: list[Reply] = []
        self._limits: list[tuple[str, Limits]] = []
        self._news = asyncio.Event()

    async def hello(self) -> tuple[str, str]:
        """The version of harness here, and the machine's name."""
        return __version__, platform.node()

    async def has(self, weights: Weights) -> bool:
        """Whether these weights are on this machine."""
        return await asyncio.to_thread(weights.find) is not None

    async def receive(self, weights: Weights, names: Sequence[str], *files: bytes) -> None:
        """Keep a copy of weights, once for all workers of the machine."""

        def keep() -> None:
            from harness.models.weights import locked

            with locked(weights.copy.with_name(f"{weights.copy.name}.lock")):
                if weights.find() is not None:
                    return
                part = weights.copy.with_name(f"{weights.copy.name}.part")
                shutil.rmtree(part, ignore_errors=True)
                _write(part, dict(zip(names, files, strict=True)))
                shutil.rmtree(weights.copy, ignore_errors=True)
                part.replace(weights.copy)

        await asyncio.to_thread(keep)

    async def choose(
        self, weights: Weights, wanted: Wanted, prompts: Sequence[tuple[Message, ...]], targets: Sequence[str] | None
    ) -> Choice:
        """The engine for these weights on this machine."""
        from harness.models.engines import settle

        return await settle(_found(weights), wanted, prompts, targets)

    async def open(self, key: str, opening: Opening, digest: str) -> None:
        """Open a model, once. Raises `ModelError` where it would not answer as the run's own does."""
        if key in self._models:
            return
        model = await asyncio.to_thread(self._opened, key, opening)
        if model.digest != digest:
            what = f"the worker on {platform.node()} would answer otherwise than the run's own machine"
            fix = "install the same versions (harness, torch, transformers, openvino-genai) on both"
            raise ModelError(Problem(what, path="model", got=model.name, fix=fix))
        self._models[key] = model

    def _opened(self, key: str, opening: Opening) -> Model:
        from harness.models.openings import WeightsAt

        if not isinstance(opening, WeightsAt):
            return opening.open(on_limits=lambda limits: self._limits.append((key, limits)))
        from harness.models.engines import pick
        from harness.models.local import LocalModel

        directory = _found(opening.weights)
        here = pick(directory, opening.choice.engine)
        if (here.precision, here.device) != (opening.choice.precision, opening.choice.device):
            what = f"the worker on {platform.node()} would run the model with {here.precision}"
            fix = "let all workers be alike: the same versions, and a GPU on all or on none"
            raise ModelError(Problem(what, path="model", valid=opening.choice.precision, fix=fix))
        local = opening.open(directory)
        if isinstance(local, LocalModel):
            local.before_start = self._rest
        return local

    async def shut(self, key: str) -> None:
        """Close a model."""
        model = self._models.pop(key, None)
        if model is not None:
            await model.close()

    async def exchange(self, raw: bytes) -> bytes:
        """Take in requests; return as soon as any are answered, these or earlier ones (none: nothing is under way).

        Any number may wait here at once: each answer goes back with whoever comes first.
        """
        for asked in _asked.decode(raw):
            task = asyncio.create_task(self._answer(asked))
            self._flying.add(task)
            task.add_done_callback(self._landed)
        while not self._done and self._flying:
            self._news.clear()
            await self._news.wait()
        if self._flying:
            await asyncio.sleep(LINGER_SECONDS)
        answers = Answers(tuple(self._done), tuple(self._limits))
        self._done, self._limits = [], []
        return msgspec.msgpack.encode(answers)

    async def _answer(self, asked: Asked) -> None:
        try:
            reply = Reply(asked.id, completion=await self._models[asked.model].generate(asked.request))
        except (Exception, SystemExit) as error:  # a script may exit; the run decides what becomes of it
            reply = Reply.of(asked.id, error)
        self._done.append(reply)

    def _landed(self, task: asyncio.Task[None]) -> None:
        self._flying.discard(task)
        self._news.set()

    async def train(
        self, job: TuneJob, plan: bytes, weights: Weights, rows: dict[str, bytes]
    ) -> tuple[Tuned, dict[str, bytes]]:
        """Train a job; returns the files that it made, none where the run sees them anyway."""
        self._rest()
        # A thread of its own: the loop here is not the main thread's, and not always asyncio's own.
        return await asyncio.to_thread(lambda: asyncio.run(_train(job, plan, weights, rows)))

    def _rest(self, starting: LocalModel | None = None) -> None:
        """One local engine at a time holds its memory."""
        from harness.models.local import LocalModel

        for model in self._models.values():
            if isinstance(model, LocalModel) and model is not starting:
                model.rest()


async def _train(job: TuneJob, plan: bytes, weights: Weights, rows: dict[str, bytes]) -> tuple[Tuned, dict[str, bytes]]:
    from harness.tuners import open_tuner

    base = _found(weights)
    tuner = open_tuner("trl", lambda _: base, lambda _: _never())
    stored = job.workdir / "plan.json"
    if base == Path(weights.directory) and stored.is_file() and stored.read_bytes() == plan:
        id = await tuner.find(job)
        assert id is not None, "its plan is there"
        return await tuner.follow(job, id, lambda _: None), {}
    folder = weights.copy.parent / "trained" / job.key
    _write(folder, rows)
    valid = folder / "valid.jsonl" if job.valid else None
    mine = msgspec.structs.replace(job, train=folder / "train.jsonl", valid=valid, workdir=folder)
    tuned = await tuner.follow(mine, await tuner.find(mine) or await tuner.submit(mine), lambda _: None)
    made = [folder / "done.json", *(f for f in folder.glob("adapters/**/*") if f.is_file())]
    return tuned, {f.relative_to(folder).as_posix(): f.read_bytes() for f in made}


def _found(weights: Weights) -> Path:
    found = weights.find()
    assert found is not None, "they were sent, or are here"
    return found


def _never() -> NoReturn:
    raise AssertionError("a local training asks no endpoint")


def _write(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
