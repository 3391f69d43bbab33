"""The contract of a model, run on every one: the scripted fake, the hosted client, and both inside the wrappers.

To hold another model to it, add its opener to `MODELS`: an async context manager that yields a model which answers the
prompt `say WORDS` with WORDS, refuses the prompt `refuse`, and has no answer for the prompt `outage`. A model that
says what it likes (local weights) goes to `LOCAL`, and is held to all that does not depend on the words.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest

from harness.errors import Failed, ModelError, Outage
from harness.models.base import Completion, Failure, Message, Missing, Model, Request
from harness.models.budgeted import Budget
from harness.models.openai import open_openai
from harness.models.retrying import Retries
from harness.models.scripted import Scripted
from harness.models.throttled import Throttle
from harness.models.wrappers import wrap
from harness.prices import Price
from harness.spec import ModelSpec
from tests import tiny
from tests.servers import KEY, Call, ChatServer, Fault, chat, replied, serve, status


class Memory(dict[str, bytes]):
    """A response cache."""

    def put(self, key: str, value: bytes) -> None:
        self[key] = value


def play(request: Request) -> str:
    text = request.messages[-1].content
    if text == "refuse":
        raise Failed(Failure(boundary="model", type="refused", text="no", model="scripted"))
    if text == "outage":
        raise Outage(Missing(type="outage", message="gone"))
    return text.removeprefix("say ")


@asynccontextmanager
async def scripted() -> AsyncIterator[Model]:
    yield Scripted(play)


def rule(call: Call) -> Fault:
    """The same manners as `play`, over HTTP: an answer is cut at `max_tokens` words."""
    if call.user == "refuse":
        return replied(None, refusal="no")
    if call.user == "outage":
        return status(503)

    async def cut(call: Call) -> Any:
        from aiohttp import web

        words, most = call.user.removeprefix("say ").split(), call.body["max_tokens"]
        body = chat(" ".join(words[:most]), call, "length" if len(words) > most else "stop")
        if call.body.get("logprobs"):
            body["choices"][0]["logprobs"] = {"content": [{"token": w, "logprob": -1.0} for w in words]}
        return web.json_response(body)

    return cut


@asynccontextmanager
async def hosted() -> AsyncIterator[Model]:
    async with serve(ChatServer(rule=rule)) as server:
        model = open_openai(ModelSpec(id="openai/gpt-test", base_url=server.url))
        try:
            yield model
        finally:
            await model.close()


@asynccontextmanager
async def azure() -> AsyncIterator[Model]:
    async with serve(ChatServer(rule=rule, style="azure_v1")) as server:
        model = open_openai(ModelSpec(id="azure/mine", base_url=server.url))
        try:
            yield model
        finally:
            await model.close()


@asynccontextmanager
async def wrapped() -> AsyncIterator[Model]:
    async with hosted() as model:
        yield wrap(
            model,
            cache=Memory(),
            retries=Retries(attempts=2, first=0.001),
            throttle=Throttle(4),
            budget=Budget(1.0),
            price=Price(input=1.0, output=1.0),
        )


_opened: dict[str, Any] = {}


def _local(engine: Literal["openvino", "transformers"]) -> Any:
    """A tiny random model on a real engine, started once for this module and again after a test has closed it."""
    pytest.importorskip("torch")
    if engine == "openvino":
        pytest.importorskip("openvino_genai")
    from harness.models.local import open_local

    if "folder" not in _opened:
        _opened["folder"] = tempfile.TemporaryDirectory()
        tiny.model(Path(_opened["folder"].name) / "tiny", [("a", "b")])
    if engine not in _opened or _opened[engine].pid is None:
        _opened[engine] = open_local(Path(_opened["folder"].name) / "tiny", engine=engine)
    return _opened[engine]


@asynccontextmanager
async def local_openvino() -> AsyncIterator[Model]:
    yield _local("openvino")


@asynccontextmanager
async def local_transformers() -> AsyncIterator[Model]:
    yield _local("transformers")


@pytest.fixture(autouse=True, scope="module")
def _close_locals() -> Iterator[None]:
    yield
    folder = _opened.pop("folder", None)
    while _opened:
        asyncio.run(_opened.popitem()[1].close())
    if folder:
        folder.cleanup()


MODELS = [scripted, hosted, azure, wrapped]
LOCAL = [local_openvino, local_transformers]


@pytest.fixture(params=MODELS, ids=lambda opener: opener.__name__)
def check(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Runs a coroutine on a model that says what it is told, opened in the same loop."""
    return _checker(request, monkeypatch)


