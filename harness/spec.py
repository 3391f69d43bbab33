"""A benchmark file as one frozen question: `benchmarks/*.yaml` -> `Benchmark`.

The models here are the schema: what they say is what editors complete (`harness schema`) and what a bad file is told.
How a file becomes one of them, with the line of every mistake, is in `specfile`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from harness.techniques import TechniqueSpec
from harness.techniques.base import Seed

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
PriceName = Literal[
    "input", "cached_input", "output", "train", "embedding", "tuned_input", "tuned_cached_input", "tuned_output"
]

MARGIN = 0.03  # how much worse is not worse, where nothing else is said


class Spec(BaseModel):
    """The base of all parts of a benchmark file: frozen, no unknown keys, no silent conversion of text to numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class AzureSpec(Spec):
    """Where an Azure resource stands on the control plane, which deploys what was tuned. The token is never here."""

    subscription_id: str | None = Field(default=None, description="Default: AZURE_SUBSCRIPTION_ID.")
    resource_group: str | None = Field(default=None, description="Default: AZURE_RESOURCE_GROUP.")
    account: str | None = Field(
        default=None, description="The resource's name. Default: AZURE_OPENAI_ACCOUNT, else the endpoint's first part."
    )
    management_endpoint: str | None = Field(
        default=None, description="Default: AZURE_MANAGEMENT_ENDPOINT, else https://management.azure.com."
    )


class ModelSpec(Spec):
    """A model by its endpoint. A plain string (`local/...`, `openai/...`, a directory) is short for it.

    `api_key_env` names the environment variable that holds the key; a key itself never stands in a file.
    """

    id: str = Field(description="The model as its endpoint names it; without base_url a reference such as openai/NAME.")
    base_url: str | None = Field(
        default=None, description="An OpenAI-compatible endpoint, such as http://localhost:8000/v1."
    )
    api_key_env: str | None = Field(
        default=None, description="The environment variable that holds the key. The key itself never stands in a file."
    )
    api_version: str | None = Field(
        default=None,
        description="Azure's classic surface, as 2024-10-21. Default: AZURE_OPENAI_API_VERSION, else the v1 surface.",
    )
    azure: AzureSpec = Field(
        default=AzureSpec(), description="Where the resource stands on Azure's control plane, for deployments."
    )
    allow_http: bool = Field(default=False, description="Send the key without TLS to a host that is not this machine.")
    requests_per_minute: float | None = Field(
        default=None, gt=0, description="The endpoint's limit; calls are spread under it."
    )
    tokens_per_minute: float | None = Field(
        default=None, gt=0, description="The endpoint's limit; calls are spread under it."
    )
    timeout_seconds: float = Field(default=120.0, gt=0, description="Seconds until a call counts as timed out.")
    context: int | None = Field(
        default=None,
        gt=0,
        description="Context window in tokens, prompt and answer together, where the endpoint does not say it.",
    )
    retires: str | None = Field(
        default=None,
        pattern=r"^\d{4}-\d{2}-\d{2}$",
        description="The day on which the provider shuts the model down, such as 2027-06-30.",
    )
    usd_per_mtok: dict[PriceName, float] | None = Field(
        default=None,
        description="US dollars per million tokens, where the price book does not know the model; tuned_...: of a model"
        " that is tuned on this one.",
    )
    hosting_usd_per_hour: float | None = Field(
        default=None,
        ge=0,
        description="US dollars an hour for keeping the model deployed: at a base_url the machine, tuned or not; on"
        " Azure a deployment of a model tuned on this one.",
    )
    engine: Literal["auto", "openvino", "transformers"] = Field(
        default="auto",
        description="What runs local weights; auto takes the fast engine where it agrees with transformers.",
    )
    extra_body: dict[str, Any] = Field(default={}, description="Further fields of the request, sent as they are.")


