"""The hosted model against a real server: what goes over the wire, and what becomes of every way to answer badly."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from harness.errors import Failed, ModelError, Outage
from harness.models.base import Completion, Message, Request
from harness.models.calls import CallFailed, Limits, duration, limits, retry_after
from harness.models.endpoint import Endpoint
from harness.models.openai import OpenAIModel, open_openai
from harness.spec import ModelSpec
from tests.servers import (
    BAD_UTF8,
    HTML,
    KEY,
    ChatServer,
    Fault,
    cut,
    drip,
    hang,
    raw,
    replied,
    reset,
    serve,
    status,
    truncated,
)

ASK = Request(messages=(Message("system", "Be brief."), Message("user", "two eggs")), max_tokens=20)


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_BASE_URL", "AZURE_OPENAI_API_KEY", "AZURE_OPENAI_ENDPOINT", "AZURE_OPENAI_API_VERSION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def spec(server: ChatServer | None = None, **fields: Any) -> ModelSpec:
    base_url = {"base_url": server.url} if server else {}
    return ModelSpec(**{"id": "openai/gpt-test", **base_url, **fields})


def ask(test: Callable[[OpenAIModel, ChatServer], Awaitable[Any]], server: Any = None, **fields: Any) -> Any:
    """Run a test's coroutine on a model and its server."""

    async def main() -> Any:
        async with serve(server) as running:
            model = open_openai(spec(running, **fields))
            try:
                return await test(model, running)
            finally:
                await model.close()

    return asyncio.run(main())


def once(fault: Fault | None = None, request: Request = ASK, server: ChatServer | None = None, **fields: Any) -> Any:
    """One call; the first meets the fault."""
    server = server or ChatServer()
    server.faults = [fault]
    return ask(lambda model, _: model.generate(request), server, **fields)


# What goes over the wire


def test_an_answer_has_text_usage_model_and_latency() -> None:
    done = once()
    assert isinstance(done, Completion)
    assert (done.text, done.finish, done.model) == ("answer to two eggs", "stop", "gpt-test-2026-01-01")
    assert (done.usage.input, done.usage.cached_input, done.usage.output) == (4, 2, 4)
    assert not done.usage.estimated
    assert 0 < done.seconds < 60
    assert done.compute_seconds == 0


def test_the_request_is_what_was_asked() -> None:
    server = ChatServer()
    once(server=server, request=Request(messages=ASK.messages, max_tokens=7, temperature=0.5, seed=20, repeat=3))
    assert server.calls[0].body == {
        "model": "gpt-test",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "two eggs"}],
        "max_tokens": 7,
        "temperature": 0.5,
        "seed": 23,
    }
    assert server.calls[0].headers["authorization"] == f"Bearer {KEY}"


def test_extra_body_is_merged_and_wins() -> None:
    server = ChatServer()
    once(server=server, extra_body={"top_k": 1, "seed": 5})
    assert server.calls[0].body["top_k"] == 1
    assert server.calls[0].body["seed"] == 5


def test_logprobs_are_asked_for_and_averaged() -> None:
    content = [{"token": "a", "logprob": -0.5}, {"token": "b", "logprob": -1.5}]
    choice = {"message": {"content": "a b"}, "finish_reason": "stop", "logprobs": {"content": content}}
    server = ChatServer(reply={"choices": [choice]})
    done = once(server=server, request=Request(messages=ASK.messages, max_tokens=5, logprobs=True))
    assert server.calls[0].body["logprobs"] is True
    assert done.logprob == -1.0
    assert once(server=ChatServer(reply={"choices": [choice]})).logprob is None


def test_azure_classic(monkeypatch: pytest.MonkeyPatch) -> None:
    server = ChatServer(style="azure_classic")
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", KEY)
    monkeypatch.setenv("AZURE_OPENAI_API_VERSION", "2024-10-21")
    assert once(server=server, id="azure/my-deployment").text == "answer to two eggs"
    assert server.calls[0].path == "/openai/deployments/my-deployment/chat/completions"


def test_azure_v1_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with serve(style="azure_v1") as server:
            monkeypatch.setenv("AZURE_OPENAI_API_KEY", KEY)
            monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", server.root + "/")
            model = open_openai(spec(id="azure/my-deployment"))
            assert (await model.generate(ASK)).text == "answer to two eggs"
            await model.close()
            assert server.calls[0].path == "/openai/v1/chat/completions"
            assert server.calls[0].body["model"] == "my-deployment"

    asyncio.run(main())


