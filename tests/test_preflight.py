"""`harness check` against real servers: all that reading tells, nothing written, nothing spent, no key shown."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from typer.testing import CliRunner

from harness import check as checking
from harness import pipeline, preflight, specfile
from harness.cli import app
from harness.tuners import deployments
from harness.tuners.openai import LAST_JOBS
from harness.workbench import Workbench
from tests import tuning
from tests.servers import KEY
from tests.test_hosted_run import cut_down
from tests.tuning_server import TOKEN, Thread, TuningServer

MODEL = "gpt-4o-mini-2024-07-18"
DEPLOYMENT = f"accounts/account/deployments/{MODEL}"
LIMITS = {"x-ratelimit-limit-requests": "500", "x-ratelimit-limit-tokens": "200000"}


@dataclass
class Shelf:
    """A server that only answers reads. `pages`: the end of a path -> (status, body, headers); all else is a 404."""

    pages: dict[str, tuple[int, Any, dict[str, str]]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    writes: list[str] = field(default_factory=list)
    port: int = 0

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.root}/v1"

    async def handle(self, request: web.Request) -> web.Response:
        self.asked.append(request.path)
        if request.method not in ("GET", "HEAD"):
            self.writes.append(f"{request.method} {request.path}")
        secret = TOKEN if "/subscriptions/" in request.path else KEY
        if request.headers.get("authorization") != f"Bearer {secret}":
            return web.json_response(
                {"error": {"message": f"bad key {request.headers.get('authorization')}"}}, status=401
            )
        for end, (status, body, headers) in self.pages.items():
            if request.path.endswith(end):
                if isinstance(body, str):
                    return web.Response(text=body, status=status, headers=headers, content_type="text/html")
                return web.json_response(body, status=status, headers=headers)
        return web.json_response({"error": {"message": "nothing here", "code": "not_found"}}, status=404)


def model(**more: Any) -> dict[str, Any]:
    return {"id": MODEL, "object": "model", "created": 1, "owned_by": "system", **more}


def error(code: str, message: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "code": code, "param": None}}


JOBS = {"object": "list", "data": [{"id": "ftjob-1"}], "has_more": False}
SOUND: dict[str, tuple[int, Any, dict[str, str]]] = {
    f"/models/{MODEL}": (200, model(shutdown_date="2027-01-13"), LIMITS),
    "/fine_tuning/jobs": (200, JOBS, {}),
}


def check(
    folder: Path, shelf: Shelf, monkeypatch: pytest.MonkeyPatch, name: str = "openai", **settings: str
) -> tuple[int, dict[str, Any], str]:
    """Exit code, the JSON and the text of `harness check` on a shipped hosted benchmark; the server saw reads alone."""
    file = cut_down(name, folder)
    with Thread(shelf):  # type: ignore[arg-type]
        for key, value in tuning.environment(TuningServer("openai" if name == "openai" else "azure_v1")).items():
            monkeypatch.setenv(key, value)
        monkeypatch.delenv("AZURE_OPENAI_API_VERSION", raising=False)
        for key in ("OPENAI_BASE_URL", "AZURE_OPENAI_ENDPOINT", "AZURE_MANAGEMENT_ENDPOINT"):
            monkeypatch.setenv(key, shelf.url if key == "OPENAI_BASE_URL" else shelf.root)
        for key, value in settings.items():
            monkeypatch.setenv(key, value)
        made = CliRunner().invoke(app, ["check", str(file), "--json"])
        said = CliRunner().invoke(app, ["check", str(file)])
    assert not shelf.writes
    assert made.exit_code == said.exit_code, said.output
    for secret in (KEY, TOKEN):
        assert secret[:9] not in made.output + said.output
    return made.exit_code, json.loads(made.stdout), said.output


def errors(body: dict[str, Any]) -> str:
    return " | ".join(body["errors"])


def test_a_sound_endpoint_shows_all_that_reading_tells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, body, text = check(tmp_path, Shelf(dict(SOUND)), monkeypatch)
    assert (code, body["errors"]) == (0, [])
    (look,) = body["models"]
    assert look["model"] == f"openai/{MODEL}"
    assert look["arms"] == ["prompt", "few_shot", "fine_tuned"]
    assert (look["key_env"], look["key_set"], look["listing"]["listed"]) == ("OPENAI_API_KEY", True, True)
    assert look["retires"] == "2027-01-13"  # the endpoint's word, not the price book's
    assert look["days"] == (date(2027, 1, 13) - datetime.now(UTC).date()).days
    assert (look["price"]["input"], look["price"]["output"], look["train"]["usd"]) == (0.15, 0.6, 3.0)
    assert look["price_days"] >= 0
    assert (look["requests_per_minute"], look["tokens_per_minute"]) == (500, 200000)
    assert look["tunable"] == "yes"
    training = next(a["training"] for a in body["estimate"]["arms"] if a["arm"] == "fine_tuned")
    assert training["rows"] == 12
    assert 0 < training["usd"][0] < training["usd"][1]
    for band in ("usd", "seconds"):
        assert 0 < body["estimate"][band][0] < body["estimate"][band][1]
    for words in (
        "OPENAI_API_KEY is set and accepted", "model    listed", "tuning   yes", "an earlier job was seen",
        "on 2027-01-13:", "days from now", "$0.15 in", "days old", "$3 per million trained tokens",
        "500 requests and 200,000 tokens a minute", "training of fine_tuned: openai on", "12 rows", "minutes, $",
    ):  # fmt: skip
        assert words in text, words


def test_without_a_key_everything_else_is_still_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = Shelf(dict(SOUND))
    code, body, text = check(tmp_path, shelf, monkeypatch, OPENAI_API_KEY="")
    assert code == 2
    assert "OPENAI_API_KEY is not set" in errors(body)
    assert body["estimate"]["usd"]
    assert "key      OPENAI_API_KEY is not set" in text
    assert not shelf.asked


@pytest.mark.parametrize(
    ("pages", "code", "words"),
    [
        ({f"/models/{MODEL}": (401, error("invalid_api_key", f"Incorrect API key: {KEY}"), {})}, 2, "not accept"),
        ({"/fine_tuning/jobs": (403, error("training_not_available", "no"), {})}, 2, "tuner: azure"),
        ({"/fine_tuning/jobs": (404, error("x", "no"), {})}, 2, "has no fine-tuning API"),
        ({"/fine_tuning/jobs": (500, error("x", "oh"), {})}, 0, "unknown: its jobs cannot be listed"),
        ({f"/models/{MODEL}": (404, error("x", "no"), {}), "/models": (200, {"data": [{"id": f"{MODEL}x"}]}, {})}, 0,
         f"is not listed at .* it lists {MODEL}x"),
        ({f"/models/{MODEL}": (404, error("x", "no"), {}), "/models": (200, {"data": [{"id": MODEL}]}, {})}, 0,
         "model +listed"),
        ({f"/models/{MODEL}": (404, error("x", "no"), {})}, 0, "shows the first call .*it lists no models"),
        ({f"/models/{MODEL}": (200, f"<html>{KEY}</html>", {})}, 0, "it lists no models"),
        ({f"/models/{MODEL}": (200, model(shutdown_date="2026-11-01T00:00"), {})}, 2, "was shut down on 2026-11-01"),
        ({f"/models/{MODEL}": (200, model(shutdown_date=17), {})}, 2, "on 1970-01-01"),
        ({f"/models/{MODEL}": (200, model(shutdown_date="soon"), {})}, 0, "on 2027-01-14: "),
    ],
)  # fmt: skip
def test_what_an_endpoint_may_say(
    pages: dict[str, Any], code: int, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, body, text = check(tmp_path, Shelf(SOUND | pages), monkeypatch)
    assert found == code
    assert re.search(words, errors(body) + text), text


def test_a_server_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, body, _ = check(tmp_path, Shelf(), monkeypatch, OPENAI_BASE_URL="http://127.0.0.1:9/v1")
    assert code == 2
    assert "http://127.0.0.1:9/v1 does not answer: no connection" in errors(body)


RATES = [{"key": "request", "renewalPeriod": 10, "count": 10}, {"key": "token", "renewalPeriod": 60, "count": 9000}]
AZURE: dict[str, tuple[int, Any, dict[str, str]]] = {
    DEPLOYMENT: (200, {"properties": {"provisioningState": "Succeeded", "rateLimits": RATES}}, {}),
    f"/models/{MODEL}": (200, model(capabilities={"fine_tune": True}, deprecation={"inference": 1822348800}), {}),
    "/fine_tuning/jobs": (200, {"data": []}, {}),
}


def test_azure_is_read_on_both_planes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, body, text = check(tmp_path, Shelf(dict(AZURE)), monkeypatch, "azure")
    assert (code, body["errors"]) == (0, [])
    (look,) = body["models"]
    assert (look["requests_per_minute"], look["tokens_per_minute"]) == (60, 9000)
    assert look["retires"] == "2027-10-01"
    assert look["tunable"] == "yes"
    assert look["hosting"]["usd"] == 1.7
    assert "the endpoint says so" in text
    assert "each checkpoint's deployment (globalstandard) costs $1.7 an hour" in text


@pytest.mark.parametrize(
    ("pages", "settings", "code", "words"),
    [
        ({f"/models/{MODEL}": (200, model(capabilities={"fine_tune": False}), {})}, {}, 2, "without fine-tuning"),
        ({f"/models/{MODEL}": (200, model(deprecation={"fine_tune": 1700000000}), {})}, {}, 2, "ended on 2023-11-14"),
        ({DEPLOYMENT: (404, error("DeploymentNotFound", "no"), {})}, {}, 0, f"there is no deployment {MODEL}"),
        (
            {DEPLOYMENT: (403, error("AuthorizationFailed", f"{TOKEN} may not"), {})},
            {},
            2,
            "could not be deployed: the",
        ),
        ({DEPLOYMENT: (404, error("ParentResourceNotFound", "no such"), {})}, {}, 2, "ParentResourceNotFound no such"),
        ({DEPLOYMENT: (500, error("Busy", "later"), {})}, {}, 0, "tuning   yes"),
        ({}, {"AZURE_SUBSCRIPTION_ID": ""}, 2, "AZURE_SUBSCRIPTION_ID not set"),
        ({}, {"AZURE_MANAGEMENT_ENDPOINT": "http://example.org"}, 2, "unencrypted"),
    ],
)
def test_what_azure_may_say(
    pages: dict[str, Any], settings: dict[str, str], code: int, words: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    found, body, text = check(tmp_path, Shelf(AZURE | pages), monkeypatch, "azure", **settings)
    assert words in errors(body) + text
    assert found == code


def test_a_look_deletes_no_deployment_and_says_that_it_bills(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / ".harness" / "tuned" / "k" / deployments.FOLDER
    folder.mkdir(parents=True)
    record = {
        "name": "left.ft-1",
        "model": "m",
        "sku": "standard",
        "capacity": 1,
        "arm": "http://127.0.0.1:9",
        "path": "/p",
    }
    (folder / "left.ft-1.json").write_text(json.dumps(record))
    _, body, text = check(tmp_path, Shelf(dict(AZURE)), monkeypatch, "azure")
    assert "deployment left.ft-1" in body["left"][0]
    assert "billed by the hour" in text
    assert json.loads((folder / "left.ft-1.json").read_text()) == record


def test_findings_of_the_training_file_are_told_before_anything_is_uploaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = cut_down("openai", tmp_path)
    for name in ("train", "dev"):
        text = (tmp_path / "datasets" / "recipes" / f"{name}.jsonl").read_text("utf-8")
        (tmp_path / "datasets" / "recipes" / f"{name}.jsonl").write_text("\n".join(text.splitlines()[:7]) + "\n")
    server = TuningServer()
    with Thread(server):
        tuning.settings(monkeypatch, server)
        checked = asyncio.run(checking.check(specfile.read(file)))
    assert "fine_tuned: 7 rows; a fine-tune takes at least 10" in checked.errors
    assert not server.files
    assert not [r for r in server.requests if not r.startswith("GET")]


def test_after_the_last_day_openai_itself_takes_no_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_BASE_URL",):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    bench = Workbench(specfile.read(cut_down("openai", tmp_path)), pipeline.quiet, keyless=True)
    endpoint = preflight.Endpoint.of(bench.spec_of(f"openai/{MODEL}"))
    seen = preflight.Listing(True, listed=True)
    can, why = asyncio.run(preflight._tunable(endpoint, f"openai/{MODEL}", seen, LAST_JOBS + timedelta(days=1)))
    assert can == "no"
    assert "takes no new jobs after 2027-01-06" in why
    assert "tuner: azure" in why


def test_a_local_tuner_on_an_endpoints_model_is_said_before_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = cut_down("openai", tmp_path)
    text = file.read_text("utf-8").replace(", suffix: recipes", "")
    file.write_text(text.replace("tuner: openai", "tuner: trl"), "utf-8")
    shelf = Shelf(dict(SOUND))
    with Thread(shelf):  # type: ignore[arg-type]
        monkeypatch.setenv("OPENAI_BASE_URL", shelf.url)
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        checked = asyncio.run(checking.check(specfile.read(file)))
    (error,) = checked.errors
    assert "fine_tuned: `tuner: trl` trains weights on this machine" in error
    assert "model: local/" in error


MIXED = """\
version: 1
question: Does a local fine-tune beat a hosted prompt?
model: local/smollm2-135m-instruct
task: {data: ../datasets/recipes, input: "{{ title }}: {{ ingredients }}", target: "{{ generic }}",
       answer: {format: list}, limit: {train: 12, dev: 12, test: 12}}
