"""Local engines on a tiny random Llama (real engines, no weights needed), and the embedded model where it is here."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.errors import Failed, ModelError
from harness.models import engines, gguf
from harness.models.base import Completion, Message, Model, Request
from harness.models.engines import agreement, choose_engine, pick, weights_for
from harness.models.local import LocalModel, open_local
from harness.models.tokenizer import Tokenizer
from harness.models.weights import digest_of
from harness.models.worker import Job, Options
from harness.tuners.lora import tokenize
from tests import tiny

pytest.importorskip("openvino_genai")
pytest.importorskip("torch")

ENGINES = ("openvino", "transformers")
TEXTS = ["a", "say ab", "2 cups flour, sifted", "½ crème 杯", "x" * 60, "salt & pepper " * 8, "400g tin 1/2", "the end"]


def make(folder: Path, spread: float = 6.0) -> Path:
    """The tiny model with larger weights, so that its answers differ from prompt to prompt.

    They are rounded to F16, as the embedded model's are: what is compared is the arithmetic.
    """
    import numpy as np
    from safetensors.numpy import load_file, save_file

    tiny.model(folder, [("a", "b"), ("ab", "ab")])
    file = folder / "model.safetensors"
    tensors = {k: v if v.ndim == 1 else v * spread for k, v in load_file(file).items()}
    rounded = {k: v.astype(np.float16).astype(np.float32) for k, v in tensors.items()}
    save_file(rounded, file, metadata={"format": "pt"})
    return folder


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("weights") / "tiny")


@pytest.fixture(scope="module")
def models(directory: Path) -> Iterator[dict[str, LocalModel]]:
    """Both engines, started once for the module; a model works in any event loop."""
    opened = {engine: open_local(directory, engine=engine) for engine in ENGINES}
    yield opened
    for model in opened.values():
        asyncio.run(model.close())


def ask(text: str, max_tokens: int = 16, **fields: Any) -> Request:
    return Request((Message("system", "You cook."), Message("user", text)), max_tokens, **fields)


def together(model: Model, requests: list[Request]) -> list[Completion]:
    async def main() -> list[Completion]:
        return list(await asyncio.gather(*(model.generate(r) for r in requests)))

    return asyncio.run(main())


def on(model: Model, use: Callable[[Model], Awaitable[Any]]) -> Any:
    """Run on a model of its own and close it."""

    async def main() -> Any:
        try:
            return await use(model)
        finally:
            await model.close()

    return asyncio.run(main())


# The two engines against each other: this is the proof of the GGUF writer


def test_the_fast_engine_says_what_transformers_says(models: dict[str, LocalModel]) -> None:
    requests = [ask(t, logprobs=True) for t in TEXTS]
    fast, reference = (together(models[e], requests) for e in ENGINES)
    assert len({c.text for c in reference}) >= len(TEXTS) - 1  # answers tell prompts apart
    assert [c.text for c in fast] == [c.text for c in reference]
    assert [c.usage for c in fast] == [c.usage for c in reference]
    for a, b in zip(fast, reference, strict=True):
        assert a.logprob == pytest.approx(b.logprob, abs=0.02)


def test_the_comparison_would_see_a_wrong_rotary_order(
    models: dict[str, LocalModel], directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gguf, "_permute", lambda rows, heads: rows)
    wrong = make(tmp_path / "wrong")
    assert digest_of(wrong) == digest_of(directory)
    requests = [ask(t) for t in TEXTS]
    fast = on(open_local(wrong, engine="openvino"), lambda m: asyncio.gather(*(m.generate(r) for r in requests)))
    reference = together(models["transformers"], requests)
    assert not agreement([c.text for c in reference], [c.text for c in fast]).agrees


@pytest.mark.parametrize("engine", ENGINES)
def test_at_temperature_0_neither_order_nor_company_changes_an_answer(
    models: dict[str, LocalModel], engine: str
) -> None:
    requests = [ask(t, 12) for t in TEXTS]
    crowd = [c.text for c in together(models[engine], requests)]
    backwards = [c.text for c in together(models[engine], requests[::-1])][::-1]
    alone = [together(models[engine], [r])[0].text for r in requests]
    assert crowd == backwards == alone


@pytest.mark.parametrize("engine", ENGINES)
def test_a_seed_makes_a_sample_and_a_repeat_makes_another(models: dict[str, LocalModel], engine: str) -> None:
    requests = [ask("flour", temperature=1.0, seed=s, repeat=r) for s, r in ((1, 0), (2, 0), (1, 1))]
    first = [together(models[engine], [r])[0].text for r in requests]
    assert len(set(first)) == 3
    assert [together(models[engine], [r])[0].text for r in requests] == first
    if engine == "transformers":  # each answer has its own noise, whatever shares its batch
        assert [c.text for c in together(models[engine], [*requests, ask("x")])][:3] == first


@pytest.mark.parametrize("engine", ENGINES)
def test_tokens_and_length_are_exact(models: dict[str, LocalModel], engine: str) -> None:
    model = models[engine]
    answers = together(model, [ask("flour", 5), ask("flour", 9)])
    assert [c.usage.output for c in answers] == [5, 9]
    assert [c.finish for c in answers] == ["length", "length"]
    assert answers[0].usage.input == model.count_tokens(ask("flour").messages)
    # A token a byte, and three marks in front of turns, two behind them with a line break each.
    turns = ("system\nYou cook.", "user\nflour", "assistant\n")
    assert answers[0].usage.input == sum(len(t) for t in turns) + 3 + 2 + 2


@pytest.mark.parametrize("engine", ENGINES)
def test_shares_of_the_busy_time_do_not_exceed_the_clock(models: dict[str, LocalModel], engine: str) -> None:
    start = time.perf_counter()
    answers = together(models[engine], [ask(t) for t in TEXTS])
    wall = time.perf_counter() - start
    assert all(0 < c.compute_seconds <= c.seconds for c in answers)
    assert sum(c.compute_seconds for c in answers) <= wall


def test_a_prompt_that_does_not_fit_fails_before_the_engine(models: dict[str, LocalModel]) -> None:
    with pytest.raises(Failed) as caught:
        together(models["openvino"], [ask("x" * 480, 40)])
    failure = caught.value.failure
    assert (failure.boundary, failure.type) == ("model", "overflow")
    assert failure.usage.input > 480
    assert "> 512 of context" in failure.message


# The worker process


def test_a_killed_engine_is_told_and_nobody_waits_for_ever(directory: Path) -> None:
    async def use(model: LocalModel) -> None:
        await model.generate(ask("warm", 1))
        task = asyncio.create_task(model.generate(ask("x", 400)))
        await asyncio.sleep(0)
        assert model.pid
        os.kill(model.pid, signal.SIGKILL)
        with pytest.raises(ModelError, match="the local engine of local/tiny stopped"):
            await task
        with pytest.raises(ModelError, match="stopped"):
            await model.generate(ask("y"))

    on(open_local(directory, engine="openvino"), use)


def test_a_job_for_an_engine_that_just_ended_leaves_no_pipe_open(directory: Path) -> None:
    """Nobody knows of its end yet, so the job is written: into a pipe that is broken."""

    async def use(model: LocalModel) -> None:
        await model.generate(ask("warm", 1))
        process = model._process
        assert process
        os.kill(process.pid, signal.SIGKILL)
        process._popen.wait()
        process._outbox.put(Job(99))
        await model.close()
        assert process._popen.stdin
        assert process._popen.stdin.closed

    on(open_local(directory, engine="openvino"), use)


def test_a_job_that_comes_just_after_its_engine_went_to_rest_starts_it_again(directory: Path) -> None:
    async def use(model: LocalModel) -> None:
        start, pids = model._started, list[int | None]()

        def started() -> Any:
            process = start()
            pids.append(process.pid)
            if len(pids) == 1:
                model.rest()
            return process

        model._started = started  # type: ignore[method-assign]
        assert (await model.generate(ask("x", 2))).usage.output == 2
        assert len(set(pids)) == 2

    on(open_local(directory, engine="openvino"), use)


@pytest.mark.skipif(sys.platform == "win32", reason="plays the engine with a shell script")
@pytest.mark.parametrize("said", ["printf '{\"seco'", "echo '{}'; read job; printf '{\"id\":0,\"ids\":[1'"])
def test_an_engine_killed_in_the_middle_of_a_line_is_told(
    said: str, directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = tmp_path / "engine"
    engine.write_text(f"#!/bin/sh\n{said}\n")
    engine.chmod(0o755)
    model = open_local(directory, engine="transformers")
    monkeypatch.setattr("harness.models.local.sys.executable", str(engine))
    with pytest.raises(ModelError, match="it ended unasked"):
        on(model, lambda m: asyncio.wait_for(m.generate(ask("x")), 60))


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z" if Path("/proc").is_dir() else True


def test_closing_in_the_middle_of_work_ends_the_process(directory: Path) -> None:
    async def use(model: LocalModel) -> int:
        await model.generate(ask("warm", 1))
        tasks = [asyncio.create_task(model.generate(ask(t, 400))) for t in TEXTS[:4]]
        await asyncio.sleep(0.05)
        await model.close()
        for done in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(done, Completion | ModelError)
        assert model.pid is None
        return 0

    model = open_local(directory, engine="openvino")
    on(model, use)
    with pytest.raises(ModelError, match="closed"):
        together(model, [ask("x")])


def test_a_killed_parent_leaves_no_worker(directory: Path) -> None:
    script = f"""
