"""The floor without a model: a search of the handbook that hands over the sentence most like the question."""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

LEAST = 0.35  # likeness below which the handbook is taken not to say it; set on the train rows


@cache
def handbook() -> tuple[list[tuple[str, str]], Any, Any]:
    """Every sentence with its page's id, what turns a text into word weights, and each sentence's weights."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    said: list[tuple[str, str]] = []
    seen: list[str] = []
    for line in Path(__file__).with_name("documents.jsonl").read_text(encoding="utf-8").splitlines():
        page = json.loads(line)
        for sentence in re.split(r"(?<=[.!?]) (?=[A-Z'£])", page["text"]):
            said.append((page["id"], sentence))
            seen.append(f"{page['title']}: {sentence}")
    weigh = TfidfVectorizer(sublinear_tf=True, stop_words="english")
    return said, weigh, weigh.fit_transform(seen)


def search(input: dict[str, str]) -> dict[str, object]:
    """The sentence whose words are most like the question's, and its page; where none is like it, that nobody knows."""
    said, weigh, known = handbook()
    likeness = (known @ weigh.transform([input["question"]]).T).toarray()[:, 0]
    best = int(likeness.argmax())
    page, sentence = said[best]
    return {"answer": sentence if likeness[best] >= LEAST else "I don't know", "passages": [page]}
