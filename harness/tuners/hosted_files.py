"""What a hosted job leaves on disk and what its service's files say: `hosted.json`, and the CSV of losses."""

from __future__ import annotations

import base64
import binascii
import csv
import io
from pathlib import Path
from typing import Literal

import msgspec

from harness.models.base import Struct
from harness.models.endpoint import Endpoint
from harness.tuners.trl_files import write_whole

STATE = "hosted.json"
Curve = tuple[tuple[int, float | None, float | None], ...]


class State(Struct, frozen=True):
    """How far a job is, written before each step that cannot be taken back. It holds no key.

    Args:
        api, url, model, key_env, api_version: the endpoint, so that a job can be cancelled without its benchmark.
        train_file: the uploaded training file's id.
        valid_file: the uploaded validation file's id.
        creating: the job was about to be created: without an id it must be looked for.
        job: its id.
        ended: how it ended, when it gave no model.
    """

    api: Literal["openai", "azure"]
    url: str
    model: str
    key_env: str | None = None
    api_version: str | None = None
    train_file: str | None = None
    valid_file: str | None = None
    creating: bool = False
    job: str | None = None
    ended: str = ""

    @property
    def endpoint(self) -> Endpoint:
        """Where the job runs."""
        return Endpoint(self.api, self.url, self.model, self.key_env, self.api_version)

    @staticmethod
    def at(endpoint: Endpoint) -> State:
        """A job of which nothing has been done."""
        return State(endpoint.api, endpoint.url, endpoint.model, endpoint.key_env, endpoint.api_version)


def load(workdir: Path) -> State | None:
    """The state of a job's directory, or None."""
    try:
        return msgspec.json.decode((workdir / STATE).read_bytes(), type=State)
    except (OSError, msgspec.DecodeError):
        return None


def save(workdir: Path, state: State) -> State:
    """Write the state whole."""
    workdir.mkdir(parents=True, exist_ok=True)
    write_whole(workdir / STATE, msgspec.json.encode(state))
    return state


def read_curve(content: bytes) -> Curve:
    """(step, training loss, validation loss) of a result file: CSV at Azure, the same in base64 at OpenAI.

    Raises:
        ValueError: it is neither.
    """
    text = content.decode("utf-8-sig").strip()
    if not text.startswith("step"):
        try:
            text = base64.b64decode(text, validate=True).decode("utf-8-sig").strip()
        except binascii.Error:
            raise ValueError("the result file is neither CSV nor base64") from None
    if not text.startswith("step"):
        raise ValueError("the result file has no column `step`")
    points: dict[int, tuple[float | None, float | None]] = {}
    for row in csv.DictReader(io.StringIO(text)):
        step = _number(row.get("step"))
        if step is not None:
            points[int(step)] = (_number(row.get("train_loss")), _number(row.get("valid_loss")))
    return tuple((step, *points[step]) for step in sorted(points))


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text and text.strip() else None
    except ValueError:
        return None
