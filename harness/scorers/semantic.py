"""Relevance: how near an answer is to the target in meaning, by ragas' SemanticSimilarity on the embedded embedder."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.answer import Answer, Unreadable
from harness.models.base import Completion
from harness.scorers.base import Mark, checked, could_not_say
from harness.taskset import Example, digest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness.retrieval import Embedder

VERSION = 1


class SemanticSimilarity:
    """`semantic_similarity`: cosine of answer and target, below 0 counts as 0.

    A list is embedded as its items joined by commas, so that brackets and quotes bring nobody nearer. All texts of a
    call are embedded in one batch; ragas, which asks for one text at a time, is handed the finished vectors.

    Args:
        embedder: gives the embedder; called when vectors (or the digest) are first needed.
    """

    higher_is_better = True

    def __init__(self, name: str, answer: Answer, embedder: Callable[[], Embedder]) -> None:
        self.name = name
        self._answer = answer
        self._embedder = embedder

    @property
    def standing(self) -> None:
        """Nothing is known of it."""

    @property
    def digest(self) -> str:
        """Content hash of version, embedder and the answer format that says how texts are read."""
        return digest(["semantic_similarity", VERSION, self._embedder().digest, self._answer.format])

    async def score(self, pairs: Sequence[tuple[Example, Completion]]) -> list[Mark]:
        """One mark a pair, in order."""
        read = [self._texts(example, completion) for example, completion in pairs]
        texts = [text for pair in read if not isinstance(pair, Mark) for text in pair]
        if not texts:
            return [pair for pair in read if isinstance(pair, Mark)]
        try:
            # Both take seconds the first time (weights, ragas' import): not on the event loop.
            vectors = await asyncio.to_thread(lambda: self._embedder().embed(texts))
            metric = await asyncio.to_thread(_ragas, dict(zip(texts, vectors, strict=True)))
        except Exception as error:
            return [pair if isinstance(pair, Mark) else could_not_say(error) for pair in read]
        return [pair if isinstance(pair, Mark) else await _similarity(metric, *pair) for pair in read]

    def _texts(self, example: Example, completion: Completion) -> tuple[str, str] | Mark:
        try:
            return self._plain(example.target), self._plain(self._answer.read(completion.text))
        except Unreadable as error:
            return Mark(value=0.0, label="unparseable", reason=str(error)[:500])

    def _plain(self, value: str | tuple[str, ...]) -> str:
        text = value if isinstance(value, str) else ", ".join(value)
        return text.strip() or " "  # ragas turns an empty text into a space


async def _similarity(metric: Any, target: str, answer: str) -> Mark:
    try:
        result = await metric.ascore(reference=target, response=answer)
        value = float(result.value)
        return checked(value if np.isnan(value) else min(max(value, 0.0), 1.0))
    except Exception as error:
        return could_not_say(error)


def _ragas(vectors: Mapping[str, NDArray[np.float32]]) -> Any:
    """ragas' metric over these vectors."""
    os.environ.setdefault("RAGAS_DO_NOT_TRACK", "true")  # it would send usage events from a thread
    from ragas.embeddings.base import BaseRagasEmbedding
    from ragas.metrics.collections import SemanticSimilarity as Metric

    class LookUp(BaseRagasEmbedding):
        """Vectors that are there already."""

        def embed_text(self, text: str, **kwargs: Any) -> list[float]:
            return vectors[text].tolist()

        async def aembed_text(self, text: str, **kwargs: Any) -> list[float]:
            return vectors[text].tolist()

    return Metric(embeddings=LookUp())
