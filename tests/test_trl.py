"""Local tuning: the training file's rules, the packed loss against stock TRL, and what survives a kill."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import ModelError, TuneError
from harness.models.base import Message
from harness.tuners import merged, training_file
from harness.tuners.base import Checkpoint, Finding, Progress, TuneJob
from harness.tuners.training_file import check, count_tokens
from harness.tuners.trl import TrlTuner
from harness.tuners.trl_files import Result
from harness.tuners.trl_speed import Speed, machine
from harness.tuners.trl_worker import last_whole, mark_whole
from tests import tiny

TEXT = st.text(min_size=1).filter(lambda t: t.strip() != "" and t.encode("utf-8", "ignore").decode() == t)
GOOD = [{"role": "user", "content": "2 eggs"}, {"role": "assistant", "content": "egg"}]


def write(path: Path, rows: list[Any]) -> Path:
    lines = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path


def distinct(count: int) -> list[Any]:
    return [{"messages": [{**GOOD[0], "content": f"{i} eggs"}, GOOD[1]]} for i in range(count)]


def errors(findings: list[Finding]) -> list[Finding]:
    return [f for f in findings if f.severity == "error"]


# The training file


@given(st.lists(st.tuples(TEXT, TEXT, TEXT), min_size=10, max_size=14))
def test_every_well_formed_row_passes_and_is_read_back(
    tmp_path_factory: Any, turns: list[tuple[str, str, str]]
) -> None:
    path = tmp_path_factory.mktemp("rows") / "train.jsonl"
    rows = [
        {"messages": [{"role": r, "content": c} for r, c in zip(("system", "user", "assistant"), t, strict=True)]}
        for t in turns
    ]
    path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), encoding="utf-8")
    assert errors(check(path)) == []
    assert training_file.read(path) == [r["messages"] for r in rows]


@given(st.lists(st.binary(max_size=60), max_size=6))
def test_no_bytes_make_the_check_fail(tmp_path_factory: Any, lines: list[bytes]) -> None:
    path = tmp_path_factory.mktemp("bytes") / "train.jsonl"
    path.write_bytes(b"\n".join(lines))
    assert errors(check(path)), "fewer than ten rows at least"


BROKEN: list[tuple[Any, str]] = [
    (b"[1, 2]", "not an object"),
    (b"{", "not JSON"),
    (b'{"messages": NaN}', "not JSON"),
    (b"[" * 100_000, "not JSON"),
    (b'{"messages": [{"role": "user", "content": "\xff"}]}', "not UTF-8"),
    ({}, "`messages` must be a list"),
    ({"messages": []}, "at least one message"),
    ({"messages": "hello"}, "must be a list"),
    ({"messages": ["hello", *GOOD]}, r"messages\[0\]: not an object"),
    ({"messages": [{"content": "x"}, GOOD[1]]}, "no `role`"),
    ({"messages": [{"role": "robot", "content": "x"}, GOOD[1]]}, "role 'robot' is unknown"),
    ({"messages": [{"role": ["user"], "content": "x"}, GOOD[1]]}, "is unknown"),
    ({"messages": [{"role": "user"}, GOOD[1]]}, "no `content`"),
    ({"messages": [{"role": "user", "content": 3}, GOOD[1]]}, "must be a text"),
    ({"messages": [{"role": "user", "content": " \n"}, GOOD[1]]}, "is empty"),
    ({"messages": [GOOD[0], {"role": "assistant", "content": None}]}, "must be a text"),
    ({"messages": [GOOD[0]]}, "last message must be the assistant's"),
    ({"messages": [GOOD[1], GOOD[0]]}, "last message must be the assistant's"),
    ({"messages": [{**GOOD[0], "weight": 1}, GOOD[1]]}, "assistant messages only"),
    ({"messages": [GOOD[0], {**GOOD[1], "weight": 2}]}, "must be 0 or 1"),
    ({"messages": [GOOD[0], {**GOOD[1], "weight": True}]}, "must be 0 or 1"),
    ({"messages": [GOOD[0], {**GOOD[1], "weight": 0}]}, "nothing to learn"),
]


def test_every_rule_is_named_with_its_line_in_one_pass(tmp_path: Path) -> None:
    import re

    path = write(tmp_path / "train.jsonl", [row for row, _ in BROKEN])
    found = errors(check(path))
    for number, (_, pattern) in enumerate(BROKEN, start=1):
        assert any(f.line == number and re.search(pattern, f.message) for f in found), pattern
    assert len(check(path)) >= len(BROKEN)


def test_nine_rows_are_too_few_and_ten_are_not(tmp_path: Path) -> None:
    assert [f.line for f in errors(check(write(tmp_path / "a", distinct(9))))] == [None]
    assert check(write(tmp_path / "b", distinct(10))) == []


def test_a_duplicate_names_the_first_of_its_kind(tmp_path: Path) -> None:
    rows = [*distinct(10), distinct(3)[2]]
    (found,) = check(write(tmp_path / "a", rows))
    assert (found.severity, found.line) == ("warning", 11)
    assert "line 3" in found.message


def test_a_byte_order_mark_is_wanted_or_refused(tmp_path: Path) -> None:
    plain = write(tmp_path / "plain", distinct(10))
    marked = tmp_path / "marked"
    marked.write_bytes(b"\xef\xbb\xbf" + plain.read_bytes())
    assert check(plain) == check(marked) == check(plain, bom="refuse") == check(marked, bom="require") == []
    assert [f.line for f in errors(check(marked, bom="refuse"))] == [1]
    assert [f.line for f in errors(check(plain, bom="require"))] == [1]
    assert training_file.read(marked) == training_file.read(plain)


def test_a_row_over_the_limit_is_named_with_its_size(tmp_path: Path) -> None:
    path = write(tmp_path / "a", distinct(10))
    size = count_tokens(distinct(1)[0]["messages"], len)
    # 3 the example, 3 + "user" + "0 eggs", 3 + "assistant" + "egg"
    assert size == 3 + 3 + 4 + 6 + 3 + 9 + 3
    assert check(path, limit=size, encode=len) == []
    assert len(errors(check(path, limit=size - 1, encode=len))) == 10
    assert {f.severity for f in check(path, limit=size - 1, encode=len, over_limit="warning")} == {"warning"}


def test_a_missing_file_is_a_finding(tmp_path: Path) -> None:
    (found,) = check(tmp_path / "none.jsonl")
    assert found.severity == "error"


# Parameters, estimate


def job_in(folder: Path, **params: Any) -> TuneJob:
    folder.mkdir(exist_ok=True)
    train, valid = tiny.chats(folder / "train.jsonl", 40), tiny.chats(folder / "valid.jsonl", 4)
    given = {"epochs": 2, "batch_size": 4, "lora": {"r": 4, "alpha": 8}, **params}
    return TuneJob("k" * 16, "local/tiny", train, valid, given, seed=1, suffix="t", workdir=folder)


def nowhere(_: str) -> Path:
    raise ModelError("not fetched")


def unmerged(*_: Path) -> None:
    raise AssertionError("nothing is merged here")


def test_knobs_of_other_tuners_are_said_to_do_nothing(tmp_path: Path) -> None:
    tuner = TrlTuner(nowhere, unmerged, Speed(tmp_path / "speed.json"))
    job = job_in(tmp_path, learning_rate_multiplier=2.0, merge=False, epochs="auto", quantization="int4")
    said = {f.severity: f.message for f in tuner.validate(job)}
    messages = " ".join(f.message for f in tuner.validate(job))
    for word in ("learning_rate_multiplier", "merge: false", "epochs: auto", "quantization: int4"):
        assert word in messages
    assert set(said) >= {"warning", "info", "error"}


def test_an_estimate_follows_what_was_measured(tmp_path: Path) -> None:
    file = tmp_path / "speed.json"
    speed = Speed(file)
    (_, guessed), why = speed.seconds(100_000, 135e6, 2)
    assert "guess" in why
    result = Result(steps=50, tokens=50_000, seconds=25.0, curve=(), epochs=(), info={})
    speed.learn(msgspec.structs.replace(result, steps=3), 135e6, 2)
    assert not file.exists(), "three steps say nothing"
    speed.learn(result, 135e6, 2)
    (low, high), why = speed.seconds(100_000, 135e6, 2)
    assert low < 50 + 20 < high < guessed
    assert "last training" in why
    assert "guess" in speed.seconds(100_000, 135e6, 3)[1], "other threads are another machine"
    assert "guess" in speed.seconds(100_000, 60e3, 2)[1], "a tiny model says nothing of a large one"
    file.write_text("{")
    assert "guess" in speed.seconds(100_000, 135e6, 2)[1]
    assert machine(2) != machine(3)


# Checkpoints


def checkpoint(folder: Path, step: int, whole: bool) -> Path:
    made = folder / f"checkpoint-{step}"
    made.mkdir(parents=True)
    (made / "optimizer.pt").write_bytes(b"x" * 100)
    if whole:
        mark_whole(made, float(step))
    return made


def test_the_newest_whole_checkpoint_is_taken_and_torn_ones_are_removed(tmp_path: Path) -> None:
    assert last_whole(tmp_path) is None
    whole, cut = checkpoint(tmp_path, 9, True), checkpoint(tmp_path, 10, True)
    unmarked, missing = checkpoint(tmp_path, 11, False), checkpoint(tmp_path, 100, True)
    (cut / "optimizer.pt").write_bytes(b"x" * 40)
    (missing / "optimizer.pt").unlink()
    assert last_whole(tmp_path) == (whole, 9.0)
    assert not cut.exists()
    assert not unmarked.exists()
    assert not missing.exists()


def test_a_torn_mark_is_no_mark(tmp_path: Path) -> None:
    torn = checkpoint(tmp_path, 5, True)
    (torn / "whole.json").write_bytes((torn / "whole.json").read_bytes()[:10])
    assert last_whole(tmp_path) is None


def test_cleaning_keeps_the_chosen_model_and_every_adapter(tmp_path: Path) -> None:
    job = job_in(tmp_path)
    for name in (
        "models/epoch-1",
        "models/epoch-2",
        "models/epoch-2.7.part",
        "adapters/epoch-1",
        "adapters/epoch-1.part",
    ):
        (tmp_path / name).mkdir(parents=True)
    tuner = TrlTuner(nowhere, unmerged, Speed(tmp_path / "speed.json"))
    asyncio.run(tuner.clean(job))
    assert sorted(p.name for p in tmp_path.glob("models/*")) == ["epoch-1", "epoch-2"]
    asyncio.run(tuner.clean(job, str(tmp_path / "models" / "epoch-2")))
    assert sorted(p.name for p in tmp_path.glob("models/*")) == ["epoch-2"]
    assert [p.name for p in tmp_path.glob("adapters/*")] == ["epoch-1"]


# Rows to tokens


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.model(tmp_path_factory.mktemp("tiny") / "base")


def test_training_renders_the_prompt_as_inference_does(base: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    from harness.models.tokenizer import Tokenizer
    from harness.tuners.lora import choose_pad, tokenize

    tokenizer: Any = AutoTokenizer.from_pretrained(base)
    rows = training_file.read(tiny.chats(tmp_path / "rows", 4))
    plain = tokenizer.apply_chat_template(rows[1][:-1], tokenize=False, add_generation_prompt=True)
    choose_pad(tokenizer)
    for row, example in zip(rows, tokenize(rows, tokenizer, None), strict=True):
        learnt = [i for i in example["labels"] if i != -100]
        assert tokenizer.decode(learnt) == row[-1]["content"] + "<|im_end|>\n"
        assert example["input_ids"][-len(learnt) :] == learnt
    turns = tuple(Message(m["role"], m["content"]) for m in rows[1][:-1])
    assert Tokenizer(base).render(turns) == plain
    start = len(tokenizer(plain)["input_ids"])
    assert tokenizer.decode(tokenize(rows, tokenizer, None)[1]["input_ids"][:start]) == plain
    assert tokenizer.pad_token_id not in (tokenizer.eos_token_id, tokenizer.bos_token_id)
    assert [len(e["input_ids"]) for e in tokenize(rows[1:2], tokenizer, start + 2)] == [start + 2]
    assert tokenize(rows[1:2], tokenizer, start) == [], "nothing of the answer is left"


def test_packed_attention_is_attention_row_by_row() -> None:
    import torch

    from harness.tuners.packed import attention

    torch.manual_seed(0)
    q, k, v = (torch.randn(1, heads, 20, 8, requires_grad=True) for heads in (6, 2, 2))
    bounds = torch.tensor([0, 7, 8, 20])
    packed = attention(None, q, k, v, cu_seq_lens_q=bounds)[0].transpose(1, 2)
    rows = [
        torch.nn.functional.scaled_dot_product_attention(
            q[:, :, a:b], k[:, :, a:b], v[:, :, a:b], is_causal=True, enable_gqa=True
        )
        for a, b in ((0, 7), (7, 8), (8, 20))
    ]
    plain = torch.cat(rows, 2)
    torch.testing.assert_close(packed, plain)
    weight = torch.randn_like(plain)
    ours = torch.autograd.grad((packed * weight).sum(), (q, k, v))
    torch.testing.assert_close(ours, torch.autograd.grad((plain * weight).sum(), (q, k, v)))


STOCK = """
import json, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from transformers import AutoTokenizer
from trl import SFTConfig, SFTTrainer
from datasets import Dataset
from harness.tuners import lora, packed, training_file
from harness.tuners.trl_files import Plan

