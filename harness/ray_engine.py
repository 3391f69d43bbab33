"""Past one machine: the workers of a run as actors on a Ray cluster (`harness run --engine ray`).

Ray places processes and carries messages; which request goes where, and what becomes of a lost worker, is decided by
the `Crew`. Without an address a cluster of this machine alone is started, on loopback, and ended with the run.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import re
import socket
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from harness.crew import Crew, Lent
from harness.errors import HarnessError, Problem
from harness.hand import Slot, WorkerLost
from harness.models.base import Message, Model
from harness.models.openings import OnLimits, Opening, Weights
from harness.tuners.base import Progress, Tuned, TuneJob, Tuner

if TYPE_CHECKING:
    from harness.models.engines import Choice, Wanted

ANSWER_SECONDS = 30.0
"""How long a cluster may take to answer."""
START_SECONDS = 90.0
"""How long a cluster of this machine may take to start, and the first worker to come up."""
REACH_SECONDS = 5.0
GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""How a gRPC connection begins: the preface and empty settings, which the other side answers with settings (type 4)."""


class RayEngine:
    """See the module. The run's one: it is started once.

    Args:
        address: `HOST:PORT` of the cluster's head, `auto` for the cluster that this machine belongs to, or None: the
            one that `RAY_ADDRESS` names, else one of this machine alone.

    Raises:
        HarnessError: (at construction) Ray is not installed, or the address cannot be one.
    """

    def __init__(self, address: str | None = None) -> None:
        self._address = address or os.environ.get("RAY_ADDRESS") or None
        self._mine = False
        self._over = threading.Event()
        self._crew: Crew | None = None
        if importlib.util.find_spec("ray") is None:
            fix = "pip install 'harness-evals[ray]', on every machine of the cluster"
            raise HarnessError(Problem("--engine ray needs the package ray, which is not installed", fix=fix))
        if self._address not in (None, "auto", "local") and _split(self._address) is None:
            valid = "HOST:PORT of the cluster's head, such as 10.0.0.1:6379, or auto"
            fix = "run the command on a machine of the cluster" if "://" in self._address else ""
            raise HarnessError(Problem("this is no address", path="--address", got=self._address, valid=valid, fix=fix))

    @property
    def count(self) -> int:
        """Workers that there is place for; 1 before the start."""
        return max(1, self._crew.places) if self._crew else 1

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the run should know of its workers."""
        return self._crew.notes if self._crew else ()

    async def start(self, *, weights: bool, concurrency: int, show: Callable[[Progress], None]) -> None:
        """Connect, and start a worker a GPU, or a machine (where weights are run), or a processor."""
        import ray

        show(Progress(status="ray: connecting", total=1))
        self._mine = not ray.is_initialized()
        if self._mine:
            await self._connect()
        self._crew = Crew(_RayHost(weights, concurrency), concurrency, show)
        show(Progress(status="ray: starting workers", total=1))
        await self._crew.start(START_SECONDS)
        show(Progress(status="ray: starting workers", done=1, total=1))

    async def _connect(self) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        address = self._address or "local"
        options: dict[str, Any] = {"address": address, "log_to_driver": False, "logging_level": "ERROR"}
        if address == "local":
            os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # Ray's word for: listen on loopback alone
            options["include_dashboard"] = False
        else:
            await asyncio.to_thread(_reach, address)
        seconds = START_SECONDS if address == "local" else ANSWER_SECONDS
        try:
            await asyncio.wait_for(_apart(partial(_init, options), self._over), seconds)
        except TimeoutError:
            raise self._unusable(f"no answer within {seconds:g} s") from None
        except Exception as error:  # Ray raises many kinds, none of them its own
            raise self._unusable(str(error).strip().splitlines()[0] if str(error).strip() else repr(error)) from None

    def _unusable(self, why: str) -> HarnessError:
        fix = "`ray status` on a machine of the cluster says how it is; the command is run on one of its machines"
        return HarnessError(Problem(f"Ray cannot be used: {why}", path="--address", got=f"{self._address}", fix=fix))

    @property
    def _hands(self) -> Crew:
        assert self._crew is not None, "started before anything is asked"
        return self._crew

    def lend(self, model: Model, opening: Callable[[], Opening], on_limits: OnLimits | None = None) -> Model:
        """The model, answered by the workers."""
        return Lent(model, self._hands, opening, on_limits)

    async def choose(
        self,
        directory: Path,
        wanted: Wanted,
        prompts: Sequence[tuple[Message, ...]] = (),
        targets: Sequence[str] | None = None,
    ) -> Choice:
        """The engine on a worker's machine; workers are alike, or say that they are not."""
        weights = await asyncio.to_thread(Weights.of, directory)
        return await self._hands.with_weights(weights, "choose", weights, wanted, prompts, targets)

    def tuner(self, tuner: Tuner, locate: Callable[[str], Path]) -> Tuner:
        """The tuner; a training on this machine's hardware (trl) is made by a worker instead."""
        from harness.tuners.trl import TrlTuner

        if isinstance(tuner, TrlTuner):
            tuner.elsewhere = partial(self._train, locate)
        return tuner

    async def _train(self, locate: Callable[[str], Path], job: TuneJob) -> Tuned:
        weights = await asyncio.to_thread(lambda: Weights.of(locate(job.base)))
        rows = {f.name: f.read_bytes() for f in (job.train, job.valid) if f is not None}
        plan = (job.workdir / "plan.json").read_bytes()
        tuned, files = await self._hands.with_weights(weights, "train", job, plan, weights, rows, alone=True)
        await asyncio.to_thread(_keep, job.workdir, files)
        made = job.workdir / "models"
        checkpoints = [msgspec.structs.replace(c, model=str(made / c.id)) for c in tuned.checkpoints]
        return msgspec.structs.replace(tuned, checkpoints=tuple(checkpoints))

    async def close(self) -> None:
        """End the workers, and the cluster where it was started here; safe to call twice."""
        if self._crew is not None:
            await self._crew.close()
        if self._mine:
            import ray

            self._mine = False
            await asyncio.to_thread(ray.shutdown)
            self._over.set()


