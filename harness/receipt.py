"""What a run was made with: versions of what decides the numbers, and the machine, by which latencies compare."""

from __future__ import annotations

import contextlib
import os
import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import Any


def versions() -> dict[str, str]:
    """Versions of what decides the numbers."""
    names = ("harness-evals", "openvino-genai", "transformers", "torch", "trl", "peft", "sentence-transformers",
             "chromadb", "ragas", "openai", "genai-prices", "numpy", "scipy")  # fmt: skip
    found: dict[str, str] = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, Any]:
    """The machine, as the manifest keeps it."""
    return {
        "system": platform.platform(),
        "processor": _processor(),
        "processors": _processors(),
        "python": platform.python_version(),
    }


def _processor() -> str:
    """The processor's name, by which latencies of two runs are known to be comparable."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
