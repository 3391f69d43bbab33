"""The templates of a task: `{{ column }}` text, compiled once, sandboxed, strict about columns that are not there.

A column reaches a template as text (a list as one item a line), so what a template can do is small and what it names
can be known before a row is read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

from harness.errors import DataError, Problem

if TYPE_CHECKING:
    from jinja2 import Environment, Template

_LONE = re.compile(r"^\s*\{\{-?\s*([A-Za-z_]\w*)\s*-?\}\}\s*$")


@lru_cache(maxsize=1)
def _environment() -> Environment:
    from jinja2 import StrictUndefined
    from jinja2.exceptions import SecurityError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Columns(ImmutableSandboxedEnvironment):
        intercepted_binops = frozenset(("*", "**"))  # `{{ title * 999999999 }}` would fill the memory

        def call_binop(self, context: object, operator: str, left: object, right: object) -> object:
            raise SecurityError(f"a template multiplies nothing (`{operator}`)")

    environment = Columns(undefined=StrictUndefined, autoescape=False)
    environment.globals.clear()  # every free name is a column, `range` and `dict` too
    return environment


def mistake(text: str) -> Problem | None:
    """What is wrong with a template itself, or None; `where` is left to who knows the file."""
    from jinja2 import TemplateSyntaxError, nodes
    from jinja2.exceptions import SecurityError

    try:
        tree = _environment().parse(text)
        _environment().from_string(text)  # unknown filters are found by compiling
    except TemplateSyntaxError as error:
        line = f" (line {error.lineno} of the template)" if "\n" in text else ""
        return Problem(f"the template does not parse: {error.message}{line}", fix="write {{ column }}")
    try:
        _compiled(text).render(dict.fromkeys(columns(text), "x"))
    except SecurityError as error:
        return Problem(f"the template is not allowed: {error}", fix="write {{ column }}; filters may follow it")
    except Exception:  # what only some rows can be asked is told of the rows
        pass
    for loop in tree.find_all(nodes.For):
        if isinstance(loop.iter, nodes.Name):
            name = loop.iter.name
            return Problem(
                f"the template loops over `{name}`, which is text by then and would give single letters",
                valid="a list renders one item a line by itself",
                fix=f"write {{{{ {name} }}}}, or loop over {name}.splitlines()",
            )
    return None


@lru_cache(maxsize=64)
def columns(text: str) -> frozenset[str]:
    """The columns that a template names. The template must parse (`mistake`)."""
    from jinja2 import meta

    return frozenset(meta.find_undeclared_variables(_environment().parse(text)))


def lone(text: str) -> str | None:
    """The column of a template that is one column and nothing else (`{{ generic }}`), or None."""
    match = _LONE.match(text)
    return match.group(1) if match else None


@lru_cache(maxsize=64)
def _compiled(text: str) -> Template:
    return _environment().from_string(text)


def render(template: str, input: Mapping[str, str]) -> str:
    """A template filled with the columns of one input.

    Raises:
        DataError: the template names a column that the input lacks, or cannot be rendered.
    """
    from jinja2 import TemplateError, UndefinedError

    try:
        return _compiled(template).render(input)
    except UndefinedError as error:
        raise DataError(Problem(f"the template needs a column that is not there: {error.message}")) from None
    except (TemplateError, TypeError, ValueError, ArithmeticError, AttributeError, MemoryError) as error:
        raise DataError(Problem(f"the template cannot be rendered: {error or type(error).__name__}")) from None
