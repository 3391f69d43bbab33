"""A real HTTP server on loopback that speaks OpenAI's and Azure's chat API, and breaks in every way that they do.

It keeps what it was asked and when, and checks the key, so that a test can say what really went over the wire.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

KEY = "sk-test-THE-KEY-1234567890"

Fault = Callable[["Call"], Any]  # an async function of the call that returns a response; it may hang or cut the line


@dataclass
class Call:
    """One request as it arrived. `at` is on the monotonic clock."""

    number: int
    at: float
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: dict[str, Any]
    request: web.Request
    status: int = 0

    @property
    def user(self) -> str:
        """The last user turn."""
        return next((m["content"] for m in reversed(self.body.get("messages", [])) if m["role"] == "user"), "")


@dataclass
class ChatServer:
    """What a test drives: `faults` break the next calls in order (None lets one pass), `rule` any call.

    Args:
        answer: the text for a call.
        latency: seconds before each answer.
        style: the API whose paths and key header are served: openai, azure_v1, azure_classic.
    """

    answer: Callable[[Call], str] = lambda call: f"answer to {call.user}"
    latency: float = 0.0
    style: str = "openai"
    key: str | None = KEY
    faults: list[Fault | None] = field(default_factory=list)
    rule: Callable[[Call], Fault | None] | None = None
    headers: dict[str, str] = field(default_factory=dict)
    reply: dict[str, Any] = field(default_factory=dict)  # laid over each healthy reply
    calls: list[Call] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0
    port: int = 0

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """The base URL that a client is given."""
        return self.root + ("/v1" if self.style == "openai" else "")

    async def handle(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        call = Call(
            number=len(self.calls),
            at=time.monotonic(),
            path=request.path,
            query=dict(request.query),
            headers={k.lower(): v for k, v in request.headers.items()},
            body=json.loads(raw) if raw else {},
            request=request,
        )
        self.calls.append(call)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            response = await self._respond(call)
            call.status = response.status
            return response
        finally:
            self.at_once -= 1

    async def _respond(self, call: Call) -> web.StreamResponse:
        wrong = self._wrong_door(call)
        if wrong is not None:
            return wrong
        if self.latency:
            await asyncio.sleep(self.latency)
        fault = self.faults.pop(0) if self.faults else self.rule(call) if self.rule else None
        if fault is not None:
            return await fault(call)
        return web.json_response({**chat(self.answer(call), call), **self.reply}, headers=self.headers)

    def _wrong_door(self, call: Call) -> web.Response | None:
        """What a real service says to a wrong path or key."""
        model = call.body.get("model", "")
        path, query, name, value = {
            "openai": ("/v1/chat/completions", {}, "authorization", f"Bearer {self.key}"),
            "azure_v1": ("/openai/v1/chat/completions", {}, "authorization", f"Bearer {self.key}"),
            "azure_classic": (
                f"/openai/deployments/{model}/chat/completions",
                {"api-version": "2024-10-21"},
                "api-key",
                self.key or "",
            ),
        }[self.style]
        if call.path != path or call.query != query:
            return error(404, f"no such path: {call.path}", "not_found")
        if self.key is not None and call.headers.get(name) != value:
            return error(401, f"Incorrect API key provided: {call.headers.get(name)}", "invalid_api_key")
        return None


def chat(text: str | None, call: Call, finish: str | None = "stop", **message: Any) -> dict[str, Any]:
    """A healthy reply of a chat completion."""
    prompt = sum(len(m["content"].split()) for m in call.body["messages"])
    return {
        "id": f"chatcmpl-{call.number}",
        "object": "chat.completion",
        "created": 1,
        "model": f"{call.body['model']}-2026-01-01",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": text, **message}, "finish_reason": finish}
        ],
        "usage": {
            "prompt_tokens": prompt,
            "completion_tokens": len(str(text or "").split()),
            "prompt_tokens_details": {"cached_tokens": prompt // 2},
        },
    }


def error(status: int, message: str, code: str | None = None, headers: Any = None, **more: Any) -> web.Response:
    """An error as OpenAI words it."""
    body = {"error": {"message": message, "type": "test_error", "param": None, "code": code, **more}}
    return web.json_response(body, status=status, headers=headers)


# Faults


def status(code: int, message: str = "broken", name: str | None = None, headers: Any = None, **more: Any) -> Fault:
    """An error status with OpenAI's body."""

    async def fault(call: Call) -> web.Response:
        return error(code, message, name, headers, **more)

    return fault


def raw(body: bytes, content_type: str = "application/json", code: int = 200) -> Fault:
    """Any bytes at all."""

    async def fault(call: Call) -> web.Response:
        return web.Response(body=body, status=code, headers={"content-type": content_type})

    return fault


def replied(text: str | None, finish: str | None = "stop", over: Any = None, **message: Any) -> Fault:
    """A 200 with this text, finish reason and message fields."""

    async def fault(call: Call) -> web.Response:
        return web.json_response({**chat(text, call, finish, **message), **(over or {})})

    return fault


async def truncated(call: Call) -> web.Response:
    """JSON that ends in the middle, the length header honest about it."""
    body = json.dumps(chat("cut off", call)).encode()
    return web.Response(body=body[: len(body) // 2], headers={"content-type": "application/json"})


async def reset(call: Call) -> web.Response:
    """The line is cut before any answer."""
    assert call.request.transport is not None
    call.request.transport.abort()
    return web.Response()


async def cut(call: Call) -> web.StreamResponse:
    """The line is cut in the middle of the body."""
    response = web.StreamResponse(headers={"content-type": "application/json", "content-length": "1000"})
    await response.prepare(call.request)
    await response.write(b'{"choices": [{"mess')
    assert call.request.transport is not None
    call.request.transport.abort()
    return response


async def hang(call: Call) -> web.Response:
    """No answer, ever."""
    await asyncio.sleep(3600)
    return web.Response()


async def drip(call: Call) -> web.StreamResponse:
    """A byte now and then: no read ever times out."""
    response = web.StreamResponse(headers={"content-type": "application/json"})
    await response.prepare(call.request)
    while True:
        await response.write(b" ")
        await asyncio.sleep(0.02)


HTML = raw(b"<html><body><h1>502 Bad Gateway</h1></body></html>", "text/html")
BAD_UTF8 = raw(b'{"choices": [{"message": {"content": "caf\xe9"}}]}')


@asynccontextmanager
async def serve(server: ChatServer | None = None, **settings: Any) -> AsyncIterator[ChatServer]:
    """Run a server for as long as the block."""
    server = server or ChatServer(**settings)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.05, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.port = runner.addresses[0][1]
    try:
        yield server
    finally:
        await runner.cleanup()
