"""The simulations that the README and docs/gates.md quote, in their short form: every promise kept."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parents[1] / "benchmarks" / "calibration"


@pytest.mark.slow
@pytest.mark.parametrize("script", ["run.py", "gates.py"])
def test_no_promise_is_broken(script: str):
    done = subprocess.run([sys.executable, str(HERE / script), "--quick"], capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Every promise is kept." in done.stdout