def test_the_yaml_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    assert once().text == "answer to two eggs"
    assert Endpoint.of(spec()).url == "http://127.0.0.1:1/v1"
    assert Endpoint.of(spec()).source == "OPENAI_BASE_URL"


def test_a_model_without_a_key_on_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    monkeypatch.setenv("OPENAI_ADMIN_KEY", "sk-admin")
    server = ChatServer(key=None)
    assert once(server=server, id="llama").text == "answer to two eggs"
    assert "admin" not in str(server.calls[0].headers)


def test_a_redirect_takes_no_key_elsewhere() -> None:
    async def main() -> None:
        async with serve() as other, serve() as server:
            server.faults = [status(307, headers={"location": f"{other.url}/chat/completions"})]
            model = open_openai(spec(server))
            with pytest.raises(CallFailed) as caught:
                await model.generate(ASK)
            await model.close()
            assert not caught.value.retry
            assert f"redirects to {other.url}/chat/completions" in caught.value.missing.message
            assert "base URL" in caught.value.missing.fix
            assert not other.calls

    asyncio.run(main())


# Answers that are failures of the arm


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (replied("partly", "content_filter"), "content_filter"),
        (replied(None, "stop", refusal="I cannot help with that."), "refused"),
        (
            status(400, "filtered", "content_filter", innererror={"code": "ResponsibleAIPolicyViolation"}),
            "content_filter",
        ),
        (status(400, "This model's maximum context length is 8 tokens.", "context_length_exceeded"), "overflow"),
        (status(400, "maximum context length is 8 tokens, you asked for 9"), "overflow"),
        (status(400, "messages[0] is bad"), "invalid"),
        (status(422, "cannot be read"), "invalid"),
        (raw(b'{"error": {"code": "content_filter", "message": "no"}}'), "content_filter"),
        (raw(b'{"choices": [{"index": 0, "finish_reason": "content_filter"}]}'), "content_filter"),  # no message at all
        (replied(None, "refusal"), "refused"),
        (replied([{"type": "refusal", "refusal": "I cannot."}]), "refused"),  # type: ignore[arg-type]
    ],
)
def test_failures_of_the_arm(fault: Fault, kind: str) -> None:
    with pytest.raises(Failed) as caught:
        once(fault)
    failure = caught.value.failure
    assert (failure.boundary, failure.type) == ("model", kind)
    assert failure.model
    assert failure.seconds > 0


