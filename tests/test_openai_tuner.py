"""Fine-tuning at OpenAI against a real server on loopback: paid once whatever breaks, and every refusal in words."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.errors import TuneError
from harness.models.budgeted import Budget
from harness.spec import ModelSpec
from harness.tuners import hosted_files, leftovers
from harness.tuners.base import Progress, Tuned, TuneJob
from harness.tuners.hosted_files import read_curve
from harness.tuners.hosted_jobs import auto_epochs, told
from harness.tuners.openai import OpenAITuner
from harness.tuners.service import Pace, Service
from harness.tuners.trl_files import write_whole
from tests import tuning
from tests.servers import KEY
from tests.tuning_server import CURVE, Fault, Thread, TuningServer, serve

FILES, JOBS = "POST /v1/files", "POST /v1/fine_tuning/jobs"


async def whole(server: TuningServer, job: TuneJob, told: list[Progress] | None = None, **more: Any) -> Tuned:
    """What the technique does with a tuner, by one that knows nothing but the disk and the service."""
    tuner = tuning.tuner(server, **more)
    id = await tuner.find(job) or await tuner.submit(job)
    tuned = await tuner.follow(job, id, (told if told is not None else []).append)
    await tuner.serve(job, tuned.checkpoints[-1])
    return tuned


def run(server: TuningServer, work: Callable[[], Awaitable[Any]], monkeypatch: pytest.MonkeyPatch) -> Any:
    async def main() -> Any:
        async with serve(server):
            tuning.settings(monkeypatch, server)
            return await work()

    return asyncio.run(main())


def test_a_job_from_upload_to_a_model_that_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server, told = TuningServer(not_yet=4), list[Progress]()
    job = tuning.job(tmp_path, server, learning_rate_multiplier=1.5)
    tuned = run(server, lambda: whole(server, job, told), monkeypatch)
    (sent,) = server.created
    assert sent["method"]["supervised"]["hyperparameters"] == {
        "n_epochs": 2,
        "batch_size": 4,
        "learning_rate_multiplier": 1.5,
    }
    assert sent["metadata"] == {"harness_key": job.key}
    assert sent["suffix"] == f"my-recipes-v2-{job.key[:8]}"
    assert [f["filename"] for f in server.files.values()] == [
        f"harness-{job.key}-train.jsonl",
        f"harness-{job.key}-valid.jsonl",
    ]
    assert server.content["file-001"] == job.train.read_bytes()
    assert tuned.trained_tokens == 4321  # the reply's: epochs are in it
    assert tuned.usd == pytest.approx(4321 * 3 / 1e6)
    assert tuned.seconds == 600
    assert tuned.curve == ((1, 2.5, None), (2, 2.0, 2.2), (3, None, None), (4, 1.5, 1.9), (6, 1.0, 1.8))
    assert [(c.step, c.epoch, c.valid_loss) for c in tuned.checkpoints] == [
        (2, 0.667, 1.8),
        (4, 1.333, 1.6),
        (6, 2.0, 1.4),
    ]
    assert tuned.checkpoints[-1].model == tuned.info["model"]
    assert "warming_up" in {p.status for p in told}  # a status that nobody documented
    assert told[-1].done
    assert told[-1].total == 6
    assert server.chats[-1]["model"] == tuned.info["model"]


@pytest.mark.slow
def test_killed_at_any_moment_the_job_is_found_and_paid_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process dies before or after every single call and every write; then it is started again."""

    class Killed(BaseException):
        pass

    ask, save = Service.ask, hosted_files.save
    left, after = 0, False

    async def dying_ask(self: Service, doing: str, call: Any, **more: Any) -> Any:
        nonlocal left
        left -= 1
        if left == 0 and not after:
            raise Killed
        reply = await ask(self, doing, call, **more)
        if left == 0:
            raise Killed
        return reply

    def dying_save(*args: Any) -> Any:
        nonlocal left
        left -= 1
        if left == 0 and not after:
            raise Killed
        state = save(*args)
        if left == 0:
            raise Killed
        return state

    monkeypatch.setattr(Service, "ask", dying_ask)
    monkeypatch.setattr(hosted_files, "save", dying_save)
    deaths = 0
    for after in (False, True):  # the patches read it
        for moment in range(1, 100):
            left = moment
            server = TuningServer(journey=("running", "succeeded"))
            job = tuning.job(tmp_path / f"{after}{moment}", server)

            async def twice(server: TuningServer = server, job: TuneJob = job) -> tuple[bool, Tuned]:
                try:
                    return False, await whole(server, job)
                except Killed:
                    return True, await whole(server, job)

            died, tuned = run(server, twice, monkeypatch)
            assert len(server.created) == 1, (moment, after)
            assert [f["filename"][-11:] for f in server.files.values()] == ["train.jsonl", "valid.jsonl"]
            assert tuned.job == "ftjob-001"
            deaths += died
            if not died:
                break
    assert deaths > 30


