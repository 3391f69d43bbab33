"""The rules are honest floors: they read messy rows, break on none, and score what a floor should on dev."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.answer import Answer
from harness.scorers.facts import facts
from harness.scorers.structured import f1
from harness.scorers.text import holds
from harness.techniques.rule import load

RECIPES = Path(__file__).parents[1] / "datasets" / "recipes"
extract = load(RECIPES / "rule.py", "extract")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("1 (14 oz) can diced tomatoes, drained", ["tomato"]),
        ("salt & freshly ground black pepper, to taste", ["salt", "black pepper"]),
        ("juice and zest of 2 limes", ["lime"]),
        ("2 tbsp lemon juice", ["lemon juice"]),
        ("½ cup butter or oleo, softened", ["butter", "oleo"]),
        ("1 tbsp cornflour mixed with 2 tbsp cold water", ["cornflour"]),
        ("1 kg ground beef", ["ground beef"]),
        ("chicken or vegetable stock", ["chicken stock", "vegetable stock"]),
        ("For the topping:", []),
        ("", []),
    ],
)
def test_lines(line: str, expected: list[str]) -> None:
    assert extract({"title": "", "ingredients": line}) == expected


@settings(deadline=None, max_examples=200)
@given(st.text(max_size=80).map(lambda text: text.replace("_", " ")))  # the rule joins words by it inside
def test_any_text_gives_a_list_of_distinct_names(text: str) -> None:
    names = extract({"title": "", "ingredients": text})
    assert all(isinstance(name, str) and name for name in names)
    assert len(names) == len(set(names))


ROUTING = RECIPES.parent / "routing"
route = load(ROUTING / "rule.py", "route")


@pytest.mark.parametrize(
    ("ticket", "queue"),
    [
        ("The wifi is down", "network"),
        ("Category: Network\nI cannot see my quiz in Quill", "learning"),
        ("", "accounts"),
        ("I gave my password and it was a scam", "security"),
        ("PRINTER!!! jammed", "devices"),
    ],
)
def test_tickets(ticket: str, queue: str) -> None:
    assert route({"ticket": ticket}) == queue


def test_the_keywords_are_no_straw_man_and_no_oracle_on_dev() -> None:
    rows = [json.loads(line) for line in (ROUTING / "dev.jsonl").read_text(encoding="utf-8").splitlines()]
    assert 0.6 < sum(route(r) == r["queue"] for r in rows) / len(rows) < 0.8


SUPPORT = RECIPES.parent / "support"


def test_the_search_quotes_the_handbook_and_is_no_straw_man_and_no_oracle_on_dev() -> None:
    search = load(SUPPORT / "rule.py", "search")
    read = {name: (SUPPORT / f"{name}.jsonl").read_text(encoding="utf-8").splitlines() for name in ("documents", "dev")}
    pages = {p["id"]: p["text"] for p in map(json.loads, read["documents"])}
    right = 0
    for row in map(json.loads, read["dev"]):
        found = search({"question": row["question"]})
        (page,) = found["passages"]
        assert found["answer"] == "I don't know" or found["answer"] in pages[page]
        target = row["answer"] if isinstance(row["answer"], str) else " ".join(row["answer"])
        right += holds(facts(found["answer"]), facts(target))
    assert 0.3 < right / len(read["dev"]) < 0.7
    assert search({"question": ""})["answer"] == "I don't know"


def test_it_is_no_straw_man_and_no_oracle_on_dev() -> None:
    answer = Answer("list", singular=True)
    rows = [json.loads(line) for line in (RECIPES / "dev.jsonl").read_text(encoding="utf-8").splitlines()]
    scores = [
        f1(
            answer.items(extract({"title": r["title"], "ingredients": "\n".join(r["ingredients"])})),
            answer.items(r["generic"]),
        )
        for r in rows
    ]
    assert 0.7 < sum(scores) / len(scores) < 0.9
