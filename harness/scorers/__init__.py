"""The scorers by the names that a benchmark file uses, and how a metric becomes one."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from pydantic import ValidationError

from harness.answer import Answer
from harness.errors import Problem, SpecError
from harness.scorers.all_of import AllOf
from harness.scorers.base import Mark, PairScorer, Scorer
from harness.scorers.custom import Custom
from harness.scorers.facts import Fact, Hallucination
from harness.scorers.judged import JUDGES, Judged
from harness.scorers.semantic import SemanticSimilarity
from harness.scorers.sql import SqlExecution
from harness.scorers.structured import ExactSet, JsonMatch, SetF1, UnsupportedItems
from harness.scorers.style import Style
from harness.scorers.text import Abstention, Contains, Exact, Must
from harness.techniques.rule import load

if TYPE_CHECKING:
    from harness.models.base import Model
    from harness.retrieval import Embedder
    from harness.spec import MetricSpec

PLAIN: dict[str, type[PairScorer]] = {
    "set_f1": SetF1,
    "exact_set": ExactSet,
    "exact": Exact,
    "contains": Contains,
    "fact": Fact,
    "must": Must,
    "style": Style,
    "json_match": JsonMatch,
    "sql_execution": SqlExecution,
    "unsupported_items": UnsupportedItems,
    "abstention": Abstention,
    "hallucination": Hallucination,
    **JUDGES,
}
SCORERS: tuple[str, ...] = (*PLAIN, "semantic_similarity", "all_of")
_EMBEDS = ("semantic_similarity", "style", "answer_relevancy")
_GIVEN = ("name", "answer", "passages", "embedder", "judge")  # what a scorer is handed, beside its settings

__all__ = ["SCORERS", "Mark", "Scorer", "build", "embeds"]


def embeds(metric: MetricSpec, others: Mapping[str, MetricSpec]) -> bool:
    """Whether a metric's scorer needs the embedder; `others` are the metrics that an `all_of` may name."""
    if metric.scorer == "all_of":
        return any(embeds(others[n], {}) for n in _parts(metric) if n in others)
    return metric.scorer in _EMBEDS


def build(
    name: str,
    metric: MetricSpec,
    answer: Answer,
    embedder_factory: Callable[[], Embedder],
    locate: Callable[[str], Path] | None = None,
    passages: Callable[[], Mapping[str, str]] = dict,
    others: Mapping[str, MetricSpec] | None = None,
    judge: Model | None = None,
) -> Scorer:
    """The scorer of a metric.

    Args:
        name: the metric's name in the benchmark file.
        answer: the task's answer format, through which answer and target pass.
        embedder_factory: called when a vector is first needed, never before.
        locate: resolves a path of the benchmark file and keeps it inside the project; needed for `file.py:function`,
            and for settings that are paths to be where the benchmark file says.
        passages: the text of every passage that an arm may show, by its id; called when a scorer first needs one.
        others: the benchmark's metrics by name, which `all_of` may hold together.
        judge: the opened model behind `metric.judge`.

    Raises:
        SpecError: an unknown scorer or setting, a direction that the scorer does not have; all mistakes at once.
    """
    path = f"metrics.{name}"
    if ".py:" in metric.scorer:
        scorer = _custom(name, metric, locate)
        known: tuple[str, ...] = ()
    elif metric.scorer == "semantic_similarity":
        scorer = SemanticSimilarity(name, answer, embedder_factory)
        known = ()
    elif metric.scorer == "all_of":
        parts = _together(name, metric, others or {})
        skipped = [n for n, m in parts.items() if ".py:" in m.scorer and locate is None]  # a check runs no user's file
        made = {
            n: build(n, m, answer, embedder_factory, locate, passages) for n, m in parts.items() if n not in skipped
        }
        scorer = AllOf(name, made)
        known = ("of",)
    elif metric.scorer in PLAIN:
        return _plain(name, metric, answer, PLAIN[metric.scorer], locate, {
            "passages": passages, "embedder": embedder_factory, "judge": judge,
        })  # fmt: skip
    else:
        near = difflib.get_close_matches(metric.scorer, SCORERS, n=1)
        fix = f"did you mean {near[0]!r}?" if near else "name one of these, or a file.py:function inside the project"
        raise SpecError(
            Problem("no such scorer", path=f"{path}.scorer", got=repr(metric.scorer), valid=", ".join(SCORERS), fix=fix)
        )
    problems = [*_unknown(metric, path, known), *_direction(metric, path, scorer)]
    if problems:
        raise SpecError(problems)
    return scorer


