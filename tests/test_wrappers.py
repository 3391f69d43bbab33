"""Cache, retries, throttle and budget: each alone, then all of them round the hosted model and a server that breaks."""

from __future__ import annotations

import asyncio
import email.utils
import random
import time
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from harness.errors import DataError, Failed, ModelError, Outage
from harness.models.base import Completion, Failure, Message, Missing, Request, Usage
from harness.models.budgeted import Budget, Budgeted, bound
from harness.models.cached import Cached
from harness.models.calls import CallFailed, Limits
from harness.models.openai import open_openai
from harness.models.retrying import Retries, Retrying
from harness.models.scripted import Scripted
from harness.models.throttled import Throttle, Throttled
from harness.models.wrapper import Wrapper
from harness.models.wrappers import wrap
from harness.prices import Price, cost
from harness.spec import ModelSpec
from tests.servers import KEY, hang, raw, replied, reset, serve, status, truncated

PRICE = Price(input=1.0, output=2.0, source="test")


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def ask(text: str, **fields: Any) -> Request:
    return Request(messages=(Message("user", text),), **{"max_tokens": 10, **fields})


class Memory(dict[str, bytes]):
    """A response cache that forgets at the end of the test."""

    def put(self, key: str, value: bytes) -> None:
        self[key] = value


class Calls:
    """Plays a function of the call's number: an exception is raised, a text answered."""

    def __init__(self, play: Callable[[int], Exception | str], latency: float = 0.0) -> None:
        self.count = 0
        self.inner = Scripted(self._answer, latency=latency)
        self._play = play

    def _answer(self, request: Request) -> str:
        number, self.count = self.count, self.count + 1
        outcome = self._play(number)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


def sequence(*outcomes: Exception | str) -> Calls:
    """These, then the last one forever."""
    return Calls(lambda n: outcomes[min(n, len(outcomes) - 1)])


def broken(**fields: Any) -> CallFailed:
    return CallFailed("broken", **{"retry": True, **fields})


def run(coroutine: Any) -> Any:
    return asyncio.run(coroutine)


async def gathered(model: Any, requests: list[Request]) -> list[Any]:
    return await asyncio.gather(*(model.generate(r) for r in requests), return_exceptions=True)


# Cached


def test_the_second_time_nothing_is_asked() -> None:
    cache, calls = Memory(), sequence("one", "two")
    first = run(Cached(calls.inner, cache).generate(ask("x")))
    model = Cached(Scripted(calls._answer), cache)
    assert model.digest == calls.inner.digest
    assert run(model.generate(ask("x"))) == first
    assert (calls.count, model.hits, model.misses) == (1, 1, 0)


@pytest.mark.parametrize("other", [ask("y"), ask("x", repeat=1), ask("x", temperature=1.0), ask("x", max_tokens=11)])
def test_what_decides_an_answer_is_in_the_key(other: Request) -> None:
    calls, cache = sequence("one"), Memory()
    model = Cached(calls.inner, cache)
    run(model.generate(ask("x")))
    run(model.generate(other))
    assert calls.count == 2
    run(Cached(Scripted(calls._answer, version="2"), cache).generate(ask("x")))
    assert calls.count == 3


def test_identical_requests_in_flight_share_one_call() -> None:
    calls = Calls(lambda n: f"answer {n}", latency=0.02)
    model = Cached(calls.inner, Memory())
    answers = run(gathered(model, [ask("x")] * 5 + [ask("y")] * 5))
    assert len({a.text for a in answers}) == 2
    assert (calls.count, model.hits) == (2, 8)


def test_when_the_asking_one_gets_nothing_the_next_asks() -> None:
    calls = Calls(lambda n: broken() if n == 0 else "fine", latency=0.01)
    first, *others = run(gathered(Cached(calls.inner, Memory()), [ask("x")] * 4))
    assert isinstance(first, CallFailed)
    assert [o.text for o in others] == ["fine"] * 3
    assert calls.count == 2