class AnswerSpec(Spec):
    """The answer format, stated once: prompts ask for it, scorers parse it, training rows are written in it."""

    format: Literal["list", "text", "label", "json", "sql"] = Field(
        default="text", description="What an answer is: list (of short texts), text, label, json or sql."
    )
    labels: tuple[str, ...] = Field(default=(), description="The valid answers of format: label.")
    instruction: str | None = Field(default=None, description="Replaces the sentence that asks for the format.")
    abstain: str | None = Field(
        default=None, description='What an answer says that has no answer, such as "I don\'t know".'
    )
    singular: bool = Field(
        default=False, description="Take English plurals as equal to their singulars (list and label)."
    )

    @model_validator(mode="after")
    def _labels_belong_to_label(self) -> AnswerSpec:
        if self.format == "label" and not self.labels:
            raise ValueError("format: label needs `labels`, the list of valid answers")
        folded = [label.strip().casefold() for label in self.labels]
        if twice := sorted({label for label in folded if folded.count(label) > 1}):
            raise ValueError(f"`labels` are told apart without case: {twice[0]!r} stands twice")
        if self.format != "label" and self.labels:
            raise ValueError(f"`labels` belongs to format: label, not to format: {self.format}")
        if self.singular and self.format not in ("list", "label"):
            raise ValueError(f"`singular` belongs to format: list and label, not to format: {self.format}")
        return self


class TaskSpec(Spec):
    """Where the rows are and how a row becomes an input and a target."""

    data: str = Field(
        description="A folder with train, dev, test (.jsonl, .json, .csv, .tsv, .parquet), one file with a `split` "
        "column, or hf://OWNER/NAME[:CONFIG][@REVISION][#SPLIT] of the Hugging Face hub."
    )
    input: str = Field(
        description='Template of the input, such as "Title: {{ title }}"; a list column renders one item a line.'
    )
    target: str = Field(description='Template of the target, such as "{{ label }}"; a lone list column gives a list.')
    answer: AnswerSpec = Field(
        default=AnswerSpec(), description="The answer format, stated once for prompts, training rows and scorers."
    )
    id: str = Field(default="id", description="The column of the ids, unique over all splits.")
    cluster: str | None = Field(
        default="cluster",
        description="The column that says which rows belong together (one author, one document); null for none.",
    )
    relevant: str | None = Field(
        default="relevant",
        description="The column with the ids of the documents that answer a row, for recall gates; null for none.",
    )
    key: str | None = Field(
        default=None,
        description="Template of the text by which two rows are held to be the same, in checks for duplicates and "
        'leaks, such as "{{ question }}" where rows share a schema; default: the input.',
    )
    keep: tuple[str, ...] = Field(
        default=(), description="Further columns that scorers see and arms do not, such as the name of a database."
    )
    columns: dict[str, str] = Field(default={}, description="New column names for old ones: `new: old`.")
    divide: bool = Field(
        default=False,
        description="Rows without a split are divided: 60 % train, 15 % dev, 25 % test, by a hash of their cluster or "
        "input. With `limit` for all three, reading stops once they are full.",
    )
    documents: str | None = Field(
        default=None, description="A file with id, title and text, for checks of leakage into what RAG retrieves."
    )
    limit: dict[Literal["train", "dev", "test"], Annotated[int, Field(gt=0)]] = Field(
        default={}, description="At most so many rows of a split, from its start."
    )


class ForgettingSpec(TaskSpec):
    """A second task set, asked of the base model and of every tuned one under one prompt: what did tuning forget?

    Its test rows are asked; train and dev rows, if there are any, are not used.
    """

    scorer: str = Field(default="contains", description="The scorer by name, or file.py:function inside the project.")
    settings: dict[str, Any] = Field(default={}, description="The scorer's own settings.")
    system: str = Field(default="", description="The system prompt of all models: a text, or file://.")
    margin: float = Field(
        default=MARGIN, gt=0, lt=1, description="How much worse still counts as kept (0.03: 3 points)."
    )


class MetricSpec(Spec):
    """One metric: a scorer by name (or `file.py:function`), its settings, and its role in the verdict."""

    scorer: str = Field(description="A scorer by name, or file.py:function inside the project.")
    primary: bool = Field(
        default=False, description="The one metric that decides the verdict and that dev choices go by."
    )
    higher_is_better: bool | None = Field(
        default=None, description="The scorer's own direction, if you want to say it; it cannot be turned round."
    )
    guardrail: bool = Field(
        default=False, description="The candidate must not be worse on this metric by more than `margin`."
    )
    margin: float = Field(default=MARGIN, ge=0, lt=1, description="What counts as not worse, for a guardrail.")
    judge: str | ModelSpec | None = Field(default=None, description="The model that judges, for scorers that ask one.")
    settings: dict[str, Any] = Field(default={}, description="The scorer's own settings.")

    @model_validator(mode="after")
    def _margin_of_a_guardrail(self) -> MetricSpec:
        if not self.guardrail and self.margin != MARGIN:  # not "was set": a stored run says every field
            raise ValueError("`margin` is a guardrail's: `guardrail: true` makes it one, or leave it out")
        return self


