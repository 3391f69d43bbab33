"""Planted leaks are found and honest rows are left alone."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Callable

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.hygiene import Finding, find_leaks, flagged_test_ids, key, similar
from harness.lines import Lines
from harness.taskset import Document, Example, SplitName, TaskSet

FOODS = (
    """egg;plain flour;caster sugar;butter;olive oil;soy sauce;garlic;brown onion;carrot;celery;chicken thigh;beef mince
basmati rice;red lentil;coconut milk;fish sauce;lime;ginger;turmeric;cumin seed;smoked paprika;tinned tomato;parmesan
double cream;cream cheese;dark chocolate;vanilla extract;baking powder;oats;honey;walnut;raisin;cinnamon;nutmeg;salmon
prawn;spring onion;sesame oil;rice vinegar;tofu;shiitake mushroom;spinach;kale;potato;sweet potato;aubergine;courgette
red pepper;feta;yoghurt;mint;coriander;parsley;dill;lemon;white wine;stock cube;bay leaf;thyme;rosemary;chickpea
black bean;tortilla;cheddar;avocado;lettuce;cucumber;mayonnaise;mustard;ham;bacon;sausage;puff pastry;apple;pear
rhubarb;strawberry;blueberry;banana;maple syrup;golden syrup;treacle;milk;buttermilk;yeast;strong bread flour;salt
black pepper;chilli flakes;gochujang;miso paste;noodles;pasta;pesto;anchovy;caper;black olive;lamb shoulder;duck leg
""".replace("\n", ";")
    .strip(";")
    .split(";")
)
AMOUNTS = [
    "2 cups",
    "1 tbsp",
    "250 g",
    "a pinch of",
    "1/2 tsp",
    "3 large",
    "one 400g tin",
    "a handful of",
    "500 ml",
    "some",
]
ENDS = [
    "",
    "",
    ", chopped",
    ", to taste",
    " (the good kind)",
    ", finely diced",
    " plus extra to serve",
    ", at room temp",
]
DISHES = ["stew", "cake", "curry", "salad", "pie", "soup", "bake", "stir-fry", "loaf", "traybake"]


def lines(rng: random.Random, n: int = 8) -> list[str]:
    return [f"{rng.choice(AMOUNTS)} {food}{rng.choice(ENDS)}" for food in rng.sample(FOODS, n)]


def row(id: str, text: list[str], split: SplitName = "test", title: str = "") -> Example:
    return Example(id, {"title": title, "ingredients": "\n".join(text)}, ("egg",), split, where=f"{split}.jsonl:{id}")


def tasks(test: list[Example], train: list[Example] | None = None, dev: list[Example] | None = None) -> TaskSet:
    return TaskSet(tuple(train or ()), tuple(dev or ()), tuple(test), "digest")


def typo(rng: random.Random, text: list[str]) -> list[str]:
    joined = "\n".join(text)
    for _ in range(2):
        at = rng.randrange(len(joined) - 1)
        joined = joined[:at] + joined[at + 1] + joined[at] + joined[at + 2 :]
    return joined.splitlines()


def one_line_new(rng: random.Random, text: list[str]) -> list[str]:
    shortest = min(range(len(text)), key=lambda i: len(text[i]))
    return [*text[:shortest], "1 egg", *text[shortest + 1 :]]


EDITS: dict[str, Callable[[random.Random, list[str]], list[str]]] = {
    "as it is": lambda _, text: text,
    "case and punctuation": lambda _, text: [f"• {line.upper()}!" for line in text],
    "full width": lambda _, text: [line.replace(" ", "　") for line in text],
    "typos": typo,
    "one line new": one_line_new,
    "one line added": lambda _, text: [*text, "salt"],
    "shuffled": lambda rng, text: rng.sample(text, len(text)),
}


class TestPlantedLeaks:
    def test_recall_and_precision(self) -> None:
        """350 leaks, each kind of edit in equal parts, among 1,400 rows that share up to half of their lines."""
        rng = random.Random(20)
        train = [lines(rng) for _ in range(1000)]
        test, planted = [], set()
        for n, source in enumerate(rng.sample(range(1000), 350)):
            edit = list(EDITS)[n % len(EDITS)]
            test.append(row(f"leak-{n}", EDITS[edit](rng, train[source]), title=f"{rng.choice(DISHES)}"))
            planted.add((f"leak-{n}", str(source)))
        for n in range(350):  # honest rows: new ones, and ones that share half of their lines with a train row
            text = lines(rng) if n % 2 else [*rng.choice(train)[:4], *lines(rng, 4)]
            test.append(row(f"honest-{n}", text, title=rng.choice(DISHES)))
        found = find_leaks(tasks(test, [row(str(n), text, "train") for n, text in enumerate(train)]))
        errors = {f.ids for f in found if f.severity == "error"}
        recall = len(errors & planted) / len(planted)
        precision = len(errors & planted) / len(errors)
        assert recall >= 0.95
        assert precision >= 0.95
        assert len(flagged_test_ids(found) & {id for id, _ in planted}) / len(planted) >= 0.95
        honest = [f for f in found if f.ids[0].startswith("honest")]
        assert {f.severity for f in honest} <= {"review"}
        assert len({f.ids[0] for f in honest}) / 350 < 0.1, "half the lines shared is seldom half the text"

    @pytest.mark.parametrize("edit", ["as it is", "case and punctuation", "full width"])
    def test_the_same_text_is_a_duplicate_with_both_places(self, edit: str) -> None:
        text = lines(random.Random(1))
        (found,) = find_leaks(tasks([row("a", EDITS[edit](random.Random(2), text))], [row("b", text, "train")]))
        assert (found.kind, found.severity, found.similarity) == ("duplicate", "error", 1.0)
        assert (found.ids, found.where) == (("a", "b"), ("test.jsonl:a", "train.jsonl:b"))

    def test_between_half_and_nearly_is_for_review(self) -> None:
        rng = random.Random(3)
        text = lines(rng, 12)
        changed = [*text[:9], *lines(rng, 3)]
        (found,) = find_leaks(tasks([row("a", changed)], [row("b", text, "train")]))
        assert (found.kind, found.severity) == ("similar", "review")
        assert found.similarity is not None
        assert 0.5 <= found.similarity < 0.7

    def test_dev_pool_and_test_itself_are_looked_at(self) -> None:
        rng = random.Random(4)
        a, b, c, d = (lines(rng) for _ in range(4))
        found = find_leaks(
            tasks([row("1", a), row("2", b), row("3", c), row("4", c), row("5", d)], dev=[row("d", a, "dev")]),
            pool=[row("p", b, "train")],
        )
        assert {f.ids for f in found} == {("1", "d"), ("2", "p"), ("4", "3")}
        assert flagged_test_ids(found) == {"1", "2", "4"}, "of two alike test rows the first stays"

    def test_train_rows_are_read_where_they_lie(self) -> None:
        rng, train = random.Random(5), Lines[Example].spooled(Example)
        for i in range(500):
            train.append(msgspec.structs.replace(row(f"t{i}", lines(rng), "train"), kept={"page": "x" * 200_000}))
        tracemalloc.start()
        try:
            assert find_leaks(TaskSet(train, (), (row("a", lines(rng)),), "digest")) == ()
            assert tracemalloc.get_traced_memory()[1] < 60_000_000, "the rows are 100 MB"
        finally:
            tracemalloc.stop()

    def test_clean_and_empty_sets(self) -> None:
        assert find_leaks(tasks([])) == ()
        assert find_leaks(tasks([row("a", ["egg"])])) == ()
        assert find_leaks(tasks([row("a", ["!?"]), row("b", ["..."])])) == ()

    def test_a_schema_that_many_questions_share_makes_no_two_alike(self) -> None:
        schema = "create table orders (id int, customer text, placed date, total real, paid bool)"
        other = schema.replace("orders", "invoices").replace("customer", "supplier")

        def ask(id: str, question: str, schema: str, split: SplitName) -> Example:
            return Example(id, {"schema": schema, "question": question}, "select", split)

        train = [
            ask(f"t{n}", q, schema, "train") for n, q in enumerate(["How many orders are paid?", "List customers."])
        ]
        test = [
            ask("new", "What is the highest total of one day?", schema, "test"),
            ask("leak", "how many orders are PAID", schema, "test"),
            ask("elsewhere", "How many orders are paid?", other, "test"),
        ]
        found = find_leaks(tasks(test, train))
        assert [(f.kind, f.ids) for f in found] == [("duplicate", ("leak", "t0"))]

    def test_a_boilerplate_that_all_share_gives_no_flood_and_hides_no_leak(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """400 rows behind one long prompt, nearly all pairs alike: every row is flagged, its gravest pair is told."""
        monkeypatch.setattr("harness.hygiene.FLOOD", 500)
        rng = random.Random(8)
        prompt = [" ".join(lines(rng, 6))]
        train = [row(f"t{n}", [*prompt, *lines(rng, 4)], "train") for n in range(200)]
        test = [row(f"e{n}", [*prompt, *lines(rng, 4)]) for n in range(200)]
        copy, close = list(train[190].input["ingredients"].splitlines()), train[180].input["ingredients"].splitlines()
        test += [row("copy", copy), row("close", one_line_new(rng, close))]
        found = find_leaks(tasks(test, train))
        assert len(found) < 500 + 202 * 2 * 8
        assert flagged_test_ids(found) == {e.id for e in test}
        assert ("duplicate", ("copy", "t190")) in {(f.kind, f.ids) for f in found}
        monkeypatch.setattr("harness.hygiene.FLOOD", 10**9)
        every = find_leaks(tasks(test, train))
        assert len(every) > 20_000
        assert set(found) <= set(every)

        def gravest(findings: tuple[Finding, ...]) -> dict[str, str]:
            grave = ("similar", "near_duplicate", "duplicate")
            return {f.ids[0]: f.kind for f in sorted(findings, key=lambda f: grave.index(f.kind))}

        assert gravest(found) == gravest(every)

    def test_the_key_decides_where_the_task_has_one(self) -> None:
        def ask(id: str, question: str, schema: str, split: SplitName) -> Example:
            return Example(id, {"schema": schema, "question": question}, "select", split, key=question)

        schema = "create table orders (id int, customer text, placed date, total real, paid bool)"
        train = [ask("t0", "How many orders are paid?", schema, "train")]
        test = [
            ask("new", "Which customer has the highest total?", schema, "test"),
            ask("leak", "how many orders are PAID", "create table elsewhere (id int)", "test"),
            ask("near", "So how many orders are paid?", schema, "test"),
        ]
        found = find_leaks(tasks(test, train))
        assert [(f.kind, f.ids) for f in found if f.ids[1] == "t0"] == [
            ("duplicate", ("leak", "t0")), ("near_duplicate", ("near", "t0"))
        ]  # fmt: skip
        held = Document("d", "FAQ", "How many orders are paid? That is: select.")
        assert [f.ids[0] for f in find_leaks(tasks(test[1:2]), [held])] == ["leak"]


class TestDocuments:
    INPUT = ("2 cups rolled oats", "1 ripe banana, mashed", "a handful of walnuts", "pinch of salt")
    TEST = Example("t", {"ingredients": "\n".join(INPUT)}, ("oats", "banana", "walnut", "salt"), "test")
    FILLER = "Store it cool and dry and away from light and heat. " * 40

    def find(self, *texts: str) -> tuple[Finding, ...]:
        return find_leaks(tasks([self.TEST]), [Document(f"d{n}", "Pantry", text) for n, text in enumerate(texts)])

    def test_a_document_with_input_and_target_is_flagged(self) -> None:
        found = self.find("Oats are a cereal.", f"Breakfast: {'; '.join(self.INPUT)}. So: oats, banana, walnut, salt.")
        assert [(f.kind, f.severity, f.ids) for f in found] == [("in_document", "review", ("t", "d1"))]
        assert flagged_test_ids(found) == {"t"}

    @pytest.mark.parametrize("words", [95, 100, 105, 110, 115, 190])
    def test_a_row_across_the_cut_of_two_chunks_is_found(self, words: int) -> None:
        filler = " ".join(self.FILLER.split()[:words])
        (found,) = self.find(f"{filler} {' '.join(self.INPUT)} {self.FILLER}")
        assert found.ids[0] == "t"
        assert found.ids[1].startswith("d0")

    @pytest.mark.parametrize("before", [0, 95, 150, 400])
    def test_a_row_longer_than_chunks_is_found(self, before: int) -> None:
        words = [f"word{n * n}" for n in range(1000)]
        page = Example("long", {"page": " ".join(words[:900])}, "a quiet year", "test")
        near = " ".join([*self.FILLER.split()[:before], *words[:900], "Answer: a quiet year.", self.FILLER])
        assert find_leaks(tasks([page]), [Document("d", "Archive", near)])[0].ids[0] == "long"
        assert find_leaks(tasks([page]), [Document("d", "Archive", " ".join(words[:400]) + " a quiet year")]) == ()

    def test_a_target_far_from_a_short_row_is_no_leak(self) -> None:
        longer = Example("long", {"page": " ".join(f"word{n}" for n in range(900))}, "a quiet year", "test")
        asked = Example("q", {"question": "Which of the two bridges over the river is older?"}, "the stone one", "test")
        page = f"Which of the two bridges over the river is older? {self.FILLER} The stone one is closed."
        assert find_leaks(tasks([longer, asked]), [Document("d", "FAQ", page)]) == ()

    def test_facts_are_no_leak(self) -> None:
        question = Example("q", {"question": "What is the capital of France?"}, "Paris", "test")
        facts = [Document("d", "France", "Paris is the capital of France. Lyon is not.")]
        assert find_leaks(tasks([question]), facts) == ()
        assert self.find("Oats: a cereal. Banana: a fruit. Walnut: a nut. Salt: a mineral.") == ()

    def test_an_input_without_its_target_is_no_leak(self) -> None:
        asked = Example("q", {"question": "Which of the two bridges over the river is older?"}, "the stone one", "test")
        page = "Visitors ask: which of the two bridges over the river is older? Nobody knows."
        assert find_leaks(tasks([asked]), [Document("d", "FAQ", page)]) == ()
        leak = [Document("d", "FAQ", f"{page} It is the Stone One.")]
        assert [f.kind for f in find_leaks(tasks([asked]), leak)] == ["in_document"]


class TestMeaning:
    class Embedder:
        digest = "two"

        def embed(self, texts: list[str]) -> np.ndarray:
            return np.asarray([[1.0, 0.0] if "aubergine" in t or "eggplant" in t else [0.0, 1.0] for t in texts])

    def test_is_for_review_only_and_never_twice(self) -> None:
        train = [row("a", ["1 aubergine, sliced"], "train"), row("b", ["200 g pork"], "train")]
        test = [row("c", ["one big eggplant"]), row("d", ["1 Aubergine; sliced"])]
        found = find_leaks(tasks(test, train), embedder=self.Embedder())  # type: ignore[arg-type]
        assert [(f.kind, f.severity, f.ids) for f in found] == [
            ("duplicate", "error", ("d", "a")),
            ("same_meaning", "review", ("c", "a")),
            ("same_meaning", "review", ("d", "c")),
        ]
        assert flagged_test_ids(found) == {"d"}


class TestKey:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("  ½ CUP Crème-fraîche!! ", "1 2 cup crème fraîche"),
            ("Straße", "strasse"),
            ("a_b", "a b"),
            ("कि", "कि"),
            ("ＡＢ１", "ab1"),
            ("ze\u200bro wi\u00addth\u2060", "zero width"),
            ("l\u043e\u043ek \u0430like, \u0395very \u03bfne", "look alike every one"),
            ("\u043c\u043e\u0440\u0435 \u043d\u043e", "\u043c\u043e\u0440\u0435 \u043d\u043e"),
            ("?!", "?!"),
            (" ", ""),
        ],
    )
    def test_by_hand(self, text: str, expected: str) -> None:
        assert key(text) == expected

    @given(st.text(max_size=40))
    def test_case_and_spaces_do_not_count(self, text: str) -> None:
        assert key(f"  {text}\n") == key(text)
        assert key(key(text)) == key(text) or not any(c.isalnum() for c in key(text))


def grams(text: str) -> set[str]:
    return {text[i : i + 5] for i in range(max(len(text) - 4, 1))}


class TestSimilar:
    texts = st.lists(st.text("ab ", min_size=1, max_size=14), max_size=6)

    @settings(deadline=None)
    @given(texts, texts, st.sampled_from([0.3, 0.5, 0.7, 1.0]))
    def test_is_the_exact_jaccard_index(self, left: list[str], right: list[str], floor: float) -> None:
        expected = {
            (i, j): len(grams(a) & grams(b)) / len(grams(a) | grams(b))
            for i, a in enumerate(left)
            for j, b in enumerate(right)
        }
        got = {(i, j): value for i, j, value in similar(left, right, floor)}
        assert got == {pair: pytest.approx(value) for pair, value in expected.items() if value >= floor}

    def test_block_by_block_is_the_same(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rng = random.Random(5)
        texts = [" ".join(lines(rng)) for _ in range(40)]
        whole = sorted(similar(texts, texts, 0.1))
        for name, value in (("_PAIRS", 100), ("BLOCK", 7), ("BLOCK_GRAMS", 900), ("_LOOKED", 5), ("_CHUNK", 3)):
            monkeypatch.setattr(f"harness.overlap.{name}", value)
        assert sorted(similar(texts, texts, 0.1)) == whole

    def test_memory_is_bounded_by_the_block(self) -> None:
        import tracemalloc

        rng = random.Random(6)
        few, many = ([" ".join(lines(rng)) for _ in range(n)] for n in (300, 3000))
        tracemalloc.start()
        try:
            assert sum(1 for _ in similar(few, many, 0.9)) < 10
            assert tracemalloc.get_traced_memory()[1] < 300e6
        finally:
            tracemalloc.stop()


# Put together here so that no scanner of this repository takes them for real.
