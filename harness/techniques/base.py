"""What every technique shares: candidates on dev, one frozen winner, a solver that never sees a target.

A technique is its YAML (`Technique`, frozen). Its `candidates` are `Recipe`s: one value for every knob. `fit` scores
them on dev, stops the hopeless ones early, and the winner is all that is needed to open the arm again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Generic, Protocol, TypeAlias, TypeVar

import msgspec
from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from harness.models.base import Completion, Model, Struct, Usage
from harness.records import DevTrial, Fit, FitCost
from harness.taskset import Document, Example, digest

if TYPE_CHECKING:
    from harness.answer import Answer
    from harness.retrieval import Embedder, Index
    from harness.tuners.base import Progress, Tuner

T = TypeVar("T")
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]  # what numpy's and torch's generators all take


if TYPE_CHECKING:
    Sweep: TypeAlias = tuple[T, ...]
else:

    class Sweep(Generic[T]):
        """One value, or a list of values to be tried on dev: `tuple[T, ...]` once read, either form in the YAML."""

        @classmethod
        def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
            """A tuple of the item's schema, a lone value wrapped first."""
            (item,) = source.__args__
            many = core_schema.tuple_variable_schema(handler.generate_schema(item), min_length=1)
            return core_schema.no_info_before_validator_function(
                lambda v: tuple(v) if isinstance(v, list | tuple) else (v,), many
            )

        @classmethod
        def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
            """Editors see: an item, or an array of items."""
            many = handler(schema)
            return {"anyOf": [many["items"], many]}


class Recipe(Struct, frozen=True):
    """One value for every knob that an arm can have; what an arm does not use keeps its default.

    `extends` hands the winner's recipe on, so that few-shot keeps the prompt that prompting chose. `model` is set when
    the arm answers on another model than the benchmark's (a tuned one, an endpoint of its own).
    """

    system: str = ""
    k: int = 0
    select: str = "random"
    documents: str = ""
    top_k: int = 0
    call: str = ""
    model: str = ""
    extra: dict[str, Any] = {}

    def labelled(self, rows: int) -> int:
        """How many labelled train rows the arm stands on: its shots, or all that it chooses them from."""
        return 0 if not self.k else min(self.k, rows) if self.select == "random" else rows

    def knobs(self) -> dict[str, Any]:
        """What differs from the defaults, for people: long prompts are shortened."""
        values = {f: getattr(self, f) for f in self.__struct_fields__}
        defaults = {f: getattr(Recipe(), f) for f in self.__struct_fields__}
        return {f: v for f, v in values.items() if v != defaults[f]}


class Scored(Struct, frozen=True):
    """What scoring a solver on some examples gave: a value an example, and what it took.

    `logprobs` are the answers' mean log-probabilities a token, None where an answer failed or the model gives none.
    """

    values: tuple[float, ...]
    failures: int = 0
    usage: Usage = Usage()
    usd: float | None = 0.0
    compute_seconds: float = 0.0
    logprobs: tuple[float | None, ...] = ()

    @property
    def mean(self) -> float:
        """Mean value; failures are in it as 0."""
        return sum(self.values) / len(self.values) if self.values else 0.0


class Solver(Protocol):
    """A fitted arm at work."""

    async def solve(self, input: Mapping[str, str], *, repeat: int = 0) -> Completion:
        """Answer one input. Raises `Failed` or `Outage`; never sees a target."""
        ...


class Asking(Protocol):
    """The part of a kit that makes a request of an input."""

    @property
    def answer(self) -> Answer:
        """The task's answer format."""
        ...

    @property
    def seed(self) -> int:
        """The run's seed."""
        ...

    @property
    def max_tokens(self) -> int:
        """The longest answer in tokens."""
        ...

    @property
    def temperature(self) -> float:
        """Sampling temperature."""
        ...

    @property
    def logprobs(self) -> bool:
        """Whether answers are asked for with their log-probabilities, because an arm decides by them."""
        ...

    def render(self, input: Mapping[str, str], /) -> str:
        """The user turn of an input."""
        ...


