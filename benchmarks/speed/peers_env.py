"""Installs the tools that ours is measured against, pinned, in an environment of their own: `.harness/peers/`.

    python -m benchmarks.speed.peers_env        about two minutes and 0.8 GB; again: nothing is done

pydantic-evals, inspect-ai and deepeval come from pip into a venv; promptfoo from npm, without the scripts of its
packages and without those that are optional, so that neither a browser nor a compiler is fetched (its SQLite driver is
named by hand). promptfoo 0.121 is the last that runs on Node 20; later ones need 22.22. What cannot be had is said and
left out of the table.
"""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
import venv
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / ".harness" / "peers"
PYTHON = ("pydantic-evals==2.62.0", "inspect-ai==0.3.285", "deepeval==4.3.1", "openai[aiohttp]==3.57.0")
MODULES = {"pydantic-evals": "pydantic_evals", "inspect-ai": "inspect_ai", "deepeval": "deepeval"}
ALL = (*MODULES, "promptfoo")
NODE = ("promptfoo@0.121.20",)
DRIVERS = {"x86_64": "@libsql/linux-x64-gnu@0.5.29", "aarch64": "@libsql/linux-arm64-gnu@0.5.29"}


def python() -> Path:
    """The interpreter of the peers' environment."""
    return FOLDER / "venv" / "bin" / "python"


def promptfoo() -> Path:
    """promptfoo's command."""
    return FOLDER / "node_modules" / ".bin" / "promptfoo"


def installed() -> list[str]:
    """The peers that can be run."""
    packages = FOLDER / "venv" / "lib"
    found = [name for name, module in MODULES.items() if any(packages.glob(f"*/site-packages/{module}"))]
    return [*found, *(["promptfoo"] if promptfoo().exists() else [])]


def main() -> int:
    """Install what is missing; exit code 1 when one could not be had."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    if not set(MODULES) <= set(installed()):
        venv.create(FOLDER / "venv", with_pip=True)
        subprocess.run([python(), "-m", "pip", "install", "--quiet", *PYTHON], check=False)
    if "promptfoo" not in installed() and (npm := shutil.which("npm")):
        (FOLDER / "package.json").write_text('{"private": true}\n')
        packages = [*NODE, *([DRIVERS[platform.machine()]] if platform.machine() in DRIVERS else [])]
        subprocess.run(
            [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--omit=optional", *packages],
            cwd=FOLDER,
            check=False,
        )
    lacking = set(ALL) - set(installed())
    print("installed:", ", ".join(installed()) or "none")
    for name in sorted(lacking):
        print(f"could not be had: {name}")
    return int(bool(lacking))


if __name__ == "__main__":
    sys.exit(main())
