"""Fine-tuning: train rows become weights; which checkpoint answers is chosen on dev.

The system prompt of training is kept at inference. A job is identified by the hash of all that decides it, so that the
same training is paid for once, however often the run is killed and started again.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from pydantic import BaseModel, ConfigDict, Field, model_validator

from harness.errors import Problem, TuneError
from harness.models.base import Model
from harness.records import Artifact, Fit
from harness.retrieval import Retrieve
from harness.taskset import Example, digest
from harness.techniques.base import Kit, Recipe, Seed, Solver, Technique, choose
from harness.techniques.chat import ChatSolver, chat
from harness.techniques.prompt import systems
from harness.tuners.base import Checkpoint, Progress, Tuned, TuneJob, Tuner

FEWEST_SIZES = 4
ASIDE = {  # what does not decide the weights, or stands in the training rows and the seed
    "technique", "extends", "model", "system", "tuner", "served", "rows", "documents", "top_k", "seed", "seeds",
    "suffix", "learning_curve",
}  # fmt: skip
_LOCAL = ("learning_rate", "lora", "quantization", "max_length", "merge")
_HOSTED = ("learning_rate_multiplier", "suffix")
READ = {
    "trl": _LOCAL,
    "autotrain": _LOCAL,
    "openai": _HOSTED,
    "azure": (*_HOSTED, "training_type", "deployment_sku", "deployment_capacity"),
    "existing": (),
}
"""The settings that not every tuner reads, by the tuners that read them."""
TRAINING = ("epochs", "batch_size", "rows", "seed", "seeds", "learning_curve")
"""The settings of every training, which `existing` has none of."""


class Lora(BaseModel):
    """LoRA's own knobs (Hu et al. 2021), under the names that AutoTrain and LLaMA-Factory use."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    r: int = Field(default=16, ge=1, le=1024, description="Rank of the update.")
    alpha: int = Field(default=32, ge=1, description="Scale of the update (alpha / r).")
    dropout: float = Field(default=0.0, ge=0, lt=1, description="Dropout on the adapter's input.")
    target_modules: str | tuple[str, ...] = Field(
        default="all-linear", description="all-linear, or the names of modules."
    )