@pytest.mark.parametrize("style", ["azure_v1", "azure_classic"])
def test_azure_bills_the_prompt_that_it_filtered(style: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", KEY)
    version = {"api_version": "2024-10-21"} if style == "azure_classic" else {}
    with pytest.raises(Failed) as caught:
        once(status(400, "filtered", "content_filter"), server=ChatServer(style=style), id="azure/gpt-test", **version)
    assert caught.value.failure.usage.input > 0
    assert caught.value.failure.usage.estimated


def test_a_filtered_answer_keeps_text_and_bill() -> None:
    with pytest.raises(Failed) as caught:
        once(replied("two words", "content_filter"))
    assert caught.value.failure.text == "two words"
    assert caught.value.failure.usage.output == 2


@pytest.mark.parametrize(("fault", "text", "finish"), [
    (replied("cut", "length"), "cut", "length"),
    (replied(None), "", "stop"),
    (replied(""), "", "stop"),
    (replied("x", None), "x", "stop"),
    (replied("x", "tool_calls"), "x", "stop"),
    (replied([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]), "ab", "stop"),  # type: ignore[arg-type]
    (replied("fine", over={"error": {"code": None, "message": None}}), "fine", "stop"),
])  # fmt: skip
def test_what_the_runner_judges_is_returned(fault: Fault, text: str, finish: str) -> None:
    done = once(fault)
    assert (done.text, done.finish) == (text, finish)


# Calls that gave nothing


@pytest.mark.parametrize(
    "fault",
    [
        HTML, BAD_UTF8, truncated, reset, cut,
        raw(b""), raw(b"null"), raw(b"[]"), raw(b"{}"), raw(b'{"choices": []}'), raw(b'{"choices": null, "error": {}}'),
        raw(b'{"choices": 5}'), raw(b'{"choices": [{"message": null}]}'), raw(b'"just text"', "text/plain"),
        raw(b'{"error": {"message": "upstream is down", "code": 502}}'), raw(b'{"error": "loading"}'),
        status(408), status(409), status(429), status(500), status(503), status(404, "wait", "DeploymentNotReady"),
        raw(b"<html>", "text/html", 502), raw(b"{", "application/json", 500), raw(b"\xff\xfe", "text/plain", 503),
    ],
)  # fmt: skip
def test_no_answer_may_be_asked_for_again(fault: Fault) -> None:
    with pytest.raises(CallFailed) as caught:
        once(fault)
    assert caught.value.retry
    assert not caught.value.fatal
    assert caught.value.missing.message


@pytest.mark.parametrize(
    "fault",
    [
        status(401), status(403, "no"), status(404, "no such model", "model_not_found"),
        status(429, "You exceeded your current quota", "insufficient_quota"),
        raw(b'{"error": {"message": "You exceeded your quota", "code": "insufficient_quota"}}'),
    ],
)  # fmt: skip
def test_what_only_a_person_can_end_is_not_asked_again(fault: Fault) -> None:
    with pytest.raises(CallFailed) as caught:
        once(fault)
    assert caught.value.fatal
    assert not caught.value.retry
    assert caught.value.missing.fix


@pytest.mark.parametrize("fault", [hang, drip])
def test_the_deadline_is_for_the_whole_call(fault: Fault) -> None:
    with pytest.raises(CallFailed, match=r"within 0\.3 s") as caught:
        once(fault, timeout_seconds=0.3)
    assert caught.value.retry
    assert caught.value.missing.usage.estimated


def test_an_unreachable_server_is_an_outage() -> None:
    async def main() -> None:
        model = open_openai(ModelSpec(id="llama", base_url="http://127.0.0.1:1/v1"))
        try:
            await model.generate(ASK)
        finally:
            await model.close()

    with pytest.raises(CallFailed, match="no connection") as caught:
        asyncio.run(main())
    assert caught.value.unreachable
    assert "http://127.0.0.1:1/v1" in caught.value.missing.fix


def test_a_server_that_cuts_the_line_is_there() -> None:
    """It may have done (and billed) the work: it is asked as often as one that answered before."""
    with pytest.raises(CallFailed, match="the connection broke: Server disconnected") as caught:
        once(reset)
    assert not caught.value.unreachable


def test_an_error_in_a_200_is_waited_for_as_its_header_says() -> None:
    async def fault(call: Any) -> web.Response:
        return web.json_response({"error": {"code": 429, "message": "slow down"}}, headers={"retry-after": "7"})

    with pytest.raises(CallFailed) as caught:
        once(fault)
    assert (caught.value.status, caught.value.after) == (429, 7.0)


def test_a_cut_reply_was_billed_and_a_proxys_page_was_not() -> None:
    with pytest.raises(CallFailed) as cut_off:
        once(truncated)
    assert cut_off.value.missing.usage.input > 0
    assert cut_off.value.missing.usage.estimated
    with pytest.raises(CallFailed) as page:
        once(HTML)
    assert page.value.missing.usage.input == 0


def test_the_sdk_does_not_retry() -> None:
    server = ChatServer(faults=[])
    with pytest.raises(CallFailed):
        once(status(500), server=server)
    assert len(server.calls) == 1


# Usage


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": None}, {"prompt_tokens": 0, "completion_tokens": 0}])
def test_usage_that_was_not_sent_is_estimated_and_marked(usage: Any) -> None:
    done = once(replied("eight letters and more", over={"usage": usage}))
    assert done.usage.estimated
    assert done.usage.input == 3 + 3 + 3 + 3 + 2  # two messages, 9 and 8 bytes
    assert done.usage.output == 6


@pytest.mark.parametrize(
    ("usage", "read"),
    [
        ({"prompt_tokens": 50.0, "completion_tokens": "5", "prompt_tokens_details": []}, (50, 0, 5, False)),
        ({"prompt_tokens": 50, "completion_tokens": 0}, (50, 0, 1, True)),  # an answer of no tokens
        ({"prompt_tokens": -1, "completion_tokens": 1e99, "prompt_tokens_details": "?"}, (14, 0, 1, True)),
        (["odd"], (14, 0, 1, True)),
    ],
)
def test_an_odd_usage_does_not_throw_away_the_answer(usage: Any, read: tuple[int, int, int, bool]) -> None:
    done = once(replied("x", over={"usage": usage}))
    got = done.usage
    assert (got.input, got.cached_input, got.output, got.estimated) == read
    assert done.text == "x"


def test_a_byte_order_mark_and_odd_side_fields_are_read_past() -> None:
    body = b'{"choices": [{"message": {"content": "salt"}, "finish_reason": 7, "logprobs": []}], "model": 3}'
    assert once(raw(b"\xef\xbb\xbf" + body)).text == "salt"


def test_cached_tokens_are_never_more_than_all() -> None:
    over = {"usage": {"prompt_tokens": 5, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 9}}}
    assert once(replied("x", over=over)).usage.cached_input == 5