def _plain(
    name: str,
    metric: MetricSpec,
    answer: Answer,
    kind: type[PairScorer],
    locate: Callable[[str], Path] | None,
    given: Mapping[str, object],
) -> Scorer:
    path = f"metrics.{name}"
    known = tuple(f for f in kind.model_fields if f not in _GIVEN)
    problems = _unknown(metric, path, known)
    if kind is Abstention and not answer.abstain:
        problems.append(
            Problem(
                "abstention needs to know what an answer says that has none", path=f"{path}.scorer",
                fix='set `task.answer.abstain`, such as "I don\'t know"',
            )
        )  # fmt: skip
    problems += _judge(metric, path, issubclass(kind, Judged))
    settings = {k: v for k, v in metric.settings.items() if k in known}
    for key, value in settings.items():
        field = kind.model_fields[key].annotation
        if locate and Path in (field, *get_args(field)) and isinstance(value, str):
            settings[key] = locate(value)
    try:
        handed = {k: v for k, v in given.items() if k in kind.model_fields}
        scorer = kind.model_validate({**settings, **handed, "name": name, "answer": answer})
    except ValidationError as error:
        for e in error.errors(include_input=False, include_url=False):
            where, got = ".".join(str(part) for part in e["loc"]), settings.get(str(e["loc"][0]))
            if got is None:
                what, hint = f"{metric.scorer} needs the setting `{where}`", kind.model_fields[where].description or ""
                problems.append(Problem(what, path=f"{path}.settings", valid=hint, fix=f"add `{where}:`"))
            else:
                what = "not a path" if e["type"] == "path_type" else e["msg"]
                problems.append(Problem(what, path=f"{path}.settings.{where}", got=repr(got)[:80]))
        raise SpecError(problems) from None
    problems += _direction(metric, path, scorer)
    if problems:
        raise SpecError(problems)
    return scorer


def _parts(metric: MetricSpec) -> list[str]:
    of = metric.settings.get("of")
    return [str(n) for n in of] if isinstance(of, list | tuple) else []


def _together(name: str, metric: MetricSpec, others: Mapping[str, MetricSpec]) -> dict[str, MetricSpec]:
    """The metrics that an `all_of` holds together.

    Raises:
        SpecError: fewer than two, one that there is not, itself or another `all_of`.
    """
    path, named = f"metrics.{name}.settings.of", _parts(metric)
    known = [n for n, m in others.items() if n != name and m.scorer != "all_of" and m.judge is None]
    if len(set(named)) < 2:
        got = repr(metric.settings.get("of"))[:80]
        fix = "write `settings: {of: [right, style]}`"
        raise SpecError(
            Problem("all_of needs two metrics at least", path=path, got=got, valid=", ".join(known), fix=fix)
        )
    if wrong := [n for n in named if n not in known]:
        near = difflib.get_close_matches(wrong[0], known, n=1)
        raise SpecError(
            Problem(
                "all_of names no metric that it can hold", path=path, got=repr(wrong[0])[:80], valid=", ".join(known),
                fix=f"did you mean {near[0]!r}?" if near else "name metrics without a judge, none of them all_of",
            )
        )  # fmt: skip
    return {n: others[n] for n in dict.fromkeys(named)}


def _custom(name: str, metric: MetricSpec, locate: Callable[[str], Path] | None) -> Custom:
    path = f"metrics.{name}.scorer"
    file, _, function = metric.scorer.rpartition(":")
    if locate is None:
        raise SpecError(Problem("a scorer of your own needs a benchmark file beside it", path=path, got=metric.scorer))
    found = locate(file)
    if not found.is_file():
        raise SpecError(Problem("no such file", path=path, got=repr(file), fix="paths start at the benchmark file"))
    try:
        called = load(found, function)
    except SpecError as error:
        raise SpecError(
            Problem(p.what, where=p.where, path=path, got=p.got, valid=p.valid, fix=p.fix) for p in error.problems
        ) from error
    return Custom(name, found, called, higher_is_better=metric.higher_is_better is not False)


def _unknown(metric: MetricSpec, path: str, known: tuple[str, ...]) -> list[Problem]:
    return [
        Problem(
            f"{metric.scorer} has no such setting", path=f"{path}.settings.{key}", got=repr(metric.settings[key])[:80],
            valid=", ".join(known) or "no settings",
        )
        for key in metric.settings
        if key not in known
    ]  # fmt: skip


def _judge(metric: MetricSpec, path: str, needed: bool) -> list[Problem]:
    """A judge where one is asked, none where none is; and a judge decides nothing that no labels correct."""
    if needed and metric.judge is None:
        fix = "add `judge: openai/NAME`, another reference, or {base_url, id}"
        return [Problem(f"{metric.scorer} needs a model that judges", path=f"{path}.judge", fix=fix)]
    if metric.judge is not None and not needed:
        fix = "remove `judge`"
        return [Problem(f"{metric.scorer} asks no judge", path=f"{path}.judge", valid=", ".join(JUDGES), fix=fix)]
    return [
        Problem(
            f"a judge's score cannot be {role} without labels: it may err with the arm", path=f"{path}.{key}",
            got="true", fix="add `settings: {labels: FILE}` with 100 labels of every arm compared, or another scorer",
        )
        for key, role in (("primary", "what decides"), ("guardrail", "a guardrail"))
        if needed and getattr(metric, key) and not metric.settings.get("labels")
    ]  # fmt: skip


def _direction(metric: MetricSpec, path: str, scorer: Scorer) -> list[Problem]:
    if metric.higher_is_better in (None, scorer.higher_is_better):
        return []
    return [
        Problem(
            f"{metric.scorer} is better when {'higher' if scorer.higher_is_better else 'lower'}",
            path=f"{path}.higher_is_better", got=repr(metric.higher_is_better), fix="leave it out",
        )
    ]  # fmt: skip