base, rows, work = map(Path, sys.argv[2:5])
plan = Plan("x", str(base), str(rows), None, 1, 8, 5e-3, 4, 8, 0.0, "all-linear", "none", None, 3, 1)
messages = training_file.read(rows)
tokenizer = AutoTokenizer.from_pretrained(base)
lora.choose_pad(tokenizer)
(work / "precision.json").write_text('{"bf16": false}')
lora.shape = lambda *_: (2, False)  # four micro-batches a step
ours, info = lora.build(plan, work, tokenizer, lora.tokenize(messages, tokenizer, None), None)
assert info["packed"] and info["fused_layers"] == 14, info
ours.train()
pairs = [{"prompt": m[:-1], "completion": m[-1:]} for m in messages]
stock = SFTTrainer(
    model=str(base),
    args=SFTConfig(
        output_dir=str(work / "stock"), num_train_epochs=1, per_device_train_batch_size=8, learning_rate=5e-3,
        lr_scheduler_type="cosine", warmup_steps=lora.WARMUP, seed=3, data_seed=3, bf16=False, use_cpu=True,
        logging_steps=1, save_strategy="no", report_to=[]),
    train_dataset=Dataset.from_list(pairs), processing_class=tokenizer, peft_config=lora.adapter(plan))
stock.train()
loss = lambda t: [h["loss"] for h in t.state.log_history if "loss" in h]
far = max(float((a - b).abs().max()) for a, b in zip(ours.model.parameters(), stock.model.parameters(), strict=True))
print("RESULT " + json.dumps([loss(ours), loss(stock), far]))
"""


def test_the_packed_trainer_takes_the_steps_of_stock_trl(base: Path, tmp_path: Path) -> None:
    """Unequal answers, four micro-batches against one padded batch: losses and weights agree to fp32 rounding."""
    rows = tiny.chats(tmp_path / "rows", 24)
    root = str(Path(__file__).parents[1])
    command = [sys.executable, "-c", STOCK, root, str(base), str(rows), str(tmp_path)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0, done.stderr[-2000:]
    ours, stock, far = json.loads(done.stdout.split("RESULT ")[-1])
    assert len(ours) == 3
    assert ours == pytest.approx(stock, abs=2e-4)
    assert far < 1e-3


# Killed and resumed

PARENT = """
import asyncio, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
import msgspec
from harness.tuners.base import TuneJob
from harness.tuners.trl import TrlTuner
from harness.tuners.trl_speed import Speed