# Parameters that an endpoint does not take


def picky(rejects: str, code: str, message: str) -> ChatServer:
    """A server that rejects one parameter."""
    fault = status(400, message, code, param=rejects if code.startswith("unsupported") else None)
    return ChatServer(rule=lambda call: fault if rejects in call.body else None)


def twice(server: ChatServer) -> OpenAIModel:
    async def both(model: OpenAIModel, _: ChatServer) -> OpenAIModel:
        await model.generate(ASK)
        await model.generate(ASK)
        return model

    return ask(both, server)


def test_reasoning_models_get_max_completion_tokens_and_it_is_remembered() -> None:
    message = "Unsupported parameter: 'max_tokens' is not supported. Use 'max_completion_tokens' instead."
    server = picky("max_tokens", "unsupported_parameter", message)
    twice(server)
    assert [c.status for c in server.calls] == [400, 200, 200]
    assert server.calls[-1].body["max_completion_tokens"] == 20


@pytest.mark.parametrize(
    ("name", "code", "message"),
    [
        ("temperature", "unsupported_value", "'temperature' does not support 0.0 with this model."),
        ("seed", "x", "Unrecognized request argument supplied: seed"),
    ],
)
def test_other_parameters_are_left_out_and_it_is_said(name: str, code: str, message: str) -> None:
    server = picky(name, code, message)
    model = twice(server)
    assert [c.status for c in server.calls] == [400, 200, 200]
    assert len(model.notes) == 1
    assert name in model.notes[0]


def test_a_bad_value_is_not_an_unknown_parameter() -> None:
    server = ChatServer(
        rule=lambda call: status(400, "max_tokens is too large: 20", "invalid_value", param="max_tokens")
    )
    with pytest.raises(Failed):
        ask(lambda model, _: model.generate(ASK), server)
    assert len(server.calls) == 1


# Keys


def test_no_key_no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(ModelError, match="OPENAI_API_KEY is not set"):
        open_openai(spec())
    with pytest.raises(ModelError, match="MY_KEY is not set"):
        open_openai(spec(base_url="https://llm.example.com/v1", api_key_env="MY_KEY"))


@pytest.mark.parametrize("value", ["sk-a b", "sk-é", "sk-\n-x", "   "])
def test_a_key_that_cannot_be_one_is_not_shown(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", value)
    with pytest.raises(ModelError) as caught:
        open_openai(spec())
    assert "OPENAI_API_KEY" in str(caught.value)
    assert value.strip() == "" or value not in str(caught.value)


def test_a_foreign_host_gets_the_key_only_by_name() -> None:
    foreign = {"id": "llama", "base_url": "https://llm.example.com/v1"}
    assert Endpoint.of(ModelSpec(**foreign)).key_env is None
    assert Endpoint.of(ModelSpec(**foreign, api_key_env="OPENAI_API_KEY")).key_env == "OPENAI_API_KEY"
    look_alike = ModelSpec(id="openai/x", base_url="https://notopenai.com/v1")
    assert Endpoint.of(look_alike).key_env is None


def test_a_host_that_wants_a_key_says_how_to_give_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CallFailed) as caught:
        once(server=ChatServer(key="another"))
    assert "set OPENAI_API_KEY to a key" in caught.value.missing.fix
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(CallFailed) as caught:
        once(server=ChatServer(), id="llama")
    assert "`api_key_env`" in caught.value.missing.fix