@pytest.fixture(params=[*MODELS, *LOCAL], ids=lambda opener: opener.__name__)
def check_any(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Runs a coroutine on any model, opened in the same loop."""
    return _checker(request, monkeypatch)


def _checker(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    for name in ("OPENAI_API_KEY", "AZURE_OPENAI_API_KEY"):
        monkeypatch.setenv(name, KEY)
    monkeypatch.delenv("AZURE_OPENAI_API_VERSION", raising=False)
    opener: Callable[[], AbstractAsyncContextManager[Model]] = request.param

    def run(test: Callable[[Model], Awaitable[Any]]) -> Any:
        async def main() -> Any:
            async with opener() as model:
                return await test(model)

        return asyncio.run(main())

    return run


def ask(text: str, **fields: Any) -> Request:
    return Request(messages=(Message("system", "Echo."), Message("user", text)), **{"max_tokens": 20, **fields})


def test_it_answers_and_says_what_it_took(check: Any) -> None:
    done: Completion = check(lambda m: m.generate(ask("say flour and egg")))
    assert done.text == "flour and egg"
    assert done.finish == "stop"
    assert done.usage.input > 0
    assert done.usage.output > 0
    assert done.seconds > 0
    assert done.model
    assert done.attempts == 1
    assert (done.shots, done.passages) == ((), ())


def test_an_answer_survives_the_disk(check: Any) -> None:
    done = check(lambda m: m.generate(ask("say ½ crème 杯")))
    assert done.text == "½ crème 杯"
    assert msgspec.json.decode(msgspec.json.encode(done), type=Completion) == done


def test_a_long_answer_is_cut_and_said_to_be(check_any: Any) -> None:
    done = check_any(lambda m: m.generate(ask("say one two three four", max_tokens=2)))
    assert done.finish == "length"
    assert done.usage.output <= 2
    assert "four" not in done.text


def test_at_temperature_0_it_says_the_same_twice(check_any: Any) -> None:
    async def twice(model: Model) -> list[str]:
        return [(await model.generate(ask("say the same"))).text for _ in range(2)]

    first, second = check_any(twice)
    assert first == second


def test_concurrent_answers_are_not_mixed_up(check: Any) -> None:
    async def many(model: Model) -> list[Completion]:
        return await asyncio.gather(*(model.generate(ask(f"say number {i}")) for i in range(20)))

    assert [c.text for c in check(many)] == [f"number {i}" for i in range(20)]


def test_a_refusal_is_a_failure_with_its_boundary(check: Any) -> None:
    with pytest.raises(Failed) as caught:
        check(lambda m: m.generate(ask("refuse")))
    failure = caught.value.failure
    assert (failure.boundary, failure.type, failure.text) == ("model", "refused", "no")
    assert failure.model


def test_no_answer_is_an_outage(check: Any) -> None:
    with pytest.raises(Outage) as caught:
        check(lambda m: m.generate(ask("outage")))
    assert caught.value.missing.type == "outage"
    assert caught.value.missing.message


def test_after_a_failure_and_an_outage_it_still_answers(check: Any) -> None:
    async def three(model: Model) -> str:
        for text in ("refuse", "outage"):
            with pytest.raises((Failed, Outage)):
                await model.generate(ask(text))
        return (await model.generate(ask("say on we go"))).text

    assert check(three) == "on we go"


def test_logprobs_come_when_asked_for_and_are_never_positive(check_any: Any) -> None:
    async def both(model: Model) -> list[float | None]:
        return [(await model.generate(ask("say it", logprobs=p))).logprob for p in (True, False)]

    asked, not_asked = check_any(both)
    assert asked is not None
    assert asked <= 0
    assert not_asked is None


def test_its_tokens_can_be_counted(check_any: Any) -> None:
    async def counts(model: Model) -> list[int]:
        texts = ["flour", "flour and egg and milk " * 20]
        return [model.count_tokens((Message("user", text),)) for text in texts]

    few, many = check_any(counts)
    assert 0 < few < many


def test_it_has_a_name_a_digest_and_maybe_a_context(check_any: Any) -> None:
    async def look(model: Model) -> tuple[str, str, str, int | None]:
        before = model.digest
        await model.generate(ask("say x"))
        return model.name, before, model.digest, model.context

    name, before, after, context = check_any(look)
    assert name
    assert before == after
    assert context is None or context > 0


def test_a_cancelled_answer_breaks_nothing(check: Any) -> None:
    async def cancel(model: Model) -> str:
        task = asyncio.create_task(model.generate(ask("say never")))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        return (await model.generate(ask("say still here"))).text

    assert check(cancel) == "still here"


def test_company_and_cancelled_neighbours_change_no_answer(check_any: Any) -> None:
    async def use(model: Model) -> tuple[list[str], list[str]]:
        requests = [ask(f"say number {i}") for i in range(6)]
        alone = [(await model.generate(r)).text for r in requests]
        doomed = [asyncio.create_task(model.generate(ask(f"say never {i}"))) for i in range(4)]
        crowd = [asyncio.create_task(model.generate(r)) for r in requests]
        await asyncio.sleep(0.01)
        for task in doomed:
            task.cancel()
        await asyncio.wait(doomed)
        return alone, [(await task).text for task in crowd]

    alone, crowd = check_any(use)
    assert alone == crowd


def test_closed_twice_it_answers_no_more(check_any: Any) -> None:
    async def close(model: Model) -> None:
        await model.generate(ask("say x"))
        await model.close()
        await model.close()
        with pytest.raises(ModelError, match="closed"):
            await model.generate(ask("say y"))

    check_any(close)
