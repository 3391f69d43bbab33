"""AutoTrain's own virtual environment: it pins a pydantic and a transformers that this project cannot live with.

    python -m harness.tuners.autotrain_env     build it (3 GB, some minutes) and print where it is

It stands in the user's cache, or where `HARNESS_AUTOTRAIN_VENV` says.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import venv
from importlib.resources import files
from pathlib import Path

from harness.errors import Problem, TuneError

SETTING = "HARNESS_AUTOTRAIN_VENV"
READY = "harness-ready"
BUILD = "python -m harness.tuners.autotrain_env"
REQUIREMENTS = ("autotrain-advanced==0.8.36", "torch==2.13.0")
UNWANTED = ("timm", "torchvision")
"""They come along for vision tasks and do not import beside this torch; AutoTrain's text tasks do not need them."""
KEPT = ("PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "SYSTEMROOT", "CUDA_VISIBLE_DEVICES", "LD_LIBRARY_PATH", "HF_HOME")
"""What AutoTrain sees of our environment; no key is among it."""


def home() -> Path:
    """Where the environment is, or would be."""
    given = os.environ.get(SETTING, "").strip()
    if given:
        return Path(given).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("harness") / "autotrain-venv"


def missing() -> str:
    """Why AutoTrain cannot be run, or empty. Cheap: the build writes its mark last."""
    mark = home() / READY
    if not mark.exists():
        return f"AutoTrain is not installed in {home()}: `{BUILD}` does it (3 GB, some minutes)"
    if mark.read_text("utf-8") != digest():
        return f"AutoTrain in {home()} was installed for another version of this package: `{BUILD}` mends it"
    return ""


def environment(threads: int) -> dict[str, str]:
    """The environment that AutoTrain runs with: its programs first, no network, threads that wait asleep."""
    own = {name: os.environ[name] for name in KEPT if name in os.environ}
    return {
        **own,
        "PATH": os.pathsep.join([str(_bin()), own.get("PATH", "")]),  # it calls `accelerate` by name
        "VIRTUAL_ENV": str(home()),
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "OMP_WAIT_POLICY": "PASSIVE",
        "OMP_NUM_THREADS": str(threads),
        "PYTHONNOUSERSITE": "1",
        "PYTHONUNBUFFERED": "1",
        "PAUSE_ON_FAILURE": "0",
        "ALLOW_REMOTE_CODE": "false",
    }


def program() -> Path:
    """The `autotrain` command."""
    return _bin() / "autotrain"


def build() -> Path:
    """Make the environment, or mend it. Raises `TuneError` with what pip said last."""
    folder = home()
    (folder / READY).unlink(missing_ok=True)
    if not (_bin() / "python").exists():
        venv.create(folder, with_pip=True)
    pip = [str(_bin() / "python"), "-m", "pip", "--disable-pip-version-check"]
    _run([*pip, "install", "-c", str(files("harness.tuners").joinpath("autotrain.txt")), *REQUIREMENTS])
    _run([*pip, "uninstall", "--yes", *UNWANTED])
    _run([str(program()), "--version"])
    (folder / READY).write_text(digest(), "utf-8")
    return folder


def _bin() -> Path:
    return home() / ("Scripts" if os.name == "nt" else "bin")


def digest() -> str:
    """What the environment was built from: the mark of a finished build holds it."""
    text = files("harness.tuners").joinpath("autotrain.txt").read_bytes() + repr((REQUIREMENTS, UNWANTED)).encode()
    return hashlib.sha256(text).hexdigest()


def _run(command: list[str]) -> None:
    """Run a step, its output shown as it comes."""
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(command, env=environment, stdout=sys.stderr, check=False)
    if done.returncode:
        what = f"AutoTrain could not be installed: `{' '.join(command[:6])} ...` ended with {done.returncode}"
        raise TuneError(
            Problem(what, where=str(home()), fix="its message stands above; the rest of Harness works without")
        )


def main() -> None:
    """See the module."""
    try:
        print(build())  # noqa: T201
    except TuneError as error:
        print(error, file=sys.stderr)  # noqa: T201
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
