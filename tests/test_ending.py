"""Ctrl-C ends a command within two seconds whatever it is busy with, and cuts off no clean-up at a provider."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SLACK = 2.0  # for a loaded machine
ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)}


def interrupted(command: list[str], folder: Path) -> tuple[int, float, str]:
    """The exit code, the seconds from Ctrl-C to the end, and what was said; Ctrl-C comes once `busy` is there."""
    process = subprocess.Popen(command, cwd=folder, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not (folder / "busy").exists():
        time.sleep(0.01)
    started = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=50)
    return process.returncode, time.monotonic() - started, said


@pytest.mark.parametrize(
    "busy",
    [
        pytest.param("def extract(columns):\n    work()\n", id="a user's function in a thread"),
        pytest.param("def extract(columns):\n    return []\n\n\nwork()\n", id="the loop itself"),
    ],
)
def test_a_run_that_is_busy_ends_all_the_same(busy: str, project: Path) -> None:
    head = "import time\nfrom pathlib import Path\n\n\ndef work():\n    Path('busy').touch()\n    time.sleep(40)\n\n\n"
    (project / "rule.py").write_text(head + busy)
    code, seconds, said = interrupted([sys.executable, "-m", "harness", "run", "bench.yaml"], project)
    assert code == 130
    assert seconds < 2 + SLACK
    assert "the same command goes on from there" in said
    assert "Traceback" not in said


def test_what_must_not_be_cut_off_is_waited_for(tmp_path: Path) -> None:
    script = """
import asyncio, pathlib, time
from harness import ending

async def work():
    try:
        pathlib.Path("busy").touch()
        await asyncio.sleep(60)
    finally:
        time.sleep(ending.PATIENCE + 1)
        pathlib.Path("deleted").touch()

ending.run(work(), soon=False)
"""
    interrupted([sys.executable, "-c", script], tmp_path)
    assert (tmp_path / "deleted").exists()


def test_ctrl_c_after_the_work_is_done_takes_nothing_back(tmp_path: Path) -> None:
    script = """
import asyncio, contextlib, pathlib, time
from harness import ending

async def work():
    pathlib.Path("busy").touch()
    until = time.monotonic() + 1
    while time.monotonic() < until:
        pass
    with contextlib.suppress(asyncio.CancelledError):  # as the last stage of a run does
        await asyncio.sleep(0)
    return "done"

assert ending.run(work()) == "done"
time.sleep(ending.PATIENCE)
pathlib.Path("printed").touch()
"""
    code, _, said = interrupted([sys.executable, "-c", script], tmp_path)
    assert (code, said) == (0, "")
    assert (tmp_path / "printed").exists()
