"""A fine-tuning service on loopback, as OpenAI's and Azure's answer: files, jobs, chat, and Azure's control plane.

A job moves on by one status a poll. `faults` break the next requests whose "METHOD path" contains a text; a fault may
break off after the service has done its work, which is how a job is paid twice.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.servers import KEY, error

TOKEN = "arm-test-THE-TOKEN-0987654321"
CURVE = (
    "step,train_loss,train_accuracy,valid_loss,valid_mean_token_accuracy\n"
    "1,2.5,0.4,,\n2,2.0,0.5,2.2,0.45\n3,,,,\n4,1.5,0.6,1.9,0.5\n6,1.0,0.9,1.8,0.55\n"
)
JOURNEY = ("validating_files", "queued", "warming_up", "running", "running", "succeeded")


@dataclass
class Fault:
    """What to do instead with a request that contains `where`. `after`: the work is done first, then it breaks."""

    where: str
    status: int = 0  # 0: the line is cut
    code: str = ""
    message: str = "broken"
    after: bool = False
    raw: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0  # seconds before the answer, whole and right
    method: str = ""


@dataclass
class TuningServer:
    """What a test drives and reads: `files`, `jobs`, `deployments`, and `requests` as "METHOD path"."""

    style: str = "openai"  # or azure_v1, azure_classic
    journey: tuple[str, ...] = JOURNEY
    faults: list[Fault] = field(default_factory=list)
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    content: dict[str, bytes] = field(default_factory=dict)
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    created: list[dict[str, Any]] = field(default_factory=list)
    polls: dict[str, int] = field(default_factory=dict)
    deployments: dict[str, dict[str, Any]] = field(default_factory=dict)
    puts: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    chats: list[dict[str, Any]] = field(default_factory=list)
    changed: dict[str, Any] = field(default_factory=dict)  # laid over every job that is told
    not_yet: int = 0  # answers of 404 before a new model is there
    pages: int = 100
    lingers: int = 0  # how often a deployment is still shown after its deletion was accepted
    reads: bool = True  # whether it ever says of a file that it is processed
    answer: str = '["salt"]'
    port: int = 0

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return self.root + ("/v1" if self.style == "openai" else "")

    @property
    def azure(self) -> bool:
        return self.style != "openai"

    async def handle(self, request: web.Request) -> web.StreamResponse:
        asked = f"{request.method} {request.path}"
        self.requests.append(asked)
        body = await self._body(request)
        fault = next((f for f in self.faults if f.where in asked and asked.startswith(f.method)), None)
        if fault is None:
            return self._do(request, body)
        self.faults.remove(fault)
        if fault.after:
            done = self._do(request, body)
            if fault.delay:
                await asyncio.sleep(fault.delay)
                return done
        if fault.raw is not None:
            return web.Response(body=fault.raw, headers={"content-type": "application/json", **fault.headers})
        if fault.status:
            return error(fault.status, fault.message, fault.code, fault.headers)
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async def _body(self, request: web.Request) -> dict[str, Any]:
        if request.content_type.startswith("multipart/"):
            form = await request.post()
            upload = form["file"]
            assert isinstance(upload, web.FileField)
            return {"name": upload.filename, "content": upload.file.read(), "purpose": form["purpose"]}
        raw = await request.read()
        return json.loads(raw) if raw else {}

    def _do(self, request: web.Request, body: dict[str, Any]) -> web.Response:
        if "/subscriptions/" in request.path:
            return self._control(request, body)
        path, prefix = request.path, {"openai": "/v1", "azure_v1": "/openai/v1", "azure_classic": "/openai"}[self.style]
        if not path.startswith(prefix + "/"):
            return error(404, f"no such path: {path}")
        key = request.headers.get("api-key" if self.style == "azure_classic" else "authorization", "")
        if key.removeprefix("Bearer ") != KEY:
            return error(401, f"Incorrect API key provided: {key}", "invalid_api_key")
        parts = path.removeprefix(prefix + "/").split("/")
        if parts[-2:] == ["chat", "completions"]:
            return self._chat(parts, body)
        if parts[0] == "files":
            return self._files(request.method, parts[1:], body, request)
        return self._jobs(request.method, parts[2:], body, request)

    def _files(self, method: str, parts: list[str], body: dict[str, Any], request: web.Request) -> web.Response:
        if method == "POST":
            id = f"file-{len(self.files) + 1:03}"
            self.content[id] = body["content"]
            self.files[id] = {
                "id": id, "object": "file", "bytes": len(body["content"]), "created_at": 1, "filename": body["name"],
                "purpose": body["purpose"], "status": "pending" if self.azure else "uploaded",
            }  # fmt: skip
            return web.json_response(self.files[id], status=201 if self.azure else 200)
        if not parts:
            return self._page(list(reversed(self.files.values())), request)
        known = self.files.get(parts[0])
        if known is None and parts[0] not in self.content:
            return error(404, "No such File object", "file_not_found")
        if parts[1:] == ["content"]:
            return web.Response(body=self.content[parts[0]], content_type="application/octet-stream")
        if method == "DELETE":
            del self.files[parts[0]]
            return web.json_response({"id": parts[0], "object": "file", "deleted": True})
        assert known is not None
        told = dict(known)
        if self.reads and known["status"] != "error":
            known["status"] = "processed"
        return web.json_response(told)

    def _jobs(self, method: str, parts: list[str], body: dict[str, Any], request: web.Request) -> web.Response:
        if method == "POST" and not parts:
            return self._create(body)
        if not parts:
            return self._page([self._told(j) for j in reversed(self.jobs)], request)
        if parts[0] not in self.jobs:
            return error(404, "no such job", "not_found")
        job = self.jobs[parts[0]]
        if parts[1:] == ["cancel"]:
            if job["status"] in ("succeeded", "failed", "cancelled"):
                return error(400, "Job has already completed.", "invalid_request")
            job["status"] = "cancelled"
        elif parts[1:] == ["events"]:
            return self._page(_events(self.polls[parts[0]]), request)
        elif parts[1:] == ["checkpoints"]:
            return self._page(self._checkpoints(job), request)
        elif job["status"] not in ("succeeded", "failed", "cancelled"):
            self._advance(job)
        return web.json_response(self._told(parts[0]))

    def _create(self, body: dict[str, Any]) -> web.Response:
        if body["training_file"] not in self.files:
            return error(400, "no such training file", "invalid_file")
        if self.azure and body.get("trainingType") not in ("Standard", "GlobalStandard", "Developer"):
            return error(400, "The specified base model does not support fine-tuning.", "invalidPayload")
        if self.azure and (len(body["suffix"]) > 18 or "." in body["suffix"]):
            return error(400, "invalid suffix", "invalidPayload")
        if self.azure and not self.content[body["training_file"]].startswith(b"\xef\xbb\xbf"):
            return error(400, "the file is not UTF-8 with BOM", "invalidPayload")
        if self.azure and "metadata" in body:
            return error(400, "unknown field metadata", "invalidPayload")
        self.created.append(body)
        id = f"ftjob-{len(self.jobs) + 1:03}"
        self.polls[id] = 0
        nulls = {"code": None, "message": None, "param": None}
        self.jobs[id] = {
            "id": id, "object": "fine_tuning.job", "created_at": 1000, "finished_at": None, "model": body["model"],
            "fine_tuned_model": None, "organization_id": None if self.azure else "org", "result_files": None,
            "status": "pending" if self.azure else "validating_files", "validation_file": body.get("validation_file"),
            "training_file": body["training_file"], "trained_tokens": None, "error": nulls, "seed": body["seed"],
            "hyperparameters": {"n_epochs": 2}, "metadata": body.get("metadata"),
            ("suffix" if self.azure else "user_provided_suffix"): body["suffix"],
        }  # fmt: skip
        return web.json_response(self._told(id), status=201 if self.azure else 200)

    def _advance(self, job: dict[str, Any]) -> None:
        self.polls[job["id"]] += 1
        job["status"] = self.journey[min(self.polls[job["id"]], len(self.journey)) - 1]
        if job["status"] == "failed":
            job["error"] = {"code": "invalid_training_file", "message": "line 3 is bad", "param": "training_file"}
        if job["status"] != "succeeded":
            return
        name = f"ftjob-{job['id'][-3:]}-result"
        self.content[name] = CURVE.encode() if self.azure else base64.b64encode(CURVE.encode())
        tuned = f"{job['model']}.ft-0123abcd" if self.azure else f"ft:{job['model']}:org:recipes:{job['id'][-3:]}"
        job.update(finished_at=1600, fine_tuned_model=tuned, result_files=[name], trained_tokens=4321)
        if self.azure:
            job.update(trained_tokens=None)

    def _told(self, id: str) -> dict[str, Any]:
        return {**self.jobs[id], **self.changed}

    def _checkpoints(self, job: dict[str, Any]) -> list[dict[str, Any]]:
        tuned = job["fine_tuned_model"]
        names = {2: f"{tuned}:ckpt-step-2", 4: f"{tuned}:ckpt-step-4"}
        if not self.azure:
            names[6] = tuned
        return [
            {
                "id": f"{'ftchkpt' if self.azure else 'ftckpt'}_{step}", "object": "fine_tuning.job.checkpoint",
                "created_at": 1, "fine_tuned_model_checkpoint": name, "fine_tuning_job_id": job["id"],
                "step_number": step, "metrics": {"step": step, "full_valid_loss": 2.0 - step / 10},
            }
            for step, name in reversed(names.items())
        ]  # fmt: skip

    def _page(self, items: list[dict[str, Any]], request: web.Request) -> web.Response:
        after = request.query.get("after")
        if after:
            items = items[[i["id"] for i in items].index(after) + 1 :]
        page = items[: self.pages]
        return web.json_response({"object": "list", "data": page, "has_more": len(page) < len(items)})

    def _chat(self, parts: list[str], body: dict[str, Any]) -> web.Response:
        model = parts[1] if parts[0] == "deployments" else body["model"]
        ours = ".ft-" in model or model.startswith("ft:")
        if ours and self.azure and model not in self.deployments:
            return error(404, "The API deployment for this resource does not exist.", "DeploymentNotFound")
        if ours and self.not_yet:
            self.not_yet -= 1
            if self.not_yet % 2:
                return error(500, "The server had an error", "server_error")
            return error(404, "not there yet", "DeploymentNotReady" if self.azure else "model_not_found")
        self.chats.append({**body, "model": model})
        reply = {"index": 0, "message": {"role": "assistant", "content": self.answer}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 10, "completion_tokens": 2}
        return web.json_response(
            {"id": "c", "object": "chat.completion", "created": 1, "model": model, "choices": [reply], "usage": usage}
        )

    def _control(self, request: web.Request, body: dict[str, Any]) -> web.Response:
        if (
            request.headers.get("authorization") != f"Bearer {TOKEN}"
            or request.query.get("api-version") != "2024-10-01"
        ):
            return error(403, "The access token has expired", "ExpiredAuthenticationToken")
        name = request.path.rpartition("/")[2]
        known = self.deployments.get(name)
        if request.method == "DELETE":
            if known is None:
                return web.Response(status=204)
            self.deleted.append(name)
            known["lingers"] = self.lingers
            if not self.lingers:
                del self.deployments[name]
            return web.json_response({}, status=202)
        if request.method == "PUT":
            self.puts.append((name, body))
            if known is not None and known["properties"]["model"]["name"] != body["properties"]["model"]["name"]:
                return error(409, f"a deployment {name} exists", "Conflict")
            known = self.deployments[name] = {"name": name, **body}
            known["properties"]["provisioningState"] = "Creating"
            return web.json_response(known, status=201)
        if known is None:
            return error(404, "no such deployment", "DeploymentNotFound")
        told = json.loads(json.dumps(known))
        if "lingers" in known:
            known["lingers"] -= 1
            told["properties"]["provisioningState"] = "Deleting"
            if not known["lingers"]:
                del self.deployments[name]
            return web.json_response(told)
        known["properties"]["provisioningState"] = "Succeeded"
        return web.json_response(told)


def _events(polls: int) -> list[dict[str, Any]]:
    """Newest first, as the service lists them."""
    data = {"step": min(polls, 6), "total_steps": 6, "train_loss": 3.0 - polls / 4}
    event = {"object": "fine_tuning.job.event", "created_at": polls, "level": "info"}
    step = {**event, "id": f"e{polls}", "type": "metrics", "data": data, "message": f"Step {min(polls, 6)}/6"}
    return [step, {**event, "id": "e0", "type": "message", "message": "Created fine-tuning job", "data": None}]


@asynccontextmanager
async def serve(server: TuningServer) -> AsyncIterator[TuningServer]:
    """Run it for as long as the block."""
    app = web.Application(client_max_size=2**26)
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.05)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", server.port).start()
    server.port = runner.addresses[0][1]
    try:
        yield server
    finally:
        await runner.cleanup()


class Thread:
    """The server on a thread of its own, for tests that start event loops and processes of theirs."""

    def __init__(self, server: TuningServer) -> None:
        self.server = server

    def __enter__(self) -> TuningServer:
        import threading

        started = threading.Event()

        async def work() -> None:
            self._stop = asyncio.Event()
            self._loop = asyncio.get_running_loop()
            async with serve(self.server):
                started.set()
                await self._stop.wait()

        self._thread = threading.Thread(target=asyncio.run, args=(work(),), daemon=True)
        self._thread.start()
        assert started.wait(10)
        return self.server

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
