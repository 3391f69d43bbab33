"""AutoTrain around its subprocess, on a recorded layout; and once for real, where its environment is installed."""

from __future__ import annotations

import asyncio
import json
import os
import warnings
from pathlib import Path
from typing import Any

import pytest

from harness.errors import TuneError
from harness.models.convert import merge
from harness.tuners import autotrain_env, autotrain_files
from harness.tuners.autotrain import AutoTrainTuner
from harness.tuners.base import Progress, Tuned, TuneJob
from harness.tuners.trl_speed import Speed
from tests import autotrain_replay, tiny


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.model(tmp_path_factory.mktemp("base"))


@pytest.fixture
def replay(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = autotrain_replay.environment(tmp_path / "venv", base)
    monkeypatch.setenv(autotrain_env.SETTING, str(home))
    return home


def tuner(base: Path) -> AutoTrainTuner:
    def quietly(*paths: Path) -> None:
        with warnings.catch_warnings(action="ignore", category=FutureWarning):  # in `serve` it is a process of its own
            merge(*paths)

    return AutoTrainTuner(lambda _: base, quietly, Speed(), threads=1)


def job(folder: Path, **params: Any) -> TuneJob:
    folder.mkdir(parents=True, exist_ok=True)
    train = tiny.chats(folder / "train.jsonl", 12)
    return TuneJob("k" * 16, "local/tiny", train, None, {"epochs": 2, "batch_size": 4, **params}, 7, "x", folder)


async def whole(base: Path, work: TuneJob, told: list[Progress] | None = None) -> Tuned:
    one = tuner(base)
    id = await one.find(work) or await one.submit(work)
    return await one.follow(work, id, (told if told is not None else []).append)


def test_a_training_becomes_a_model_that_opens(base: Path, replay: Path, tmp_path: Path) -> None:
    work = job(tmp_path / "job", lora={"r": 4, "alpha": 8}, learning_rate=5e-4)
    tuned = asyncio.run(whole(base, work))
    (checkpoint,) = tuned.checkpoints
    assert [loss for _, loss, _ in tuned.curve] == [2.6615, 2.9004, 2.7003]
    assert (checkpoint.step, checkpoint.train_loss) == (3, 2.7003)
    served = asyncio.run(tuner(base).serve(work, checkpoint))
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {f.name for f in Path(served).iterdir()}
    sent = json.loads((work.workdir / "autotrain.yml").read_bytes())
    assert sent["data"]["valid_split"] is None  # it crashes with one
    assert sent["params"]["quantization"] is None  # its default is 4 bits
    assert (sent["params"]["lr"], sent["params"]["lora_r"], sent["params"]["seed"]) == (5e-4, 4, 7)
    assert asyncio.run(whole(base, work)) == tuned
    assert (replay / "starts").read_text() == "x"


def test_the_base_is_shown_as_an_old_transformers_reads_it(base: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    autotrain_files.prepare(base, out)
    shown = json.loads((out / "tokenizer_config.json").read_bytes())
    assert shown["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert "<|im_start|>" in shown["chat_template"]
    assert shown["pad_token"] == "<|endoftext|>"  # with the end of an answer as pad, the end is never learnt
    config = json.loads((out / "config.json").read_bytes())
    assert config["torch_dtype"] == "float32"
    assert config["rope_theta"] == 10000.0
    assert (out / "model.safetensors").resolve() == (base / "model.safetensors").resolve()
    assert json.loads((base / "tokenizer_config.json").read_bytes())["pad_token"] == "<|im_end|>"  # untouched


@pytest.mark.parametrize(("mode", "said"), [("fails", "KeyError: 'messages'"), ("cut", "was cut off")])
def test_an_exit_code_of_zero_is_no_success(mode: str, said: str, base: Path, replay: Path, tmp_path: Path) -> None:
    (replay / "mode").write_text(mode)
    work = job(tmp_path / "job")
    with pytest.raises(TuneError, match=said):
        asyncio.run(whole(base, work))
    assert (replay / "starts").read_text() == "x"
    (replay / "mode").write_text("works")
    assert asyncio.run(whole(base, work)).checkpoints


def test_a_training_that_outlived_us_is_waited_for(base: Path, replay: Path, tmp_path: Path) -> None:
    """A first process starts it and is killed outright; the second one finds it at work and does not start another."""
    import multiprocessing
    import time

    (replay / "mode").write_text("slow")
    work = job(tmp_path / "job")
    first = multiprocessing.get_context("fork").Process(target=lambda: asyncio.run(whole(base, work)))
    first.start()
    until = time.monotonic() + 30
    while not (replay / "starts").exists() and time.monotonic() < until:
        time.sleep(0.02)
    first.kill()
    first.join()

    async def second() -> Tuned:
        following = asyncio.ensure_future(whole(base, work))
        await asyncio.sleep(0.2)
        assert not following.done()
        (replay / "go").touch()
        return await following

    assert asyncio.run(second()).checkpoints
    assert (replay / "starts").read_text() == "x"


def test_ctrl_c_and_cancel_end_the_training(base: Path, replay: Path, tmp_path: Path) -> None:
    (replay / "mode").write_text("slow")
    work = job(tmp_path / "job")

    async def begun() -> asyncio.Future[Tuned]:
        following = asyncio.ensure_future(whole(base, work))
        while not (work.workdir / "pid").exists():
            await asyncio.sleep(0.02)
        return following

    async def leave() -> None:
        following = await begun()
        group = int((work.workdir / "pid").read_text())
        following.cancel()
        with pytest.raises(asyncio.CancelledError):
            await following
        with pytest.raises(ProcessLookupError):
            os.killpg(group, 0)

    async def cancel() -> None:
        (work.workdir / "pid").unlink()
        following = await begun()
        await tuner(base).cancel(work, "id")
        with pytest.raises(TuneError, match="cancelled"):
            await following

    asyncio.run(leave())
    asyncio.run(cancel())


def test_what_stands_in_the_way_is_said_before_the_start(
    base: Path, replay: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = job(tmp_path / "job", learning_rate_multiplier=2.0)
    assert not [f for f in tuner(base).validate(work) if f.severity == "error"]
    (replay / autotrain_env.READY).write_text("another")
    assert "mends it" in autotrain_env.missing()
    monkeypatch.setenv(autotrain_env.SETTING, str(tmp_path / "nowhere"))
    errors = [f.message for f in tuner(base).validate(work) if f.severity == "error"]
    assert autotrain_env.BUILD in errors[0]


def test_no_key_of_ours_is_handed_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setenv("HF_TOKEN", "hf-secret")
    given = autotrain_env.environment(2)
    assert not [v for v in given.values() if "secret" in v]
    assert given["PATH"].startswith(str(autotrain_env.program().parent))


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_real_autotrain_trains_a_few_rows(base: Path, tmp_path: Path) -> None:
    missing = autotrain_env.missing()
    if missing and os.environ.get("CI"):
        raise pytest.UsageError(missing)
    if missing:
        pytest.skip(missing)
    told: list[Progress] = []
    work = job(tmp_path / "job", epochs=1, batch_size=2)
    tuned = asyncio.run(whole(base, work, told))
    assert all(loss and loss > 0 for _, loss, _ in tuned.curve)
    assert tuned.curve
    assert told[-1].done == told[-1].total
    served = asyncio.run(tuner(base).serve(work, tuned.checkpoints[0]))
    assert (Path(served) / "model.safetensors").read_bytes() != (base / "model.safetensors").read_bytes()
