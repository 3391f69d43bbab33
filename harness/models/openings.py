"""How a model is opened, said so that another machine opens the same one: what a run hands to its workers."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from harness.models.base import Model
from harness.models.engines import Choice

if TYPE_CHECKING:
    from harness.models.calls import Limits
    from harness.models.endpoint import Endpoint, EndpointSpec

OnLimits = Callable[["Limits"], None]


@dataclass(frozen=True)
class Weights:
    """A directory of weights on the run's machine, and the content hash by which another one is known as the same."""

    directory: str
    digest: str

    @staticmethod
    def of(directory: Path) -> Weights:
        """Those of a directory here; hashes what was not hashed before."""
        from harness.models.weights import digest_of

        return Weights(str(directory), digest_of(directory))

    def files(self) -> list[Path]:
        """The files that are hashed: all that an engine reads."""
        from harness.models.weights import files_of

        return files_of(Path(self.directory))

    @property
    def copy(self) -> Path:
        """Where a worker that does not see the directory keeps its own."""
        import platformdirs

        return Path(platformdirs.user_cache_dir("harness")) / "copies" / self.digest

    def find(self) -> Path | None:
        """The directory on this machine: the run's own where it is seen from here, or the copy; else None."""
        from harness.models.weights import digest_of

        for place in (Path(self.directory), self.copy):
            if place.is_dir() and digest_of(place) == self.digest:
                return place
        return None


@dataclass(frozen=True)
class ScriptedAt:
    """A function of a Python file that plays a model (`scripted/FILE:FUNCTION`); the file's text comes along."""

    name: str
    file: str
    function: str
    text: str

    def open(self, weights: Path | None = None, on_limits: OnLimits | None = None) -> Model:
        """The scripted model. Raises `SpecError` when the file cannot be imported."""
        from harness.models.scripted import Scripted
        from harness.taskset import digest
        from harness.techniques.rule import load

        path = Path(self.file)
        if not path.is_file() or path.read_text(encoding="utf-8") != self.text:
            path = Path(tempfile.mkdtemp(prefix="harness-")) / path.name
            path.write_text(self.text, encoding="utf-8")
        version = digest(self.text)  # another script gives other answers
        return Scripted(load(path, self.function), name=self.name, version=version)


@dataclass(frozen=True)
class WeightsAt:
    """Weights, the engine that was chosen for them, and the name that its answers bear."""

    name: str
    weights: Weights
    choice: Choice

    def open(self, weights: Path | None = None, on_limits: OnLimits | None = None) -> Model:
        """The model on `weights` (the directory as this machine has it); nothing is loaded yet."""
        from harness.models.local import open_local

        return open_local(weights or self.weights.directory, name=self.name, choice=self.choice)


@dataclass(frozen=True)
class EndpointAt:
    """An endpoint as the run resolved it, with the keys that it needs by the names of their variables."""

    spec: EndpointSpec
    endpoint: Endpoint
    keys: dict[str, str] = field(repr=False)

    @property
    def name(self) -> str:
        """The model's reference."""
        return self.spec.id

    @staticmethod
    def of(spec: EndpointSpec, endpoint: Endpoint) -> EndpointAt:
        """With the keys of this process's environment."""
        names = [n for n in (endpoint.key_env, "AZURE_OPENAI_AD_TOKEN") if n and n in os.environ]
        return EndpointAt(spec, endpoint, {n: os.environ[n] for n in names})

    def open(self, weights: Path | None = None, on_limits: OnLimits | None = None) -> Model:
        """The bare client; retries, pace, budget and cache are the run's."""
        from harness.models.openai import OpenAIModel

        os.environ.update(self.keys)
        return OpenAIModel(self.spec, self.endpoint, on_limits)


Opening = ScriptedAt | WeightsAt | EndpointAt
