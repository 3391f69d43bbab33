"""The wire types of a run directory: what running writes and reading reads. Making and reading meet only here.

Each is one JSON line or file. `SCHEMA` counts up when a reader of the old form would go wrong.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from harness.models.base import Completion, Failure, Missing, Struct, Usage

SCHEMA = 1

Outcome = Completion | Failure | Missing


class Trial(Struct, frozen=True, gc=False):
    """One example, once, in one arm: a line of `trials.jsonl`. Its key is (arm, example, repeat)."""

    arm: str
    example: str
    repeat: int = 0
    completion: Completion | None = None
    failure: Failure | None = None
    missing: Missing | None = None

    @property
    def outcome(self) -> Outcome:
        """The one of the three that is set."""
        outcome = self.completion or self.failure or self.missing
        assert outcome is not None, f"trial {self.arm}/{self.example} holds no outcome"
        return outcome

    @property
    def key(self) -> tuple[str, str, int]:
        """What makes a trial one of its kind within a run."""
        return (self.arm, self.example, self.repeat)

    @staticmethod
    def of(arm: str, example: str, repeat: int, outcome: Outcome) -> Trial:
        """A trial that holds this outcome."""
        match outcome:
            case Completion():
                return Trial(arm=arm, example=example, repeat=repeat, completion=outcome)
            case Failure():
                return Trial(arm=arm, example=example, repeat=repeat, failure=outcome)
            case Missing():
                return Trial(arm=arm, example=example, repeat=repeat, missing=outcome)


class Score(Struct, frozen=True, gc=False):
    """One metric of one trial: a line of `scores.jsonl`.

    `value` lies in [0, 1], or is None when the scorer could not say (it is missing then, never 0).
    `usage` and `compute_seconds` are a judge's.
    A failed trial is scored without a scorer: the worst value of the metric, labelled with its failure type.
    """

    arm: str
    example: str
    metric: str
    value: float | None
    repeat: int = 0
    label: str = ""
    reason: str = ""
    usage: Usage = Usage()
    compute_seconds: float = 0.0


class Mark(Struct, frozen=True, gc=False):
    """A line of `scores.jsonl` without its words: what numbers are made of, read in half the time."""

    arm: str
    example: str
    metric: str
    value: float | None
    repeat: int = 0


class Standing(Struct, frozen=True):
    """How far a metric's scorer may be believed, where that was measured: `standing.json` and `verdict.json`.

    `right` is the share of `n` texts on which it was right, with its interval; `note` says it in a sentence.
    """

    note: str
    n: int = 0
    right: float | None = None
    low: float | None = None
    high: float | None = None


class Labels(Struct, frozen=True):
    """One metric's labels that fit answers of the run: arm -> example -> value in [0, 1]; `labels.json` holds them.

    `unmatched`: rows of the file that are of no answer of this run. `synthetic`: a row says that no person wrote it.
    """

    values: dict[str, dict[str, float]]
    unmatched: int = 0
    synthetic: bool = False


class Corrected(Struct, frozen=True):
    """A candidate against a baseline by the judge alone (`judge_delta`), and corrected by labels, with its interval."""

    candidate: str
    baseline: str
    n: int
    n_labelled: int
    delta: float
    low: float
    high: float
    judge_delta: float


class Judging(Struct, frozen=True):
    """What is known of a judged metric. `usd` is None where the judge's price is not known.

    `by_judge_only`: no label fits. `agreement` and `kappa` compare judge and labels, both cut at .5, over the labelled
    answers; kappa is None where all are alike.
    """

    metric: str
    judge: str
    answers: int
    unread: int
    usage: Usage
    usd: float | None
    by_judge_only: bool
    note: str
    labelled: int = 0
    synthetic: bool = False
    agreement: float | None = None
    kappa: float | None = None
    kappa_low: float | None = None
    kappa_high: float | None = None
    corrected: tuple[Corrected, ...] = ()


class DevTrial(Struct, frozen=True):
    """One configuration or checkpoint scored on dev (on its first `n` rows, in a fixed order)."""

    config: dict[str, Any]
    n: int
    score: float
    failures: int = 0
    input_tokens: float = 0.0
    usd: float | None = None
    seconds: float = 0.0
    kept: bool = False
    note: str = ""


class FitCost(Struct, frozen=True):
    """What it took to fit an arm, before its first test call. `usd` is None when a price is unknown."""

    usage: Usage = Usage()
    usd: float | None = 0.0
    seconds: float = 0.0
    trials: int = 0
    labelled_rows: int = 0
    trained_tokens: int = 0
    train_seconds: float = 0.0
    train_usd: float | None = 0.0


class Artifact(Struct, frozen=True):
    """What a tuner made: how to open it as a model, and what is known of its making.

    `model` is a model reference as a YAML would name it (a directory, `openai/ft:...`, a deployment).
    `curve` holds (step, training loss, validation loss or None).
    """

    model: str
    tuner: str
    job: str = ""
    checkpoint: str = ""
    base: str = ""
    curve: tuple[tuple[int, float | None, float | None], ...] = ()
    info: dict[str, Any] = {}


class Fit(Struct, frozen=True):
    """A fitted arm, frozen before test: `fits/<arm>.json`.

    `recipe` is the chosen configuration, whole: the arm can be opened again from it and nothing else.
    """

    arm: str
    technique: str
    model: str
    recipe: dict[str, Any]
    cost: FitCost = FitCost()
    dev_score: float | None = None
    trials: tuple[DevTrial, ...] = ()
    artifact: Artifact | None = None
    notes: tuple[str, ...] = ()
    digest: str = ""


class Frozen(Struct, frozen=True):
    """What was decided before the first test call: `frozen.json`."""

    baseline: str | None
    candidates: tuple[str, ...]
    rule: str
    because: str
    digests: dict[str, str] = {}


class Limits(Struct, frozen=True):
    """`limits.json`: what bounds one answer, known before the first one.

    `max_tokens` is the longest answer; `attempts` the calls that a hosted model may be asked for one answer.
    """

    max_tokens: int
    attempts: int = 1


class CurvePoint(Struct, frozen=True):
    """One training of a learning curve. `values` are the primary metric's on its `examples`, more is better."""

    rows: int
    seed: int
    values: tuple[float, ...]
    failures: int = 0
    model: str = ""
    trained_tokens: int = 0
    seconds: float = 0.0
    usd: float | None = 0.0

    @property
    def score(self) -> float:
        """Mean value."""
        return sum(self.values) / len(self.values) if self.values else 0.0


