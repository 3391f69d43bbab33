"""`style`: is an answer in the house style, by a small classifier that is trained on examples of it.

Logistic regression on sentence vectors. How often it is right on questions that it has not seen is measured each time
and shown beside the score: a score in a style is worth what its classifier is.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from harness import rows
from harness.answer import Unreadable
from harness.errors import DataError, ModelError, Problem, capped
from harness.models.base import Completion
from harness.paths import shown
from harness.records import Standing
from harness.scorers.base import Mark, PairScorer
from harness.taskset import Example, digest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness.retrieval import Embedder

FOLDS = 10
FEWEST = 10  # texts of each style, in as many clusters: fewer cannot say how often a classifier is right


class Style(PairScorer):
    """1 where the classifier holds house style for likelier than not, else 0.

    0 or 1 and not the probability: that decision is what the classifier's own accuracy is measured on, the mean is a
    share of answers, and a probability of a regularised model says as much about the penalty as about the answer. The
    probability stands in the mark's reason.
    """

    examples: Path = Field(description="A JSONL file of texts: `text`, `style` (1 in style, 0 not), maybe `cluster`.")
    C: float = Field(1.0, gt=0, le=1e6, description="Inverse strength of the L2 penalty; smaller is smoother.")
    embedder: Callable[[], Any] = Field(default=list, exclude=True)

    @property
    def digest(self) -> str:
        """Content hash of version, penalty, embedder and the file's bytes: other examples are another scorer."""
        content = hashlib.sha256(self.examples.read_bytes()).hexdigest()
        return digest([type(self).__name__, self.version, self.C, content, self.embedder().digest, self.answer.format])

    @property
    def standing(self) -> Standing:
        """How often the classifier is right, measured on clusters that it was not trained on."""
        return self.classifier.standing

    @cached_property
    def classifier(self) -> StyleClassifier:
        """The classifier, trained when first asked for (seconds)."""
        return train(read(self.examples), self.embedder(), self.C)

    async def score(self, pairs: Sequence[tuple[Example, Completion]]) -> list[Mark]:
        """One mark a pair, in order, made in a thread: vectors take time."""
        return await asyncio.to_thread(self._score, pairs) if pairs else []

    def _score(self, pairs: Sequence[tuple[Example, Completion]]) -> list[Mark]:
        read = [self._text(completion) for _, completion in pairs]
        texts = [text for text in read if isinstance(text, str)]
        found = iter(self.classifier.probabilities(self.embedder().embed(texts)) if texts else ())
        return [r if isinstance(r, Mark) else _marked(next(found)) for r in read]

    def _text(self, completion: Completion) -> str | Mark:
        try:
            read = self.answer.read(completion.text)
        except Unreadable as error:
            return Mark(value=0.0, label="unparseable", reason=str(error)[:500])
        text = (read if isinstance(read, str) else ", ".join(read)).strip()
        return text or Mark(value=0.0, label="empty")


def _marked(probability: float) -> Mark:
    inside = probability >= 0.5
    return Mark(float(inside), "in style" if inside else "not in style", f"probability {probability:.2f}")


@dataclass(frozen=True)
class Text:
    """An example of a style; `kind` is what it is otherwise (plain, rude), where the file says so."""

    text: str
    style: int
    cluster: str
    kind: str


def read(file: Path) -> list[Text]:
    """The examples of a file.

    Raises:
        DataError: it cannot be read, a row is none, or there are too few texts of a style; all mistakes at once.
    """
    if not file.is_file():
        raise DataError(Problem("no such file of style examples", shown(file), fix="paths start at the benchmark file"))
    found: list[Text] = []
    problems: list[Problem] = []
    for row in rows.read(file):
        if isinstance(row, Problem):
            problems.append(row)
            continue
        here, text, style = f"{shown(file)}:{row.line}", row.data.get("text"), row.data.get("style")
        if not isinstance(text, str) or not text.strip():
            problems.append(Problem("a style example needs a text", here, "text", repr(text)[:60], "a text"))
        elif isinstance(style, bool) or str(style) not in ("0", "1"):
            problems.append(
                Problem("a style is 1 or 0", here, "style", repr(style)[:60], "1 (in the house style) or 0 (not)")
            )
        else:
            cluster = row.data.get("cluster") or f"line {row.line}"
            found.append(Text(text.strip(), int(str(style)), str(cluster), str(row.data.get("kind") or "")))
    if problems:
        raise DataError(capped(problems))
    for style in (1, 0):
        texts = [t for t in found if t.style == style]
        if len({t.cluster for t in texts}) < FEWEST:
            got = f"{len(texts)} texts of style {style} in {len({t.cluster for t in texts})} clusters"
            raise DataError(
                Problem(
                    "too few style examples to train on", shown(file), got=got,
                    valid=f"texts of both styles, each in at least {FEWEST} clusters", fix="add texts of that style",
                )
            )  # fmt: skip
    return found


@dataclass(frozen=True)
class StyleClassifier:
    """A trained classifier and how often it is right."""

    regression: Any
    standing: Standing

    def probabilities(self, vectors: NDArray[np.float32]) -> list[float]:
        """The probability that each is in style."""
        return [float(p) for p in self.regression.predict_proba(vectors)[:, 1]]


def train(texts: Sequence[Text], embedder: Embedder, c: float) -> StyleClassifier:
    """Logistic regression (L-BFGS, no random state) on all texts; its accuracy by folds that keep clusters whole.

    Raises:
        ModelError: scikit-learn is not installed.
    """
    try:
        from sklearn.linear_model import LogisticRegression
        from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
    except ImportError:
        fix = 'pip install "harness-evals[local]"'
        raise ModelError(Problem("the scorer `style` needs scikit-learn", fix=fix)) from None
    vectors, styles = embedder.embed([t.text for t in texts]), np.array([t.style for t in texts])
    clusters = [t.cluster for t in texts]
    regression = LogisticRegression(C=c, max_iter=10_000)
    said: Any = cross_val_predict(regression, vectors, styles, groups=clusters, cv=StratifiedGroupKFold(FOLDS))
    return StyleClassifier(regression.fit(vectors, styles), _standing(texts, np.asarray(said == styles, dtype=float)))


def _standing(texts: Sequence[Text], right: NDArray[np.float64]) -> Standing:
    """Accuracy with its interval, on either side, and of the kind on which it is worst."""
    from harness import stats

    bar = stats.bar(right, [t.cluster for t in texts])
    inside = np.array([t.style == 1 for t in texts])
    kinds = {k: n for k, n in Counter(t.kind for t in texts).items() if k and n >= FEWEST}
    shares = {k: float(right[[t.kind == k for t in texts]].mean()) for k in kinds}
    note = (
        f"by a classifier that is right on {100 * bar.mean:.1f} % [{100 * bar.low:.1f}, {100 * bar.high:.1f}] of "
        f"{len(texts):,} texts about matters it had not seen: it finds {100 * right[inside].mean():.0f} % of those "
        f"in style and {100 * right[~inside].mean():.0f} % of those that are not"
    )
    if shares:
        worst = min(shares, key=lambda k: (shares[k], k))
        note += f"; worst on {worst!r}, right on {100 * shares[worst]:.0f} % of {kinds[worst]}"
    return Standing(note=note, n=len(texts), right=bar.mean, low=bar.low, high=bar.high)