folder, base = Path(sys.argv[2]), Path(sys.argv[3])
job = msgspec.json.decode((folder / "job.json").read_bytes(), type=TuneJob, dec_hook=lambda t, v: Path(v))
tuner = TrlTuner(lambda _: base, print, Speed(folder / "speed.json"), threads=1)

async def work():
    id = await tuner.find(job) or await tuner.submit(job)
    await tuner.follow(job, id, lambda p: None)

asyncio.run(work())
"""


def start(job: TuneJob, base: Path) -> subprocess.Popen[bytes]:
    (job.workdir / "job.json").write_bytes(msgspec.json.encode(job, enc_hook=str))
    root = str(Path(__file__).parents[1])
    return subprocess.Popen([sys.executable, "-c", PARENT, root, str(job.workdir), str(base)], stdin=subprocess.DEVNULL)


def workers(job: TuneJob) -> list[int]:
    """Worker processes of this job."""
    found: list[int] = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"harness.tuners.trl_worker" in words and os.fsencode(job.workdir) in words:
            found.append(int(folder.name))
    return found


def until(true: Any, seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def finish(job: TuneJob, base: Path) -> tuple[Any, list[Progress]]:
    told: list[Progress] = []

    async def work() -> Any:
        tuner = TrlTuner(lambda _: base, unmerged, Speed(job.workdir / "speed.json"), threads=1)
        return await tuner.follow(job, await tuner.find(job) or await tuner.submit(job), told.append)

    return asyncio.run(work()), told


@pytest.fixture
def reaped() -> Iterator[list[subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for process in started:
        process.kill()
        process.wait()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").exists(), reason="finds processes in /proc")
def test_killed_parent_and_killed_worker_resume_to_the_same_adapter(
    base: Path, tmp_path: Path, reaped: list[subprocess.Popen[bytes]]
) -> None:
    undisturbed = job_in(tmp_path / "undisturbed", epochs=6)
    whole, _ = finish(undisturbed, base)
    killed = job_in(tmp_path / "killed", epochs=6)
    checkpoints = killed.workdir / "trainer"

    process = start(killed, base)
    reaped.append(process)
    until(lambda: list(checkpoints.glob("checkpoint-*/whole.json")))
    worker = workers(killed)
    process.send_signal(signal.SIGKILL)
    process.wait()
    until(lambda: not workers(killed), 5)
    assert len(worker) == 1 or (killed.workdir / "done.json").exists()
    if not (killed.workdir / "done.json").exists():  # it may have been at its end
        process = start(killed, base)
        reaped.append(process)
        until(lambda: workers(killed) or (killed.workdir / "done.json").exists())
        for pid in workers(killed):
            os.kill(pid, signal.SIGKILL)
        process.wait()
    tuned, _ = finish(killed, base)
    assert [(s, round(a or 0, 6), v) for s, a, v in tuned.curve] == [
        (s, round(a or 0, 6), v) for s, a, v in whole.curve
    ]
    for epoch in range(1, 7):
        name = f"adapters/epoch-{epoch}/adapter_model.safetensors"
        assert (killed.workdir / name).read_bytes() == (undisturbed.workdir / name).read_bytes()
    assert not checkpoints.exists(), "what only a resume needs is removed"


def test_a_worker_that_comes_when_the_training_is_done_trains_nothing(tmp_path: Path) -> None:
    """Its caller looked before the other's last step, and it has the lock just after."""
    (tmp_path / "done.json").write_bytes(b"{}")
    command = [sys.executable, "-m", "harness.tuners.trl_worker", str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as worker:
        assert worker.wait(60) == 0
    assert not (tmp_path / "progress.jsonl").exists()


@pytest.mark.slow
def test_two_at_once_train_once(base: Path, tmp_path: Path, reaped: list[subprocess.Popen[bytes]]) -> None:
    job = job_in(tmp_path / "both")
    first = start(job, base)
    reaped.append(first)
    until(lambda: (job.workdir / "progress.jsonl").exists())
    tuned, _ = finish(job, base)
    assert first.wait(60) == 0
    lines = [json.loads(line) for line in (job.workdir / "progress.jsonl").read_bytes().splitlines()]
    assert [line["status"] for line in lines].count("loading") == 1
    assert len(tuned.checkpoints) == 2


@pytest.mark.slow
def test_a_cancelled_wait_stops_the_worker_at_once(base: Path, tmp_path: Path) -> None:
    job = job_in(tmp_path / "stop", epochs=50)

    async def work() -> float:
        tuner = TrlTuner(lambda _: base, unmerged, Speed(tmp_path / "speed.json"), threads=1)
        begun = asyncio.Event()
        told = lambda p: begun.set() if p.done else None  # noqa: E731
        task = asyncio.ensure_future(tuner.follow(job, await tuner.submit(job), told))
        await asyncio.wait_for(begun.wait(), 120)
        task.cancel()
        before = time.monotonic()
        with pytest.raises(asyncio.CancelledError):
            await task
        return time.monotonic() - before

    assert asyncio.run(work()) < 2
    assert not workers(job)


def test_a_training_that_fails_says_why(base: Path, tmp_path: Path) -> None:
    job = job_in(tmp_path / "job", max_length=16)
    with pytest.raises(TuneError) as raised:
        finish(job, base)
    (problem,) = raised.value.problems
    assert "no row has any of its answer within 16 tokens" in problem.what
    assert problem.where.endswith("worker.log")
    assert problem.fix


# The embedded model


@pytest.mark.weights
def test_a_few_steps_on_the_embedded_model_bring_the_loss_down(tmp_path: Path) -> None:
    from harness.models import weights
    from harness.models.tokenizer import Tokenizer

    rows = tiny.chats(tmp_path / "train.jsonl", 12)
    params = {"epochs": 2, "batch_size": 4, "learning_rate": 1e-3}
    job = TuneJob("w" * 16, "local/smollm2-135m-instruct", rows, None, params, seed=0, suffix="t", workdir=tmp_path)
    directory = weights.fetch("smollm2-135m-instruct")

    async def work() -> Any:
        def merge(base: Path, adapter: Path, out: Path) -> None:
            weights.convert("merge", base, adapter, out)

        tuner = TrlTuner(lambda _: directory, merge, Speed(tmp_path / "speed.json"))
        tuned = await tuner.follow(job, await tuner.submit(job), lambda _: None)
        return tuned, await tuner.serve(job, tuned.checkpoints[-1])

    tuned, served = asyncio.run(work())
    assert tuned.curve[-1][1] < tuned.curve[0][1] / 1.5
    assert tuned.info["fused_layers"] == 210
    assert tuned.info["peak_mb"] < 2500
    turns = (Message("system", "Spell."), Message("user", "row 1"))
    assert Tokenizer(Path(served)).render(turns) == Tokenizer(directory).render(turns)


def test_a_merged_model_that_was_removed_or_came_to_harm_is_made_again(tmp_path: Path) -> None:
    job = job_in(tmp_path)
    adapter = job.workdir / "adapters" / "epoch-1"
    adapter.mkdir(parents=True)
    (adapter / "adapter_model.safetensors").write_bytes(b"deltas")
    merges: list[Path] = []

    def merge(base: Path, adapter: Path, out: Path) -> None:
        out.mkdir(parents=True)
        (out / "model.safetensors").write_bytes((adapter / "adapter_model.safetensors").read_bytes() * 100)
        (out / "config.json").write_text(json.dumps({"base": base.name}))
        merges.append(out)

    def located(reference: str) -> Path:
        assert reference == job.base
        return tmp_path / "base"

    tuner = TrlTuner(located, merge, Speed())
    made = Path(asyncio.run(tuner.serve(job, Checkpoint(id="epoch-1", step=1, epoch=1.0, model=""))))
    weights = (made / "model.safetensors").read_bytes()
    assert merged.found(made, located, merge) == made
    assert len(merges) == 1, "one that is whole is used as it is"
    for file, damaged in ((made / "model.safetensors", weights[:50]), (made / "config.json", b'{"base": "esab"}')):
        file.write_bytes(damaged)
        assert (merged.found(made, located, merge) / "model.safetensors").read_bytes() == weights
        assert json.loads((made / "config.json").read_bytes()) == {"base": "base"}
    shutil.rmtree(made)
    assert (merged.found(made, located, merge) / "model.safetensors").read_bytes() == weights
    shutil.rmtree(made)
    shutil.rmtree(adapter)
    with pytest.raises(ModelError, match="it is not there, and its adapter is not there to make it again"):
        merged.found(made, located, merge)