arms:
  hosted: {technique: prompt, model: openai/gpt-4o-mini-2024-07-18, system: Name them.}
  few:    {technique: few_shot, extends: hosted, model: openai/gpt-4o-mini-2024-07-18, k: 2}
  tuned:  {technique: fine_tune, tuner: trl, system: Name them.}
  judged: {technique: prompt, model: tuned}
metrics: {accuracy: {scorer: set_f1, primary: true}}
economics: {local_usd_per_hour: 0.2}
"""


@pytest.mark.weights
def test_a_hosted_arm_beside_a_local_one_is_estimated_at_its_own_price(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = cut_down("openai", tmp_path)
    file.write_text(MIXED)
    shelf = Shelf(dict(SOUND))
    with Thread(shelf):  # type: ignore[arg-type]
        monkeypatch.setenv("OPENAI_BASE_URL", shelf.url)
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        checked = asyncio.run(checking.check(specfile.read(file)))
    assert checked.errors == ()
    assert [(look.model, look.arms) for look in checked.outlook.models] == [(f"openai/{MODEL}", ("hosted", "few"))]
    assert checked.estimate is not None
    arms = {a.arm: a for a in checked.estimate.arms}
    hosted = arms["hosted"]
    calls = hosted.dev + hosted.test
    usd = calls * (hosted.prompt_tokens * 0.15 + hosted.answer_tokens * 0.60) / 1e6
    assert hosted.usd == pytest.approx(usd, rel=0.02)
    assert hosted.seconds_band is not None  # an endpoint's pace needs no probe, a local engine's does
    assert arms["judged"].seconds_band is None
    assert arms["tuned"].training is not None
    assert arms["tuned"].training.rows == 12
    assert not shelf.writes
