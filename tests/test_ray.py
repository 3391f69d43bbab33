"""Runs on a real Ray cluster of several nodes on this machine: the same scores, nothing lost, no key told."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import reading
from harness.errors import HarnessError
from harness.ray_engine import RayEngine, _reach
from harness.records import SeedRuns
from tests import gated
from tests.servers import KEY, ChatServer
from tests.test_hosted_run import at_gateway
from tests.test_local import make
from tests.test_pipeline import edit
from tests.tuning_server import Thread

ENVIRONMENT = os.environ | {
    "PYTHONPATH": str(Path(__file__).parent.parent),
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # Ray's word for: loopback alone
}
CONCURRENCY = 4
# Each call is written down where the script lies, before it is answered, so that a test sees what was asked twice.
NOTED = """
import os, pathlib, time
def noted(request, who):
    with open(pathlib.Path(__file__).parent / "calls.log", "a") as log:
        log.write(f"{os.getpid()} {who} {request.messages!r}\\n")
    time.sleep(0.15)
"""


def run(project: Path, *options: str, expect: int = 0, **environment: str) -> str:
    """The command as a process; what it said on stderr."""
    command = [sys.executable, "-m", "harness.cli", "run", "bench.yaml", *options]
    done = subprocess.run(
        command, cwd=project, env=ENVIRONMENT | environment, capture_output=True, text=True, check=False, timeout=400
    )
    assert done.returncode == expect, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def calls(project: Path) -> list[str]:
    """What was asked, without who was asked."""
    file = project / "calls.log"
    return [line.partition(" ")[2] for line in file.read_text().splitlines()] if file.exists() else []


def outcome(project: Path) -> tuple[bytes, ...]:
    """Scores and verdict byte for byte, and the trials in one order."""
    path = reading.find(project / "bench.yaml").path
    trials = b"\n".join(sorted((path / "trials.jsonl").read_bytes().splitlines()))
    return (path / "scores.jsonl").read_bytes(), (path / "verdict.json").read_bytes(), trials


def test_without_ray_the_extra_is_named(project: Path) -> None:
    code = "import importlib.util as u, sys; f = u.find_spec\n"
    code += "u.find_spec = lambda n, *a: None if n == 'ray' else f(n, *a)\n"
    code += "sys.argv = ['harness', 'run', 'bench.yaml', '--engine', 'ray']\nfrom harness.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=project, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "harness-evals[ray]" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (project / "reports").exists()


def test_an_address_where_nobody_listens_is_told_within_seconds(project: Path) -> None:
    started = time.monotonic()
    said = run(project, "--engine", "ray", "--address", "127.0.0.1:1", expect=2)
    assert "127.0.0.1:1" in said
    assert "no Ray cluster can be reached there" in said
    assert time.monotonic() - started < 30


def test_what_listens_but_is_not_ray_is_told_within_seconds(tmp_path: Path) -> None:
    with Thread(ChatServer()) as server, pytest.raises(HarnessError, match="what listens there is not Ray"):  # type: ignore[arg-type]
        _reach(f"127.0.0.1:{server.port}")


@pytest.mark.parametrize("address", ["nonsense", "ray://10.0.0.1:10001", "host:port"])
def test_what_is_no_address_is_told_before_anything_is_read(address: str) -> None:
    with pytest.raises(HarnessError, match="HOST:PORT"):
        RayEngine(address)


def test_an_address_wants_its_engine_and_an_engine_is_one_of_two(project: Path) -> None:
    assert "--engine ray" in run(project, "--address", "127.0.0.1:1", expect=2)
    assert "local, ray" in run(project, "--engine", "spark", expect=2)


# On a cluster


class Cluster:
    """A head without processors, so that it can lend nothing, and nodes that come and go."""

    def __init__(self) -> None:
        for name in ("RAY_USAGE_STATS_ENABLED", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"):
            os.environ[name] = "0"
        from ray.cluster_utils import Cluster

        self._cluster: Any = Cluster(initialize_head=True, head_node_args=self._node(0))
        self.address: str = self._cluster.address

    def _node(self, processors: int) -> dict[str, Any]:
        return {
            "num_cpus": processors,
            "object_store_memory": 80_000_000,
            "include_dashboard": False,
            "node_ip_address": "127.0.0.1",
        }

    def add(self, processors: int = 2) -> Any:
        return self._cluster.add_node(**self._node(processors))

    def kill(self, node: Any) -> None:
        self._cluster.remove_node(node, allow_graceful=False)

    @property
    def logs(self) -> Path:
        return Path(self._cluster.head_node.get_session_dir_path())

    def stop(self) -> None:
        logs = self.logs
        self._cluster.shutdown()
        shutil.rmtree(logs, ignore_errors=True)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Two nodes of two processors, for all tests of the module."""
    made = Cluster()
    made.add()
    made.add()
    yield made
    made.stop()