def test_cancelling_the_asking_one_cancels_no_other() -> None:
    async def main() -> tuple[Any, int]:
        calls = Calls(lambda n: "fine", latency=0.03)
        model = Cached(calls.inner, Memory())
        first = asyncio.create_task(model.generate(ask("x")))
        second = asyncio.create_task(model.generate(ask("x")))
        await asyncio.sleep(0.005)
        first.cancel()
        return await second, calls.count

    answer, count = run(main())
    assert answer.text == "fine"
    assert count == 1


def test_a_refusal_is_kept_and_an_outage_or_invalid_request_is_not() -> None:
    def failing(kind: Any) -> Failed:
        return Failed(Failure(boundary="model", type=kind, usage=Usage(input=3)))

    for outcome, asked in [
        (failing("refused"), 1),
        (failing("content_filter"), 1),
        (failing("invalid"), 2),
        (broken(), 2),
    ]:
        calls = sequence(outcome)
        model = Cached(calls.inner, Memory())
        for _ in range(2):
            with pytest.raises((Failed, Outage)):
                run(model.generate(ask("x")))
        assert calls.count == asked, outcome


@pytest.mark.parametrize("kept", [b'{"completion": {"te', b"{}", b'{"text": "of another version"}', b"null"])
def test_a_damaged_entry_or_one_of_another_form_is_asked_again_and_mended(kept: bytes) -> None:
    calls, cache = sequence("fine"), Memory()
    key = ask("x").digest(calls.inner.digest)
    cache[key] = kept
    assert run(Cached(calls.inner, cache).generate(ask("x"))).text == "fine"
    assert b"fine" in cache[key]


# Retrying


def retrying(calls: Calls, **settings: Any) -> tuple[Retrying, list[float]]:
    """A retrying model whose waits are written down instead of slept."""
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    return Retrying(calls.inner, Retries(**settings), sleep=sleep), slept


def test_failed_calls_are_billed_with_the_answer() -> None:
    model, slept = retrying(sequence(broken(usage=Usage(input=5, output=1)), broken(), "fine now"))
    done = run(model.generate(ask("x y")))
    assert (done.text, done.attempts) == ("fine now", 3)
    assert done.usage == Usage(input=2 + 5, output=2 + 1)
    assert len(slept) == 2


def test_backoff_grows_has_jitter_and_a_cap() -> None:
    model, slept = retrying(sequence(broken()), attempts=12, first=1.0, cap=8.0)
    with pytest.raises(Outage) as caught:
        run(model.generate(ask("x")))
    assert caught.value.missing.attempts == 12
    for i, seconds in enumerate(slept):
        assert min(8.0, 2.0**i) / 2 <= seconds <= min(8.0, 2.0**i)
    assert len(set(slept)) == 11


@pytest.mark.parametrize("after", [0.0, 2.0, 300.0])
def test_never_before_retry_after(after: float) -> None:
    model, slept = retrying(sequence(broken(after=after, status=429), "fine"), first=0.001)
    assert run(model.generate(ask("x"))).text == "fine"
    assert after <= slept[0] <= after + 1


def test_a_wait_beyond_reason_is_an_outage_at_once() -> None:
    model, slept = retrying(sequence(broken(after=864_000.0, status=429), "fine"))
    with pytest.raises(Outage, match=r"a pause of 10 days: come back after \d{4}-\d\d-\d\d \d\d:\d\d UTC"):
        run(model.generate(ask("x")))
    assert slept == []


def test_what_will_not_change_is_not_asked_again() -> None:
    calls = sequence(broken(retry=False, fatal=True, status=401))
    model, slept = retrying(calls)
    for n in range(1, 6):
        with pytest.raises(Outage):
            run(model.generate(ask("x")))
        assert calls.count == min(n, 3)
    assert slept == []


def test_a_failure_of_the_arm_is_not_retried_and_keeps_the_bill() -> None:
    refusal = Failed(Failure(boundary="model", type="refused", usage=Usage(input=1)))
    model, _ = retrying(sequence(broken(usage=Usage(input=7)), refusal))
    with pytest.raises(Failed) as caught:
        run(model.generate(ask("x")))
    assert caught.value.failure.usage.input == 8
    assert caught.value.failure.attempts == 2


