"""Vectors: the embedder and the index that few-shot neighbours, RAG and relevance share.

sentence-transformers makes the vectors, chromadb finds the nearest documents. Both are imported when first used.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.models.base import Struct
from harness.models.weights import locked
from harness.store import unwritable, write_whole
from harness.taskset import Document, digest

if TYPE_CHECKING:
    from numpy.typing import NDArray

CHUNK_WORDS = 120
CHUNK_STEP = CHUNK_WORDS - CHUNK_WORDS // 6


class Passage(Struct, frozen=True):
    """A chunk of a document: `id` is the document's id, with `#n` behind it from the second chunk on."""

    id: str
    title: str
    text: str
    similarity: float = 0.0


class Embedder:
    """Unit vectors of texts, each text embedded once. Safe to call from several threads."""

    def __init__(self, path: Path, *, name: str = "all-minilm-l6-v2", batch: int = 16) -> None:
        self.name = name
        self._path = path
        self._batch = batch
        self._model: Any = None
        self._lock = threading.Lock()
        # One thread for all: each further one would keep a team and buffers of its own, 400 MB of them in a run.
        self._thread = ThreadPoolExecutor(1, "embedder")
        self._wanted: list[str] = []
        self._vectors: dict[str, NDArray[np.float32]] = {}
        self._seconds: dict[str, float] = {}

    @property
    def digest(self) -> str:
        """Content hash of what decides its vectors."""
        return digest(["embedder", self.name])

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of shape (len(texts), dimensions), each of length 1."""
        self._wanted.extend(texts)  # threads that wait for a batch are all served by the next one
        with self._lock:
            wanted, self._wanted = self._wanted, []
            new = list(dict.fromkeys(t for t in (*texts, *wanted) if t not in self._vectors))
            if new:
                if self._model is None:
                    self._model = _sentence_transformer(self._path)
                started = time.perf_counter()
                made = self._thread.submit(self._encode, new).result()
                share = (time.perf_counter() - started) / len(new)
                self._seconds.update(dict.fromkeys(new, share))
                self._vectors.update(zip(new, made, strict=True))
            if not texts:
                return np.zeros((0, 0), dtype=np.float32)
            return np.stack([self._vectors[t] for t in texts])

    def _encode(self, texts: list[str]) -> NDArray[np.float32]:
        made = self._model.encode(texts, batch_size=self._batch, normalize_embeddings=True, show_progress_bar=False)
        return np.asarray(made, dtype=np.float32)

    def seconds(self, texts: Sequence[str]) -> float:
        """What embedding these texts took, whoever asked for it first: an arm pays for it though another needed it too.

        Raises:
            KeyError: a text was not embedded yet.
        """
        with self._lock:
            return sum(self._seconds[t] for t in dict.fromkeys(texts))


def _sentence_transformer(path: Path) -> Any:
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    import transformers
    from sentence_transformers import SentenceTransformer

    transformers.logging.disable_progress_bar()  # a run draws its own
    return SentenceTransformer(str(path), device=None, local_files_only=True)


def chunks(document: Document) -> list[Passage]:
    """A document cut at word boundaries into chunks of at most 120 words, overlapping by a sixth."""
    words = document.text.split()
    if len(words) <= CHUNK_WORDS:
        return [Passage(document.id, document.title, document.text)]
    starts = range(0, max(len(words) - CHUNK_WORDS // 6, 1), CHUNK_STEP)
    return [
        Passage(document.id if n == 0 else f"{document.id}#{n}", document.title, " ".join(words[s : s + CHUNK_WORDS]))
        for n, s in enumerate(starts)
    ]


class Index:
    """A chromadb collection over document chunks, kept in a directory under its content's digest."""

    def __init__(self, documents: Sequence[Document], embedder: Embedder, folder: Path) -> None:
        self._embedder = embedder
        self._passages = {p.id: p for d in documents for p in chunks(d)}
        self.digest = digest([embedder.digest, [(p.id, p.title, p.text) for p in self._passages.values()]])
        self._folder = folder / self.digest
        self._collection: Any = None
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._passages)

    def search(self, text: str, top_k: int) -> list[Passage]:
        """The `top_k` passages with the highest cosine similarity, best first; ties by id, so that order is fixed."""
        return self.search_all([text], top_k)[0]

    def search_all(self, texts: Sequence[str], top_k: int) -> list[list[Passage]]:
        """The same for many texts, whose vectors are made in one batch: several times as fast as one by one."""
        if not texts:
            return []
        vectors = self._embedder.embed(texts)
        with self._lock:
            if self._collection is None:
                self._collection = self._open()
            found = self._nearest(vectors, top_k)
        return [
            [
                Passage(p.id, p.title, p.text, similarity=1.0 - float(distance))
                for distance, id in sorted(zip(distances, ids, strict=True))
                for p in (self._passages[id],)
            ]
            for distances, ids in zip(found["distances"], found["ids"], strict=True)
        ]

    def _nearest(self, vectors: NDArray[np.float32], top_k: int) -> Any:
        """chromadb's own answer; an index that is damaged is made again, once."""
        import chromadb.errors

        few = min(top_k, len(self._passages))
        try:
            return self._collection.query(query_embeddings=vectors, n_results=few)
        except chromadb.errors.ChromaError:
            self._collection = self._anew()
            return self._collection.query(query_embeddings=vectors, n_results=few)

    def _open(self) -> Any:
        """The collection, made where it is not there yet or damaged.

        chromadb reads its vector files as they are, and a damaged one ends the process: they are compared before.
        """
        import chromadb.errors

        mark = self._folder / "whole.json"
        with locked(self._folder.with_name(f"{self.digest}.lock")):  # another run may be making it
            if mark.exists() and mark.read_bytes() != self._sums():
                return self._anew()
            try:
                return self._filled()
            except chromadb.errors.ChromaError:
                return self._anew()

    def _anew(self) -> Any:
        import chromadb.errors
        from chromadb.api.shared_system_client import SharedSystemClient

        SharedSystemClient.clear_system_cache()  # else it goes on with the files that were there
        shutil.rmtree(self._folder, ignore_errors=True)
        try:
            return self._filled()
        except chromadb.errors.ChromaError as error:  # it is not the index, but the disk
            raise unwritable(self._folder, OSError(str(error))) from error

    def _filled(self) -> Any:
        import chromadb
        from chromadb.config import Settings

        self._folder.mkdir(parents=True, exist_ok=True)
        client = chromadb.PersistentClient(str(self._folder), settings=Settings(anonymized_telemetry=False))
        # Exact up to thousands of chunks: the search list of HNSW is as long as it may be.
        collection = client.get_or_create_collection(
            "passages",
            embedding_function=None,
            configuration={"hnsw": {"space": "cosine", "ef_search": 200, "ef_construction": 200, "num_threads": 1}},
        )
        if collection.count() != len(self._passages):
            ids = list(self._passages)
            vectors = self._embedder.embed([f"{p.title}: {p.text}" for p in self._passages.values()])
            for start in range(0, len(ids), 1000):
                collection.upsert(ids=ids[start : start + 1000], embeddings=vectors[start : start + 1000])
            write_whole(self._folder / "whole.json", self._sums())
        return collection

    def _sums(self) -> bytes:
        """SHA-256 of each file of vectors, by its name."""
        files = sorted(self._folder.glob("*/*"))
        sums = {f"{f.relative_to(self._folder)}": hashlib.sha256(f.read_bytes()).hexdigest() for f in files}
        return json.dumps(sums, indent=1).encode()


class Retrieve:
    """`top_k` passages of an index, for one arm."""

    def __init__(self, index: Index, top_k: int) -> None:
        self._index = index
        self._top_k = top_k

    def search(self, text: str) -> list[Passage]:
        """The passages for one input, best first."""
        return self._index.search(text, self._top_k)

    def search_all(self, texts: Sequence[str]) -> list[list[Passage]]:
        """The same for many inputs at once."""
        return self._index.search_all(texts, self._top_k)