@pytest.mark.parametrize("where", [FILES, JOBS, "GET /v1/files", "GET /v1/fine_tuning", "POST /v1/chat"])
@pytest.mark.parametrize(
    "fault",
    [
        {"after": True},
        {"status": 503},
        {"status": 500, "after": True},
        {"status": 429, "headers": {"retry-after-ms": "20"}},
        {"raw": b'{"id": "ftjob-'},
        {"raw": b"<html>502</html>", "headers": {"content-type": "text/html"}, "after": True},
        {"raw": b'{"id": "caf\xe9"}', "after": True},
        {"raw": b"[]", "after": True},
        {"raw": b'{"id": null, "data": null, "status": null}', "after": True},
    ],
    ids=["cut", "503", "500 done", "429", "truncated", "html done", "bad utf-8 done", "list done", "nulls done"],
)
def test_a_bad_minute_of_the_service_costs_nothing(
    where: str, fault: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = TuningServer(faults=[Fault(where, **fault), Fault(where, **fault)], journey=("running", "succeeded"))
    tuned = run(server, lambda: whole(server, tuning.job(tmp_path, server)), monkeypatch)
    assert len(server.faults) < 2  # a job that was made although the line broke is found, not made again
    assert len(server.created) == 1
    assert len(server.files) == 2
    assert tuned.checkpoints[-1].model == server.jobs["ftjob-001"]["fine_tuned_model"]


def test_the_job_is_found_without_its_directory_and_behind_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = TuningServer(pages=2)

    async def work() -> None:
        first = tuning.job(tmp_path, server, "first")
        id = await tuning.tuner(server).submit(first)
        for i in range(5):
            await tuning.tuner(server).submit(tuning.job(tmp_path, server, f"other{i}"))
        (first.workdir / hosted_files.STATE).unlink()
        assert await tuning.tuner(server).find(first) == id
        assert await tuning.tuner(server).find(tuning.job(tmp_path, server, "unknown")) is None

    run(server, work, monkeypatch)


def test_a_failed_job_says_why_and_a_new_one_takes_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = TuningServer(journey=("running", "failed"))
    job = tuning.job(tmp_path, server)

    async def work() -> None:
        with pytest.raises(TuneError, match=r"failed: line 3 is bad \(training_file\)"):
            await whole(server, job)
        assert leftovers.pending(tmp_path) == []
        server.journey = ("running", "succeeded")
        assert (await whole(server, job)).job == "ftjob-002"

    run(server, work, monkeypatch)
    assert len(server.files) == 2


@pytest.mark.parametrize("nothing", [None, {}, {"code": None, "message": None, "param": None}])
def test_the_error_of_a_healthy_job_is_none(nothing: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = TuningServer(changed={"error": nothing})
    assert run(server, lambda: whole(server, tuning.job(tmp_path, server)), monkeypatch).checkpoints


def test_a_service_that_never_says_processed_is_not_waited_for_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning, "PACE", Pace(0.005, 0.02, 0.2))
    server = TuningServer(reads=False)
    job = tuning.job(tmp_path, server)
    assert run(server, lambda: whole(server, job), monkeypatch).trained_tokens == 4321


def test_a_job_that_succeeds_without_a_model_is_not_followed_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning, "PACE", Pace(0.005, 0.02, 0.2))
    server = TuningServer(changed={"fine_tuned_model": None})
    job = tuning.job(tmp_path, server)
    with pytest.raises(TuneError, match=r"ftjob-001 succeeded, but the service names no model(?s:.*)the job is found"):
        run(server, lambda: whole(server, job), monkeypatch)
    server.changed = {}
    run(server, lambda: whole(server, job), monkeypatch)
    assert len(server.created) == 1