class CurveFit(Struct, frozen=True):
    """s = a - b rows^-c, and the gain expected from twice the rows with its interval; not to be read further."""

    a: float
    b: float
    c: float
    gain: float
    gain_low: float
    gain_high: float


class LearningCurve(Struct, frozen=True):
    """`learning/<arm>.json`: an arm trained on rising shares of its rows. Grows point by point; `fit` when it is whole.

    `sizes` and `seeds` are the plan: a point for each pair. `means[i]` is the mean over seeds at `sizes[i]`. All points
    are scored on the same `examples`, rows of `split`: dev, or test where there is no dev (nothing is chosen from it).
    """

    arm: str
    metric: str
    split: Literal["dev", "test"]
    sizes: tuple[int, ...]
    seeds: tuple[int, ...]
    examples: tuple[str, ...]
    points: tuple[CurvePoint, ...] = ()
    means: tuple[float, ...] = ()
    fit: CurveFit | None = None


class SeedRun(Struct, frozen=True):
    """The same recipe trained with another seed. `values` are the primary metric's on test, more is better."""

    seed: int
    values: tuple[float | None, ...]
    failures: int = 0
    dev_score: float | None = None
    model: str = ""
    checkpoint: str = ""
    trained_tokens: int = 0
    seconds: float = 0.0
    usd: float | None = 0.0


class SeedRuns(Struct, frozen=True):
    """`seeds/<arm>.json`: the arm's further training seeds (the first one is the arm itself), one run each.

    What they come to against the baseline stands in `verdict.json` under `seeds`.
    """

    arm: str
    metric: str
    examples: tuple[str, ...]
    first: int
    runs: tuple[SeedRun, ...] = ()


class Kept(Struct, frozen=True):
    """What a tuned arm's model kept of a second domain, against the base model under the same prompt.

    `answer`: kept (not worse by the margin or more), lost (worse by more than the margin), unclear. `values` are the
    metric's on `Forgetting.examples`, more is better, None where an answer was not to be had.
    """

    arm: str
    model: str
    values: tuple[float | None, ...]
    failures: int = 0
    mean: float = 0.0
    delta: float = 0.0
    low: float = -1.0
    high: float = 1.0
    answer: Literal["kept", "lost", "unclear"] = "unclear"
    because: str = ""


class Forgetting(Struct, frozen=True):
    """`forgetting.json`: a second task set, asked of the base model and of every tuned one under one prompt.

    Grows arm by arm. `base` holds the base model's values as `Kept.values` do.
    """

    name: str
    metric: str
    margin: float
    system: str
    examples: tuple[str, ...]
    base_model: str = ""
    base: tuple[float | None, ...] = ()
    base_mean: float = 0.0
    base_failures: int = 0
    arms: tuple[Kept, ...] = ()
    clusters: tuple[str | None, ...] = ()
    usd: float | None = 0.0
    seconds: float = 0.0
    digest: str = ""


class Manifest(Struct, frozen=True):
    """The receipt of a finished run: `manifest.json`, written last. A run without it is not finished."""

    benchmark: str
    run: str
    question: str
    schema: int  # always written, so that no later version takes it for its own
    status: Literal["complete", "incomplete"] = "complete"
    created: str = ""
    finished: str = ""
    command: str = ""
    versions: dict[str, str] = {}
    digests: dict[str, str] = {}
    seeds: dict[str, int] = {}
    machine: dict[str, Any] = {}
    estimate: dict[str, Any] = {}
    actual: dict[str, Any] = {}
    test_looks: int = 1
    notes: tuple[str, ...] = ()


def encode(record: Any) -> bytes:
    """One JSON line, keys in a fixed order, without the newline."""
    return msgspec.json.encode(record, order="deterministic")
