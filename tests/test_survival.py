"""Nothing is lost: kill -9 at random points, full disks, read-only places, torn lines, damaged caches, old versions."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import random
import re
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness import pipeline, reading, specfile
from harness.cache import Cache
from harness.errors import DataError
from harness.finished import FinishedRun
from harness.reading import Result
from harness.store import Log, RunDirectory
from tests.test_pipeline import edit, run

COMMAND = [sys.executable, "-m", "harness.cli", "run", "bench.yaml"]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)}
CONCURRENCY = 4
# Every call is written down before it is answered, so that a test sees what was asked twice.
NOTED = """
import time
def noted(request, who):
    with open("calls.log", "a") as log:
        log.write(who + repr(request.messages) + "\\n")
    time.sleep(0.004)
"""


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


@pytest.fixture
def undisturbed(noting: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same project, run to its end."""
    there = Path(shutil.copytree(noting, tmp_path_factory.mktemp("undisturbed") / "project"))
    finished(there)
    return there


def finished(project: Path) -> None:
    """Run to the end as a process."""
    done = subprocess.run(COMMAND, cwd=project, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def calls(project: Path) -> list[str]:
    file = project / "calls.log"
    return file.read_text().splitlines() if file.exists() else []


def lines(project: Path, name: str) -> bytes:
    """The whole lines of a file of the run, byte for byte."""
    raw = b"".join(p.read_bytes() for p in (project / "reports").rglob(name))
    return raw[: raw.rfind(b"\n") + 1]


def outcome(project: Path) -> dict[str, str]:
    """What a run came to, without the dates and the wall time of the whole run."""
    directory = reading.find(project / "bench.yaml").path
    found = {
        name: (directory / name).read_text() for name in ("scores.jsonl", "verdict.json", "summary.md", "report.html")
    }
    page = re.sub(r"<dt>whole run</dt><dd>.*?</dd>", "", found["report.html"])
    found["report.html"] = re.sub(r"<dt>finished</dt><dd><code>[^<]*</code>", "", page)
    found["trials.jsonl"] = "\n".join(sorted((directory / "trials.jsonl").read_text().splitlines()))
    return found


def killed_and_resumed(project: Path, undisturbed: Path, kills: int, seed: int) -> None:
    """Kill a run so many times at random points, each time of the run that goes on; it ends as if it never was."""
    rng = random.Random(seed)
    landed, trials, scores = 0, b"", b""
    for _ in range(kills):
        process = subprocess.Popen(
            COMMAND, cwd=project, env=ENVIRONMENT, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        known = len(calls(project))
        # At a call in the making of it, or at any time at all: while starting, scoring, writing.
        at_call = not landed or rng.random() < 0.7  # the first at a call: a quick machine is done before any time
        wait = rng.randrange(1, 12) if at_call else 10**9
        deadline = time.monotonic() + (60.0 if at_call else rng.uniform(0.7, 2.5))
        while process.poll() is None and time.monotonic() < deadline and len(calls(project)) < known + wait:
            time.sleep(0.002)
        landed += process.poll() is None
        process.kill()
        process.wait()
        assert lines(project, "trials.jsonl").startswith(trials)
        assert lines(project, "scores.jsonl").startswith(scores)
        trials, scores = lines(project, "trials.jsonl"), lines(project, "scores.jsonl")
        if any((project / "reports").rglob("manifest.json")):
            break
    finished(project)
    manifest = reading.find(project / "bench.yaml").manifest()
    assert manifest
    assert 2 <= manifest.actual["starts"] <= landed + 1
    assert landed
    assert lines(project, "trials.jsonl").startswith(trials)
    assert outcome(project) == outcome(undisturbed)
    asked = calls(project)
    assert set(asked) == set(calls(undisturbed))
    assert len(asked) <= len(set(asked)) + landed * CONCURRENCY


@pytest.mark.parametrize("seed", range(2))
def test_killed_at_random_points_it_ends_the_same(noting: Path, undisturbed: Path, seed: int) -> None:
    killed_and_resumed(noting, undisturbed, 3, seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10, 20))
def test_killed_at_fifty_random_points_it_ends_the_same(noting: Path, undisturbed: Path, seed: int) -> None:
    killed_and_resumed(noting, undisturbed, 5, seed)


def test_a_finished_trial_outlives_the_process_that_made_it_at_once(tmp_path: Path) -> None:
    code = (
        "import os, sys, pathlib\nfrom harness.store import Log\nfrom harness.cache import Cache\n"
        "log, cache = Log(pathlib.Path('log.jsonl')), Cache(pathlib.Path('cache.sqlite'))\n"
        "for i in range(100):\n    log.append({'n': i})\n    cache.put(str(i), b'x')\n"
        "os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=ENVIRONMENT, check=False)
    assert len((tmp_path / "log.jsonl").read_bytes().splitlines()) == 100
    cache = Cache(tmp_path / "cache.sqlite")
    assert all(cache.get(str(i)) == b"x" for i in range(100))
    cache.close()


def test_a_torn_last_line_is_cut_and_the_rest_is_kept_byte_for_byte(project: Path) -> None:
    directory = run(project).directory
    whole = directory.trials.read_bytes()
    found = whole.splitlines(keepends=True)
    kept = b"".join(found[:20])
    directory.trials.write_bytes(kept + found[20][:30])
    for name in ("manifest.json", "verdict.json", "scores.jsonl"):
        (directory.path / name).unlink()
    run(project)
    after = directory.trials.read_bytes()
    assert after.startswith(kept)
    assert sorted(after.splitlines()) == sorted(whole.splitlines())


@pytest.mark.parametrize(
    "name", ["benchmark.json", "examples.jsonl", "fits/few_shot.json", "scores.jsonl", "standing.json", "verdict.json"]
)
def test_a_part_that_was_deleted_is_made_anew_as_it_was(project: Path, name: str) -> None:
    """What is said of a damaged file: delete it and run again."""
    edit(project, '  rule:       {technique: rule, call: "rule.py:extract"}\n', "")  # its seconds are measured
    directory = run(project).directory
    before = directory.file(name).read_bytes()
    for damaged in (b"", b"{}"):
        directory.file(name).write_bytes(damaged)
        with contextlib.suppress(DataError):
            run(project)
    directory.file(name).unlink()
    run(project)
    assert sorted(directory.file(name).read_bytes().splitlines()) == sorted(before.splitlines())
    assert run(project).fresh is False, "now it is whole again"


def test_a_run_took_what_all_its_starts_took(project: Path) -> None:
    directory = run(project).directory
    first = directory.load("worked.json", tuple[float, ...])
    assert first
    (directory.path / "manifest.json").unlink()
    directory.save("worked.json", (*first, 7200.0))  # a start that was killed after two hours
    result = run(project)
    assert result.manifest.actual["starts"] == 3
    assert 7200 + first[0] <= result.manifest.actual["seconds"] < 7300
    assert "2.0 h" in directory.file("report.html").read_text()
    assert "3 starts together" in directory.file("report.html").read_text()


# Disks


@contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[None]:
    """A file system of that size at the folder, where this process may mount one; else files may not grow beyond it."""
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if made.returncode == 0:
        try:
            yield
        finally:
            subprocess.run(["umount", "-l", str(folder)], check=True)
        return
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (kilobytes * 256, before[1]))  # inherited by the process that is started
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGXFSZ, handler)
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def said_in_a_sentence(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr


@pytest.mark.parametrize("where", ["reports", ".harness"])
@pytest.mark.parametrize("kilobytes", [8, 60, 80])
def test_a_full_disk_is_said_and_loses_nothing(
    noting: Path, undisturbed: Path, tmp_path_factory: pytest.TempPathFactory, where: str, kilobytes: int
) -> None:
    place = noting / where
    place.mkdir()
    kept = tmp_path_factory.mktemp("kept") / "files"
    with small_disk(place, kilobytes):
        done = subprocess.run(COMMAND, cwd=noting, env=ENVIRONMENT, capture_output=True, text=True, check=False)
        said_in_a_sentence(done, "cannot write", str(noting.name), "the same command")
        shutil.copytree(place, kept)
    asked = calls(noting)
    shutil.copytree(kept, place, dirs_exist_ok=True)
    before = lines(noting, "trials.jsonl")
    finished(noting)
    assert lines(noting, "trials.jsonl").startswith(before)
    assert outcome(noting) == outcome(undisturbed)
    again = calls(noting)
    assert len(again) <= len(set(again)) + CONCURRENCY, "what was in flight when the disk was full"
    assert again[: len(asked)] == asked


def test_once_an_answer_could_not_be_kept_none_is_asked_for(noting: Path) -> None:
    """All dev rows stand ready when the disk fills up: the first answer that is lost is the last one that is paid."""
    rows = [
        {"id": f"d{n}", "title": f"Dish {n}", "ingredients": [f"{n} eggs"], "generic": ["egg"]} for n in range(100, 160)
    ]
    (noting / "data" / "dev.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    place = noting / ".harness"
    place.mkdir()
    with small_disk(place, 60):
        done = subprocess.run(COMMAND, cwd=noting, env=ENVIRONMENT, capture_output=True, text=True, check=False)
        said_in_a_sentence(done, "cannot write", "responses.sqlite")
        with contextlib.closing(sqlite3.connect(place / "cache" / "responses.sqlite")) as db:
            kept = db.execute("SELECT count(*) FROM responses").fetchone()[0]
    assert 0 < kept < 100
    assert len(calls(noting)) <= kept + CONCURRENCY


@pytest.mark.parametrize("where", ["reports", ".harness"])
def test_a_read_only_directory_is_said(project: Path, where: str) -> None:
    place = project / where
    place.mkdir()
    if os.getuid():
        place.chmod(0o500)
        done = subprocess.run(COMMAND, cwd=project, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    else:  # root writes everywhere but on a read-only file system
        mount = ["mount", "-t", "tmpfs", "-o", "ro,size=64k", "tmpfs", str(place)]
        if subprocess.run(mount, capture_output=True, check=False).returncode:
            pytest.skip("this root may not mount")
        try:
            done = subprocess.run(COMMAND, cwd=project, env=ENVIRONMENT, capture_output=True, text=True, check=False)
        finally:
            subprocess.run(["umount", "-l", str(place)], check=True)
    said_in_a_sentence(done, "cannot write", "make the directory writable")


def test_a_write_that_fails_half_way_leaves_whole_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log(tmp_path / "log.jsonl")
    log.append({"n": 1})
    whole = Log._write

    def half(self: Log, data: bytes) -> None:
        whole(self, data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Log, "_write", half)
        with pytest.raises(DataError, match="No space left"):
            log.append({"n": 2}, {"n": 3})
    log.append({"n": 4})
    log.close()
    assert (tmp_path / "log.jsonl").read_text().splitlines() == ['{"n":1}', '{"n":4}']


# Two at once


def test_two_runs_in_one_directory_are_refused_by_the_name_of_the_other(project: Path) -> None:
    located = specfile.read(project / "bench.yaml")
    directory = pipeline.directory_of(located, pipeline.prepare(located).tasks)
    directory.acquire()
    try:
        done = subprocess.run(COMMAND, cwd=project, env=ENVIRONMENT, capture_output=True, text=True, check=False)
        said_in_a_sentence(done, "another run is at work in this directory", f"process {os.getpid()} on ", "wait until")
    finally:
        directory.release()
    finished(project)


def test_runs_of_two_benchmarks_share_one_cache(noting: Path) -> None:
    (noting / "other.yaml").write_text((noting / "bench.yaml").read_text())
    both = [
        subprocess.Popen([*COMMAND[:-1], name], cwd=noting, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True)
        for name in ("bench.yaml", "other.yaml")
    ]
    for process in both:
        _, said = process.communicate(timeout=60)
        assert process.returncode == 0, said
    assert len(calls(noting)) <= 2 * len(set(calls(noting)))


@pytest.mark.parametrize("where", ["2>&1 | head -1", ">&- 2>&-", "2>/dev/full"])
def test_a_run_goes_on_when_nobody_hears_how_far_it_is(noting: Path, where: str) -> None:
    command = " ".join([*COMMAND, where, "; exit ${PIPESTATUS[0]}"])
    done = subprocess.run(["bash", "-c", command], cwd=noting, env=ENVIRONMENT, check=False, capture_output=True)
    assert done.returncode == 0
    assert reading.find(noting / "bench.yaml").manifest() is not None


def test_ctrl_c_twice_says_one_sentence_and_loses_nothing(noting: Path, undisturbed: Path) -> None:
    fake = (noting / "fake.py").read_text().replace("0.004", "0.05")
    (noting / "fake.py").write_text(fake)
    process = subprocess.Popen(COMMAND, cwd=noting, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and len(calls(noting)) < 10:
        time.sleep(0.005)
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        time.sleep(0.02)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command goes on from there" in said
    assert "Traceback" not in said
    (noting / "fake.py").write_text(fake.replace("0.05", "0.004"))
    finished(noting)
    assert reading.find(noting / "bench.yaml").scores.read_bytes() == lines(undisturbed, "scores.jsonl")


# What is damaged or of another version


def fresh(project: Path, result: Result) -> Result:
    """Run again with nothing but the cache."""
    shutil.rmtree(result.directory.path)
    return run(project)


def test_a_cache_that_is_no_database_is_put_aside_and_said(project: Path) -> None:
    first = run(project)
    cache = project / ".harness" / "cache" / "responses.sqlite"
    for ending in ("-wal", "-shm"):
        Path(f"{cache}{ending}").unlink(missing_ok=True)
    cache.write_bytes(b"this is no database at all" * 100)
    second = fresh(project, first)
    assert any("put aside" in note and "no answer" in note for note in second.manifest.notes)
    assert second.verdict == first.verdict


@pytest.mark.parametrize("found", ["by a read", "by a write"])
def test_of_a_cache_with_a_damaged_page_the_rest_is_carried_over(tmp_path: Path, found: str) -> None:
    path = tmp_path / "responses.sqlite"
    cache = Cache(path)
    keys = [f"{i * 7919 % 3000:04d}" for i in range(3000)]
    for key in keys:
        cache.put(key, key.encode() * 50)
    cache.close()
    raw = bytearray(path.read_bytes())
    middle = len(raw) // 2 // 4096 * 4096
    raw[middle : middle + 4096] = os.urandom(4096)
    path.write_bytes(raw)
    cache = Cache(path)
    if found == "by a write":
        for key in keys:
            cache.put(key, b"new")
        kept = [cache.get(key) for key in keys]
        assert kept.count(b"new") == 3000
    else:
        kept = [cache.get(key) for key in keys]
        there = [k for k, v in zip(keys, kept, strict=True) if v == k.encode() * 50]
        assert len(there) > 2800
        assert all(v is None or v == k.encode() * 50 for k, v in zip(keys, kept, strict=True))
    (note,) = cache.notes
    assert re.search(r"damaged .* put aside .* [12],\d{3} answers were carried over", note)
    cache.close()
    with contextlib.closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_of_a_cache_that_was_cut_short_what_is_left_is_carried_over(tmp_path: Path) -> None:
    path = tmp_path / "responses.sqlite"
    cache = Cache(path)
    keys = [hashlib.sha256(str(i).encode()).hexdigest() for i in range(3000)]
    for key in keys:
        cache.put(key, key.encode() * 5)
    cache.close()
    raw = path.read_bytes()
    path.write_bytes(raw[: len(raw) // 2])
    cache = Cache(path)
    there = [key for key in keys if cache.get(key) == key.encode() * 5]
    assert len(there) > 500  # of 1,500 at most: a lost page above others loses them too
    (note,) = cache.notes
    assert f"{len(there):,} answers were carried over" in note
    cache.close()


def test_a_cache_with_tables_of_another_form_is_put_aside(tmp_path: Path) -> None:
    path = tmp_path / "responses.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE responses (name TEXT, answer TEXT)")
    cache = Cache(path)
    cache.put("a", b"b")
    assert cache.get("a") == b"b"
    (note,) = cache.notes
    assert "no such column: value" in note
    cache.close()


def test_a_stored_benchmark_that_cannot_be_read_is_said(project: Path) -> None:
    directory = run(project).directory
    for raw in (b"", b"{", b"\0" * 10, b'{"version": 1, "shape": 3}', b"null"):
        directory.file("benchmark.json").write_bytes(raw)
        with pytest.raises(DataError, match=r"(?s)benchmark\.json.*run again"):
            reading.benchmark_of(directory)
    done = subprocess.run(COMMAND, cwd=project, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    said_in_a_sentence(done, "benchmark.json", "run again")


@pytest.mark.parametrize("name", ["benchmark.json", "hygiene.json", "scorers.json"])
def test_a_small_file_that_was_lost_is_made_anew(noting: Path, undisturbed: Path, name: str) -> None:
    finished(noting)
    directory = reading.find(noting / "bench.yaml")
    directory.file("manifest.json").unlink()
    directory.file(name).unlink()
    asked = calls(noting)
    finished(noting)
    assert outcome(noting) == outcome(undisturbed)
    assert calls(noting) == asked


def test_a_full_disk_of_temporary_files_is_said(project: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    long = "and a pinch of " * 20_000
    with (project / "data" / "test.jsonl").open("a") as rows:
        row = {"id": "long", "title": "Long", "ingredients": [long], "generic": ["salt"]}
        rows.write(json.dumps(row) + "\n")
    temporary = tmp_path_factory.mktemp("temporary")
    with small_disk(temporary, 200):
        environment = ENVIRONMENT | {"TMPDIR": str(temporary)}
        done = subprocess.run(COMMAND, cwd=project, env=environment, capture_output=True, text=True, check=False)
    said_in_a_sentence(done, "cannot write a temporary file", str(temporary), "TMPDIR")
    finished(project)


@pytest.mark.parametrize("schema", [0, 99])
def test_a_run_of_another_schema_version_is_refused_with_the_way_out(project: Path, schema: int) -> None:
    directory = run(project).directory
    manifest = json.loads((directory.path / "manifest.json").read_bytes())
    assert manifest["schema"] == 1
    (directory.path / "manifest.json").write_text(json.dumps(manifest | {"schema": schema}))
    other = RunDirectory(directory.path)
    for reads in (lambda: run(project), lambda: reading.rewrite(other), lambda: FinishedRun.read(other)):
        with pytest.raises(DataError, match=rf"(?s)schema {schema}.*move it away and run again"):
            reads()


def test_examples_as_they_were_stored_before_are_read(project: Path) -> None:
    directory = run(project).directory
    before = reading.board_of(directory, reading.benchmark_of(directory))
    rows = [json.loads(line) for line in (directory.path / "examples.jsonl").read_text().splitlines()]
    (directory.path / "examples.jsonl").unlink()
    (directory.path / "examples.json").write_text(json.dumps(rows))
    assert reading.board_of(directory, reading.benchmark_of(directory)).ids == before.ids
    assert reading.rewrite(directory).verdict.candidate == "tuned"


def test_a_run_that_ends_while_another_starts_is_not_made_twice(noting: Path) -> None:
    finished(noting)
    asked = calls(noting)
    result = asyncio.run(pipeline.run_benchmark(specfile.read(noting / "bench.yaml")))
    assert not result.fresh
    assert calls(noting) == asked