class UseCaseSpec(Spec):
    """Which aspect of the pretrained model should improve, in the team's own words."""

    improve: str = Field(description="What the fine-tune should improve.")
    because: str = Field(default="", description="What the base model gets wrong today.")


class VerdictSpec(Spec):
    """What counts as beating, decided before the run."""

    min_effect: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="The smallest gain on the primary metric that counts as beating it (0.02: 2 points).",
    )
    expect: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="The gain hoped for, above min_effect (default: + 0.05); sizes how many examples would settle it.",
    )
    alpha: float = Field(default=0.05, gt=0, lt=0.5, description="The error level of intervals and tests.")
    max_missing: float = Field(
        default=0.02, ge=0, lt=1, description="The share of missing pairs above which the answer is inconclusive."
    )

    @property
    def expected(self) -> float:
        """The effect hoped for: `expect`, or min_effect + .05."""
        return self.expect if self.expect is not None else self.min_effect + 0.05

    @model_validator(mode="after")
    def _expect_above_min(self) -> VerdictSpec:
        if self.expect is not None and self.expect <= self.min_effect:
            raise ValueError(f"`expect` ({self.expect}) must be above `min_effect` ({self.min_effect})")
        return self


class EconomicsSpec(Spec):
    """What the money questions need. Dollars are US dollars; a month has 730 hours."""

    requests_per_month: float | None = Field(
        default=None, gt=0, description="How many tasks a month the model will answer."
    )
    horizon_months: float = Field(default=12, gt=0, description="Months over which a fine-tune must pay back.")
    labelling_usd_per_row: float | None = Field(default=None, ge=0, description="US dollars for one labelled row.")
    effort_hours: float | None = Field(default=None, ge=0, description="Hours of people that the fine-tune takes.")
    usd_per_hour: float | None = Field(default=None, ge=0, description="US dollars for one such hour.")
    local_usd_per_hour: float | None = Field(
        default=None, ge=0, description="US dollars an hour for the machine of a local model."
    )
    value_per_correct: float | None = Field(
        default=None, ge=0, description="US dollars that one more correct answer is worth."
    )
    retrain_every_months: float | None = Field(
        default=None, gt=0, description="Months after which the fine-tune is made again."
    )
    hosting_usd_per_hour: float | None = Field(
        default=None, ge=0, description="US dollars an hour for keeping the tuned model deployed."
    )


class RunSpec(Spec):
    """How a run is made. None of this changes an answer, except `repeats`, `temperature`, `seed` and `max_tokens`."""

    max_usd: float | None = Field(
        default=None, ge=0, description="The run stops before it spends more US dollars than this."
    )
    max_concurrency: int = Field(default=16, ge=1, le=4096, description="Calls that are under way at the same time.")
    repeats: int = Field(
        default=1, ge=1, le=100, description="Answers per example and arm; they are averaged within the example."
    )
    temperature: float = Field(default=0.0, ge=0, le=2, description="Sampling temperature of every arm.")
    max_tokens: int | None = Field(
        default=None,
        ge=1,
        le=1_000_000,
        description="The longest answer in tokens; default: from the targets of train and dev.",
    )
    seed: Seed = Field(default=20, description="Seed of everything that is random.")
    dev_trials: int = Field(default=6, ge=1, le=200, description="How many configurations every arm may try on dev.")
    allow_near_duplicates: bool = Field(
        default=False, description="Run although test rows have near-duplicates elsewhere."
    )
    allow_pii: bool = Field(default=False, description="Run although rows look as if they held personal data.")