import asyncio, os, signal
from harness.models.base import Message, Request
from harness.models.local import open_local
model = open_local({str(directory)!r}, engine="openvino")
asyncio.run(model.generate(Request((Message("user", "x"),), 1)))
print(model.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    pid = int(done.stdout)
    for _ in range(1000):
        if not alive(pid):
            break
        time.sleep(0.02)
    assert not alive(pid)


@pytest.mark.skipif(sys.platform != "linux", reason="asks the kernel of Linux")
def test_a_killed_parent_leaves_no_worker_that_holds_the_interpreter_lock() -> None:
    worker = """
import ctypes, sys
from harness.models import worker
def held(name, options):
    sys.stderr.write("held")
    sys.stderr.flush()
    ctypes.PyDLL(None).sleep(60)
worker._open = held
sys.argv[1:] = ["openvino", "{}"]
worker.main()
"""
    worker = worker.replace(
        '"{}"', repr('{"directory":"","weights":"","eos":[],"max_batch":1,"threads":null,"cache_mb":1}')
    )
    parent = f"""
import os, signal, subprocess, sys
pipe = subprocess.PIPE
made = subprocess.Popen([sys.executable, "-c", {worker!r}], stdin=pipe, stdout=pipe, stderr=pipe)
assert made.stderr.read(4) == b"held"
print(made.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", parent], capture_output=True, text=True, check=False)
    pid, until = int(done.stdout), time.monotonic() + 10
    while alive(pid) and time.monotonic() < until:
        time.sleep(0.02)
    assert not alive(pid)


def test_a_worker_outlives_the_thread_that_asked_first(directory: Path) -> None:
    model = open_local(directory, engine="openvino")
    asyncio.run(model.generate(ask("x")))  # its threads end with this loop
    pid = model.pid
    time.sleep(0.3)
    assert on(model, lambda m: m.generate(ask("y"))).text is not None
    assert pid is not None


def test_weights_that_the_engine_cannot_load_are_told(directory: Path, tmp_path: Path) -> None:
    broken = make(tmp_path / "broken")
    (broken / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(ModelError, match="cannot load the weights of"):
        on(open_local(broken, engine="transformers"), lambda m: m.generate(ask("x")))


def test_opening_starts_nothing_and_imports_nothing_heavy(directory: Path) -> None:
    script = f"""
import sys
from harness.models.local import open_local
model = open_local({str(directory)!r})
model.digest
heavy = {{"torch", "transformers", "openvino", "openvino_genai", "tokenizers", "numpy"}} & set(sys.modules)
assert not heavy, heavy
assert model.pid is None
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_a_prompt_waits_for_one_that_computes_its_beginning(directory: Path) -> None:
    from harness.models.openvino import OpenVino

    options = Options(str(directory), str(weights_for(directory, "openvino")), (2,), 8, 1, 64)
    engine = OpenVino(options)
    shared = list(range(3, 203))
    for i in range(4):
        engine.add(Job(i, [*shared, 10 + i, 20 + i], 3))
    engine.add(Job(9, [50, 51, 52], 3))
    first, _ = engine.step()
    assert first == [0, 9]  # the others wait for what 0 computes
    seen = set(first)
    done: list[int] = []
    while engine.busy:
        active, answers = engine.step()
        seen |= set(active)
        done += [a.id for a in answers]
    assert seen == {0, 1, 2, 3, 9}
    assert sorted(done) == [0, 1, 2, 3, 9]
    engine.add(Job(10, [*shared, 99], 3))
    engine.add(Job(11, [*shared, 98], 3))
    assert engine.step()[0] == [10, 11]  # computed long ago: nobody waits


# The choice of an engine


def test_agreement_is_by_text_and_by_token_f1() -> None:
    same = ["a b c"] * 20
    assert agreement(same, same).agrees
    assert agreement(same, [*same[:19], "a b c d"]).agrees
    one_wrong = agreement(same, [*same[:19], "x y z"])
    assert (one_wrong.same, one_wrong.f1, one_wrong.agrees) == (0.95, 0.95, False)
    shuffled = agreement(same, [*same[:15], *["c b a"] * 5])
    assert (shuffled.same, shuffled.f1, shuffled.agrees) == (0.75, 1.0, False)


def test_with_targets_agreement_is_by_what_is_scored() -> None:
    reference, fast = ["a b", "q"] * 10, ["a b", "q"] * 9 + ["a b", "z"]
    found = agreement(reference, fast, ["a b", "c"] * 10)
    assert found.agrees  # another wrong answer is as good as the reference's
    assert (found.reference_f1, found.fast_f1) == (0.5, 0.5)
    assert not agreement(reference, fast).agrees
    with pytest.raises(ValueError, match="nothing to compare"):
        agreement([], [])


def test_the_choice_is_measured_once_and_then_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = make(tmp_path / "m")
    assert pick(directory).why.startswith("not yet compared")
    prompts = [ask(t).messages for t in TEXTS]
    chosen = asyncio.run(choose_engine(directory, prompts, max_tokens=8))
    assert chosen.engine == "openvino"
    assert "agrees with transformers: 100% of 8 texts the same" in chosen.why

    async def never(*args: Any) -> list[str]:
        raise AssertionError("measured again")

    monkeypatch.setattr(engines, "_texts", never)
    assert asyncio.run(choose_engine(directory, prompts)) == chosen == pick(directory)


def test_weights_that_the_fast_engine_cannot_load_go_to_transformers_and_that_is_said(tmp_path: Path) -> None:
    directory = tiny.model(tmp_path / "m")  # a tokenizer without merges, which llama.cpp's format wants
    chosen = asyncio.run(choose_engine(directory, [ask("x").messages], max_tokens=4))
    assert chosen.engine == "transformers"
    assert "the fast engine does not run these weights: " in chosen.why
    assert open_local(directory).engine == "transformers"

    async def asked_for() -> None:
        model = open_local(directory, engine="openvino")
        try:
            with pytest.raises(ModelError, match="cannot load the weights of local/m"):
                await model.generate(ask("x"))
        finally:
            await model.close()

    asyncio.run(asked_for())


def test_an_engine_that_disagrees_is_not_taken_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = make(tmp_path / "m")

    async def unlike(directory: Path, engine: str, prompts: Any, max_tokens: int) -> list[str]:
        return [engine] * len(prompts)

    monkeypatch.setattr(engines, "_texts", unlike)
    chosen = asyncio.run(choose_engine(directory, [ask("x").messages]))
    assert chosen.engine == "transformers"
    assert "disagrees with transformers: 0% of 1 texts the same" in chosen.why
    assert open_local(directory).engine == "transformers"
    assert pick(directory, "openvino").engine == "openvino"  # whoever asks for it gets it


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"model_type": "gpt2"}, "model type 'gpt2'"),
        ({"rope_parameters": {"rope_type": "llama3"}}, "scaled rotary"),
        ({"attention_bias": True}, "biases"),
    ],
)
def test_what_was_not_compared_goes_to_transformers(tmp_path: Path, change: dict[str, Any], why: str) -> None:
    directory = make(tmp_path / "m")
    file = directory / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    assert why in pick(directory).why
    assert pick(directory).engine == "transformers"
    with pytest.raises(ModelError, match="cannot run these weights"):
        pick(directory, "openvino")


