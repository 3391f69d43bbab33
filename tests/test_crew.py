"""Workers of a run, without a cluster: chunks, losses, what is billed, and what a worker lacks."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from harness.crew import Crew, Lent
from harness.errors import Failed, HarnessError, ModelError, Outage, Problem
from harness.hand import Hand, Slot, WorkerLost
from harness.models.base import Completion, Failure, Message, Missing, Model, Request, Usage
from harness.models.budgeted import Budget
from harness.models.calls import CallFailed, Limits
from harness.models.endpoint import Endpoint
from harness.models.openings import EndpointAt, Weights
from harness.models.retrying import Retries
from harness.models.scripted import Scripted
from harness.models.wrappers import wrap
from harness.prices import Price
from harness.ray_worker import Worker
from harness.spec import ModelSpec
from harness.tuners.base import Progress


class Machines:
    """Plays Ray with workers in this process."""

    def __init__(self, *nodes: str, load: int = 2) -> None:
        self.nodes = list(nodes)
        self.load = load
        self.workers: dict[str, Worker] = {}
        self.calls: list[tuple[str, str]] = []
        self._ended: dict[int, asyncio.Future[None]] = {}

    def slots(self) -> list[Slot]:
        return [Slot(n, 0, 1, 0) for n in self.nodes]

    def spawn(self, slot: Slot) -> Worker:
        worker = self.workers[slot.node] = Worker()
        self._ended[id(worker)] = asyncio.get_running_loop().create_future()
        return worker

    async def call(self, actor: Worker, method: str, *arguments: Any) -> Any:
        node = next(n for n, w in self.workers.items() if w is actor)
        self.calls.append((node, method))
        work = asyncio.ensure_future(getattr(actor, method)(*arguments))
        ended = self._ended[id(actor)]
        await asyncio.wait({work, ended}, return_when=asyncio.FIRST_COMPLETED)
        if ended.done():
            work.cancel()
            raise WorkerLost(f"{node} is gone")
        return work.result()

    def share(self, weights: Weights) -> tuple[list[str], list[Any]]:
        folder = Path(weights.directory)
        return [f.relative_to(folder).as_posix() for f in weights.files()], [f.read_bytes() for f in weights.files()]

    def kill(self, actor: Worker) -> None:
        if not self._ended[id(actor)].done():
            self._ended[id(actor)].set_result(None)

    def lose(self, node: str) -> None:
        """A machine is gone, with what its worker was doing."""
        self.nodes.remove(node)
        for task in self.workers[node]._flying:
            task.cancel()
        self.kill(self.workers[node])


class Opens:
    """Opens what a test says, on the run's side and on the workers'."""

    def __init__(self, answer: Callable[[Request], Awaitable[Completion]], name: str = "fake") -> None:
        self.name = name
        self._answer = answer

    def open(self, weights: Path | None = None, on_limits: Any = None) -> Model:
        self.on_limits = on_limits
        model = Scripted({}, name=self.name)
        model.generate = self._answer  # type: ignore[method-assign]
        return model


def request(text: str) -> Request:
    return Request((Message("user", text),), 10)


async def crew_of(machines: Machines, said: list[Progress] | None = None) -> Crew:
    crew = Crew(machines, machines.load, (said if said is not None else []).append)
    await crew.start(5)
    return crew


def lent(crew: Crew, at: Any, on_limits: Any = None) -> Lent:
    return Lent(at.open(), crew, lambda: at, on_limits)


def test_requests_that_come_together_travel_together_and_are_shared_out() -> None:
    async def go() -> None:
        machines = Machines("a", "b", load=16)
        crew = await crew_of(machines)

        async def answer(request: Request) -> Completion:
            return Completion(request.messages[0].content.upper())

        model = lent(crew, Opens(answer))
        made = await asyncio.gather(*(model.generate(request(f"n{i}")) for i in range(32)))
        assert [m.text for m in made] == [f"N{i}" for i in range(32)]
        assert sorted(n for n, method in machines.calls if method == "exchange") == ["a", "b"]
        await crew.close()

    asyncio.run(go())


def test_an_answer_comes_back_while_others_of_its_chunk_are_still_waited_for() -> None:
    async def go() -> None:
        machines = Machines("a", load=16)
        crew = await crew_of(machines)
        gate = asyncio.Event()

        async def answer(request: Request) -> Completion:
            if request.messages[0].content == "slow":
                await gate.wait()
            return Completion("done")

        model = lent(crew, Opens(answer))
        slow = asyncio.ensure_future(model.generate(request("slow")))
        await asyncio.gather(*(model.generate(request(f"{i}")) for i in range(5)))
        assert not slow.done()
        gate.set()
        assert (await slow).text == "done"
        await crew.close()

    asyncio.run(go())


def test_a_lost_machine_costs_what_was_in_flight_on_it_and_no_more() -> None:
    async def go() -> None:
        machines, said = Machines("a", "b", load=3), list[Progress]()
        crew = await crew_of(machines, said)
        asked: list[str] = []

        async def answer(request: Request) -> Completion:
            asked.append(request.messages[0].content)
            await asyncio.sleep(0.005)
            return Completion("yes")

        model = lent(crew, Opens(answer))
        queue = iter(range(100))

        async def worker() -> None:
            for i in queue:
                await model.generate(request(str(i)))
                if i == 40:
                    machines.lose("a")

        await asyncio.gather(*(worker() for _ in range(6)))
        assert set(asked) == {str(i) for i in range(100)}
        assert 100 < len(asked) <= 103
        assert crew.lost == 1
        assert "1 were lost" in crew.notes[0]
        assert "a worker was lost" in said[0].status
        await crew.close()

    asyncio.run(go())


def test_a_machine_that_comes_later_gets_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.crew.LOOK_SECONDS", 0.01)

    async def go() -> None:
        machines = Machines("a", load=4)
        crew = await crew_of(machines)

        async def answer(request: Request) -> Completion:
            await asyncio.sleep(0.03)
            return Completion("yes")

        model = lent(crew, Opens(answer))
        machines.nodes.append("b")
        await asyncio.gather(*(model.generate(request(str(i))) for i in range(40)))
        assert {n for n, method in machines.calls if method == "exchange"} == {"a", "b"}
        await crew.close()

    asyncio.run(go())


def test_a_request_that_takes_its_worker_down_again_and_again_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.crew.LOOK_SECONDS", 0.01)

    async def go() -> None:
        machines = Machines("a")
        crew = await crew_of(machines)

        async def answer(request: Request) -> Completion:
            machines.kill(machines.workers["a"])
            raise AssertionError

        with pytest.raises(HarnessError, match="3 in a row were lost with the same request"):
            await lent(crew, Opens(answer)).generate(request("x"))
        await crew.close()

    asyncio.run(go())


def test_what_a_model_raises_on_a_worker_it_raises_here() -> None:
    failure = Failure("model", "refused", usage=Usage(input=3))
    late = CallFailed("no", retry=True, status=429, after=2.0, usage=Usage(input=7), fix="look", unreachable=True)
    raised: list[BaseException] = [
        Failed(failure), late, Outage(Missing("outage", "down")), ModelError(Problem("no key")), ZeroDivisionError("x"),
        SystemExit(3),
    ]  # fmt: skip

    async def go() -> None:
        crew = await crew_of(Machines("a"))

        async def answer(request: Request) -> Completion:
            raise raised[int(request.messages[0].content)]

        model = lent(crew, Opens(answer))
        found = await asyncio.gather(*(model.generate(request(str(i))) for i in range(6)), return_exceptions=True)
        assert isinstance(found[0], Failed)
        assert found[0].failure == failure
        assert isinstance(found[1], CallFailed)
        assert (found[1].retry, found[1].fatal, found[1].status, found[1].after) == (True, False, 429, 2.0)
        assert found[1].unreachable
        assert found[1].missing == late.missing
        assert isinstance(found[2], Outage)
        assert found[2].missing == Missing("outage", "down")
        assert isinstance(found[3], ModelError)
        assert isinstance(found[4], RuntimeError)
        assert "ZeroDivisionError" in str(found[4])
        assert isinstance(found[5], RuntimeError), "a script that exits takes no worker's loop with it"
        assert "SystemExit: 3" in str(found[5])
        await crew.close()

    asyncio.run(go())


def test_limits_that_an_endpoint_told_a_worker_reach_the_throttle_here() -> None:
    async def go() -> None:
        crew = await crew_of(Machines("a"))
        told: list[Limits] = []

        async def answer(request: Request) -> Completion:
            at.on_limits(Limits(requests_left=5))
            return Completion("yes")

        at = Opens(answer)
        await lent(crew, at, told.append).generate(request("x"))
        assert told == [Limits(requests_left=5)]
        await crew.close()

    asyncio.run(go())


def test_a_billed_call_that_was_lost_is_counted_and_asked_again_within_the_budget(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    async def go() -> None:
        machines = Machines("a", "b", load=2)
        crew = await crew_of(machines)

        async def answer(request: Request) -> Completion:
            asked.append(request.messages[0].content)
            if len(asked) == 1:
                machines.lose("a" if machines.workers["a"]._flying else "b")
                await asyncio.sleep(9)
            return Completion("yes", Usage(input=5, output=1))

        opens = Opens(answer, "openai/x")
        monkeypatch.setattr(EndpointAt, "open", opens.open)
        spec = ModelSpec(id="openai/x", base_url="http://127.0.0.1:1/v1")
        at = EndpointAt(spec, Endpoint.of(spec), {})
        budget = Budget(0.001)
        model = wrap(
            Lent(opens.open(), crew, lambda: at),
            retries=Retries(first=0.01),
            budget=budget,
            price=Price(input=1.0, output=1.0),
        )
        made = await model.generate(request("x"))
        assert asked == ["x", "x"]
        assert made.attempts == 2
        assert made.usage.estimated
        assert made.usage.input > 5
        assert budget.spent == pytest.approx((made.usage.input + 1) / 1e6)
        await crew.close()

    asyncio.run(go())


def test_keys_are_not_in_what_an_opening_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    spec = ModelSpec(id="openai/x")
    at = EndpointAt.of(spec, Endpoint.of(spec))
    assert at.keys == {"OPENAI_API_KEY": "sk-very-secret"}
    assert "secret" not in repr(at)


def test_a_machine_without_the_weights_is_sent_them_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "weights"
    (folder / "sub").mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "sub" / "model.safetensors").write_bytes(b"\x01\x02")
    weights = Weights.of(folder)
    folder.rename(tmp_path / "not to be seen from there")
    gone = Weights(str(folder), weights.digest)
    assert gone.find() is None

    class Sharing(Machines):
        def share(self, weights: Weights) -> tuple[list[str], list[Any]]:
            return super().share(Weights(str(tmp_path / "not to be seen from there"), weights.digest))

    async def go() -> None:
        machines = Sharing("a")
        crew = await crew_of(machines)
        assert await crew.with_weights(gone, "has", gone)
        assert await crew.with_weights(gone, "has", gone)
        assert [m for _, m in machines.calls].count("receive") == 1
        await crew.close()

    asyncio.run(go())
    assert gone.find() == gone.copy
    assert (gone.copy / "sub" / "model.safetensors").read_bytes() == b"\x01\x02"


def test_a_worker_of_another_version_or_none_at_all_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    async def go() -> None:
        with pytest.raises(HarnessError, match=r"has harness 0\.0\.1"):
            await crew_of(Machines("a"))

    async def nowhere() -> None:
        with pytest.raises(HarnessError, match="no processor or GPU"):
            await crew_of(Machines())

    asyncio.run(nowhere())
    monkeypatch.setattr("harness.ray_worker.__version__", "0.0.1")
    asyncio.run(go())


def test_a_worker_that_is_lost_when_nobody_waits_any_more_is_no_traceback() -> None:
    """As at the end of a run that another lost worker stopped."""

    class Losing(Machines):
        async def call(self, actor: Any, method: str, *arguments: Any) -> Any:
            if method == "open":
                await asyncio.sleep(0.01)
                raise WorkerLost("gone")
            return await super().call(actor, method, *arguments)

    async def go() -> list[dict[str, Any]]:
        told: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
        hand = Hand(Slot("a", 0, 1, 0), Losing("a"))
        waits = asyncio.create_task(hand.open("key", Opens(lambda _: asyncio.sleep(0)), ""))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        waits.cancel()
        await asyncio.sleep(0.05)
        del hand, waits
        gc.collect()
        return told

    assert asyncio.run(go()) == []