class GateSpec(Spec):
    """One regression gate: exactly one of beats, not_worse_than, min, or a maximum."""

    arm: str = Field(description='The arm that is held to the gate, or "*" for every arm.')
    on: str | None = Field(
        default=None, description="The metric; for beats and not_worse_than also `seconds` or `usd`, task by task."
    )
    beats: str | None = Field(default=None, description="The arm to beat, or `baseline`.")
    by: float = Field(default=0.0, ge=0, lt=1, description="By how much to beat it (usd, seconds: a share).")
    not_worse_than: str | None = Field(
        default=None, description="An arm, `baseline`, or `saved` (the committed baseline)."
    )
    margin: float = Field(
        default=MARGIN, ge=0, lt=1, description="How much worse is still not worse (0.03: 3 points; usd, seconds: 3 %)."
    )
    min: float | None = Field(default=None, description="The metric's floor.")
    max: float | None = Field(default=None, description="The metric's ceiling.")
    max_usd_per_1k: float | None = Field(default=None, ge=0, description="US dollars per 1,000 tasks at most.")
    max_seconds: float | None = Field(default=None, gt=0, description="Median seconds an answer at most.")
    max_failure_rate: float | None = Field(default=None, ge=0, le=1, description="Share of failed answers at most.")
    max_break_even: float | None = Field(
        default=None, ge=0, description="Requests until the fine-tune has paid for itself, at most."
    )
    min_recall_at: tuple[int, float] | None = Field(
        default=None,
        description="[k, recall]: the least mean share of a row's relevant documents among its first k passages.",
    )
    severity: Literal["error", "warn"] = Field(default="error", description="error fails the gate, warn only says it.")

    @model_validator(mode="after")
    def _one_question(self) -> GateSpec:
        asked = [
            name
            for name in (
                "beats", "not_worse_than", "min", "max", "max_usd_per_1k", "max_seconds",
                "max_failure_rate", "max_break_even", "min_recall_at",
            )
            if getattr(self, name) is not None
        ]  # fmt: skip
        if len(asked) != 1:
            got = " and ".join(asked) if asked else "none"
            raise ValueError(f"a gate asks one thing: beats, not_worse_than, min, max or one max_...; got {got}")
        if asked[0] in ("beats", "not_worse_than", "min", "max") and not self.on:
            raise ValueError(f"`{asked[0]}` needs `on`, the metric")
        if asked[0] not in ("beats", "not_worse_than", "min", "max") and self.on:
            raise ValueError(f"`{asked[0]}` says what it measures, so `on` means nothing")
        for name, of, default in (("by", "beats", 0.0), ("margin", "not_worse_than", MARGIN)):
            if getattr(self, name) != default and asked[0] != of:
                raise ValueError(f"`{name}` belongs to `{of}`; this gate asks `{asked[0]}`")
        if self.min_recall_at and not (self.min_recall_at[0] >= 1 and 0 <= self.min_recall_at[1] <= 1):
            raise ValueError("`min_recall_at` is [k, recall]: k from 1, recall from 0 to 1, such as [4, 0.8]")
        return self


class Benchmark(Spec):
    """One YAML, one question."""

    version: Literal[1] = Field(description="The version of this file format.")
    question: str = Field(description="The question that the run answers, in a sentence.")
    model: str | ModelSpec = Field(
        description="Base model of every arm: local/..., openai/..., azure/..., hf/..., a folder, or {base_url, id}."
    )
    task: TaskSpec = Field(description="The rows, and how a row becomes an input and a target.")
    arms: dict[Name, TechniqueSpec] = Field(min_length=1, description="The techniques that compete, by name.")
    candidate: str | None = Field(
        default=None,
        description="The arm that must prove itself; default: the fine-tuned arm, of several the best on dev.",
    )
    baseline: str = Field(
        default="auto",
        description="What it must beat: an arm, auto (the best on dev without fine-tuning) or best_of_all.",
    )
    metrics: dict[Name, MetricSpec] = Field(min_length=1, description="What is scored, by name; one is primary.")
    forgetting: ForgettingSpec | None = Field(
        default=None, description="A second task set, to see what the tuned models forgot; off unless asked for."
    )
    use_case: UseCaseSpec | None = Field(default=None, description="What the fine-tune is for.")
    verdict: VerdictSpec = Field(default=VerdictSpec(), description="What counts as beating.")
    economics: EconomicsSpec = Field(default=EconomicsSpec(), description="What the money questions need.")
    run: RunSpec = Field(default=RunSpec(), description="How the run is made.")
    gates: dict[Name, GateSpec] = Field(default={}, description="What must hold in CI, by name.")

    @property
    def primary(self) -> str:
        """The name of the one metric that decides: the one marked primary, or the only one."""
        return next((n for n, m in self.metrics.items() if m.primary), next(iter(self.metrics)))


class Located(Spec):
    """A benchmark with where it was read: every relative path starts at `folder`, none may leave `project`."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    benchmark: Benchmark
    file: Path
    folder: Path
    project: Path
    name: str
    digest: str
    allow_outside: bool = False
