"""The contract of a tuner, run on every one.

To hold another tuner to it, add its opener to `TUNERS`: a function that is given a folder and yields a `Bench`. What
`open()` returns must share nothing with its last return but what lies in the job's directory (or at the provider):
that is how a killed process comes back.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from harness.errors import TuneError
from harness.models.weights import convert
from harness.tuners import autotrain_env
from harness.tuners.autotrain import AutoTrainTuner
from harness.tuners.base import Progress, Tuned, TuneJob, Tuner
from harness.tuners.training_file import count_tokens, read
from harness.tuners.trl import TrlTuner
from harness.tuners.trl_speed import Speed
from tests import autotrain_replay, tiny, tuning
from tests.tuning_server import Thread, TuningServer


@dataclass
class Bench:
    """A tuner under test: `open` gives a fresh one, `job` a job of 12 rows and two epochs in a directory of its own."""

    open: Callable[[], Tuner]
    job: Callable[[str], TuneJob]


@contextmanager
def trl(folder: Path) -> Iterator[Bench]:
    base = tiny.model(folder / "base")

    def job(name: str) -> TuneJob:
        workdir = folder / name
        workdir.mkdir()
        return TuneJob(
            key=f"{name:0<16}",
            base="local/tiny",
            train=tiny.chats(workdir / "train.jsonl", 12),
            valid=tiny.chats(workdir / "valid.jsonl", 3),
            params={"epochs": 2, "batch_size": 4, "learning_rate": 1e-3, "lora": {"r": 4, "alpha": 8}},
            seed=7,
            suffix="test",
            workdir=workdir,
        )

    def merge(base: Path, adapter: Path, out: Path) -> None:
        convert("merge", base, adapter, out)

    yield Bench(lambda: TrlTuner(lambda _: base, merge, Speed(folder / "speed.json"), threads=1), job)


@contextmanager
def hosted(folder: Path, style: str) -> Iterator[Bench]:
    server = TuningServer(style=style, not_yet=3)
    with Thread(server), pytest.MonkeyPatch.context() as patch:
        tuning.settings(patch, server)
        yield Bench(lambda: tuning.tuner(server), lambda name: tuning.job(folder, server, name))


@contextmanager
def autotrain(folder: Path) -> Iterator[Bench]:
    """On a recorded layout; the real one trains in `tests/test_autotrain.py`."""
    base = tiny.model(folder / "base")
    home = autotrain_replay.environment(folder / "venv", base)

    def job(name: str) -> TuneJob:
        workdir = folder / name
        workdir.mkdir()
        (home / "mode").write_text("slow" if name == "cancel" else "works")
        rows = tiny.chats(workdir / "train.jsonl", 12)
        return TuneJob(f"{name:0<16}", "local/tiny", rows, None, {"epochs": 2, "batch_size": 4}, 7, "test", workdir)

    def merge(base: Path, adapter: Path, out: Path) -> None:
        shutil.copytree(adapter, out)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(autotrain_env.SETTING, str(home))
        yield Bench(lambda: AutoTrainTuner(lambda _: base, merge, Speed(folder / "speed.json"), threads=1), job)


TUNERS: dict[str, Callable[[Path], AbstractContextManager[Bench]]] = {
    "trl": trl,
    "autotrain": autotrain,
    "openai": lambda folder: hosted(folder, "openai"),
    "azure": lambda folder: hosted(folder, "azure_v1"),
    "azure_classic": lambda folder: hosted(folder, "azure_classic"),
}


@pytest.fixture(scope="module", params=TUNERS)
def bench(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with TUNERS[request.param](tmp_path_factory.mktemp(request.param)) as bench:
        yield bench


@dataclass
class Finished:
    job: TuneJob
    id: str
    tuned: Tuned
    told: list[Progress]


@pytest.fixture(scope="module")
def finished(bench: Bench) -> Finished:
    """One job, submitted by one tuner and followed by another."""
    job, told = bench.job("whole"), list[Progress]()

    async def work() -> tuple[str, Tuned]:
        assert await bench.open().find(job) is None
        id = await bench.open().submit(job)
        return id, await bench.open().follow(job, id, told.append)

    id, tuned = asyncio.run(work())
    return Finished(job, id, tuned, told)


def test_a_good_file_has_no_error(bench: Bench) -> None:
    job = bench.job("good")
    before = sorted(job.workdir.iterdir())
    assert [f for f in bench.open().validate(job) if f.severity == "error"] == []
    assert sorted(job.workdir.iterdir()) == before


def test_all_errors_of_a_file_are_named_by_line_at_once(bench: Bench) -> None:
    job = bench.job("broken")
    lines = job.train.read_text("utf-8").splitlines()
    lines[2], lines[4], lines[6] = "{", '{"messages": []}', lines[6].replace('"assistant"', '"robot"')
    job.train.write_text("\n".join(lines), "utf-8")
    errors = [f for f in bench.open().validate(job) if f.severity == "error"]
    assert {3, 5, 7} <= {f.line for f in errors}
    assert all(f.message for f in errors)


def test_the_estimate_counts_epochs_once(bench: Bench) -> None:
    job = bench.job("estimate")
    twice = bench.open().estimate(job)
    once = bench.open().estimate(msgspec.structs.replace(job, params={**job.params, "epochs": 1}))
    assert twice.trained_tokens == 2 * once.trained_tokens > 0
    assert (once.epochs, twice.epochs) == (1, 2)
    assert once.trained_tokens >= sum(count_tokens(row, lambda _: 1) for row in read(job.train))
    assert twice.why
    for band in (twice.seconds, twice.usd):
        assert band is None or 0 <= band[0] <= band[1]


def test_the_job_is_found_by_a_process_that_did_not_submit_it(bench: Bench, finished: Finished) -> None:
    assert asyncio.run(bench.open().find(finished.job)) == finished.id
    assert finished.tuned.job == finished.id


def test_every_checkpoint_is_told_apart_and_in_order(finished: Finished) -> None:
    checkpoints = finished.tuned.checkpoints
    assert checkpoints
    assert len({c.id for c in checkpoints}) == len(checkpoints)
    assert [c.step for c in checkpoints] == sorted({c.step for c in checkpoints})
    steps = [step for step, _, _ in finished.tuned.curve]
    assert steps == sorted(set(steps))
    assert finished.tuned.trained_tokens > 0
    assert finished.tuned.seconds >= 0


def test_progress_never_passes_its_total(finished: Finished) -> None:
    assert finished.told
    assert all(p.status and (p.done <= p.total or p.total == 0) for p in finished.told)


def test_following_a_finished_job_again_gives_the_same(bench: Bench, finished: Finished) -> None:
    again = asyncio.run(bench.open().follow(finished.job, finished.id, lambda _: None))
    assert again == finished.tuned


def test_serving_twice_is_serving_once(bench: Bench, finished: Finished) -> None:
    async def serve() -> str:
        return await bench.open().serve(finished.job, finished.tuned.checkpoints[-1])

    first = asyncio.run(serve())
    assert first
    assert asyncio.run(serve()) == first


def test_a_cancelled_job_is_an_error_and_not_a_model(bench: Bench) -> None:
    job = bench.job("cancel")

    async def work() -> None:
        tuner = bench.open()
        id = await tuner.submit(job)
        begun = asyncio.Event()
        following = asyncio.ensure_future(tuner.follow(job, id, lambda _: begun.set()))
        await asyncio.wait({following, asyncio.ensure_future(begun.wait())}, return_when=asyncio.FIRST_COMPLETED)
        await bench.open().cancel(job, id)
        with pytest.raises(TuneError, match="cancel"):
            await following

    asyncio.run(work())


def test_cleaning_up_is_safe_at_any_time(bench: Bench, finished: Finished) -> None:
    async def work() -> None:
        for job in (bench.job("never"), finished.job, finished.job):
            await bench.open().clean(job)

    asyncio.run(work())
    assert asyncio.run(bench.open().find(finished.job)) == finished.id
