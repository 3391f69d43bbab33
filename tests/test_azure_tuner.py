"""Fine-tuning at Azure: the same job, then deployments that must be gone in the end, whatever happened."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from harness.errors import ModelError, TuneError
from harness.spec import AzureSpec
from harness.tuners import control, deployments, leftovers
from harness.tuners.base import Checkpoint, Tuned, TuneJob
from harness.tuners.service import Pace
from tests import tuning
from tests.servers import KEY
from tests.tuning_server import TOKEN, Fault, TuningServer, serve

PUT, GET, DELETE = (f"{m} /subscriptions" for m in ("PUT", "GET", "DELETE"))
FINAL = Checkpoint(id="final", step=6, model=f"{tuning.BASE}.ft-0123abcd")
OTHER = Checkpoint(id="c", step=4, model=f"{tuning.BASE}.ft-0123abcd:ckpt-step-4")


@pytest.fixture(autouse=True)
def _fresh() -> Any:
    yield
    die()


def die() -> None:
    """What the end of a process does to its claims on deployments."""
    for lock in deployments._held.values():
        lock.release()
    deployments._held.clear()


def run(server: TuningServer, work: Callable[[], Awaitable[Any]], monkeypatch: pytest.MonkeyPatch) -> Any:
    async def main() -> Any:
        async with serve(server):
            tuning.settings(monkeypatch, server)
            return await work()

    return asyncio.run(main())


@pytest.mark.parametrize("style", ["azure_v1", "azure_classic"])
def test_a_job_and_its_deployment(style: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = TuningServer(style=style, not_yet=3)
    job = tuning.job(tmp_path, server, epochs="auto", batch_size="auto", training_type="GlobalStandard")

    async def work() -> Tuned:
        tuner = tuning.tuner(server)
        tuned = await tuner.follow(job, await tuner.submit(job), lambda _: None)
        served = await tuner.serve(job, tuned.checkpoints[-1])
        name = f"{tuning.BASE}.ft-harness-{job.key[:8]}-6"
        assert served == f"azure/{name}"
        assert [d.name for d in deployments.live(tmp_path)] == [name]
        await tuner.clean(job)
        await tuner.clean(job)
        assert server.deleted == [name]
        return tuned

    tuned = run(server, work, monkeypatch)
    (sent,) = server.created
    hyper = sent["hyperparameters"] if style == "azure_classic" else sent["method"]["supervised"]["hyperparameters"]
    assert hyper == {"n_epochs": -1}
    assert sent["trainingType"] == "GlobalStandard"
    assert sent["suffix"] == f"my-recipe-{job.key[:8]}"
    assert server.content["file-001"] == b"\xef\xbb\xbf" + job.train.read_bytes()
    assert [c.id for c in tuned.checkpoints] == ["ftchkpt_2", "ftchkpt_4", "final"]
    assert tuned.curve[-1] == (6, 1.0, 1.8)
    assert "estimated" in tuned.info["trained_tokens"]  # the service said null
    ((_, body),) = server.puts
    assert body == {
        "sku": {"name": "globalstandard", "capacity": 100},
        "properties": {"model": {"format": "OpenAI", "name": FINAL.model, "version": "1"}, **_state(body)},
    }


def _state(body: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in body["properties"].items() if k == "provisioningState"}


def test_only_the_chosen_checkpoint_stays_deployed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = TuningServer(style="azure_v1")
    job = tuning.job(tmp_path, server, deployment_sku="developertier", deployment_capacity=7)

    async def work() -> None:
        tuner = tuning.tuner(server)
        await tuner.serve(job, OTHER)
        kept = await tuner.serve(job, FINAL)
        await tuner.clean(job, keep=kept)
        assert list(server.deployments) == [kept.removeprefix("azure/")]
        assert await deployments.sweep(tmp_path, tuning.PACE) == []
        assert not server.deployments

    run(server, work, monkeypatch)
    assert server.puts[0][1]["sku"] == {"name": "developertier", "capacity": 7}


def test_a_deletion_is_believed_when_it_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Azure accepts a deletion (202) before it carries it out, and may never do so."""
    server = TuningServer(style="azure_v1", lingers=3)
    job = tuning.job(tmp_path, server)

    async def work() -> None:
        tuner = tuning.tuner(server)
        await _serve_and_clean(tuner, job)
        assert deployments.live(tmp_path) == []
        server.lingers = 10**6
        await tuner.serve(job, OTHER)
        monkeypatch.setattr(deployments, "SECONDS_TO_GO", 0.1)
        with pytest.raises(TuneError, match=r"Azure took the deletion of .*, but it still stands there: it is billed"):
            await tuner.clean(job)
        assert len(deployments.live(tmp_path)) == 1
        server.deployments.clear()
        assert await deployments.sweep(tmp_path, tuning.PACE) == []
        assert deployments.live(tmp_path) == []

    run(server, work, monkeypatch)


