"""Ctrl-C while a hosted job is followed, by a person on a real terminal and in a pipe: kept or cancelled, and said."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import tuning
from tests.tuning_server import Fault, Thread, TuningServer

# A session's first process that opens a terminal gets it: Ctrl-C is typed and not sent.
TYPED = "import os; os.close(os.open(os.ttyname(0), os.O_RDWR)); from harness.cli import main; main()"
PIPED = "from harness.cli import main; main()"
ROOT = Path(__file__).parents[1]
QUESTION = "Cancel it? [y/N]:"
YAML = """\
version: 1
question: Does it stop when it is asked to?
model: openai/gpt-4o-mini-2024-07-18
task: {data: data, input: "{{ text }}", target: "{{ label }}", answer: {format: label, labels: [odd, even]}}
arms:
  prompt: {technique: prompt, system: Odd or even?}
  tuned:  {technique: fine_tune, tuner: openai, system: Odd or even.}
metrics:
  accuracy: {scorer: exact, primary: true}
"""
WORDS = ("leek", "bean", "carrot", "onion", "plum", "fig", "pear", "corn", "rice", "oat", "kale", "lime")
PATIENCE = 120.0
"""Seconds that a start may take on a busy machine."""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A benchmark with an arm that OpenAI tunes."""
    (tmp_path / "data").mkdir()
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    for split in ("train", "dev", "test"):
        rows = [{"id": f"{split}{i}", "text": f"{split} {w}", "label": "odd"} for i, w in enumerate(WORDS)]
        (tmp_path / "data" / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found = tmp_path / "bench.yaml"
    found.write_text(YAML)
    return found


class Person:
    """Somebody at a terminal with a running command: types, and reads what is shown."""

    def __init__(self, process: subprocess.Popen[bytes], terminal: int) -> None:
        self.process = process
        self.shown = ""
        self._terminal = terminal

    def type(self, keys: str) -> None:
        os.write(self._terminal, keys.encode())

    def waits(self, until: Callable[[], bool]) -> None:
        """Look at the screen meanwhile: a terminal that nobody reads stops the command."""
        started = time.monotonic()
        while not until():
            assert time.monotonic() - started < PATIENCE, self.shown
            assert self._read(), self.shown

    def leaves(self, again: str = "") -> int:
        """The exit code; what is still shown is read first. `again` is typed once more every few seconds.

        Python sees a Ctrl-C that comes after a prompt was written, and before it looks at the keys, with the next key.
        """
        started = typed = time.monotonic()
        while self._read():
            now = time.monotonic()
            assert now - started < PATIENCE, self.shown
            if again and now - typed > 3:
                self.type(again)
                typed = now
        return self.process.wait(PATIENCE)

    def _read(self) -> bool:
        if select.select([self._terminal], [], [], 0.05)[0]:
            try:
                self.shown += os.read(self._terminal, 65536).decode()
            except OSError:  # the other end is closed
                return False
        return True


@contextmanager
def running(file: Path, server: TuningServer, *options: str) -> Iterator[Person]:
    """`harness run` on a terminal, as far as the job that it follows."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", TYPED, "run", str(file), *options]
    process = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment(server), start_new_session=True
    )
    os.close(theirs)
    try:
        person = Person(process, ours)
        person.waits(lambda: any(server.polls.values()))
        yield person
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def environment(server: TuningServer) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT), "TERM": "xterm"} | tuning.environment(server)


@pytest.fixture
def server() -> Iterator[TuningServer]:
    """A service whose job never ends by itself."""
    with Thread(TuningServer(journey=("running",), answer='["salt"]')) as serving:
        yield serving


def status(server: TuningServer) -> str:
    (job,) = server.jobs.values()
    return job["status"]


@pytest.mark.parametrize(
    ("keys", "becomes"),
    [("n\r", "running"), ("\r", "running"), ("\x03", "running"), ("\x04", "running"), ("y\r", "cancelled")],
    ids=["no", "enter", "second Ctrl-C", "end of file", "yes"],
)
def test_on_a_terminal_it_is_asked_and_no_is_the_answer_of_those_who_give_none(
    keys: str, becomes: str, server: TuningServer, file: Path
) -> None:
    with running(file, server) as person:
        person.type("\x03")
        # The last blank is written once keys are read one by one: an end of file that is typed before is none there.
        person.waits(lambda: " " in person.shown.partition(QUESTION)[2])
        assert "openai job ftjob-001" in person.shown
        assert "run the same command again" in person.shown
        assert "--on-interrupt cancel" in person.shown
        person.type(keys)
        assert person.leaves(again=keys) == 130
        assert "stopped; what is finished is stored" in person.shown
        assert "Traceback" not in person.shown
        assert ("ftjob-001: cancelled" in person.shown) == (becomes == "cancelled")
    assert status(server) == becomes
    assert len(server.created) == 1


@pytest.mark.parametrize("wish", ["cancel", "keep"])
def test_who_said_it_before_is_not_asked(wish: str, server: TuningServer, file: Path) -> None:
    with running(file, server, "--on-interrupt", wish) as person:
        person.type("\x03")
        assert person.leaves() == 130
        assert QUESTION not in person.shown
        assert ("ftjob-001: cancelled" in person.shown) == (wish == "cancel")
    assert status(server) == ("cancelled" if wish == "cancel" else "running")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("wish", ["cancel", ""])
def test_without_a_terminal_nobody_is_asked(number: int, wish: str, server: TuningServer, file: Path) -> None:
    options = ["--on-interrupt", wish] if wish else []
    process = subprocess.Popen(
        [sys.executable, "-c", PIPED, "run", str(file), *options],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment(server),
    )
    until = time.monotonic() + PATIENCE
    while not any(server.polls.values()):
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.02)
    process.send_signal(number)
    said = process.communicate(timeout=PATIENCE)[0]
    assert process.returncode == 130
    assert QUESTION not in said
    assert "run the same command again" in said
    assert ("ftjob-001: cancelled" in said) == bool(wish)
    assert status(server) == ("cancelled" if wish else "running")


def test_a_service_that_does_not_answer_is_not_waited_for_without_a_word(server: TuningServer, file: Path) -> None:
    with running(file, server, "--on-interrupt", "cancel") as person:
        server.faults += [Fault("/cancel", status=500) for _ in range(100)]
        person.type("\x03")
        person.waits(lambda: any("/cancel" in asked for asked in server.requests))
        assert "cancelling; Ctrl-C once more leaves it as it is" in person.shown
        person.type("\x03")
        assert person.leaves() == 130
        assert "Traceback" not in person.shown
    assert status(server) == "running"