def test_digests_tell_engines_and_weights_apart(directory: Path, tmp_path: Path) -> None:
    other = make(tmp_path / "other", spread=5.0)
    found = {open_local(d, engine=e).digest for d in (directory, other) for e in ENGINES}
    assert len(found) == 4
    assert open_local(directory, engine="openvino").digest in found


def test_a_truncated_gguf_is_written_again(tmp_path: Path) -> None:
    directory = make(tmp_path / "m")
    file = weights_for(directory, "openvino")
    content = file.read_bytes()
    file.write_bytes(content[:1000])
    assert weights_for(directory, "openvino").read_bytes() == content


# Merging and tokenising, against the libraries


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")  # peft's
def test_a_merged_adapter_answers_as_peft_does_on_both_engines(directory: Path, tmp_path: Path) -> None:
    import torch
    from peft import LoraConfig, PeftModel, get_peft_model
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32)
    torch.manual_seed(1)
    wrapped = get_peft_model(base, LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", init_lora_weights=False))
    wrapped.save_pretrained(str(tmp_path / "adapter"))
    merged = gguf.merge(directory, tmp_path / "adapter", tmp_path / "merged")

    requests = [ask(t, 8) for t in TEXTS]
    tokenizer = Tokenizer(directory)
    model = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32), str(tmp_path / "adapter")
    ).eval()
    expected: list[str] = []
    for request in requests:
        ids = torch.tensor([tokenizer.encode(request.messages)])
        out = model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=8, do_sample=False, pad_token_id=2
        )
        expected.append(tokenizer.decode(out[0, ids.shape[1] :].tolist()))
    for engine in ENGINES:
        answers = on(open_local(merged, engine=engine), lambda m: asyncio.gather(*(m.generate(r) for r in requests)))
        assert [c.text for c in answers] == expected, engine
    assert digest_of(merged) != digest_of(directory)