class Kit(Protocol):
    """What a fit may use, injected by the pipeline, so that a technique imports nothing above it."""

    answer: Answer
    seed: int
    max_tokens: int
    temperature: float
    logprobs: bool
    dev_trials: int
    workdir: Path

    def render(self, input: Mapping[str, str]) -> str:
        """The user turn of an input, by the task's template."""
        ...

    def read(self, value: str) -> str:
        """The text itself, or the file behind `file://`."""
        ...

    def locate(self, path: str) -> Path:
        """A path of the benchmark file, resolved and kept inside the project."""
        ...

    def refer(self, model: str) -> str:
        """A reference to a model made here that holds on another machine too."""
        ...

    async def open(self, model: str) -> Model:
        """A model by its reference, wrapped (cache, retry, budget) and shared between arms."""
        ...

    async def arm(self, name: str) -> Solver:
        """The solver of another arm, which is fitted before."""
        ...

    async def score(self, solver: Solver, examples: Sequence[Example], label: str) -> Scored:
        """The primary metric on dev examples. Answers come from the cache where they were given before."""
        ...

    def price(self, model: str, usage: Usage, compute_seconds: float) -> float | None:
        """Dollars, or None when a price is not known."""
        ...

    def documents(self, path: str) -> tuple[Document, ...]:
        """The documents of a file, read once."""
        ...

    async def embedder(self) -> Embedder:
        """The embedder of the run, opened once."""
        ...

    async def index(self, path: str) -> Index:
        """The vector index over a document file, built once and kept on disk."""
        ...

    def tuner(self, kind: str) -> Tuner:
        """A tuner by name."""
        ...

    def progress(self, progress: Progress, /) -> None:
        """Show how far a long step is."""
        ...


class Technique(BaseModel):
    """A frozen recipe with sweeps. A subclass gives `candidates` and `solver`; `fit` is the same for all but tuning."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    extends: str | None = Field(default=None, description="An arm whose chosen recipe this one starts from.")
    model: str | None = Field(
        default=None, description="An arm with a tuned model, or a model reference; default: the base."
    )

    @property
    def kind(self) -> str:
        """The technique's name in the YAML."""
        return self.technique  # type: ignore[attr-defined, no-any-return]  # each subclass has its literal

    @property
    def uses_model(self) -> bool:
        """Whether the arm asks a language model at all."""
        return True

    @property
    def stands_on(self) -> tuple[str, ...]:
        """Names of what must be fitted before, as written: arms, and `model` where it is no arm."""
        return tuple(name for name in (self.extends, self.model) if name is not None)

    def candidates(self, start: Recipe, kit: Kit) -> list[Recipe]:
        """Every configuration to try on dev, the cheapest first. `start` is what `extends` hands on."""
        raise NotImplementedError

    async def solver(self, recipe: Recipe, train: Sequence[Example], model: Model | None, kit: Kit) -> Solver:
        """The arm with these knobs, ready to answer."""
        raise NotImplementedError

    async def fit(
        self, arm: str, train: Sequence[Example], dev: Sequence[Example], model: Model | None, start: Recipe, kit: Kit
    ) -> Fit:
        """Choose a candidate on dev. Returns what was chosen and what it took; changes nothing."""
        recipes = self.candidates(start, kit)

        async def build(recipe: Recipe) -> Solver:
            return await self.solver(recipe, train, model, kit)

        chosen = await choose(recipes, build, dev, kit, arm, together=True)
        return Fit(
            arm=arm,
            technique=self.kind,
            model=model.name if model else "none",
            recipe=msgspec.to_builtins(chosen.recipe),
            cost=msgspec.structs.replace(chosen.cost, labelled_rows=chosen.recipe.labelled(len(train))),
            dev_score=chosen.score,
            trials=chosen.trials,
            digest=digest([self.kind, msgspec.to_builtins(chosen.recipe), model.digest if model else ""]),
        )