class CurveSpec(BaseModel):
    """Which shares of the rows a learning curve is measured at."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    sizes: tuple[Annotated[int, Field(ge=10)], ...] | None = Field(
        default=None, description="Rows to train on, each at least twice the one before; default: all, 1/2, 1/4, 1/8."
    )
    seeds: tuple[Seed, ...] | None = Field(
        default=None, description="Seeds of the trainings, 2 or more; default: the arm's own and the next."
    )

    @model_validator(mode="after")
    def _enough(self) -> CurveSpec:
        if self.sizes is not None:
            if len(self.sizes) < FEWEST_SIZES:
                raise ValueError(f"`sizes` needs at least {FEWEST_SIZES} sizes, each twice the one before")
            if any(b < 2 * a for a, b in pairwise(self.sizes)):
                raise ValueError("`sizes` must rise, each at least twice the one before, such as [15, 30, 60, 120]")
        if self.seeds is not None and (len(self.seeds) < 2 or len(set(self.seeds)) < len(self.seeds)):
            raise ValueError("`seeds` needs 2 different seeds or more")
        return self


class FineTune(Technique):
    """`technique: fine_tune`. One training; each of its checkpoints is a candidate on dev."""

    technique: Literal["fine_tune"] = Field(description="Train rows become weights; the checkpoint is chosen on dev.")
    tuner: Literal["trl", "openai", "azure", "autotrain", "existing"] = Field(
        default="trl", description="Where it is trained; existing: a tuned model that you have."
    )
    system: str | None = Field(
        default=None, description="System prompt of training and of inference; default: `extends`'."
    )
    served: str | None = Field(
        default=None, description="tuner: existing: the tuned model or deployment that you have."
    )
    epochs: Annotated[int, Field(ge=1, le=100)] | Literal["auto"] = Field(
        default=3,
        description="Passes over the train rows; each epoch's checkpoint is tried on dev. auto: the provider's choice.",
    )
    learning_rate: float | None = Field(
        default=None, gt=0, le=1, description="Peak learning rate; default: the tuner's."
    )
    learning_rate_multiplier: float | None = Field(
        default=None, gt=0, description="The provider's own knob (openai, azure)."
    )
    batch_size: Annotated[int, Field(ge=1)] | Literal["auto"] = Field(
        default=8, description="Rows a step. auto: the provider's choice."
    )
    lora: Lora = Field(default=Lora(), description="LoRA's own knobs.")
    quantization: Literal["none", "int4", "int8"] = Field(
        default="none", description="Train on a base model held in 4 or 8 bits (GPU)."
    )
    max_length: int | None = Field(
        default=None, ge=16, description="Tokens at which training rows are cut; default: the longest row."
    )
    merge: bool = Field(default=True, description="Merge the adapter into the weights before serving.")
    suffix: str = Field(
        default="",
        max_length=64,
        description="Ending of the tuned model's name at a provider, cut so that the job's mark fits (Azure: 18).",
    )
    training_type: Literal["Standard", "GlobalStandard", "Developer"] | None = Field(
        default=None, description="Azure's tier of training."
    )
    deployment_sku: Literal["standard", "globalstandard", "developertier"] | None = Field(
        default=None, description="Azure's tier of hosting."
    )
    deployment_capacity: int = Field(
        default=100, ge=1, description="Azure's capacity of the deployment, in thousand tokens a minute."
    )
    rows: int | None = Field(default=None, ge=10, description="Train on the first n rows only.")
    documents: str | None = Field(
        default=None,
        description="JSONL with id, title, text: passages of it are shown in training and at inference (as in RAFT).",
    )
    top_k: int = Field(default=2, ge=1, description="How many passages are shown, where there are `documents`.")
    seed: Seed | None = Field(default=None, description="Seed of the training; default: run.seed.")
    seeds: tuple[Seed, ...] = Field(
        default=(), description="Train with each of these seeds: the first is the arm, the others are shown beside it."
    )
    learning_curve: bool | CurveSpec = Field(
        default=False, description="Train on rising shares of the rows, to see what more data would bring."
    )

    @model_validator(mode="after")
    def _one_way_to_say_a_seed(self) -> FineTune:
        if self.seeds and self.seed is not None:
            raise ValueError("`seed` and `seeds` say the same thing: keep one of them")
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("`seeds` holds a seed twice")
        return self

    def first_seed(self, kit: Kit) -> int:
        """The seed of the training that is the arm."""
        return self.seeds[0] if self.seeds else kit.seed if self.seed is None else self.seed

    def candidates(self, start: Recipe, kit: Kit) -> list[Recipe]:
        """The prompt that training and inference share; checkpoints become candidates once they exist."""
        system = systems((self.system,) if self.system is not None else None, start, kit)[0]
        shown = {"documents": self.documents, "top_k": self.top_k} if self.documents else {"documents": "", "top_k": 0}
        return [msgspec.structs.replace(start, system=system, **shown)]

    async def solver(self, recipe: Recipe, train: Sequence[Example], model: Model | None, kit: Kit) -> Solver:
        """The tuned model under the prompt, and with the passages, that it was trained with."""
        return ChatSolver(await kit.open(recipe.model), kit, recipe.system, None, await passages(recipe, kit))

    def params(self) -> dict[str, Any]:
        """The hyperparameters that the tuner is given: all of the YAML that bears on training."""
        return self.model_dump(mode="json", exclude=ASIDE)

    async def job(
        self, train: Sequence[Example], dev: Sequence[Example], base: Model, start: Recipe, kit: Kit, home: Path
    ) -> TuneJob:
        """The training job, its files written under `home`. Its key hashes the rows, the base and the parameters."""
        recipe = self.candidates(start, kit)[0]
        rows = train[: self.rows] if self.rows else train
        retrieve = await passages(recipe, kit)
        files = {
            name: await asyncio.to_thread(training_rows, recipe.system, split, kit, retrieve)
            for name, split in (("train", rows), ("valid", dev))
        }
        seed = self.first_seed(kit)
        key = digest([self.tuner, base.digest, files, self.params(), seed])
        folder = home / "tuned" / key
        folder.mkdir(parents=True, exist_ok=True)
        paths = {name: _write(folder / f"{name}.jsonl", lines) for name, lines in files.items() if lines}
        return TuneJob(
            key=key,
            base=base.name,
            train=paths["train"],
            valid=paths.get("valid"),
            params=self.params(),
            seed=seed,
            suffix=self.suffix or f"harness-{key[:8]}",
            workdir=folder,
        )

    async def fit(
        self, arm: str, train: Sequence[Example], dev: Sequence[Example], model: Model | None, start: Recipe, kit: Kit
    ) -> Fit:
        """Train (or find the training that was done), serve each checkpoint, choose one on dev."""
        assert model is not None
        recipe = self.candidates(start, kit)[0]
        job, tuner, served = None, None, [self.served or ""]
        if self.tuner == "existing":
            tuned, made, seconds = _existing(self.served or ""), served, 0.0
            rows = 0
        else:
            job, tuner = await self.job(train, dev, model, start, kit, kit.workdir), kit.tuner(self.tuner)
            rows = len(train[: self.rows] if self.rows else train)
            started = time.perf_counter()
            tuned = await run_job(job, tuner, kit)
            # No arm may try more on dev than another: the last checkpoints are tried, without dev the very last one.
            tried = kit.dev_trials if dev else 1
            tuned = msgspec.structs.replace(tuned, checkpoints=tuned.checkpoints[-tried:])
            served = list[str]()
            for c in tuned.checkpoints:  # a deployment takes many minutes
                kit.progress(Progress(status=f"serve: {arm}", done=len(served), total=len(tuned.checkpoints)))
                served.append(await tuner.serve(job, c))
            made = [kit.refer(s) for s in served]
            seconds = time.perf_counter() - started
        recipes = [
            msgspec.structs.replace(recipe, model=m, extra={"checkpoint": c.id, "step": c.step, "epoch": c.epoch})
            for m, c in zip(made, tuned.checkpoints, strict=True)
        ]

        async def build(candidate: Recipe) -> Solver:
            return await self.solver(candidate, train, None, kit)

        chosen = await choose(recipes, build, dev, kit, arm, together=False)
        if job is not None and tuner is not None:
            # the others' deployments would bill until the end
            await tuner.clean(job, keep=served[made.index(chosen.recipe.model)])
        winner = await kit.open(chosen.recipe.model)
        checkpoint = tuned.checkpoints[recipes.index(chosen.recipe)]
        cost = msgspec.structs.replace(
            chosen.cost,
            labelled_rows=rows,
            trained_tokens=tuned.trained_tokens,
            train_seconds=tuned.seconds,
            train_usd=tuned.usd,
            seconds=chosen.cost.seconds + seconds,
        )
        return Fit(
            arm=arm,
            technique=self.kind,
            model=winner.name,
            recipe=msgspec.to_builtins(chosen.recipe),
            cost=cost,
            dev_score=chosen.score,
            trials=chosen.trials,
            artifact=Artifact(
                model=chosen.recipe.model,
                tuner=self.tuner,
                job=tuned.job,
                checkpoint=checkpoint.id,
                base=model.name,
                curve=tuned.curve,
                info=tuned.info,
            ),
            digest=digest([self.kind, chosen.recipe.system, winner.digest, *_shown(chosen.recipe)]),
        )


async def run_job(job: TuneJob, tuner: Tuner, kit: Kit) -> Tuned:
    """The finished training of a job: found on disk, attached to where it still runs, or submitted now.

    Raises:
        TuneError: the training file has an error, or the job was refused or failed.
    """
    done = job.workdir / "tuned.json"
    if done.exists():
        return msgspec.json.decode(done.read_bytes(), type=Tuned)
    findings = tuner.validate(job)
    errors = [f for f in findings if f.severity == "error"]
    if errors:
        raise TuneError(
            Problem(f.message, where=f"{job.train.name}:{f.line}" if f.line else job.train.name) for f in errors
        )
    id = await tuner.find(job) or await tuner.submit(job)
    tuned = await tuner.follow(job, id, kit.progress)
    if not tuned.checkpoints:
        raise TuneError(Problem(f"the {tuner.kind} job {id} ended without a model", fix=f"see {job.workdir}"))
    said = [f"line {f.line}: {f.message}" if f.line else f.message for f in findings]
    tuned = msgspec.structs.replace(tuned, info={**tuned.info, "findings": said})
    part = done.with_suffix(".part")
    part.write_bytes(msgspec.json.encode(tuned))
    part.replace(done)
    kit.progress(Progress(status="succeeded"))
    return tuned


async def passages(recipe: Recipe, kit: Kit) -> Retrieve | None:
    """How the recipe's passages are found, or None without documents."""
    return Retrieve(await kit.index(recipe.documents), recipe.top_k) if recipe.documents else None