@pytest.mark.parametrize("key", ["none", "EMPTY", "lm"])
def test_a_word_in_the_place_of_a_key_is_no_secret(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    assert once(replied(f"{key} of the lot"), server=ChatServer(key=key)).text == f"{key} of the lot"


@pytest.mark.parametrize("body", [{"detail": "bad %s"}, ["%s"]])
def test_a_key_behind_escapes_does_not_show(monkeypatch: pytest.MonkeyPatch, body: Any) -> None:
    key = 'sk-a/b"c+d'
    monkeypatch.setenv("OPENAI_API_KEY", key)
    told = json.dumps(body).replace("%s", json.dumps(key)[1:-1]).replace("/", "\\/").encode()
    with pytest.raises(CallFailed, match=r"401: .*\[key\]"):
        once(raw(told, code=401), server=ChatServer(key=key))
    with pytest.raises(CallFailed, match=r"it starts .*\[key\]"):
        once(raw(told[:-1]), server=ChatServer(key=key))


def test_the_key_never_shows(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    seen: list[str] = []

    async def run(model: OpenAIModel, server: ChatServer) -> None:
        server.faults = [
            None,
            status(401, f"Incorrect API key provided: {KEY}"),
            raw(f"<html>{KEY}</html>".encode(), "text/html"),
            raw(f'{{"error": {{"message": "{KEY}"}}}}'.encode()),
            status(400, f"bad {KEY}"),
            replied(f"your key is {KEY}"),
            replied("x", over={"model": f"m-{KEY}"}),
            raw(b"<html>" + b"y" * 60 + f"{KEY}</html>".encode(), "text/html"),  # a cut through the key shows a part
            status(400, "x" * 385 + KEY),
            raw(b"x" * 385 + KEY.encode(), "text/html", 503),
            raw(f'{{"error": {{"message": "{"x" * 385}{KEY}"}}}}'.encode()),
        ]
        for _ in range(11):
            try:
                seen.append(repr(await model.generate(ASK)))
            except (Failed, Outage) as error:
                seen.extend((repr(error), str(error), repr(error.__cause__), repr(error.__dict__)))
        seen.extend((repr(model), repr(vars(model)), model.digest, repr(model.endpoint)))

    ask(run)
    assert len(seen) > 10
    assert not [text for text in seen if KEY[:9] in text]
    assert KEY not in caplog.text


# URLs


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://llm.example.com/v1", "allow_http"),
        ("http://10.0.0.5/v1", "allow_http"),
        ("ftp://x/v1", "no URL"),
        ("localhost:8000", "no URL"),
        ("https://user:secretpassword@x.example/v1", "user name"),
        ("https://x.example/v1?api-version=1", "ends with its path"),
    ],
)
def test_urls_that_are_refused(url: str, says: str) -> None:
    with pytest.raises(ModelError, match=says) as caught:
        open_openai(ModelSpec(id="m", base_url=url))
    assert "secretpassword" not in str(caught.value)


def test_plain_http_when_it_was_allowed() -> None:
    open_openai(ModelSpec(id="m", base_url="http://10.0.0.5/v1", allow_http=True))
    open_openai(ModelSpec(id="m", base_url="http://[::1]:8000/v1"))


def test_a_model_without_an_endpoint_says_what_is_missing() -> None:
    with pytest.raises(ModelError, match="base_url"):
        open_openai(ModelSpec(id="llama-3"))
    with pytest.raises(ModelError, match="AZURE_OPENAI_ENDPOINT"):
        open_openai(ModelSpec(id="azure/mine"))


@pytest.mark.parametrize(
    ("url", "version", "expected"),
    [
        ("https://r.openai.azure.com", None, "https://r.openai.azure.com/openai/v1"),
        ("https://r.openai.azure.com/openai/v1/", "2024-10-21", "https://r.openai.azure.com/openai/v1"),
        ("https://openai.example.com/gw", "2024-10-21", "https://openai.example.com/gw/openai"),
    ],
)
def test_azure_surfaces(url: str, version: str | None, expected: str) -> None:
    env = {"AZURE_OPENAI_API_VERSION": version} if version else {}
    assert Endpoint.of(ModelSpec(id="azure/d", base_url=url), env).url == expected


