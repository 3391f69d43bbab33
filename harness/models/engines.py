"""Which engine answers for local weights, and the check that lets the fast one stand in for transformers.

transformers is the reference. The fast engine is taken where it is installed, can read the architecture, and agrees
on a few real prompts; the outcome is kept beside the weights, because it only depends on weights and versions.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
from collections import Counter
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

import msgspec

from harness.errors import Failed, ModelError, Problem
from harness.models.base import Message, Request, Struct
from harness.models.gguf import reason_against, write_gguf
from harness.models.tokenizer import read_json
from harness.models.weights import digest_of, locked, side_folder
from harness.models.worker import EngineName
from harness.taskset import digest

GGUF = "f16.gguf"
MIN_SAME = 0.8
MAX_F1_DROP = 0.01
PROMPTS = 20
Wanted = Literal["auto", "openvino", "transformers"]


class Choice(Struct, frozen=True):
    """An engine, its precision and version, and why it was taken."""

    engine: EngineName
    precision: str
    why: str
    device: Literal["cpu", "cuda"] = "cpu"


class Agreement(Struct, frozen=True):
    """How far the fast engine's texts are those of transformers.

    Args:
        n: prompts compared.
        same: share of texts that are equal, character for character.
        f1: mean token F1 of the fast text against transformers' text.
        agrees: `same` >= .8 and `f1` >= .99 (with targets: token F1 against them differs by at most .01).
        reference_f1: mean token F1 of transformers' texts against the targets, where there were any.
        fast_f1: the same of the fast engine.
        refused: why the fast engine could not load the weights at all.
    """

    n: int
    same: float
    f1: float
    agrees: bool
    reference_f1: float | None = None
    fast_f1: float | None = None
    refused: str = ""

    def __str__(self) -> str:
        if self.refused:
            return f"does not run these weights: {self.refused}"
        word = "agrees" if self.agrees else "disagrees"
        return f"{word} with transformers: {self.same:.0%} of {self.n} texts the same, token F1 {self.f1:.3f}"


def agreement(reference: Sequence[str], fast: Sequence[str], targets: Sequence[str] | None = None) -> Agreement:
    """Compare answers to the same prompts, in the same order. Raises `ValueError` when there are none to compare."""
    if not reference or len(reference) != len(fast):
        raise ValueError(f"nothing to compare: {len(reference)} and {len(fast)} texts")
    n = len(reference)
    same = sum(a == b for a, b in zip(reference, fast, strict=True)) / n
    mutual = _mean_f1(fast, reference)
    if targets is None:
        return Agreement(n, same, mutual, same >= MIN_SAME and mutual >= 1 - MAX_F1_DROP)
    ours, theirs = _mean_f1(fast, targets), _mean_f1(reference, targets)
    near = abs(ours - theirs) <= MAX_F1_DROP
    return Agreement(n, same, mutual, same >= MIN_SAME and near, reference_f1=theirs, fast_f1=ours)


def _mean_f1(texts: Sequence[str], against: Sequence[str]) -> float:
    """Mean F1 over the words that two texts have in common, counted as often as they stand there."""

    def f1(a: str, b: str) -> float:
        x, y = Counter(a.split()), Counter(b.split())
        if not x or not y:
            return float(x == y)
        return 2 * (x & y).total() / (x.total() + y.total())

    return sum(f1(a, b) for a, b in zip(texts, against, strict=True)) / len(texts)


def pick(directory: Path, engine: Wanted = "auto") -> Choice:
    """The engine for these weights, without running anything. Raises `ModelError` when the one asked for cannot."""
    against = _against_fast(directory)
    if engine == "openvino":
        if against:
            raise ModelError(Problem("the openvino engine cannot run these weights", where=str(directory), got=against))
        return _fast("asked for")
    if engine == "transformers":
        return _reference("asked for")
    if _device() == "cuda":
        return _reference("there is a GPU")
    if against:
        return _reference(f"the fast engine cannot run these weights: {against}")
    known = _load_agreement(directory)
    if known is None:
        return _fast("not yet compared with transformers on these weights")
    return _fast(str(known)) if known.agrees else _reference(f"the fast engine {known}")


async def choose_engine(
    directory: Path,
    prompts: Sequence[tuple[Message, ...]],
    *,
    targets: Sequence[str] | None = None,
    max_tokens: int = 32,
) -> Choice:
    """Let both engines answer the first 20 prompts, once for these weights and versions, and keep the outcome.

    Returns at once when the outcome is known, or where there is nothing to choose.
    """
    from harness.models.local import CannotLoad

    choice = pick(directory)
    if choice.engine == "transformers" or _load_agreement(directory) is not None:
        return choice
    asked = list(prompts[:PROMPTS])
    reference = await _texts(directory, "transformers", asked, max_tokens)
    try:
        fast = await _texts(directory, "openvino", asked, max_tokens)
        found = agreement(reference, fast, list(targets[:PROMPTS]) if targets is not None else None)
    except CannotLoad as error:
        found = Agreement(len(asked), 0.0, 0.0, agrees=False, refused=error.problems[0].got)
    file = side_folder(directory) / f"agreement-{_versions_key(directory)}.json"
    part = file.with_name(f"{file.name}.{os.getpid()}.part")
    part.write_bytes(msgspec.json.encode(found))
    os.replace(part, file)
    return pick(directory)


async def settle(
    directory: Path, wanted: Wanted, prompts: Sequence[tuple[Message, ...]] = (), targets: Sequence[str] | None = None
) -> Choice:
    """The engine for these weights on this machine: as wanted, or, given prompts, found by `choose_engine`."""
    if wanted == "auto" and prompts:
        return await choose_engine(directory, prompts, targets=targets)
    return pick(directory, wanted)


def weights_for(directory: Path, engine: EngineName) -> Path:
    """What the engine reads: the directory itself, or the F16 GGUF of it, written now if it is not there yet."""
    if engine == "transformers":
        return directory
    folder = side_folder(directory)
    file, mark = folder / GGUF, folder / f"{GGUF}.json"

    def whole() -> bool:
        return file.is_file() and mark.is_file() and mark.read_bytes() == said()

    def said() -> bytes:
        return msgspec.json.encode({"of": digest_of(directory), "size": file.stat().st_size})

    if not whole():
        with locked(folder / f"{GGUF}.lock"):
            if not whole():
                write_gguf(directory, file)
                mark.write_bytes(said())
    return file


def _against_fast(directory: Path) -> str:
    """Why the fast engine cannot take these weights, or ""."""
    if importlib.util.find_spec("openvino_genai") is None:
        return "openvino-genai is not installed"
    return reason_against(read_json(directory / "config.json"))


def _fast(why: str) -> Choice:
    return Choice("openvino", f"f16 weights and cache, f32 compute, openvino-genai {_version('openvino-genai')}", why)


def _reference(why: str) -> Choice:
    made = f"torch {_version('torch')}, transformers {_version('transformers')}"
    device = _device()
    return Choice("transformers", f"f32 on {device}, {made}", why, device)


def _device() -> Literal["cuda", "cpu"]:
    """Where transformers will run; found without importing torch, which takes seconds."""
    if _version("torch").endswith("+cpu") or os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return "cpu"
    return "cuda" if shutil.which("nvidia-smi") else "cpu"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _versions_key(directory: Path) -> str:
    """What an agreement depends on."""
    return digest([digest_of(directory), _fast("").precision, _reference("").precision])


def _load_agreement(directory: Path) -> Agreement | None:
    """The outcome of an earlier check of these weights with these versions."""
    file = side_folder(directory) / f"agreement-{_versions_key(directory)}.json"
    try:
        return msgspec.json.decode(file.read_bytes(), type=Agreement)
    except (OSError, msgspec.DecodeError):
        return None


async def _texts(
    directory: Path, engine: EngineName, prompts: Sequence[tuple[Message, ...]], max_tokens: int
) -> list[str]:
    """The answers of one engine; a prompt that does not fit counts as its failure on both sides."""
    from harness.models.local import open_local

    model = open_local(directory, engine=engine)

    async def one(messages: tuple[Message, ...]) -> str:
        try:
            return (await model.generate(Request(messages, max_tokens))).text
        except Failed as failed:
            return str(failed)

    try:
        return list(await asyncio.gather(*(one(m) for m in prompts)))
    finally:
        await model.close()
