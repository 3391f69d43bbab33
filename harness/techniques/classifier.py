"""A linear classifier in place of a language model: the other floor, for tasks whose answer is one of a few labels.

Logistic regression on sentence vectors or on character n-grams, trained on the train rows. Where it is as good as a
tuned language model it costs a hundredth, and nothing is retired under it.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
import numpy as np
from pydantic import Field

from harness.answer import Answer
from harness.errors import DataError, ModelError, Problem
from harness.models.base import Completion, Model, Usage
from harness.records import Fit
from harness.taskset import Example, digest
from harness.techniques.base import Kit, Recipe, Solver, Sweep, Technique, choose

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness.retrieval import Embedder

Features = Literal["embedding", "tfidf"]


class Classifier(Technique):
    """`technique: classifier`. For `answer: {format: label}`; every value of `C` x `features` is a trial on dev."""

    technique: Literal["classifier"] = Field(
        description="Logistic regression on the train rows, without a language model: a floor for label tasks."
    )
    C: Sweep[Annotated[float, Field(gt=0, le=1e6)]] = Field(
        default=(1.0,),
        validate_default=False,
        description="Inverse strength of the L2 penalty, or several to try on dev; smaller is smoother.",
    )
    features: Sweep[Features] = Field(
        default=("embedding",),
        validate_default=False,
        description="embedding (all-MiniLM-L6-v2) or tfidf (character n-grams of 2 to 5), or both to try on dev.",
    )

    @property
    def uses_model(self) -> bool:
        """No language model is asked."""
        return False

    def candidates(self, start: Recipe, kit: Kit) -> list[Recipe]:
        """Every features x C, the smoother first."""
        return [Recipe(extra={"C": c, "features": f}) for f in self.features for c in sorted(self.C)]

    async def solver(self, recipe: Recipe, train: Sequence[Example], model: Model | None, kit: Kit) -> ClassifierSolver:
        """The classifier, trained on all train rows. The same rows give the same one."""
        check(train, kit.answer)
        embedder = await kit.embedder() if recipe.extra["features"] == "embedding" else None
        texts = [kit.render(e.input) for e in train]
        targets = [label(e, kit.answer) for e in train]
        fitted = await asyncio.to_thread(learn, texts, targets, recipe.extra["C"], embedder)
        return ClassifierSolver(fitted, kit, embedder)

    async def fit(
        self, arm: str, train: Sequence[Example], dev: Sequence[Example], model: Model | None, start: Recipe, kit: Kit
    ) -> Fit:
        """Choose on dev. Every train row is a labelled row that it stands on, all its trainings are charged."""
        check(train, kit.answer)
        made: list[ClassifierSolver] = []

        async def build(recipe: Recipe) -> Solver:
            made.append(await self.solver(recipe, train, None, kit))
            return made[-1]

        chosen = await choose(self.candidates(start, kit), build, dev, kit, arm, together=False)
        if not made:  # no dev rows, no choice: the first is trained all the same
            await build(chosen.recipe)
        seconds = sum(s.fitted.seconds for s in made) + max(s.fitted.embedding_seconds for s in made)
        cost = msgspec.structs.replace(
            chosen.cost,
            labelled_rows=len(train),
            train_seconds=seconds,
            train_usd=kit.price(NAME, Usage(), seconds),
            seconds=chosen.cost.seconds + seconds,
        )
        unseen = [name for name in kit.answer.labels if name not in {label(e, kit.answer) for e in train}]
        return Fit(
            arm=arm,
            technique=self.kind,
            model="none",
            recipe=msgspec.to_builtins(chosen.recipe),
            cost=cost,
            dev_score=chosen.score,
            trials=chosen.trials,
            notes=(f"no train row is labelled {', '.join(unseen)}: it is never answered",) if unseen else (),
            digest=digest([self.kind, msgspec.to_builtins(chosen.recipe)]),
        )


NAME = "classifier"  # stands in completions where others name their model; priced as this machine's time


def label(example: Example, answer: Answer) -> str:
    """A row's target as `task.answer.labels` spells it."""
    read = answer.read(answer.write(example.target))
    return read if isinstance(read, str) else ", ".join(read)


def check(train: Sequence[Example], answer: Answer) -> None:
    """Whether a classifier can be trained on these rows.

    Raises:
        DataError: there are no train rows, or they all bear one label.
    """
    counts = Counter(label(e, answer) for e in train)
    if len(counts) < 2:
        got = f"{len(train):,} rows, all {next(iter(counts))!r}" if counts else "no rows"
        raise DataError(
            Problem(
                "a classifier needs train rows of two labels at least", "the train split", got=got,
                fix="add rows of the other labels, or leave the arm out",
            )
        )  # fmt: skip


@dataclass(frozen=True)
class Fitted:
    """A trained classifier: texts or vectors in, one of `classes` out. Seconds: of training, of embedding its rows."""

    pipeline: Any
    classes: tuple[str, ...]
    seconds: float
    embedding_seconds: float

    def predict(self, features: Sequence[str] | NDArray[np.float32]) -> list[str]:
        """A label for each."""
        return [str(name) for name in self.pipeline.predict(features)]


def learn(texts: Sequence[str], targets: Sequence[str], c: float, embedder: Embedder | None) -> Fitted:
    """Multinomial logistic regression (L-BFGS, no random state) on vectors, or on TF-IDF without an embedder.

    Raises:
        ModelError: scikit-learn is not installed.
    """
    try:
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
    except ImportError:
        fix = 'pip install "harness-evals[local]"'
        raise ModelError(Problem("a classifier arm needs scikit-learn", fix=fix)) from None
    regression = LogisticRegression(C=c, max_iter=10_000)
    if embedder is None:
        words = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True)
        pipeline, features, embedding = make_pipeline(words, regression), texts, 0.0
    else:
        features = embedder.embed(texts)
        pipeline, embedding = regression, embedder.seconds(texts)
    started = time.perf_counter()
    pipeline.fit(features, targets)
    return Fitted(pipeline, tuple(regression.classes_), time.perf_counter() - started, embedding)


class ClassifierSolver:
    """Embeds one input and answers with the most probable label."""

    def __init__(self, fitted: Fitted, kit: Kit, embedder: Embedder | None) -> None:
        self.fitted = fitted
        self._kit = kit
        self._embedder = embedder

    async def solve(self, input: Mapping[str, str], *, repeat: int = 0) -> Completion:
        """The label. Its compute seconds are those of its vector and of the prediction."""
        started = time.perf_counter()
        text, compute = await asyncio.to_thread(self._answer, self._kit.render(input))
        seconds = time.perf_counter() - started
        return Completion(text=text, seconds=max(seconds, compute), compute_seconds=compute, model=NAME)

    def _answer(self, text: str) -> tuple[str, float]:
        features: Sequence[str] | NDArray[np.float32] = [text]
        embedding = 0.0
        if self._embedder is not None:
            features = self._embedder.embed([text])
            embedding = self._embedder.seconds([text])
        started = time.thread_time()  # not the clock: other inputs are predicted in other threads meanwhile
        (answer,) = self.fitted.predict(features)
        return answer, embedding + time.thread_time() - started
