"""A plain function in place of a model: the floor that every arm has to beat.

A fine-tune that does not beat twenty-five lines of Python is not worth paying for.
"""

from __future__ import annotations

import asyncio
import importlib.util
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from harness.errors import Failed, Problem, SpecError
from harness.models.base import Completion, Failure, Model
from harness.taskset import Example
from harness.techniques.base import Kit, Recipe, Solver, Technique


class Rule(Technique):
    """`technique: rule`. `call: file.py:function`, a function from the input's columns (dict of texts) to an answer."""

    technique: Literal["rule"] = Field(description="A Python function in place of a model: the floor to beat.")
    call: str = Field(
        description="file.py:function inside the project; takes a dict of texts, returns a text or list, or "
        '{"answer": ..., "passages": [ids of the documents it looked it up in]}.'
    )

    @property
    def uses_model(self) -> bool:
        """No model is asked."""
        return False

    def candidates(self, start: Recipe, kit: Kit) -> list[Recipe]:
        """The one function."""
        return [Recipe(call=self.call)]

    async def solver(self, recipe: Recipe, train: Sequence[Example], model: Model | None, kit: Kit) -> Solver:
        """The function behind the same contract as a model."""
        file, _, name = recipe.call.rpartition(":")
        return RuleSolver(load(kit.locate(file), name), kit)


def load(file: Path, name: str) -> Callable[..., Any]:
    """A function of a Python file.

    Raises:
        SpecError: the file cannot be imported or has no such function.
    """
    spec = importlib.util.spec_from_file_location(f"harness_user_{file.stem}", file)
    try:
        assert spec is not None, "not a Python file"
        assert spec.loader is not None, "not a Python file"
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        function = getattr(module, name)
    except AttributeError:
        raise SpecError(
            Problem(f"{file.name} has no function {name!r}", path="call", fix="name one that it has")
        ) from None
    except (Exception, SystemExit) as error:  # whatever a user's file raises while it is imported
        raise SpecError(Problem(f"{file} cannot be imported: {type(error).__name__}: {error}", path="call")) from error
    if not callable(function):
        raise SpecError(Problem(f"{name!r} in {file.name} is not a function", path="call"))
    return function


class RuleSolver:
    """Calls the function; what it raises is a failure of the arm.

    A function that looks its answer up says where, so that recall is measured and what it read counts as shown.
    """

    def __init__(self, function: Callable[[dict[str, str]], Any], kit: Kit) -> None:
        self._function = function
        self._kit = kit

    async def solve(self, input: Mapping[str, str], *, repeat: int = 0) -> Completion:
        """The function's answer, written in the task's answer format."""
        started = time.perf_counter()
        try:
            value = await asyncio.to_thread(self._function, dict(input))
            found = value if isinstance(value, dict) else {"answer": value}
            answer, read = found["answer"], tuple(str(id) for id in found.get("passages", ()))
            text = answer if isinstance(answer, str) else self._kit.answer.write(tuple(str(v) for v in answer))
        except Exception as error:  # the user's code: any error is the arm's failure, not ours
            raise Failed(
                Failure(boundary="solver", type="error", message=f"{type(error).__name__}: {error}"[:500])
            ) from error
        return Completion(text=text, seconds=time.perf_counter() - started, model="rule", passages=read)