CHATS = [
    (Message("user", "hi"),),
    (Message("system", "Be short."), Message("user", "1/2 cup  flour,\n\n 400g")),
    (Message("user", "a"), Message("assistant", "b"), Message("user", "½ c. <|im_end|> 杯\t")),
]


def assert_same_ids(directory: Path) -> None:
    from transformers import AutoTokenizer

    theirs = AutoTokenizer.from_pretrained(directory)
    ours = Tokenizer(directory)
    for chat in CHATS:
        turns = [{"role": m.role, "content": m.content} for m in chat]
        assert ours.render(chat) == theirs.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        ids = theirs.apply_chat_template(turns, add_generation_prompt=True, return_dict=True)["input_ids"]
        assert ours.encode(chat) == ids
        assert ours.decode(ids) == theirs.decode(ids, skip_special_tokens=True)


def test_ids_are_those_of_transformers(directory: Path) -> None:
    assert_same_ids(directory)


def test_a_model_without_a_template_is_refused(tmp_path: Path) -> None:
    directory = make(tmp_path / "m")
    (directory / "chat_template.jinja").unlink()
    with pytest.raises(ModelError, match="no chat template"):
        Tokenizer(directory)


# The embedded model


@pytest.mark.weights
def test_the_embedded_models_ids_are_those_of_transformers() -> None:
    from harness.models.weights import fetch

    directory = fetch("smollm2-135m-instruct")
    assert_same_ids(directory)
    tokenizer = Tokenizer(directory)
    assert len(tokenizer.encode((Message("user", "1234"),))) == len(tokenizer.encode((Message("user", "1"),))) + 3
    assert "helpful AI assistant named SmolLM" in tokenizer.render(CHATS[0])
    assert tokenizer.eos == (2,)


