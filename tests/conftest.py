"""Shared by all tests: no network but loopback, and a small project that the scripted model can run."""

from __future__ import annotations

import ipaddress
import json
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.chromium import Browser, executable, lacking

# The same examples here and in CI, and no deadline on a busy machine; `--hypothesis-profile=default` draws by chance.
settings.load_profile("ci")

# A shell's `pytest &` ignores Ctrl-C, and so would every command that a test starts.
signal.signal(signal.SIGINT, signal.default_int_handler)

_connect = socket.socket.connect


def _loopback(address: object) -> bool:
    if not isinstance(address, tuple):
        return True  # a Unix socket
    try:
        return ipaddress.ip_address(str(address[0]).split("%")[0]).is_loopback
    except ValueError:
        return address[0] == "localhost"


@pytest.fixture(autouse=True, scope="session")
def _no_network() -> Iterator[None]:
    """Any connection beyond loopback is a fault of the test."""

    def connect(self: socket.socket, address: object) -> None:
        if not _loopback(address):
            raise AssertionError(f"a test tried to reach {address!r}")
        _connect(self, address)  # type: ignore[arg-type]

    socket.socket.connect = connect  # type: ignore[method-assign, assignment]
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    yield
    socket.socket.connect = _connect  # type: ignore[method-assign]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests marked `weights` need the embedded model: a visible skip without it, an error in CI."""
    marked = [item for item in items if item.get_closest_marker("weights")]
    if not marked:
        return
    from harness.models import weights

    missing = [name for name in ("smollm2-135m-instruct", "all-minilm-l6-v2") if not weights.cached(name)]
    if not missing:
        return
    if os.environ.get("CI"):
        raise pytest.UsageError(f"no weights of {', '.join(missing)}: fetch them first (see .ci/run)")
    reason = f"no weights of {', '.join(missing)}: python -m harness.models.weights {' '.join(missing)}"
    for item in marked:
        item.add_marker(pytest.mark.skip(reason=reason))


ROWS = [
    ("Pancakes", ["2 cups flour", "3 eggs", "1 c. milk"], ["flour", "egg", "milk"]),
    ("Omelette", ["2 eggs, beaten", "a knob of butter", "salt to taste"], ["egg", "butter", "salt"]),
    ("Tomato salad", ["4 ripe tomatoes", "olive oil", "1 red onion"], ["tomato", "olive oil", "onion"]),
    ("Porridge", ["1/2 cup oats", "300 ml water", "pinch of salt"], ["oats", "water", "salt"]),
    ("Guacamole", ["2 avocados", "1 lime", "fresh coriander"], ["avocado", "lime", "coriander"]),
    ("Dal", ["200 g red lentils", "1 tsp cumin", "ghee"], ["red lentil", "cumin", "ghee"]),
    ("Mash", ["1 kg potatoes", "50 g butter", "splash of cream"], ["potato", "butter", "cream"]),
    ("Pesto", ["a bunch of basil", "pine nuts", "parmesan"], ["basil", "pine nut", "parmesan"]),
    ("Toast", ["2 slices bread", "jam"], ["bread", "jam"]),
    ("Lemonade", ["4 lemons", "100 g sugar", "1 l water"], ["lemon", "sugar", "water"]),
    ("Slaw", ["1/2 cabbage", "2 carrots", "mayonnaise"], ["cabbage", "carrot", "mayonnaise"]),
    ("Hummus", ["1 can chickpeas", "2 tbsp tahini", "1 clove garlic"], ["chickpea", "tahini", "garlic"]),
    ("Roast", ["1 chicken", "thyme", "black pepper"], ["chicken", "thyme", "black pepper"]),
    ("Fried rice", ["cooked rice", "2 tbsp soy sauce", "1 egg"], ["rice", "soy sauce", "egg"]),
    ("Soup", ["500 g leeks", "3 potatoes", "chicken stock"], ["leek", "potato", "chicken stock"]),
    ("Crumble", ["6 apples", "oats", "brown sugar"], ["apple", "oats", "brown sugar"]),
    ("Chai", ["2 tsp tea", "milk", "1 cardamom pod"], ["tea", "milk", "cardamom"]),
    ("Tacos", ["corn tortillas", "1 lb pork", "pineapple"], ["corn tortilla", "pork", "pineapple"]),
]

BENCHMARK = """\
version: 1
question: Does it run?
model: scripted/fake.py:answer
task:
  data: data
  input: "Title: {{ title }}\\n\\nIngredients:\\n{{ ingredients }}"
  target: "{{ generic }}"
  answer: {format: list, singular: true}
arms:
  rule:       {technique: rule, call: "rule.py:extract"}
  prompt:     {technique: prompt, system: [Name the ingredients., List them plainly.]}
  few_shot:   {technique: few_shot, extends: prompt, k: [2, 3]}
  tuned:      {technique: fine_tune, tuner: existing, served: "scripted/fake.py:tuned", system: Names.}
metrics:
  accuracy:  {scorer: set_f1, primary: true}
  invented:  {scorer: unsupported_items}
economics: {local_usd_per_hour: 0.2, requests_per_month: 1000}
"""

FAKE = '''\
"""Two scripted models: one copies the last word of each line, one knows more of them."""
import json


def _lines(request):
    return [m for m in request.messages if m.role == "user"][-1].content.splitlines()[3:]


def answer(request):
    if "Slaw" in request.messages[-1].content:
        return '["cabbage", '
    return json.dumps([line.split(",")[0].split()[-1] for line in _lines(request)])


def tuned(request):
    names = [line.split(",")[0].split() for line in _lines(request)]
    return json.dumps([" ".join(n[-2:]) if len(n[-1]) < 6 and len(n) == 2 else n[-1] for n in names])
'''

RULE = """\
def extract(columns):
    return [line.split()[-1] for line in columns["ingredients"].splitlines()]
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with a benchmark of the scripted model: bench.yaml, data, fake.py, rule.py."""
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    (tmp_path / "data").mkdir()
    rows = [
        {"id": f"r{i:02d}", "title": title, "ingredients": lines, "generic": names}
        for i, (title, lines, names) in enumerate(ROWS)
    ]
    for split, part in (("train", rows[:6]), ("dev", rows[6:10]), ("test", rows[10:])):
        text = "".join(json.dumps(row) + "\n" for row in part)
        (tmp_path / "data" / f"{split}.jsonl").write_text(text, encoding="utf-8")
    (tmp_path / "bench.yaml").write_text(BENCHMARK)
    (tmp_path / "fake.py").write_text(FAKE)
    (tmp_path / "rule.py").write_text(RULE)
    return tmp_path


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One headless Chromium for all tests of pages."""
    if executable() is None:
        lacking("chromium")
    made = Browser()
    yield made
    made.close()
