"""The simulation that the README quotes, in its short form: every promise kept."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).resolve().parents[1] / "benchmarks" / "calibration" / "run.py"


@pytest.mark.slow
def test_no_promise_is_broken():
    done = subprocess.run([sys.executable, str(RUN), "--quick"], capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Every promise is kept." in done.stdout