@pytest.mark.weights
def test_the_embedded_model_says_the_same_on_both_engines() -> None:
    requests = [ask(f"Name one thing that is made of {t}.", 12) for t in ("flour", "iron", "milk", "glass", "wool")]
    texts: dict[str, list[str]] = {}
    for engine in ENGINES:
        model = open_local("smollm2-135m-instruct", engine=engine)
        answers = on(model, lambda m: asyncio.gather(*(m.generate(r) for r in requests)))
        texts[engine] = [c.text for c in answers]
    assert agreement(texts["transformers"], texts["openvino"]).agrees
    assert len(set(texts["openvino"])) > 1


def test_a_template_without_a_system_role_gets_the_system_prompt_in_the_first_turn(tmp_path: Path) -> None:
    """Gemma's and the older Mistral's; training and inference must write the same prompt."""
    from transformers import AutoTokenizer

    directory = tiny.model(tmp_path / "m")
    refuse = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    (directory / "chat_template.jinja").write_text(refuse + tiny.TEMPLATE)
    messages = (Message("system", "Be short."), Message("user", "flour"))
    folded = (Message("user", "Be short.\n\nflour"),)
    tokenizer = Tokenizer(directory)
    assert tokenizer.encode(messages) == tokenizer.encode(folded)
    assert tokenizer.encode(messages) == tokenizer.encode(folded), "and once it is known"
    row = [{"role": m.role, "content": m.content} for m in (*messages, Message("assistant", "yes"))]
    (trained,) = tokenize([row], AutoTokenizer.from_pretrained(directory), None)
    start = trained["labels"].count(-100)
    assert trained["input_ids"][:start] == tokenizer.encode(messages)
    (directory / "chat_template.jinja").write_text("{{ raise_exception('never') }}")
    with pytest.raises(ModelError, match="its chat template cannot write these messages"):
        Tokenizer(directory).encode(messages)


@pytest.mark.parametrize(
    ("name", "damaged"),
    [
        *[
            (n, raw)
            for n in ("config.json", "tokenizer_config.json")
            for raw in (b'{"a": ', b"\xff\xfe", b"[]", b"null")
        ],
        ("generation_config.json", b""),
        ("tokenizer.json", b"{}"),
        ("chat_template.jinja", b"{% if"),
        ("chat_template.jinja", b"\xff"),
    ],
)
def test_a_damaged_file_of_a_model_is_named(tmp_path: Path, name: str, damaged: bytes) -> None:
    directory = tiny.model(tmp_path / "m")
    (directory / name).write_bytes(damaged)
    with pytest.raises(ModelError) as told:
        open_local(directory).count_tokens(ask("x").messages)
    assert str(directory) in str(told.value)