on_a_cluster = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


def slow(test: Any) -> Any:
    for mark in on_a_cluster:
        test = mark(test)
    return test


@pytest.fixture
def noting(project: Path) -> Path:
    """The small project without its rule (whose seconds are measured), each call noted in calls.log."""
    fake = (project / "fake.py").read_text()
    for name in ("answer", "tuned"):
        fake = fake.replace(f"def {name}(request):", f"def {name}(request):\n    noted(request, '{name} ')")
    (project / "fake.py").write_text(fake + NOTED)
    edit(project, '  rule:       {technique: rule, call: "rule.py:extract"}\n', "")
    edit(project, "economics:", f"run: {{max_concurrency: {CONCURRENCY}}}\neconomics:")
    return project


def beside(project: Path, folder: Path) -> Path:
    """The same project, run to its end on this machine."""
    local = Path(shutil.copytree(project, folder / "local", ignore=shutil.ignore_patterns("local")))
    run(local)
    return local


@slow
def test_four_workers_on_two_nodes_give_the_scores_of_one_machine(
    cluster: Cluster, noting: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    local = beside(noting, tmp_path_factory.mktemp("beside"))
    run(noting, "--engine", "ray", "--address", cluster.address)
    assert outcome(noting) == outcome(local)
    assert sorted(calls(noting)) == sorted(calls(local))
    who = {line.split()[0] for line in (noting / "calls.log").read_text().splitlines()}
    assert len(who) == 4
    manifest = reading.find(noting / "bench.yaml").manifest()
    assert manifest is not None
    assert any("4 workers on 2 machines of Ray" in note for note in manifest.notes)
    listening = subprocess.run(["ss", "-ltnpH"], capture_output=True, text=True, check=True).stdout
    ours = [line for line in listening.splitlines() if "ray" in line or "gcs_server" in line]
    assert ours
    assert all(line.split()[3].startswith(("127.0.0.1:", "[::ffff:127.0.0.1]:", "[::1]:")) for line in ours), ours


@slow
def test_a_node_killed_in_the_middle_loses_nothing(
    cluster: Cluster, noting: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    local = beside(noting, tmp_path_factory.mktemp("beside"))
    doomed = cluster.add()
    command = [sys.executable, "-m", "harness.cli", "run", "bench.yaml", "--engine", "ray", "--address"]
    process = subprocess.Popen(
        [*command, cluster.address], cwd=noting, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True
    )
    try:
        until = time.monotonic() + 120
        while len(calls(noting)) < 12 and time.monotonic() < until:
            assert process.poll() is None, process.stderr and process.stderr.read()
            time.sleep(0.01)
    finally:
        cluster.kill(doomed)
    _, said = process.communicate(timeout=180)
    assert process.returncode == 0, said
    assert outcome(noting) == outcome(local)
    assert set(calls(noting)) == set(calls(local))
    assert len(calls(noting)) <= len(calls(local)) + 2 * CONCURRENCY, "what two workers had in flight"
    manifest = reading.find(noting / "bench.yaml").manifest()
    assert manifest is not None
    assert any("were lost" in note for note in manifest.notes)


@slow
def test_a_run_whose_own_process_is_killed_goes_on_where_it_was(
    cluster: Cluster, noting: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    local = beside(noting, tmp_path_factory.mktemp("beside"))
    command = [sys.executable, "-m", "harness.cli", "run", "bench.yaml", "--engine", "ray", "--address"]
    process = subprocess.Popen([*command, cluster.address], cwd=noting, env=ENVIRONMENT, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 120
    while len(calls(noting)) < 14 and time.monotonic() < until:
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    before = b"".join(p.read_bytes() for p in noting.rglob("trials.jsonl"))
    run(noting, "--engine", "ray", "--address", cluster.address)
    after = reading.find(noting / "bench.yaml").trials.read_bytes()
    assert after.startswith(before[: before.rfind(b"\n") + 1])
    assert outcome(noting) == outcome(local)
    assert len(calls(noting)) <= len(calls(local)) + 4 * CONCURRENCY


@slow
def test_the_budget_holds_over_all_workers_and_no_log_has_the_key(cluster: Cluster, tmp_path: Path) -> None:
    """A token of an answer costs a dollar: of 40 answers 25 dollars buy no more than 25."""
    server = ChatServer(answer=lambda call: "red", latency=0.02)
    with Thread(server):  # type: ignore[arg-type]
        at_gateway(tmp_path, server.url, run=", max_usd: 25")
        said = run(tmp_path, "--engine", "ray", "--address", cluster.address, expect=4, GATEWAY_KEY=KEY)
        assert "max_usd $25 is spent" in said
        assert 20 <= len(server.calls) <= 25
        gated.edit(tmp_path / "bench.yaml", "max_usd: 25", "max_usd: 60")
        run(tmp_path, "--engine", "ray", "--address", cluster.address, GATEWAY_KEY=KEY)
        assert len(server.calls) == 40, "what was billed is not asked again"
        assert {c.headers.get("authorization") for c in server.calls} == {f"Bearer {KEY}"}
    for place in (tmp_path / "reports", cluster.logs):
        files = [f for f in place.rglob("*") if f.is_file()]
        assert files
        assert not [f for f in files if KEY.encode() in f.read_bytes()]


WEIGHTS = """\
version: 1
question: Does it learn?
model: {id: ./tiny, engine: transformers}
task: {data: data, input: "Say {{ word }}", target: "{{ said }}"}
arms:
  prompt: {technique: prompt, system: Repeat it.}
  shots:  {technique: few_shot, extends: prompt, k: 1}
metrics: {accuracy: {scorer: exact, primary: true}}
run: {max_tokens: 6, allow_near_duplicates: true}
economics: {local_usd_per_hour: 0.2}
"""
TUNED = "  tuned:  {technique: fine_tune, system: Repeat it., epochs: 1, batch_size: 4, seeds: [1, 2, 3]}\n"


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A benchmark of the tiny model."""
    make(tmp_path / "tiny")
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    (tmp_path / "data").mkdir()
    for split, rows in (("train", range(12)), ("dev", range(20, 24)), ("test", range(30, 40))):
        text = "".join(f'{{"id": "w{i}", "word": "word {i}", "said": "word {i}"}}\n' for i in rows)
        (tmp_path / "data" / f"{split}.jsonl").write_text(text)
    (tmp_path / "bench.yaml").write_text(WEIGHTS)
    return tmp_path


@slow
@pytest.mark.timeout(600)
def test_weights_on_workers_say_what_they_say_here(
    cluster: Cluster, weights: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    local = beside(weights, tmp_path_factory.mktemp("beside"))
    run(weights, "--engine", "ray", "--address", cluster.address)
    ours, theirs = (reading.find(p / "bench.yaml") for p in (weights, local))
    said = [{t.key: (t.completion or t.failure).text for t in d.read_trials()} for d in (ours, theirs)]  # type: ignore[union-attr]
    assert said[0] == said[1]
    assert len(said[0]) == 20
    assert len(set(said[0].values())) > 2
    assert ours.scores.read_bytes() == theirs.scores.read_bytes()
    manifest = ours.manifest()
    assert manifest is not None
    assert any("2 workers on 2 machines of Ray" in note for note in manifest.notes), "one a machine"


@slow
@pytest.mark.timeout(600)
def test_training_seeds_are_trained_side_by_side_on_workers(cluster: Cluster, weights: Path) -> None:
    edit(weights, "metrics:", TUNED + "metrics:")
    run(weights, "--engine", "ray", "--address", cluster.address)
    runs = reading.find(weights / "bench.yaml").load("seeds/tuned.json", SeedRuns)
    assert runs is not None
    assert [r.seed for r in runs.runs] == [2, 3]
    times: dict[int, tuple[float, float]] = {}
    for done in (weights / ".harness" / "tuned").glob("*/done.json"):
        plan = json.loads((done.parent / "plan.json").read_text())
        times[plan["seed"]] = ((done.parent / "plan.json").stat().st_mtime, done.stat().st_mtime)
    assert set(times) == {1, 2, 3}
    assert max(times[2][0], times[3][0]) < min(times[2][1], times[3][1])
    assert times[1][1] < min(times[2][0], times[3][0]), "the arm's own was there before"


@slow
def test_ctrl_c_on_a_cluster_of_ones_own_leaves_nothing_behind(noting: Path) -> None:
    before = ray_processes()
    command = [sys.executable, "-m", "harness.cli", "run", "bench.yaml", "--engine", "ray"]
    process = subprocess.Popen(command, cwd=noting, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 120
    while process.poll() is None and not calls(noting) and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130, said
    assert "the same command goes on from there" in said
    assert "Traceback" not in said
    until = time.monotonic() + 15
    while ray_processes() - before and time.monotonic() < until:
        time.sleep(0.2)
    assert not ray_processes() - before


def ray_processes() -> set[int]:
    """The ids of Ray's own processes; a worker ends with them."""
    found: set[int] = set()
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            text = (place / "cmdline").read_bytes()
            if b"/ray/core/src/" in text:
                found.add(int(place.name))
    return found