def test_nulls_where_numbers_are_due_lose_no_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nulls = dict.fromkeys(("created_at", "finished_at", "trained_tokens", "result_files", "hyperparameters", "error"))
    server = TuningServer(changed=nulls)
    job = tuning.job(tmp_path, server)
    tuned = run(server, lambda: whole(server, job), monkeypatch)
    assert (tuned.seconds, len(tuned.checkpoints)) == (0.0, 3)
    odd = SimpleNamespace(message=None, data={"step": "three", "total_steps": None, "train_loss": None})
    good = SimpleNamespace(message="Step 2/6: training loss=1.5", data={"step": 2, "train_loss": None})
    assert told([odd, good]) == (good.message, 2, 6, None)


def test_a_file_that_is_still_being_read_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = TuningServer(faults=[Fault(JOBS, 400, "invalid_request_error", "File 'file-001' is not ready")])
    assert run(server, lambda: whole(server, tuning.job(tmp_path, server)), monkeypatch).checkpoints


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Fault(JOBS, 403, "training_not_available", "Training is not available"), "2026-05-07.*2027-01-06"),
        (Fault(JOBS, 403, "training_not_available", "no"), "azure.*trl.*autotrain"),
        (Fault(FILES, 401, "invalid_api_key", f"Incorrect API key provided: {KEY}"), "OPENAI_API_KEY"),
        (Fault(JOBS, 404, "model_not_found", "The model `gpt-9` does not exist"), "cannot be fine-tuned here"),
        (Fault(JOBS, 429, "insufficient_quota", "You exceeded your current quota"), "no money left"),
    ],
)
def test_a_refusal_is_one_sentence_with_a_way_out(
    fault: Fault, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = TuningServer(faults=[fault])
    with pytest.raises(TuneError, match=f"(?s){said}") as caught:
        run(server, lambda: whole(server, tuning.job(tmp_path, server)), monkeypatch)
    assert KEY not in str(caught.value)
    assert not server.created


def test_the_file_is_refused_by_the_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = TuningServer()
    job = tuning.job(tmp_path, server)

    async def work() -> None:
        submitting = asyncio.ensure_future(tuning.tuner(server).submit(job))
        while not server.files:
            await asyncio.sleep(0.001)
        for known in server.files.values():
            known.update(status="error", status_details="bad rows")
        with pytest.raises(TuneError, match="could not read"):
            await submitting

    run(server, work, monkeypatch)


def test_a_training_that_does_not_fit_into_the_purse_is_not_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = TuningServer()
    job = tuning.job(tmp_path, server)
    with pytest.raises(TuneError, match=r"up to \$0\.00\d+; \$1e-06 of run\.max_usd is left"):
        run(server, lambda: whole(server, job, budget=Budget(0.000001)), monkeypatch)
    with pytest.raises(TuneError, match=r"not known"):
        run(server, lambda: whole(server, nowhere(job), budget=Budget(5.0), price=None), monkeypatch)
    assert not server.files
    purse = Budget(5.0)
    tuned = run(server, lambda: whole(server, job, budget=purse), monkeypatch)
    assert purse.spent == tuned.usd


def nowhere(job: TuneJob) -> TuneJob:
    """The job on a model that no price book lists."""
    import msgspec

    return msgspec.structs.replace(job, base="openai/unheard-of")


def test_ctrl_c_keeps_the_job_and_says_how_to_go_on_or_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = TuningServer(journey=("running",))
    job = tuning.job(tmp_path, server)

    async def work() -> None:
        following = asyncio.ensure_future(whole(server, job))
        while not server.polls.get("ftjob-001"):
            await asyncio.sleep(0.005)
        following.cancel()
        with pytest.raises(asyncio.CancelledError):
            await following
        assert server.jobs["ftjob-001"]["status"] == "running"
        left = leftovers.pending(tmp_path)
        said = leftovers.told(left)
        assert "ftjob-001" in said
        assert "--on-interrupt cancel" in said
        assert await leftovers.cancel(left, tuning.PACE) == ["openai job ftjob-001: cancelled"]
        assert server.jobs["ftjob-001"]["status"] == "cancelled"
        assert not leftovers.pending(tmp_path)
        assert (await tuning.tuner(server).find(job)) is None

    run(server, work, monkeypatch)


@pytest.mark.parametrize("style", ["openai", "azure_v1"])
def test_a_job_whose_id_never_came_back_is_cancelled_too(
    style: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = TuningServer(style=style, journey=("running",))
    job = tuning.job(tmp_path, server, name="a" * 16)

    async def work() -> None:
        await whole_until(server, job, lambda: bool(server.jobs))
        left = leftovers.pending(tmp_path)
        assert [job.id for job in left] == [""]
        assert (await leftovers.cancel(left, tuning.PACE))[0].endswith(": cancelled")
        assert [j["status"] for j in server.jobs.values()] == ["cancelled"]
        assert not leftovers.pending(tmp_path)

    run(server, work, monkeypatch)


async def whole_until(server: TuningServer, job: TuneJob, when: Callable[[], bool]) -> None:
    """A submission that is left while the service's answer is on its way."""
    server.faults.append(Fault("/fine_tuning/jobs", after=True, delay=30.0, method="POST"))
    submitting = asyncio.ensure_future(tuning.tuner(server).submit(job))
    while not when():
        await asyncio.sleep(0.005)
    submitting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await submitting


def test_a_cancellation_that_fails_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = TuningServer(journey=("running",))
    job = tuning.job(tmp_path, server)

    async def work() -> None:
        await tuning.tuner(server).submit(job)
        server.faults.append(Fault("/cancel", status=403, message="not yours"))
        said = await leftovers.cancel(leftovers.pending(tmp_path), tuning.PACE)
        assert "ftjob-001 could not be cancelled" in said[0]
        assert "not yours" in said[0]
        assert leftovers.pending(tmp_path)

    run(server, work, monkeypatch)


def test_uploads_can_be_deleted_once_the_job_has_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = TuningServer()
    job = tuning.job(tmp_path, server)

    async def work() -> None:
        await whole(server, job)
        write_whole(job.workdir / "tuned.json", b"{}")
        await leftovers.delete(tmp_path, tuning.PACE)
        assert await leftovers.delete(tmp_path, tuning.PACE) == []

    run(server, work, monkeypatch)
    assert not server.files


def test_uploads_that_are_gone_are_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = TuningServer(journey=("failed",))
    job = tuning.job(tmp_path, server)

    async def work() -> Tuned:
        with pytest.raises(TuneError, match="failed"):
            await whole(server, job)
        server.files.clear()  # by hand in the dashboard, or by the retention of the service
        server.content.clear()
        server.journey = ("succeeded",)
        return await whole(server, job)

    assert run(server, work, monkeypatch).job == "ftjob-002"
    assert len(server.created) == 2


@pytest.mark.parametrize("where", ["/files", "/fine_tuning/jobs"])
@pytest.mark.parametrize("fault", [{}, {"status": 500}, {"raw": b'{"error": {"message": "not now"}}'}])
def test_an_upload_or_a_job_that_is_never_taken_is_given_up(
    where: str, fault: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = TuningServer(faults=[Fault(f"POST /v1{where}", **fault) for _ in range(1000)])
    job = tuning.job(tmp_path, server)
    monkeypatch.setattr(tuning, "PACE", Pace(0.005, 0.02, 0.3))

    async def work() -> None:
        async with asyncio.timeout(20):
            with pytest.raises(TuneError, match=r"(?s)uploading|creating.*run the same command again"):
                await whole(server, job)

    run(server, work, monkeypatch)
    assert not server.created


def test_no_key_is_written_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = TuningServer()
    job = tuning.job(tmp_path, server)
    run(server, lambda: whole(server, job), monkeypatch)
    assert not [f for f in tmp_path.rglob("*") if f.is_file() and KEY.encode() in f.read_bytes()]
    job.train.write_text(job.train.read_text("utf-8").replace("row 3", KEY), "utf-8")
    assert "key" in " ".join(f.message for f in tuning.tuner(server).validate(job) if f.severity == "error")


def test_the_estimate_is_the_cookbooks(tmp_path: Path) -> None:
    assert [auto_epochs(n) for n in (3, 4, 10, 33, 34, 101, 8333, 8334, 25_001)] == [25, 25, 10, 3, 3, 3, 3, 2, 1]
    server = TuningServer()
    job = tuning.job(tmp_path, server, epochs="auto")
    estimate = tuning.tuner(server).estimate(job)
    assert estimate.epochs == 8  # 12 rows
    assert estimate.usd is not None
    low, high = estimate.usd
    assert low < estimate.trained_tokens * 3 / 1e6 < high
    unknown = tuning.tuner(server, price=None).estimate(nowhere(job))
    assert unknown.usd is None
    assert "usd_per_mtok" in unknown.why


def test_the_files_last_day_wins_over_the_price_books(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = TuningServer()
    tuning.settings(monkeypatch, server)
    job = tuning.job(tmp_path, server)
    tuner = OpenAITuner(lambda r: ModelSpec(id=r, retires="2031-05-06"))
    assert "shut down, with its fine-tunes, on 2031-05-06" in " ".join(f.message for f in tuner.validate(job))


def test_a_byte_order_mark_is_refused_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = TuningServer()
    tuning.settings(monkeypatch, server)
    job = tuning.job(tmp_path, server)
    job.train.write_bytes(b"\xef\xbb\xbf" + job.train.read_bytes())
    assert "byte order mark" in " ".join(f.message for f in tuning.tuner(server).validate(job))
    monkeypatch.delenv("OPENAI_API_KEY")
    assert "OPENAI_API_KEY" in " ".join(f.message for f in tuning.tuner(server).validate(job))


def test_a_result_file_is_read_plain_in_base64_and_with_a_mark() -> None:
    plain = read_curve(CURVE.encode())
    assert read_curve(base64.b64encode(CURVE.encode())) == plain
    assert read_curve(b"\xef\xbb\xbf" + CURVE.replace("\n", "\r\n").encode()) == plain
    for wrong in (b"<html>", b"", base64.b64encode(b"hello")):
        with pytest.raises(ValueError, match="result file"):
            read_curve(wrong)


CHILD = """
    import asyncio, json, sys
    from pathlib import Path
    from harness.spec import ModelSpec
    from harness.tuners.base import TuneJob
    from harness.tuners.openai import OpenAITuner
    from harness.tuners.service import Pace
    import msgspec

    job = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=TuneJob, dec_hook=lambda t, v: t(v))
    tuner = OpenAITuner(lambda r: ModelSpec(id=r), None, Pace(0.05, 0.05, 10))

    async def main():
        id = await tuner.find(job) or await tuner.submit(job)
        print((await tuner.follow(job, id, lambda p: None)).job)

    asyncio.run(main())
"""


@pytest.mark.slow
def test_a_process_that_is_really_killed_pays_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import msgspec

    server = TuningServer(journey=("running",) * 400)
    with Thread(server):
        job = tuning.job(tmp_path, server)
        spec = tmp_path / "job.json"
        spec.write_bytes(msgspec.json.encode(job, enc_hook=str))
        command = [sys.executable, "-c", textwrap.dedent(CHILD), str(spec)]
        environment = {**os.environ, **tuning.environment(server)}
        first = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        until = time.monotonic() + 60
        while not server.polls.get("ftjob-001") and time.monotonic() < until:
            time.sleep(0.02)
        first.kill()
        first.wait()
        server.journey = ("succeeded",)
        second = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert second.stdout.strip() == "ftjob-001"
    assert len(server.created) == 1
    assert len(server.files) == 2
    assert json.loads((job.workdir / hosted_files.STATE).read_bytes())["job"] == "ftjob-001"