@dataclass(frozen=True)
class Chosen:
    """The winner on dev, every trial that led to it, and what the trials took."""

    recipe: Recipe
    score: float | None
    trials: tuple[DevTrial, ...]
    cost: FitCost


def rungs(candidates: int, rows: int) -> list[tuple[int, int]]:
    """Successive halving's plan: (candidates alive, dev rows) a rung; the last rung holds at most two, on all rows.

    Jamieson and Talwalkar 2016; half of the candidates stay a rung, on four times the rows, because only the hopeless
    are to go early: four candidates on 64 rows are 4 on 16, 2 on 64.
    """
    alive = [max(candidates, 1)]
    while alive[-1] > 2:
        alive.append((alive[-1] + 1) // 2)
    return [(n, max(min(rows, 8), rows >> 2 * (len(alive) - 1 - i))) for i, n in enumerate(alive)]


async def choose(
    recipes: Sequence[Recipe],
    build: Callable[[Recipe], Awaitable[Solver]],
    dev: Sequence[Example],
    kit: Kit,
    arm: str,
    *,
    together: bool,
) -> Chosen:
    """Score recipes on dev by successive halving; ties go to the earlier (the cheaper) one.

    `together` asks the candidates of a rung side by side, so that a local engine's batch is full to the last row; not
    for candidates on models of their own, of which one at a time is held in memory.

    Without dev rows the first recipe is taken as it is, and its dev score is None.
    """
    if not dev:
        return Chosen(recipes[0], None, (), FitCost())
    solvers: dict[int, Solver] = {}
    latest: dict[int, tuple[int, Scored]] = {}
    usage, usd, seconds = Usage(), 0.0, 0.0
    alive = list(range(len(recipes)))
    for keep, rows in rungs(len(recipes), len(dev)):
        alive = sorted(alive, key=lambda i: (-latest[i][1].mean if i in latest else 0.0, i))[:keep]
        for i in alive:
            if i not in solvers:
                solvers[i] = await build(recipes[i])
        asked = [(solvers[i], f"{arm}, {keep} of {len(recipes)}" if together else f"{arm} {i + 1}") for i in alive]
        if together:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(kit.score(solver, dev[:rows], label)) for solver, label in asked]
            found = [task.result() for task in tasks]
        else:
            found = [await kit.score(solver, dev[:rows], label) for solver, label in asked]
        latest |= {i: (rows, scored) for i, scored in zip(alive, found, strict=True)}
    best = min(alive, key=lambda i: (-latest[i][1].mean, i))
    trials: list[DevTrial] = []
    for i, recipe in enumerate(recipes):
        rows, scored = latest[i]
        usage, seconds = usage + scored.usage, seconds + scored.compute_seconds
        usd = None if usd is None or scored.usd is None else usd + scored.usd
        note = "" if rows == len(dev) else "stopped early"
        trials.append(dev_trial(recipe, rows, scored, kept=i == best, note=note))
    cost = FitCost(usage=usage, usd=usd, seconds=seconds, trials=len(recipes))
    return Chosen(recipes[best], latest[best][1].mean, tuple(trials), cost)


def dev_trial(recipe: Recipe, rows: int, scored: Scored, *, kept: bool = False, note: str = "") -> DevTrial:
    """The record of one configuration on its first `rows` dev rows; dollars and seconds are those of all of them."""
    return DevTrial(
        config=recipe.knobs(),
        n=rows,
        score=scored.mean,
        failures=scored.failures,
        input_tokens=scored.usage.input / max(rows, 1),
        usd=scored.usd,
        seconds=scored.compute_seconds,
        kept=kept,
        note=note,
    )


__all__ = [
    "Asking",
    "Chosen",
    "Kit",
    "Recipe",
    "Scored",
    "Solver",
    "Sweep",
    "Technique",
    "choose",
    "dev_trial",
    "rungs",
]