def test_the_files_api_version_wins_over_the_environment() -> None:
    own = ModelSpec(id="azure/d", base_url="https://mine.openai.azure.com", api_version="2024-10-21")
    for environ in ({}, {"AZURE_OPENAI_API_VERSION": "2020-01-01"}):
        assert Endpoint.of(own, environ).api_version == "2024-10-21"


def test_a_server_whose_ids_begin_with_openai() -> None:
    model = open_openai(ModelSpec(id="openai/openai/gpt-oss", base_url="http://localhost:1/v1"))
    assert model.endpoint.model == "openai/gpt-oss"


def test_the_digest_is_the_endpoint_and_model_and_not_the_patience() -> None:
    digests = {
        open_openai(spec(id=i, base_url=u, extra_body=e, timeout_seconds=t)).digest
        for i, u, e, t in [
            ("a", "http://[::1]:1/v1", {}, 1), ("a", "http://[::1]:1/v1", {}, 2), ("b", "http://[::1]:1/v1", {}, 1),
            ("a", "http://[::1]:2/v1", {}, 1), ("a", "http://[::1]:1/v1", {"top_k": 1}, 1),
        ]
    }  # fmt: skip
    assert len(digests) == 4


# Headers


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "2"}, 2.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after": "Sun, 22 Nov 2026 10:00:07 GMT", "date": "Sun, 22 Nov 2026 10:00:00 GMT"}, 7.0),
        ({"retry-after": "Sun, 22 Nov 2020 10:00:00 GMT"}, 0.0),
        ({"retry-after": "Sun Nov 22 10:00:07 2026", "date": "Sun, 22 Nov 2026 10:00:00 GMT"}, 7.0),
        ({"retry-after": "2s"}, 2.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "864000"}, 864_000.0),
        ({"retry-after": "Wed, 02 Dec 2026 10:00:00 GMT", "date": "Sun, 22 Nov 2026 10:00:00 GMT"}, 864_000.0),
        ({"retry-after": "1e30"}, None),
        ({"retry-after": "1795341600"}, None),  # a Unix time, as some gateways write it
        ({"retry-after": "Sun, 22 Nov 2099 10:00:00 GMT"}, None),
        ({"retry-after-ms": "1e30", "retry-after": "9"}, 9.0),
        ({}, None),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert retry_after(headers) == seconds
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1s", 1), ("6m0s", 360), ("20ms", 0.02), ("1h2m3.5s", 3723.5), ("7", 7), ("x", None), ("", None)],
)
def test_durations(text: str, seconds: float | None) -> None:
    assert duration(text) == (None if seconds is None else pytest.approx(seconds))


def test_rate_limits_are_read_and_handed_on() -> None:
    headers = {
        "x-ratelimit-limit-requests": "500",
        "x-ratelimit-remaining-requests": "499",
        "x-ratelimit-reset-requests": "120ms",
        "x-ratelimit-remaining-tokens": "1000",
    }
    assert limits({}) is None
    seen: list[Limits] = []

    async def main() -> None:
        async with serve(headers=headers) as server:
            model = open_openai(spec(server), on_limits=seen.append)
            await model.generate(ASK)
            await model.close()

    asyncio.run(main())
    assert seen == [Limits(requests_limit=500, requests_left=499, requests_reset=0.12, tokens_left=1000)]


# Life


def test_a_reset_that_nobody_can_mean_is_none() -> None:
    """A Unix time where seconds are due would stop the endpoint for half a century."""
    found = limits({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1795341600"})
    assert found is not None
    assert (found.requests_left, found.requests_reset) == (0, None)


def test_a_closed_model_does_not_answer() -> None:
    async def run(model: OpenAIModel, _: ChatServer) -> None:
        await model.generate(ASK)
        await model.close()
        await model.close()
        with pytest.raises(ModelError, match="closed"):
            await model.generate(ASK)

    ask(run)


def test_opening_does_not_load_the_sdk() -> None:
    code = (
        "import sys; from harness.models.openai import open_openai; from harness.spec import ModelSpec;"
        "open_openai(ModelSpec(id='m', base_url='http://localhost:1/v1'));"
        "sys.exit(any(m in sys.modules for m in ('openai', 'aiohttp', 'httpx2', 'genai_prices')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
