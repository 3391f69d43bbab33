"""Imports go only downwards, and what is heavy is loaded only where it is used."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest

HARNESS = Path(__file__).parent.parent / "harness"
READING = ("compare", "verdict", "reading", "report", "console", "gates", "baselines")
MAKING = ("runner", "workbench", "estimate", "preflight", "question", "pipeline", "check")
HEAVY = ("torch", "transformers", "chromadb", "ragas", "trl", "pandas", "openvino", "openvino_genai", "openai",
         "sentence_transformers", "scipy.stats", "sklearn", "datasets", "pyarrow", "genai_prices", "ray")  # fmt: skip


def imports(path: Path) -> set[str]:
    """Modules of harness that a file imports when it is imported itself (not under TYPE_CHECKING, not in functions)."""
    found: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("harness"):
            found |= {f"{node.module}.{a.name}" for a in node.names} | {node.module}
    return found


def modules() -> list[Path]:
    return sorted(HARNESS.rglob("*.py"))


def test_there_is_no_import_loop() -> None:
    names = {
        ".".join(("harness", *p.relative_to(HARNESS).with_suffix("").parts)).removesuffix(".__init__"): p
        for p in modules()
    }
    graph = {name: {m for m in imports(path) if m in names and m != name} for name, path in names.items()}
    done: set[str] = set()

    def visit(name: str, above: tuple[str, ...]) -> None:
        assert name not in above, " -> ".join((*above, name))
        if name not in done:
            for other in graph[name]:
                visit(other, (*above, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def test_imports_go_down_the_table_of_the_architecture() -> None:
    text = (HARNESS.parent / "ARCHITECTURE.md").read_text(encoding="utf-8")
    table = text.split("## Layers")[1].split("\n## ")[0]
    rows = [line.split("|")[2] for line in table.splitlines() if line.startswith("|")][2:]
    here = {str(p.relative_to(HARNESS).with_suffix("")).removesuffix("/__init__"): p for p in modules()}
    layer: dict[str, int] = {}
    for i, row in reversed(list(enumerate(rows))):  # `models/base` stands above `models/*`
        for name in re.findall(r"`([\w/*]+)`", row):
            layer |= {m: i for m in here if m == name or fnmatch(m, name) or m == name.removesuffix("/*")}
    assert sorted(set(here) - set(layer)) == ["__init__", "__main__"]
    upwards = [
        f"{name} imports {other}"
        for name, path in here.items()
        for other in (m.removeprefix("harness.").replace(".", "/") for m in imports(path))
        if other in layer and layer.get(name, 99) < layer[other]
    ]
    assert upwards == []


def test_the_architecture_names_what_a_run_writes() -> None:
    text = (HARNESS.parent / "ARCHITECTURE.md").read_text(encoding="utf-8").split("## A run directory")[1]
    named = set(re.findall(r"`(\w+\.\w+)`", text.split("The digest is")[0]))
    run = HARNESS.parent / "reports" / "example" / "recipes"
    assert {n for n in named if not (run / n).exists()} == set()


@pytest.mark.parametrize("part", READING)
def test_reading_never_imports_what_makes_a_run(part: str) -> None:
    files = [p for p in modules() if p.relative_to(HARNESS).parts[0].removesuffix(".py") == part]
    for file in files:
        for module in imports(file):
            assert not module.startswith(tuple(f"harness.{m}" for m in MAKING)), f"{file.name} imports {module}"
            assert not module.startswith("harness.models.") or module.startswith("harness.models.base"), file.name


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["--version"]])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    code = "import sys; sys.argv = ['harness', *sys.argv[1:]]\nfrom harness.cli import main\n"
    code += "try: main()\nexcept SystemExit: pass\n"
    code += f"print([m for m in {HEAVY!r} + ('numpy',) if m in sys.modules], file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    assert done.stderr.strip().splitlines()[-1] == "[]"


def test_reading_a_benchmark_loads_nothing_heavy(project: Path) -> None:
    code = "import sys, pathlib\nfrom harness import specfile\nspecfile.read(pathlib.Path('bench.yaml'))\n"
    code += f"print([m for m in {HEAVY!r} if m in sys.modules])"
    environment = {"PYTHONPATH": str(HARNESS.parent), "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=project, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_a_run_loads_nothing_by_accident(project: Path) -> None:
    """A run that asks no endpoint and no local model: half its time once went into pandas and a Fortran front end."""
    code = "import sys; sys.argv = ['harness', 'run', 'bench.yaml']\nfrom harness.cli import main\n"
    code += "try: main()\nexcept SystemExit as end: print(end.code, file=sys.stderr)\n"
    accident = ("pandas", "numpy.f2py", "openai", "torch", "sklearn", "chromadb", "scipy.stats", "genai_prices")
    code += f"print([m for m in {accident!r} if m in sys.modules], file=sys.stderr)"
    environment = os.environ | {"PYTHONPATH": str(HARNESS.parent)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=project, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stderr.strip().splitlines()[-2:] == ["0", "[]"]
    table = next(project.glob("reports/*/*/tables/answers.parquet"))
    assert table.stat().st_size > 0


def test_scipys_shortcut_leaves_numpy_whole() -> None:
    code = (
        "import harness.special, numpy; assert numpy.f2py.__name__ == 'numpy.f2py'; print(harness.special.ndtri(0.975))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("1.9599")