class _RayHost:
    """What the crew wants of Ray: places, actors, calls, and files that all workers read."""

    def __init__(self, weights: bool, concurrency: int) -> None:
        self._weights = weights
        self._most = concurrency
        self._lock = threading.Lock()
        self._shared: dict[str, tuple[list[str], list[Any]]] = {}

    def slots(self) -> list[Slot]:
        """Where a worker has its place now, machine after machine in turn."""
        import ray

        nodes = [(n["NodeID"], n["Resources"]) for n in ray.nodes() if n["Alive"]]
        by: list[list[Slot]] = []
        gpus = self._weights and any(r.get("GPU", 0) >= 1 for _, r in nodes)
        for node, has in nodes:
            cpus, units = int(has.get("CPU", 0)), int(has.get("GPU", 0))
            if gpus:
                by.append([Slot(node, i, min(1, cpus), 1) for i in range(units)])
            elif self._weights:  # an engine takes all processors that there are
                by.append([Slot(node, 0, cpus, 0)] if cpus else [])
            else:
                by.append([Slot(node, i, 1, 0) for i in range(cpus)])
        turns = [s[i] for i in range(max(map(len, by), default=0)) for s in by if i < len(s)]
        return turns if self._weights else turns[: self._most]  # more than there are requests have nothing to do

    def spawn(self, slot: Slot) -> Any:
        """A worker in its place; it may come up later, or never."""
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        from harness.ray_worker import Worker

        place = NodeAffinitySchedulingStrategy(node_id=slot.node, soft=False)
        actor: Any = ray.remote(Worker)
        return actor.options(
            num_cpus=slot.cpus, num_gpus=slot.gpus, scheduling_strategy=place, max_restarts=0, max_task_retries=0
        ).remote()

    async def call(self, actor: Any, method: str, *arguments: Any) -> Any:
        """Call a worker. Raises `WorkerLost` when it is gone, else what it raised."""

        from ray.exceptions import RayError, RayTaskError

        try:
            return await getattr(actor, method).remote(*arguments)
        except RayTaskError as error:
            if isinstance(error.cause, HarnessError):
                raise error.cause from None
            raise
        except RayError as error:
            raise WorkerLost(_said(error)) from None

    def share(self, weights: Weights) -> tuple[list[str], list[Any]]:
        """The files in Ray's object store, from where each machine fetches them once, from its neighbours too."""
        import ray

        with self._lock:
            if weights.digest not in self._shared:
                folder, files = Path(weights.directory), weights.files()
                names = [f.relative_to(folder).as_posix() for f in files]
                self._shared[weights.digest] = names, [ray.put(f.read_bytes()) for f in files]
            return self._shared[weights.digest]

    def kill(self, actor: Any) -> None:
        """End a worker that is gone, or not wanted any more."""
        import ray

        ray.kill(actor)


def _said(error: Exception) -> str:
    """What of Ray's long text says why: the exception of a worker that ended while it started, else the first line."""
    lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()] or [type(error).__name__]
    raised = [line for line in lines if re.match(r"(\w+\.)*\w+(Error|Exception): ", line)]
    return (raised or lines[:1])[-1][:300]


def _init(options: dict[str, Any]) -> None:
    import logging
    import warnings

    import ray

    logging.getLogger("ray").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ray.init(**options)


async def _apart(work: Callable[[], None], over: threading.Event) -> None:
    """Run in a thread that nobody waits for at the end of the process: Ray takes minutes to give up on an address.

    The thread stays until it is over: Linux ends the processes that Ray started when the thread that did is gone.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def settle(error: Exception | None) -> None:
        if not done.done():
            done.set_exception(error) if error else done.set_result(None)

    def run() -> None:
        error: Exception | None = None
        try:
            work()
        except BaseException as raised:
            error = raised if isinstance(raised, Exception) else RuntimeError(f"{raised}")
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, error)
        over.wait()

    threading.Thread(target=run, daemon=True).start()
    await done


def _split(address: str) -> tuple[str, int] | None:
    host, _, port = address.rpartition(":")
    return (host.strip("[]"), int(port)) if host and "/" not in host and port.isdecimal() else None


def _reach(address: str) -> None:
    """Whether Ray may be what listens there. Raises `HarnessError`: Ray itself would try for two minutes."""
    at = _split(address)
    if at is None:  # auto: Ray knows the address
        return
    try:
        with socket.create_connection(at, REACH_SECONDS) as line:
            if os.environ.get("RAY_USE_TLS", "0") == "0":
                line.sendall(GREETING)
                reply = line.recv(9)
                if reply[3:4] != GREETING[-6:-5]:
                    raise OSError("what listens there is not Ray")
    except (OSError, OverflowError) as error:
        what = f"no Ray cluster can be reached there: {error}"
        fix = "`ray start --head` starts one and says its address; without --address this machine alone is used"
        raise HarnessError(Problem(what, path="--address", got=address, fix=fix)) from None


def _keep(folder: Path, files: dict[str, bytes]) -> None:
    """Write what a training made; `done.json`, by which it counts as made, last."""
    from harness.store import write_whole

    for name in sorted(files, key=lambda n: n == "done.json"):
        write_whole(folder / name, files[name])