def test_a_dead_endpoint_costs_one_call_each_until_it_answers() -> None:
    calls = Calls(lambda n: broken() if n < 13 else "back")
    model, _ = retrying(calls, attempts=4)
    counts = []
    for _ in range(5):
        before = calls.count
        try:
            run(model.generate(ask("x")))
        except Outage:
            counts.append(calls.count - before)
    assert counts == [4, 4, 4, 1]
    calls._play = lambda n: broken() if n % 2 else "fine"
    assert run(model.generate(ask("y"))).text == "fine"


def test_where_nothing_ever_answered_it_is_said_in_seconds() -> None:
    """A wrong URL is not waited for as a server is that answered before."""
    calls = sequence(broken(unreachable=True, fix="check the URL"))
    model, slept = retrying(calls)
    with pytest.raises(Outage) as caught:
        run(model.generate(ask("x")))
    assert (calls.count, caught.value.missing.fix) == (5, "check the URL")
    assert sum(slept) < 10
    calls = Calls(lambda n: broken(unreachable=True) if n else "there")
    model, _ = retrying(calls)
    run(model.generate(ask("x")))
    with pytest.raises(Outage):
        run(model.generate(ask("y")))
    assert calls.count == 1 + Retries().attempts


def test_an_empty_purse_keeps_what_the_calls_before_cost() -> None:
    empty = Outage(Missing(type="budget", message="spent"))
    model, _ = retrying(sequence(broken(usage=Usage(input=7)), empty))
    with pytest.raises(Outage) as caught:
        run(model.generate(ask("x")))
    assert caught.value.missing == Missing(type="budget", message="spent", usage=Usage(input=7), attempts=1)


# Throttled