def training_rows(system: str, examples: Sequence[Example], kit: Kit, retrieve: Retrieve | None = None) -> list[str]:
    """Chat JSONL lines: the prompt that inference will send, and the answer as it should be written.

    With `retrieve` each prompt holds the passages that inference would show for it, right or wrong ones, so that the
    model learns to read them and to abstain (RAFT, Zhang et al. 2024, without its reasoning chains).
    """
    lines: list[str] = []
    texts = [kit.render(example.input) for example in examples]
    shown = retrieve.search_all(texts) if retrieve else [[] for _ in texts]
    for example, text, found in zip(examples, texts, shown, strict=True):
        messages = [msgspec.to_builtins(m) for m in chat(system, (), found, text, kit)]
        messages.append({"role": "assistant", "content": kit.answer.write(example.target)})
        lines.append(json.dumps({"messages": messages}, ensure_ascii=False))
    return lines


def _shown(recipe: Recipe) -> list[str | int]:
    return [recipe.documents, recipe.top_k] if recipe.documents else []


def _write(path: Path, lines: Sequence[str]) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _existing(model: str) -> Tuned:
    checkpoint = Checkpoint(id=model, step=0, model=model)
    return Tuned(job="", checkpoints=(checkpoint,), trained_tokens=0, seconds=0.0, usd=None)
