"""Names inside a benchmark that must fit each other: arms, metrics, scorers, roles, dev trials. Reads no file."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn, get_args, get_origin

from harness import scorers, template
from harness.answer import Answer
from harness.errors import Problem, SpecError, near
from harness.scorers.base import PairScorer
from harness.spec import Benchmark, GateSpec, MetricSpec, ModelSpec
from harness.techniques import Cascade, Classifier, FineTune, Rag
from harness.techniques.base import Sweep, Technique
from harness.techniques.fine_tune import READ, TRAINING
from harness.yamlfile import Source, YamlPath, quoted

BASELINES = ("auto", "best_of_all")
TAKEN = (*BASELINES, "baseline", "saved")  # what `baseline:` and gates mean by these words is no arm
MEASURED = ("seconds", "usd")
KEYS = ("extends", "model", "first", "then")  # where an arm names another
UNSET = (None, "", "none", ())  # what a setting says that asks for nothing
INSTEAD = {"learning_rate": "learning_rate_multiplier", "learning_rate_multiplier": "learning_rate"}


def check(benchmark: Benchmark, source: Source) -> list[Problem]:
    """Every reference that does not hold.

    Args:
        benchmark: what validated; parts with mistakes of their own may be left out of it.
        source: the file; names are looked up in it, so that a left-out arm is still a known one.
    """
    check = _Check(benchmark, source)
    check.arms()
    check.cycles()
    check.roles()
    check.metrics()
    check.gates()
    check.sweeps()
    check.endpoints()
    return check.problems


def is_tuned(arm: str, arms: Mapping[str, Any]) -> bool:
    """Whether an arm answers on a tuned model."""
    return bool(tuned_by(arm, arms))


def tuned_by(arm: str, arms: Mapping[str, Any]) -> tuple[str, ...]:
    """The arms whose tuned models an arm answers on: itself, the one that it names or extends, those of a cascade."""
    found: list[str] = []
    waiting, seen = [arm], set[str]()
    for name in waiting:
        if name not in arms or name in seen:
            continue
        seen.add(name)
        technique = arms[name]
        if isinstance(technique, FineTune):
            found.append(name)
        elif isinstance(technique, Cascade):
            waiting += technique.stands_on
        else:
            waiting.append(technique.model or technique.extends or "")
    return tuple(found)


def documents_of(technique: Technique) -> str | None:
    """The document file that an arm retrieves from, as written; None where it shows no passages."""
    return technique.documents if isinstance(technique, Rag | FineTune) else None


def document_files(benchmark: Benchmark) -> list[str]:
    """Every document file that the benchmark names, as written."""
    named = [*map(documents_of, benchmark.arms.values()), benchmark.task.documents]
    return list(dict.fromkeys(f for f in named if f))


def swept(technique: Technique) -> dict[str, tuple[Any, ...]]:
    """The fields of a technique that are sweeps, with the values to try."""
    found: dict[str, tuple[Any, ...]] = {}
    for name, info in type(technique).model_fields.items():
        kinds = (info.annotation, *get_args(info.annotation))
        value = getattr(technique, name)
        if any(get_origin(k) is Sweep for k in kinds) and value is not None:
            found[name] = value
    return found


class _Check:
    def __init__(self, benchmark: Benchmark, source: Source) -> None:
        self.problems: list[Problem] = []
        self._benchmark = benchmark
        self._source = source
        self._arms = _names(source.data.get("arms"), benchmark.arms)
        self._metrics = _names(source.data.get("metrics"), benchmark.metrics)

    def _say(self, path: YamlPath, what: str, valid: str = "", fix: str = "", got: str = "") -> None:
        self.problems.append(self._source.problem(path, what, got=got, valid=valid, fix=fix))

    def _known(self, path: YamlPath, name: str, valid: Iterable[str], noun: str) -> bool:
        valid = list(valid)
        if name in valid:
            return True
        self._say(path, f"there is no {noun} {quoted(name)}", ", ".join(valid), near(name, valid))
        return False

    def arms(self) -> None:
        """`extends` and what goes with each technique."""
        for name, arm in self._benchmark.arms.items():
            here: YamlPath = ("arms", name)
            others = [a for a in self._arms if a != name]
            if name in TAKEN:
                what = f"`{name}` has a meaning of its own in `baseline:` and in gates"
                self.problems.append(self._source.problem(here, what, key=True, fix=f"call the arm `{name}_arm`"))
            if arm.extends == name:
                self._say((*here, "extends"), "an arm cannot extend itself", ", ".join(others))
            elif arm.extends is not None:
                self._known((*here, "extends"), arm.extends, others, "arm")
            other = self._benchmark.arms.get(arm.extends or "")
            if arm.extends != name and other is not None and not other.uses_model:
                fix = "extend a prompt or few_shot arm"
                what = f"a {other.kind} arm has no prompt to hand on"
                self._say((*here, "extends"), what, fix=fix, got=quoted(arm.extends))
            if arm.model == name:
                self._say((*here, "model"), "an arm cannot answer on its own model", fix="name the arm that tunes it")
            elif isinstance(self._benchmark.arms.get(arm.model or ""), Cascade):
                fix = f"name the arm that tunes one, such as {self._benchmark.arms[arm.model or ''].stands_on[0]}"
                self._say((*here, "model"), f"the cascade {arm.model!r} has no model of its own", fix=fix)
            elif arm.model in self._benchmark.arms and not is_tuned(arm.model, dict(self._benchmark.arms)):
                tuned = [a for a in others if is_tuned(a, dict(self._benchmark.arms))]
                fix = "" if tuned else "leave `model` out: the base model is the default"
                self._say((*here, "model"), f"the arm {arm.model!r} tunes no model", ", ".join(tuned), fix)
            if not arm.uses_model:
                for key in ("extends", "model"):
                    if getattr(arm, key) is not None:
                        what = f"a {arm.kind} asks no model, so `{key}` means nothing"
                        self._say((*here, key), what, fix=f"remove `{key}`")
            if isinstance(arm, Classifier) and self._benchmark.task.answer.format != "label":
                what = f"a classifier answers with one of a few labels, not with a {self._benchmark.task.answer.format}"
                fix = "write `answer: {format: label, labels: [...]}` in the task, or leave the arm out"
                self._say((*here, "technique"), what, fix=fix)
            if isinstance(arm, FineTune):
                self._tuner(here, arm)
            if isinstance(arm, Cascade):
                self._cascade(here, arm, others)

    def _cascade(self, here: YamlPath, arm: Cascade, others: list[str]) -> None:
        for key, name in (("first", arm.first), ("then", arm.then)):
            if name == next(reversed(here)):
                self._say((*here, key), "a cascade cannot stand on itself", ", ".join(others))
            else:
                self._known((*here, key), name, others, "arm")
        first = self._benchmark.arms.get(arm.first)
        if arm.first == arm.then:
            self._say((*here, "then"), "the two arms of a cascade are the same", fix="name the dearer one")
        if first is not None and not first.uses_model:
            what = f"a {first.kind} arm gives no log-probabilities, so that it is never known to be unsure"
            self._say((*here, "first"), what, fix="name an arm that asks a model")

    def _tuner(self, here: YamlPath, arm: FineTune) -> None:
        if arm.tuner == "existing" and not arm.served:
            fix = "add `served:`, the tuned model or deployment"
            self._say((*here, "served"), "`tuner: existing` needs `served`", "a model reference", fix)
        if arm.tuner != "existing" and arm.served:
            fix = "write `tuner: existing`, or remove `served`"
            self._say((*here, "served"), f"`served` belongs to tuner: existing, not to tuner: {arm.tuner}", fix=fix)
        self._unread(here, arm)
        self._apart(here, arm)
        if "top_k" in arm.model_fields_set and not arm.documents:
            fix = "add `documents`, or remove `top_k`"
            self._say((*here, "top_k"), "`top_k` counts passages, and without `documents` none is shown", fix=fix)

    def _apart(self, here: YamlPath, arm: FineTune) -> None:
        """A provider's tuner on a model that is elsewhere: rows would be uploaded for nothing."""
        model = self._benchmark.model
        base = arm.model or (model if isinstance(model, str) else model.id)
        what = f"`tuner: {arm.tuner}` cannot tune {quoted(base)}"
        if arm.tuner == "azure" and not base.startswith("azure/"):
            fix = "write `model: azure/DEPLOYMENT` there, or `tuner: openai`"
            self._say((*here, "tuner"), what, "azure/DEPLOYMENT", fix)
        elif arm.tuner == "openai" and base.startswith(("azure/", "local/", "hf/")):
            other = "azure" if base.startswith("azure/") else "trl"
            fix = f"write `tuner: {other}`, or `model: openai/MODEL`"
            self._say((*here, "tuner"), what, "openai/MODEL, or a model at a `base_url`", fix)

    def _unread(self, here: YamlPath, arm: FineTune) -> None:
        """Settings that the tuner would pass over: whoever wrote them believes that they do something."""
        tuner = arm.tuner
        known = (*READ[tuner], *(() if tuner == "existing" else TRAINING))
        every = dict.fromkeys((*TRAINING, *(key for keys in READ.values() for key in keys)))
        for key in every:
            value = getattr(arm, key)
            off = value in UNSET or (key == "learning_curve" and value is False)
            if key in known or key not in arm.model_fields_set or off:
                continue
            what = f"`{key}` means nothing to `tuner: {tuner}`"
            if tuner == "existing":
                what = f"`tuner: existing` trains nothing, so `{key}` means nothing"
            other = INSTEAD.get(key)
            fix = f"write `{other}`, or remove it" if other in known else f"remove `{key}`"
            readers = " or ".join(name for name, keys in READ.items() if key in keys)
            if readers and other not in known:
                fix += f"; it belongs to tuner: {readers}"
            self._say((*here, key), what, ", ".join(known), fix)
        if "merge" in known and not arm.merge:
            what = f"`merge: false` means nothing to `tuner: {tuner}`: the engines read merged weights"
            self._say((*here, "merge"), what, fix="remove `merge`")

    def cycles(self) -> None:
        """`extends` and `model` between arms must end somewhere."""
        arms = self._benchmark.arms
        told: set[str] = set()
        for start in arms:
            chain = [start]
            for link in chain:
                after = [n for n in arms[link].stands_on if n in arms and n != link]
                for name in after:
                    if name == start and start not in told:
                        loop = _loop(start, arms)
                        told.update(loop)
                        key = next(k for k in KEYS if getattr(arms[start], k, None) in loop)
                        self._say(("arms", start, key), "arms go round in a circle: " + " -> ".join([*loop, start]),
                                  fix="let one of them stand on its own")  # fmt: skip
                    if name not in chain:
                        chain.append(name)

    def roles(self) -> None:
        """`candidate` and `baseline`."""
        benchmark, arms = self._benchmark, dict(self._benchmark.arms)
        candidate, baseline = benchmark.candidate, benchmark.baseline
        tuned = [a for a in arms if is_tuned(a, arms)]
        if candidate is not None:
            self._known(("candidate",), candidate, self._arms, "arm")
        if candidate in arms and candidate not in tuned:
            fix = "name a fine-tuned arm, or leave it out" if tuned else "add an arm with technique: fine_tune"
            self._say(("candidate",), f"the candidate {candidate!r} is no fine-tuned arm", ", ".join(tuned), fix)
        self._known(("baseline",), baseline, [*BASELINES, *self._arms], "arm")
        if baseline == candidate:
            self._say(("baseline",), "candidate and baseline are the same arm", fix="write `baseline: auto`")
        if baseline == "auto" and tuned and len(tuned) == len(self._arms):
            fix = "add a prompt or few_shot arm to beat"
            self._say(("baseline",), "`auto` chooses among arms without fine-tuning, and there is none", fix=fix)

    def metrics(self) -> None:
        """Scorers that exist with settings that they have, one primary."""
        answer = Answer(**self._benchmark.task.answer.model_dump())
        for name, metric in self._benchmark.metrics.items():
            if ":" in metric.scorer:
                continue  # a file of the user's, which is not run before the run
            try:
                self._kept(name, scorers.build(name, metric, answer, _never, others=self._benchmark.metrics))
            except SpecError as error:
                for p in error.problems:
                    if p.path.startswith(f"metrics.{name}."):  # a part of `all_of` says its own
                        self._say(tuple(p.path.split(".")), p.what, p.valid, p.fix, p.got)
        self._forgetting()
        primary = [n for n, m in self._benchmark.metrics.items() if m.primary]
        for name in primary[1:]:
            what = f"only one metric can be primary, and `{primary[0]}` is"
            self._say(("metrics", name, "primary"), what, fix="keep `primary: true` on the one that decides")
        meant = any(self._source.get(("metrics", n, "primary")) for n in self._metrics)  # mistyped is said elsewhere
        if not primary and not meant and len(self._metrics) > 1:
            self._say(("metrics",), "no metric is primary", ", ".join(self._metrics),
                      "add `primary: true` to the one that decides")  # fmt: skip

    def _kept(self, metric: str, scorer: scorers.Scorer) -> None:
        task = self._benchmark.task
        needs = scorer.needs if isinstance(scorer, PairScorer) else ()
        for column in needs:
            if column not in task.keep and column not in template.columns(task.input):
                what = f"the scorer of `{metric}` needs the column `{column}`, which nothing hands to it"
                self._say(("task", "keep") if task.keep else ("task",), what, fix=f"add `keep: [{column}]` to the task")

    def _forgetting(self) -> None:
        """The scorer of the second task set, and a tuned model to ask."""
        spec = self._benchmark.forgetting
        if spec is None:
            return
        if not any(isinstance(arm, FineTune) for arm in self._benchmark.arms.values()):
            what, fix = "no arm tunes a model, so nothing can be forgotten", "remove it, or add a fine_tune arm"
            self._say(("forgetting",), what, fix=fix)
        if ":" in spec.scorer:
            return
        try:
            metric = MetricSpec(scorer=spec.scorer, settings=spec.settings)
            scorers.build("forgetting", metric, Answer(**spec.answer.model_dump()), _never)
        except SpecError as error:
            for p in error.problems:
                path = ("forgetting", *p.path.split(".")[2:])
                self._say(path, p.what, p.valid, p.fix, p.got)

    def gates(self) -> None:
        """Arms and metrics that gates name."""
        for name, gate in self._benchmark.gates.items():
            here: YamlPath = ("gates", name)
            if gate.arm != "*":
                self._known((*here, "arm"), gate.arm, ["*", *self._arms], "arm")
            if gate.on is not None:
                paired = gate.beats or gate.not_worse_than
                known = [*self._metrics, *(MEASURED if paired else ())]
                self._known((*here, "on"), gate.on, known, "metric")
            self._rivals(here, gate)

    def _rivals(self, here: YamlPath, gate: GateSpec) -> None:
        for key, words in (("beats", ["baseline"]), ("not_worse_than", ["baseline", "saved"])):
            rival = getattr(gate, key)
            if rival is None:
                continue
            if rival == gate.arm:
                self._say((*here, key), "an arm is held against itself", fix="name another arm, or `baseline`")
            else:
                self._known((*here, key), rival, [*words, *self._arms], "arm")

    def sweeps(self) -> None:
        """No more candidates than dev trials, no value twice."""
        most = self._benchmark.run.dev_trials
        for name, arm in self._benchmark.arms.items():
            here: YamlPath = ("arms", name)
            count, parts = 1, list[str]()
            for knob, values in swept(arm).items():
                for value in {v for v in values if values.count(v) > 1}:
                    self._say((*here, knob), f"{quoted(value)} stands twice in the sweep", fix="keep one of them")
                count *= len(values)
                parts += [f"{len(values)} {knob}"] if len(values) > 1 else []
            if count > most:
                what = f"{count} configurations ({' x '.join(parts)}), but every arm has {most} dev trials"
                fix = f"try fewer values, or set run.dev_trials to {count} (every arm then has as many)"
                self._say(here, what, f"at most {most}", fix)

    def endpoints(self) -> None:
        """What a model given by its endpoint says of itself."""
        metrics = self._benchmark.metrics
        specs: list[tuple[YamlPath, Any]] = [(("model",), self._benchmark.model)]
        specs += [(("metrics", n, "judge"), m.judge) for n, m in metrics.items()]
        known: dict[str, ModelSpec] = {}
        for path, spec in specs:
            if isinstance(spec, ModelSpec):
                self._endpoint(path, spec)
                if known.setdefault(spec.id, spec) != spec:
                    fix = "describe it alike in both places"
                    self._say((*path, "id"), "another model of this benchmark has the same id", fix=fix)
        if not self._benchmark.question.strip():
            self._say(("question",), "the question is empty", fix="write what the run shall answer")

    def _endpoint(self, path: YamlPath, spec: ModelSpec) -> None:
        if spec.base_url is not None and not spec.base_url.startswith(("http://", "https://")):
            self._say((*path, "base_url"), "not a web address", "https://host/v1", got=quoted(spec.base_url))
        if spec.api_key_env is not None and not spec.api_key_env.replace("_", "").isalnum():
            fix = "write the variable's name; the key itself never stands in a file"
            valid = "a name such as OPENAI_API_KEY"
            self._say((*path, "api_key_env"), "not the name of an environment variable", valid, fix)
        if spec.retires is not None:
            try:
                datetime.date.fromisoformat(spec.retires)
            except ValueError:
                self._say((*path, "retires"), "no such day", "a date such as 2027-06-30", got=quoted(spec.retires))


def _never() -> NoReturn:
    raise AssertionError("a check opens no model")


def _names(raw: Any, read: Iterable[str]) -> list[str]:
    return [str(k) for k in raw] if isinstance(raw, dict) else list(read)


def _loop(start: str, arms: Any) -> list[str]:
    """The shortest way from an arm back to itself."""
    ways = [[start]]
    for way in ways:
        for name in arms[way[-1]].stands_on:
            if name == start:
                return way
            if name in arms and name not in way:
                ways.append([*way, name])
    return [start]
