"""Vectors are made once and in batches, whoever asks; passages come best first, one text at a time or many."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chromadb.api.shared_system_client import SharedSystemClient

from harness import retrieval
from harness.retrieval import Embedder, Index, Retrieve
from harness.taskset import Document

ANIMALS = ("cat", "dog", "elk", "fox", "gnu", "hen", "owl", "pig")


class Letters:
    """Vectors of letter counts; the first batch waits until it is let go on."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.begun, self.go = threading.Event(), threading.Event()

    def encode(self, texts: list[str], **_: Any) -> Any:
        self.batches.append(list(texts))
        self.begun.set()
        assert self.go.wait(10)
        made = np.array([[1e-3 + t.count(chr(97 + i)) for i in range(26)] for t in texts])
        return made / np.linalg.norm(made, axis=1, keepdims=True)


@pytest.fixture
def letters(monkeypatch: pytest.MonkeyPatch) -> Letters:
    made = Letters()
    monkeypatch.setattr(retrieval, "_sentence_transformer", lambda _: made)
    return made


def test_threads_that_wait_share_a_batch_and_no_text_is_embedded_twice(letters: Letters) -> None:
    embedder = Embedder(Path("nowhere"))
    with ThreadPoolExecutor(9) as pool:
        first = pool.submit(embedder.embed, ["ant"])
        assert letters.begun.wait(10)
        rest = [pool.submit(embedder.embed, [a, "ant"]) for a in ANIMALS]
        while len(embedder._wanted) < 2 * len(ANIMALS):  # all stand in line
            threading.Event().wait(0.01)
        letters.go.set()
        found = [f.result() for f in rest]
    assert letters.batches[0] == ["ant"]
    assert sorted(letters.batches[1]) == list(ANIMALS)
    assert len(letters.batches) == 2
    for animal, vectors in zip(ANIMALS, found, strict=True):
        assert vectors[1].tolist() == first.result()[0].tolist()
        assert np.argmax(vectors[0] @ embedder.embed(list(ANIMALS)).T) == ANIMALS.index(animal)


def test_many_texts_find_what_each_would_find_alone(letters: Letters, tmp_path: Path) -> None:
    letters.go.set()
    documents = [Document(id=a, title=a, text=f"{a} {a}") for a in ANIMALS]
    index = Index(documents, Embedder(Path("nowhere")), tmp_path)
    retrieve = Retrieve(index, 3)
    found = retrieve.search_all([f"my {a}" for a in ANIMALS])
    assert [passages[0].id for passages in found] == list(ANIMALS)
    for animal, passages in zip(ANIMALS, found, strict=True):
        assert passages == retrieve.search(f"my {animal}")
        assert [p.similarity for p in passages] == sorted((p.similarity for p in passages), reverse=True)
    assert retrieve.search_all([]) == []
    assert len(index.search("cat", 99)) == len(ANIMALS)


@pytest.mark.parametrize("name", ["chroma.sqlite3", "data_level0.bin", "header.bin", "whole.json"])
@pytest.mark.parametrize("keep", [0.0, 0.5])
def test_a_damaged_index_is_made_again(letters: Letters, tmp_path: Path, name: str, keep: float) -> None:
    letters.go.set()
    documents = [Document(id=a, title=a, text=f"{a} {a}") for a in ANIMALS]

    def ask() -> list[str]:
        index = Index(documents, Embedder(Path("nowhere")), tmp_path)
        return [passages[0].id for passages in index.search_all([f"my {a}" for a in ANIMALS], 2)]

    assert ask() == list(ANIMALS)
    SharedSystemClient.clear_system_cache()  # as in another process
    (file,) = tmp_path.rglob(name)
    raw = file.read_bytes()
    file.write_bytes(raw[: int(len(raw) * keep)] + b"?" * (len(raw) - int(len(raw) * keep)))
    assert ask() == list(ANIMALS)
