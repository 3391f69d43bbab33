"""The shipped hosted benchmarks, cut down, run whole against the loopback service: from YAML to report."""

from __future__ import annotations

import asyncio
import re
import shutil
from pathlib import Path

import pytest

from harness import pipeline, specfile
from harness.errors import Incomplete, ModelError, SpecError
from harness.reading import Result
from harness.tuners import deployments, hosted
from harness.workbench import Workbench
from tests import gated, tuning
from tests.servers import KEY, ChatServer, status
from tests.tuning_server import Thread, TuningServer

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(("name", "style"), [("openai", "openai"), ("azure", "azure_v1"), ("azure", "azure_classic")])
def test_a_hosted_benchmark_runs_and_leaves_nothing(
    name: str, style: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = TuningServer(style=style, answer='["salt", "flour"]', not_yet=2)
    file = cut_down(name, tmp_path)
    monkeypatch.setattr(hosted, "Pace", lambda: tuning.PACE)
    monkeypatch.setattr(deployments, "Pace", lambda: tuning.PACE)
    with Thread(server):
        tuning.settings(monkeypatch, server)
        result = asyncio.run(pipeline.run_benchmark(specfile.read(file)))
        assert result.fresh
        assert result.directory.file("outlook.json").exists()
        page = result.directory.file("report.html").read_text("utf-8")
        assert re.search(r"<dt>asked before</dt><dd><b>(can be tuned|not said before a job)</b>", page)
        asked = len(server.requests)
        assert not asyncio.run(pipeline.run_benchmark(specfile.read(file))).fresh
        assert len(server.requests) == asked
    tuned = {c["model"] for c in server.chats if ".ft-" in c["model"] or c["model"].startswith("ft:")}
    assert len(tuned) == 3  # every checkpoint was asked on dev
    assert len(server.created) == 1
    assert not server.deployments
    assert len(server.deleted) == (3 if server.azure else 0)


def cut_down(name: str, folder: Path) -> Path:
    """A shipped benchmark with 12 rows a split, in a project of its own."""
    (folder / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    shutil.copytree(ROOT / "datasets" / "recipes", folder / "datasets" / "recipes")
    shutil.copytree(ROOT / "benchmarks" / "prompts", folder / "benchmarks" / "prompts")
    text = (ROOT / "benchmarks" / f"recipes.{name}.yaml").read_text("utf-8")
    text = text.replace("  answer: {", "  limit: {train: 12, dev: 12, test: 12}\n  answer: {")
    file = folder / "benchmarks" / "cut.yaml"
    file.write_text(text, "utf-8")
    return file


# Any endpoint, at prices of its own

GATEWAY = """\
model: {id: my-model, base_url: "%s", api_key_env: GATEWAY_KEY, usd_per_mtok: {input: 0, output: 1.0e+6%s}}
"""


def at_gateway(folder: Path, url: str, more: str = "", run: str = "", arms: str = "") -> Path:
    """The small benchmark of the gates' tests, its prompt arm at an endpoint; an output token costs a dollar."""
    file = gated.write(folder, f"run: {{max_concurrency: 4, max_tokens: 4{run}}}\n", n=30)
    gated.edit(file, "run: {allow_near_duplicates: true}\n", "")
    gated.edit(file, "max_tokens: 4", "max_tokens: 4, allow_near_duplicates: true")
    gated.edit(file, "model: scripted/fake.py:answer\n", GATEWAY % (url, more))
    gated.edit(
        file, '  tuned:  {technique: fine_tune, tuner: existing, served: "scripted/fake.py:tuned", ', arms or "#"
    )
    return file


def run(file: Path) -> Result:
    return asyncio.run(pipeline.run_benchmark(specfile.read(file)))


def test_a_budget_holds_over_every_start_of_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """40 answers at a dollar each: 25 dollars buy no more than 25 of them, however often the run is started."""
    monkeypatch.setenv("GATEWAY_KEY", KEY)
    server = ChatServer(answer=lambda call: "red")
    with Thread(server):
        file = at_gateway(tmp_path, server.url, run=", max_usd: 25")
        for _ in range(3):
            with pytest.raises(Incomplete, match=r"(?s)max_usd \$25 is spent.*raise run.max_usd"):
                run(file)
            assert len(server.calls) == 22  # the bound of one more call is four dollars
        gated.edit(file, "max_usd: 25", "max_usd: 60")
        assert run(file).fresh  # the same run: a budget is no part of the question
        assert len(server.calls) == 40
    assert len(list((tmp_path / "reports" / "bench").iterdir())) == 1


def test_an_endpoint_that_refuses_every_request_stops_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_KEY", KEY)
    server = ChatServer(rule=lambda call: status(400, "no such field: flavour"))
    with Thread(server):
        with pytest.raises(ModelError, match="refuses every request: 400: no such field: flavour"):
            run(at_gateway(tmp_path, server.url))
        asked = len(server.calls)
    assert asked == 10  # the dev rows


def test_refusals_of_the_test_rows_alone_are_no_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They would stand as zeros for ever: the run stops, and goes on once the mistake is mended."""
    monkeypatch.setenv("GATEWAY_KEY", KEY)
    server = ChatServer(
        answer=lambda call: "red", rule=lambda call: status(400, "no such field") if call.number >= 10 else None
    )
    with Thread(server):
        file = at_gateway(tmp_path, server.url)
        with pytest.raises(ModelError, match="refuses every request: 400: no such field"):
            run(file)
        assert len(server.calls) < 10 + 10 + 4
        server.rule = None
        result = run(file)
    assert result.fresh
    assert all(trial.failure is None for trial in result.directory.read_trials())


def test_one_refused_row_under_a_model_with_a_longer_name_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked for `my-model`, an endpoint says that `my-model-2026-01-01` answered."""
    monkeypatch.setenv("GATEWAY_KEY", KEY)
    server = ChatServer(
        answer=lambda call: "red",
        reply={"model": "my-model-2026-01-01"},
        rule=lambda call: status(400, "this row is odd") if call.number in (3, 12) else None,
    )
    with Thread(server):
        result = run(at_gateway(tmp_path, server.url))
    failed = [t.failure.type for t in result.directory.read_trials() if t.failure]
    assert failed == ["invalid"]


@pytest.mark.parametrize(
    ("key", "port", "says"),
    [("another", None, r"(?s)401: .*set GATEWAY_KEY to a key"), (KEY, 9, "(?s)no connection: .*check that a server")],
)
def test_an_endpoint_that_was_never_there_is_a_mistake_and_no_outage(
    key: str, port: int | None, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_KEY", KEY)
    server = ChatServer(key=key)
    with Thread(server), pytest.raises(ModelError, match=says):
        run(at_gateway(tmp_path, server.url if port is None else f"http://127.0.0.1:{port}/v1"))


def test_a_key_that_is_taken_back_is_named_as_what_to_mend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_KEY", KEY)
    server = ChatServer(answer=lambda call: "red", rule=lambda call: status(401) if call.number > 10 else None)
    said = r"set GATEWAY_KEY to a key .* accepts; then run the same command again"
    with Thread(server), pytest.raises(Incomplete, match=said):
        run(at_gateway(tmp_path, server.url))


@pytest.mark.parametrize("stop_after", [0, 25])  # on dev and on test
def test_a_wait_of_days_ends_the_run_and_says_when_to_come_back(
    stop_after: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_KEY", KEY)
    tired = status(429, "the day's tokens are used", "rate_limit_exceeded", {"retry-after": "864000"})
    server = ChatServer(answer=lambda call: "red", rule=lambda call: tired if call.number >= stop_after else None)
    with Thread(server):
        file = at_gateway(tmp_path, server.url)
        with pytest.raises(Incomplete, match=r"(?s)a pause of 10 days: come back after .* UTC.*only what is missing"):
            run(file)
        assert len(server.calls) <= stop_after + 4  # those that were on their way
        answered = {c.user for c in server.calls if not c.status or c.status == 200}
        before, server.rule = len(server.calls), None
        assert run(file).fresh
        assert not answered & {c.user for c in server.calls[before:]}


@pytest.mark.parametrize(
    "header", ["1e30", "-5", "nan", "Sun, 22 Nov 2099 10:00:00 GMT", "Sun, 22 Nov 2020 10:00:00 GMT"]
)
def test_a_wait_that_nobody_can_mean_stops_nothing(
    header: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_KEY", KEY)
    tired = status(429, "slow down", "rate_limit_exceeded", {"retry-after": header})
    server = ChatServer(answer=lambda call: "red", rule=lambda call: tired if call.number in (3, 20) else None)
    with Thread(server):
        assert run(at_gateway(tmp_path, server.url)).fresh


def test_a_model_that_a_gateway_tuned_stays_at_the_gateway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The base has no `openai/` in front: neither the rows nor the key may go to OpenAI."""
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GATEWAY_KEY", KEY)
    monkeypatch.setattr(hosted, "Pace", lambda: tuning.PACE)
    server = TuningServer(answer="red")
    with Thread(server):
        tune = "  tuned:  {technique: fine_tune, tuner: openai, rows: 12, "
        file = at_gateway(tmp_path, server.url, ", train: 1, tuned_input: 2, tuned_output: 3", arms=tune)
        rows = "".join((tmp_path / "data" / f"{s}.jsonl").read_text() for s in ("train", "dev"))
        (tmp_path / "data" / "train.jsonl").write_text(rows.replace('"t2', '"u2').replace("number 2", "number 3"))
        fit = run(file).directory.fit("tuned")
    assert fit is not None
    assert fit.model.startswith("ft:my-model:")
    assert {c["model"] for c in server.chats} >= {"my-model", fit.model}
    located = specfile.read(file)
    spec = Workbench(located, pipeline.quiet).spec_of(fit.model)
    assert (spec.base_url, spec.usd_per_mtok) == (server.url, {"input": 2, "output": 3})


def test_an_endpoint_that_serves_its_base_and_a_tuned_model_needs_no_other_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server of one's own with an adapter: `served` is the name that it knows, beside the base's."""
    monkeypatch.setenv("GATEWAY_KEY", KEY)
    server = ChatServer(answer=lambda call: "red" if call.body["model"] == "my-adapter" else "blue")
    with Thread(server):
        arms = "  tuned:  {technique: fine_tune, tuner: existing, served: my-adapter, "
        file = at_gateway(tmp_path, server.url, arms=arms)
        run(file)
        assert {call.body.get("model") for call in server.calls} - {None} == {"my-model", "my-adapter"}
    gated.edit(file, "served: my-adapter", "served: my-adapter, model: tunedd")
    with pytest.raises(SpecError, match="did you mean `tuned`"):
        specfile.read(file)


@pytest.mark.parametrize(
    ("model", "served", "price"),
    [
        ("azure/gpt-4o-mini-2024-07-18", "azure/mine", None),
        ("{id: azure/a, usd_per_mtok: {input: 1, output: 2}}", "azure/mine", {"input": 1, "output": 2}),
        ("{id: openai/a, usd_per_mtok: {tuned_input: 3, tuned_output: 4}}", "azure/mine", {"input": 3, "output": 4}),
        ("openai/gpt-4o-mini-2024-07-18", "openai/mine", None),
    ],
)
def test_a_tuned_model_that_was_there_has_a_price(model: str, served: str, price: object, tmp_path: Path) -> None:
    file = gated.write(tmp_path, "", n=30)
    gated.edit(file, "model: scripted/fake.py:answer\n", f"model: {model}\n")
    gated.edit(file, "scripted/fake.py:tuned", served)
    assert Workbench(specfile.read(file), pipeline.quiet).spec_of(served).usd_per_mtok == price


def test_what_an_endpoint_does_not_take_stands_in_the_receipt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_KEY", KEY)
    refuses = status(400, "Unsupported parameter: temperature", "unsupported_parameter", param="temperature")
    server = ChatServer(answer=lambda call: "red", rule=lambda call: refuses if "temperature" in call.body else None)
    with Thread(server):
        directory = run(at_gateway(tmp_path, server.url)).directory
    manifest = directory.manifest()
    assert manifest is not None
    assert "my-model does not take `temperature`; it was left out" in manifest.notes
