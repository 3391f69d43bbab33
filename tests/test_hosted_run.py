"""The shipped hosted benchmarks, cut down, run whole against the loopback service: from YAML to report."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from harness import pipeline, specfile
from harness.tuners import deployments, hosted
from tests import tuning
from tests.tuning_server import Thread, TuningServer

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(("name", "style"), [("openai", "openai"), ("azure", "azure_v1"), ("azure", "azure_classic")])
def test_a_hosted_benchmark_runs_and_leaves_nothing(
    name: str, style: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = TuningServer(style=style, answer='["salt", "flour"]', not_yet=2)
    file = cut_down(name, tmp_path)
    monkeypatch.setattr(hosted, "Pace", lambda: tuning.PACE)
    monkeypatch.setattr(deployments, "Pace", lambda: tuning.PACE)
    with Thread(server):
        tuning.settings(monkeypatch, server)
        result = asyncio.run(pipeline.run_benchmark(specfile.read(file)))
        assert result.fresh
        asked = len(server.requests)
        assert not asyncio.run(pipeline.run_benchmark(specfile.read(file))).fresh
        assert len(server.requests) == asked
    tuned = {c["model"] for c in server.chats if ".ft-" in c["model"] or c["model"].startswith("ft:")}
    assert len(tuned) == 3  # every checkpoint was asked on dev
    assert len(server.created) == 1
    assert not server.deployments
    assert len(server.deleted) == (3 if server.azure else 0)


def cut_down(name: str, folder: Path) -> Path:
    """A shipped benchmark with 12 rows a split, in a project of its own."""
    (folder / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    shutil.copytree(ROOT / "datasets" / "recipes", folder / "datasets" / "recipes")
    shutil.copytree(ROOT / "benchmarks" / "prompts", folder / "benchmarks" / "prompts")
    text = (ROOT / "benchmarks" / f"recipes.{name}.yaml").read_text("utf-8")
    text = text.replace("  answer: {", "  limit: {train: 12, dev: 12, test: 12}\n  answer: {")
    file = folder / "benchmarks" / "cut.yaml"
    file.write_text(text, "utf-8")
    return file