class Clock:
    """Time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        until = self.now + seconds
        await asyncio.sleep(0)
        self.now = max(self.now, until)


def test_no_more_at_once_than_allowed_and_first_come_first_served() -> None:
    async def main() -> tuple[int, list[str]]:
        async with serve(latency=0.01) as server:
            throttle = Throttle(3)
            model = Throttled(open_openai(ModelSpec(id="m", base_url=server.url)), throttle)
            await gathered(model, [ask(str(i)) for i in range(12)])
            await model.close()
            assert throttle.in_flight == 0
            return server.most_at_once, [c.user for c in server.calls]

    most, order = run(main())
    assert most == 3
    assert [int(o) // 3 for o in order] == sorted(int(o) // 3 for o in order)


def test_429s_halve_once_and_answers_bring_it_back() -> None:
    clock = Clock()
    throttle = Throttle(16, clock=clock, sleep=clock.sleep)

    async def main() -> None:
        first = [await throttle.enter(0) for _ in range(8)]
        clock.now += 1
        for started in first:
            throttle.failed(broken(status=429), started)
        assert throttle.limit == 8.0
        clock.now += 1
        throttle.failed(broken(status=429), await throttle.enter(0))
        assert throttle.limit == 4.0
        for _ in range(1000):
            await throttle.enter(0)
            throttle.succeeded()
        assert throttle.limit == 16.0
        for _ in range(10):
            clock.now += 1
            throttle.failed(broken(status=429), await throttle.enter(0))
        assert throttle.places == 1

    run(main())


def test_a_retry_after_stops_every_request() -> None:
    async def main() -> list[float]:
        clock = Clock()
        throttle = Throttle(4, clock=clock, sleep=clock.sleep)
        throttle.failed(broken(status=429, after=30.0), await throttle.enter(0))
        return [await throttle.enter(0) - 100.0 for _ in range(2)]

    assert min(run(main())) >= 30.0


def test_an_endless_pause_is_an_outage() -> None:
    async def main() -> None:
        throttle = Throttle(4)
        throttle.pause(5000)
        with pytest.raises(CallFailed, match="not asked: the endpoint asks for a pause of 83 minutes: come back after"):
            await throttle.enter(0)
        assert throttle.in_flight == 0

    run(main())


def test_headers_bound_what_runs_at_once() -> None:
    clock = Clock()
    throttle = Throttle(16, clock=clock, sleep=clock.sleep)
    throttle.observe(Limits(requests_left=3))
    assert throttle.places == 3
    throttle.observe(Limits(requests_left=0, requests_reset=20.0))
    assert throttle.places == 1
    assert run(throttle.enter(0)) >= 120.0
    throttle.observe(Limits(requests_left=400))
    assert throttle.places == 16
    throttle.observe(Limits(tokens_left=0, tokens_reset=5.0))
    assert run(throttle.enter(0)) >= 125.0


@pytest.mark.parametrize(("bounds", "gap"), [({"requests_per_minute": 120}, 0.5), ({"tokens_per_minute": 600}, 1.0)])
def test_requests_and_tokens_a_minute(bounds: Any, gap: float) -> None:
    async def main() -> list[float]:
        clock = Clock()
        throttle = Throttle(100, clock=clock, sleep=clock.sleep, **bounds)
        return [await throttle.enter(10) for _ in range(7)]

    starts = run(main())
    assert [b - a for a, b in pairwise(starts)] == pytest.approx([gap] * 6)


def test_only_the_first_calls_of_a_burst_are_spread() -> None:
    async def burst(throttle: Throttle, clock: Clock, count: int) -> list[float]:
        before = clock.now
        started = await asyncio.gather(*(throttle.enter(0) for _ in range(count)))
        return [at - before for at in started]

    async def main() -> None:
        clock = Clock()
        throttle = Throttle(64, clock=clock, sleep=clock.sleep)
        first = await burst(throttle, clock, 64)
        assert [b - a for a, b in pairwise(first)] == pytest.approx([0.05 / 64] * 63)
        for _ in range(32):
            throttle.succeeded()
        assert await burst(throttle, clock, 32) == [0.0] * 32, "others are on their way"
        for _ in range(64):
            throttle.succeeded()
        again = await burst(throttle, clock, 3)
        assert [b - a for a, b in pairwise(again)] == pytest.approx([0.05 / 64] * 2)
        few = Throttle(4, clock=clock, sleep=clock.sleep)
        assert [b - a for a, b in pairwise(await burst(few, clock, 4))] == pytest.approx([0.0015] * 3)

    run(main())


def test_tokens_are_corrected_by_what_was_used() -> None:
    async def main() -> float:
        clock = Clock()
        throttle = Throttle(100, clock=clock, sleep=clock.sleep, tokens_per_minute=600)
        model = Throttled(Scripted({"x": "one"}), throttle)
        await model.generate(ask("x", max_tokens=59))
        return await throttle.enter(0) - 100.0

    assert run(main()) == pytest.approx(0.2)  # 2 tokens, not 60


def test_a_cancelled_request_leaves_no_trace() -> None:
    async def main() -> None:
        throttle = Throttle(1)
        await throttle.enter(0)
        waiting = [asyncio.create_task(throttle.enter(0)) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        throttle.succeeded()
        waiting[1].cancel()
        await asyncio.wait(waiting, timeout=1)
        assert waiting[2].done()
        throttle.succeeded()
        assert throttle.in_flight == 0

    run(main())


# Budgeted


def test_never_over_and_the_rest_is_missing() -> None:
    price = Price(input=0.0, output=1e6)  # a dollar an output token
    model = Budgeted(Scripted(lambda r: "a b", latency=0.001), budget := Budget(25.0), price)
    answers = run(gathered(model, [ask(str(i), max_tokens=5) for i in range(40)]))
    assert Counter(type(a) for a in answers) == {Completion: 11, Outage: 29}
    assert budget.spent == 22.0
    assert budget.left == 3.0
    assert {a.missing.type for a in answers if isinstance(a, Outage)} == {"budget"}


def test_calls_wait_for_money_in_flight_instead_of_giving_up() -> None:
    price = Price(input=0.0, output=1e6)
    budget = Budget(12.0)
    model = Budgeted(Scripted(lambda r: "a", latency=0.001), budget, price)
    answers = run(gathered(model, [ask(str(i), max_tokens=10) for i in range(3)]))
    assert [type(a) for a in answers] == [Completion] * 3
    assert budget.spent == 3.0


def test_failures_are_paid_and_cancelled_calls_give_their_money_back() -> None:
    async def main() -> None:
        budget = Budget(1.0)
        failing = Budgeted(sequence(broken(usage=Usage(input=1000))).inner, budget, PRICE)
        with pytest.raises(CallFailed):
            await failing.generate(ask("x"))
        assert budget.spent == pytest.approx(0.001)
        slow = asyncio.create_task(Budgeted(Scripted({"x": "a"}, latency=9), budget, PRICE).generate(ask("x")))
        await asyncio.sleep(0)
        assert budget.left < 0.999
        slow.cancel()
        await asyncio.wait([slow])
        assert budget.left == pytest.approx(0.999)
        for what in ("job", "job"):  # followed again after a kill: paid once
            budget.charge(0.5, what)
        assert budget.left == pytest.approx(0.499)

    run(main())


def test_a_run_that_was_killed_keeps_within_the_same_bound(tmp_path: Path) -> None:
    price = Price(input=0.0, output=1e6)
    ledger = tmp_path / "spent.txt"
    spent = 0.0
    for start in range(4):  # each start is a process of its own: nothing is closed, as after a kill
        budget = Budget(10.0, ledger)
        assert budget.spent == spent
        model = Budgeted(Scripted(lambda r: "a b"), budget, price)
        run(gathered(model, [ask(f"{start}.{i}", max_tokens=2) for i in range(2)]))
        budget.charge(1.0, "job-1")
        spent = budget.spent
    assert spent == 9.0
    with ledger.open("ab") as file:
        file.write(b"7.5")  # a line that a crash cut off
    assert Budget(10.0, ledger).left == 1.0
    Budget(10.0, ledger).charge(0.25, "job-2")  # it begins a line of its own
    assert Budget(10.0, ledger).left == 0.75


def test_what_is_in_flight_when_a_run_is_killed_counts_with_its_bound(tmp_path: Path) -> None:
    """The endpoint bills it, whoever is there to read the answer: twenty kills do not pass the bound."""
    price = Price(input=0.0, output=1e6)

    async def killed() -> int:
        inner = Scripted(lambda r: "a", latency=60)
        model = Budgeted(inner, Budget(10.0, tmp_path / "spent.txt"), price)
        tasks = [asyncio.create_task(model.generate(ask(str(i), max_tokens=1))) for i in range(3)]
        await asyncio.sleep(0.01)
        text = (tmp_path / "spent.txt").read_bytes()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        (tmp_path / "spent.txt").write_bytes(text)  # as a kill leaves it: nothing was settled
        return inner.calls

    assert sum(run(killed()) for _ in range(20)) == 10


def test_a_ledger_that_cannot_be_written_stops_calls_before_they_go_out(tmp_path: Path) -> None:
    inner = Scripted(lambda r: "a")
    model = Budgeted(inner, Budget(10.0, tmp_path / "gone" / "spent.txt"), Price(input=0.0, output=1e6))
    with pytest.raises(DataError, match=r"(?s)cannot write.*the same command"):
        run(model.generate(ask("x", max_tokens=1)))
    assert inner.calls == 0


def test_an_unknown_price_is_refused_before_anything_is_spent() -> None:
    unknown = Price(input=1.0, reason="nobody lists it")
    with pytest.raises(ModelError, match=r"nobody lists it[\s\S]*usd_per_mtok"):
        wrap(Scripted({}), budget=Budget(1.0), price=unknown)
    with pytest.raises(ModelError):
        wrap(Scripted({}), budget=Budget(1.0))
    wrap(Scripted({}), budget=Budget(0.0), price=Price(input=0.0, output=0.0))


@pytest.mark.parametrize("text", ["", "plain words", "½ 杯 🍳" * 50, "\x00\x01" * 99])
def test_the_bound_is_one(text: str) -> None:
    assert bound(ask(text)).input > len(text.encode())
    assert bound(ask(text)).output == 10


# All of them, round a server that breaks


class Recorder(Wrapper):
    """Notes when each call went out, and when each failed one came back and what it asked for."""

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self.out: list[float] = []
        self.asked: list[tuple[float, float]] = []

    async def generate(self, request: Request) -> Completion:
        self.out.append(time.monotonic())
        try:
            return await self.model.generate(request)
        except CallFailed as failed:
            if failed.after is not None:
                self.asked.append((time.monotonic(), failed.after))
            raise


def test_thirty_percent_faults_and_all_finish() -> None:
    """429 in every form, 500, reset, truncated: each is answered and billed once, none asked before it may be."""
    rng = random.Random(20)
    limited_at: dict[str, float] = {}
    forms = 0

    async def limited(call: Any) -> Any:
        nonlocal forms
        forms += 1
        then = int(time.time()) + 1
        wait, headers = [(0.05, {"retry-after": "0.05"}), (0.04, {"retry-after-ms": "40"})][forms % 2]
        if forms == 4:
            wait, headers = then - time.time(), {"retry-after": email.utils.formatdate(then, usegmt=True)}
        limited_at[call.user] = time.monotonic() + wait
        return await status(429, "slow down", "rate_limit_exceeded", headers)(call)

    def rule(call: Any) -> Any:
        early = limited_at.pop(call.user, 0.0) - call.at
        assert early < 0.002, f"{call.user} came {early} s before its Retry-After"
        return rng.choice([limited, limited, status(500), reset, truncated]) if rng.random() < 0.3 else None

    async def main() -> None:
        async with serve(rule=rule, latency=0.002) as server:
            throttle, cache, budget = Throttle(16), Memory(), Budget(10.0)
            recorder = Recorder(open_openai(ModelSpec(id="m", base_url=server.url), on_limits=throttle.observe))
            retries = Retries(attempts=30, first=0.01, cap=0.1)
            model = wrap(recorder, cache=cache, throttle=throttle, budget=budget, price=PRICE, retries=retries)
            answers = await gathered(model, [ask(f"q{i}") for i in range(120)])
            assert [a.text for a in answers] == [f"answer to q{i}" for i in range(120)]
            assert len(recorder.asked) > 5
            for back, after in recorder.asked:
                assert not [out for out in recorder.out if back < out < back + after]
            assert any(a.attempts > 1 for a in answers)
            assert budget.spent == pytest.approx(sum(cost(a.usage, PRICE) or 0.0 for a in answers))
            before = len(server.calls)
            assert await gathered(model, [ask(f"q{i}") for i in range(120)]) == answers
            assert len(server.calls) == before
            assert len(cache) == 120
            await model.close()

    run(main())


@pytest.mark.parametrize("fault", [hang, raw(b"<html>", "text/html"), truncated, reset])
def test_what_stays_broken_is_missing(fault: Any) -> None:
    async def main() -> Any:
        async with serve(rule=lambda call: fault) as server:
            spec = ModelSpec(id="m", base_url=server.url, timeout_seconds=0.15)
            model = wrap(open_openai(spec), throttle=Throttle(2), retries=Retries(attempts=2, first=0.001))
            try:
                await model.generate(ask("x"))
            finally:
                await model.close()
                assert len(server.calls) == 2

    with pytest.raises(Outage) as caught:
        run(main())
    assert caught.value.missing.type == "outage"
    assert caught.value.missing.attempts == 2


def test_a_wrong_key_costs_three_calls_and_not_a_thousand() -> None:
    async def main() -> int:
        async with serve(key="another") as server:
            model = wrap(open_openai(ModelSpec(id="m", base_url=server.url)), throttle=Throttle(8))
            for i in range(20):
                with pytest.raises(Outage, match="401"):
                    await model.generate(ask(str(i)))
            await model.close()
            return len(server.calls)

    assert run(main()) == 3


def test_refusals_pass_through_everything() -> None:
    async def main() -> int:
        async with serve(rule=lambda call: replied("", "content_filter")) as server:
            model = wrap(
                open_openai(ModelSpec(id="m", base_url=server.url)),
                cache=Memory(), throttle=Throttle(2), budget=Budget(1.0), price=PRICE,
            )  # fmt: skip
            for _ in range(2):
                with pytest.raises(Failed, match="content_filter"):
                    await model.generate(ask("x"))
            await model.close()
            return len(server.calls)

    assert run(main()) == 1