@pytest.mark.parametrize("where", [PUT, GET, DELETE])
@pytest.mark.parametrize("after", [False, True])
def test_a_killed_run_leaves_nothing_that_bills(
    where: str, after: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed around any request of the control plane: the next start deletes what was made."""
    server = TuningServer(style="azure_v1")
    job = tuning.job(tmp_path, server)
    send = control.Control.send

    class Killed(BaseException):
        pass

    async def dying(self: control.Control, method: str, path: str, body: Any = None) -> Any:
        if f"{method} {path}".startswith(where) and not (where == GET and not server.puts):
            if after:
                await send(self, method, path, body)
            monkeypatch.setattr(control.Control, "send", dead)
            raise Killed
        return await send(self, method, path, body)

    async def dead(self: control.Control, *_: Any) -> Any:
        raise Killed  # a dead process cleans nothing up

    async def work() -> None:
        monkeypatch.setattr(control.Control, "send", dying)
        tuner = tuning.tuner(server)
        with pytest.raises(Killed):
            await _serve_and_clean(tuner, job)
        die()
        monkeypatch.setattr(control.Control, "send", send)
        assert await deployments.sweep(tmp_path, tuning.PACE) == []

    run(server, work, monkeypatch)
    assert not server.deployments
    assert deployments.live(tmp_path) == []


async def _serve_and_clean(tuner: Any, job: TuneJob) -> None:
    await tuner.serve(job, FINAL)
    await tuner.clean(job)


def test_a_deployment_of_a_living_run_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = TuningServer(style="azure_v1")
    job = tuning.job(tmp_path, server)

    async def work() -> None:
        await tuning.tuner(server).serve(job, FINAL)
        theirs = dict(deployments._held)
        deployments._held.clear()  # another process's view: the locks are held, but not by it
        assert await deployments.sweep(tmp_path, tuning.PACE) == []
        assert server.deployments
        assert await tuning.tuner(server).serve(job, FINAL)  # it may be used, though
        assert len(server.puts) == 1
        deployments._held.clear()
        deployments._held.update(theirs)

    run(server, work, monkeypatch)


def test_leaving_while_it_is_provisioned_deletes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = TuningServer(style="azure_v1")
    job = tuning.job(tmp_path, server)

    async def work() -> None:
        serving = asyncio.ensure_future(tuning.tuner(server).serve(job, FINAL))
        while not server.puts:
            await asyncio.sleep(0.001)
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving

    run(server, work, monkeypatch)
    assert not server.deployments


def test_a_deployment_is_made_again_when_its_model_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = TuningServer(style="azure_v1")
    job = tuning.job(tmp_path, server)

    async def work() -> None:
        name = (await tuning.tuner(server).serve(job, FINAL)).removeprefix("azure/")
        await deployments.sweep(tmp_path, tuning.PACE)
        assert not server.deployments
        await deployments.ready(tmp_path, name, tuning.PACE)
        await deployments.ready(tmp_path, "somebody-elses", tuning.PACE)
        assert list(server.deployments) == [name]
        await deployments.sweep(tmp_path, tuning.PACE)

    run(server, work, monkeypatch)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Fault(PUT, 409, "Conflict", "the deployment exists"), "name is taken"),
        (Fault(PUT, 403, "AuthorizationFailed", "no role"), "az login.*Contributor"),
        (Fault(GET, 401, "ExpiredAuthenticationToken", "expired"), "token may have expired"),
        (Fault(PUT, 429, "InsufficientQuota", "This operation requires 100 new capacity"), "deployment_capacity"),
        (Fault(PUT, 404, "ResourceNotFound", "no such account"), "AZURE_OPENAI_ACCOUNT"),
        (Fault(PUT, 403, "AuthorizationFailed", f"{'x' * 290}{TOKEN} may not"), "not allowed"),
    ],
)
def test_a_refusal_of_the_control_plane_has_its_own_words(
    fault: Fault, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = TuningServer(style="azure_v1", faults=[fault])
    with pytest.raises(TuneError, match=f"(?s){said}") as caught:
        run(server, lambda: tuning.tuner(server).serve(tuning.job(tmp_path, server), FINAL), monkeypatch)
    assert TOKEN[:9] not in str(caught.value)
    assert KEY not in str(caught.value)
    assert deployments.live(tmp_path) == []


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Fault(GET, 401, "ExpiredAuthenticationToken", "expired"), "token may have expired"),
        (Fault(GET, 403, "AuthorizationFailed", "no role"), "Contributor"),
        (Fault(GET, 404, "ParentResourceNotFound", "no such account"), "AZURE_OPENAI_ACCOUNT"),
        (Fault(GET, 404, "SubscriptionNotFound", "no such subscription"), "AZURE_SUBSCRIPTION_ID"),
    ],
)
def test_nothing_is_trained_that_could_not_be_deployed(
    fault: Fault, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = TuningServer(style="azure_v1", faults=[fault])
    with pytest.raises(TuneError, match=f"(?s){said}"):
        run(server, lambda: tuning.tuner(server).submit(tuning.job(tmp_path, server)), monkeypatch)
    assert not server.files
    assert not server.created


def test_what_was_never_asked_for_is_not_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = TuningServer(style="azure_v1", faults=[Fault(GET, 403, "AuthorizationFailed", "no role")])
    with pytest.raises(TuneError):
        run(server, lambda: tuning.tuner(server).serve(tuning.job(tmp_path, server), FINAL), monkeypatch)
    assert [r.split()[0] for r in server.requests] == ["GET"]


def test_a_deletion_that_fails_is_said_and_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = TuningServer(style="azure_v1")
    job = tuning.job(tmp_path, server)

    async def work() -> None:
        await tuning.tuner(server).serve(job, FINAL)
        server.faults = [Fault(DELETE, 403, "AuthorizationFailed", "no role")]
        (note,) = await deployments.sweep(tmp_path, tuning.PACE)
        assert "billed by the hour" in note
        assert await leftovers.delete(tmp_path, tuning.PACE) == []
        assert not server.deployments

    run(server, work, monkeypatch)


def test_a_deployment_that_never_gets_ready_is_given_up_and_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    creating = b'{"properties": {"provisioningState": "Creating"}}'
    server = TuningServer(style="azure_v1", faults=[Fault(GET, raw=creating) for _ in range(1000)])
    monkeypatch.setattr(tuning, "PACE", Pace(0.005, 0.02, 0.1))

    async def work() -> None:
        async with asyncio.timeout(20):
            with pytest.raises(TuneError, match=r"(?s)still not ready.*Creating.*the training is kept"):
                await tuning.tuner(server).serve(tuning.job(tmp_path, server), FINAL)

    run(server, work, monkeypatch)
    assert server.deleted
    assert not server.deployments


@pytest.mark.parametrize("fault", [{}, {"status": 503}, {"status": 429, "code": "TooManyRequests"}])
def test_a_bad_minute_of_the_control_plane(
    fault: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = TuningServer(style="azure_v1", faults=[Fault(w, **fault) for w in (PUT, GET, GET, DELETE)])
    run(server, lambda: _serve_and_clean(tuning.tuner(server), tuning.job(tmp_path, server)), monkeypatch)
    assert not server.faults
    assert not server.deployments


def test_a_model_that_cannot_be_tuned_names_the_training_type(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = TuningServer(style="azure_v1")
    job = tuning.job(tmp_path, server, training_type="Imaginary", deployment_sku="standard")
    with pytest.raises(TuneError, match=r"(?s)cannot be fine-tuned here.*training_type"):
        run(server, lambda: tuning.tuner(server).submit(job), monkeypatch)


def test_what_is_not_set_is_said_before_anything_is_uploaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = TuningServer(style="azure_v1")
    tuning.settings(monkeypatch, server)
    for name in ("AZURE_SUBSCRIPTION_ID", "AZURE_OPENAI_ACCOUNT"):
        monkeypatch.delenv(name)
    findings = tuning.tuner(server).validate(tuning.job(tmp_path, server))
    said = " ".join(f.message for f in findings if f.severity == "error")
    assert "AZURE_SUBSCRIPTION_ID, AZURE_OPENAI_ACCOUNT" in said
    assert "$1.7 an hour" in " ".join(f.message for f in findings if f.severity == "info")
    monkeypatch.setenv("AZURE_MANAGEMENT_ENDPOINT", "http://example.org")
    with pytest.raises(ModelError, match="unencrypted"):
        control.arm(AzureSpec())


def test_the_account_is_read_off_the_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_SUBSCRIPTION_ID", "s")
    monkeypatch.setenv("AZURE_RESOURCE_GROUP", "g")
    monkeypatch.delenv("AZURE_OPENAI_ACCOUNT", raising=False)
    path = control.account("https://mine.openai.azure.com/openai/v1", AzureSpec())
    assert path == "/subscriptions/s/resourceGroups/g/providers/Microsoft.CognitiveServices/accounts/mine"


def test_the_file_places_the_resource_and_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AZURE_SUBSCRIPTION_ID", "AZURE_RESOURCE_GROUP", "AZURE_OPENAI_ACCOUNT"):
        monkeypatch.setenv(name, "theirs")
    own = AzureSpec(subscription_id="s", resource_group="g", account="a", management_endpoint="http://127.0.0.1:9/")
    path = control.account("http://127.0.0.1:9/openai/v1", own)
    assert path == "/subscriptions/s/resourceGroups/g/providers/Microsoft.CognitiveServices/accounts/a"
    assert control.arm(own) == "http://127.0.0.1:9"
    assert control.arm(AzureSpec(management_endpoint="https://management.usgovcloudapi.net")).endswith("api.net")


def test_the_token_goes_to_no_host_that_only_a_file_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AZURE_MANAGEMENT_ENDPOINT", raising=False)
    for url in ("https://evil.example.org", "https://management.azure.com.evil.org", "http://management.azure.com"):
        with pytest.raises(ModelError, match="the token would go"):
            control.arm(AzureSpec(management_endpoint=url))
    monkeypatch.setenv("AZURE_MANAGEMENT_ENDPOINT", "https://proxy.example.org")
    assert control.arm(AzureSpec(management_endpoint="https://proxy.example.org/")) == "https://proxy.example.org"
