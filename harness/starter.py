"""A first benchmark from a data file: what its columns look like decides the task, comments say what to decide next.

Guesses are said in the file, next to what they led to, so that a wrong one is seen and corrected.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from harness import columns, hub, hygiene, rows, specfile, splits, taskset
from harness.columns import Format, Guess, Survey
from harness.errors import DataError, Problem, capped
from harness.paths import project_of, shown

ENOUGH = 30  # rows: fewer leave too few to train on, choose on and test on
TUNABLE = 10  # train rows: the fewest that are tuned on
LIMIT = {"train": 600, "dev": 100, "test": 300}
METRICS: dict[Format, str] = {
    "list": "  accuracy: {scorer: set_f1, primary: true}    # items in common, 0 to 1\n  exact: {scorer: exact_set}\n",
    "label": "  accuracy: {scorer: exact, primary: true}\n",
    "json": "  accuracy: {scorer: json_match, primary: true}\n",
    "sql": "  accuracy: {scorer: exact, primary: true}    # with databases to run on: sql_execution\n",
    "text": "  accuracy: {scorer: exact, primary: true}    # is there a better one? See the scorers in the README\n"
    "  relevance: {scorer: semantic_similarity}    # closeness to the target\n",
}


def draft(data: str, folder: Path, question: str = "Does a fine-tune beat prompting at this task?") -> str:
    """The text of a commented benchmark file that `harness check` accepts as it is, if the rows are sound.

    Args:
        data: a data file, a folder with train, dev and test files, or a `hf://` address.
        folder: where the YAML will lie; paths in it start there.
        question: the question to put on top.

    Raises:
        DataError: the data cannot be read, has fewer than two columns that could be input and target, or too few rows.
    """
    here, project = Path.cwd(), project_of(folder.resolve())
    path = hub.locate(data, here, project, allow_outside=True)
    files = splits.files(path)
    survey = Survey()
    survey.read(files)
    guess = columns.look(survey, path, files)
    divide = not guess.splits
    if divide and guess.rows < ENOUGH:
        what = f"{guess.rows} rows are too few to divide into train, dev and test"
        raise DataError(Problem(what, shown(path), valid=f"at least {ENOUGH}", fix="add rows, or splits of your own"))
    where = _written(data, path, folder)
    return _TEMPLATE.format(
        question=_text(question),
        task="\n".join(_task(guess, where, divide=divide)),
        system=_text(_PROMPTS[guess.format]),
        metrics=METRICS[guess.format].rstrip(),
        rag=_rag(path, where),
        run=_RUN,
        **_arms(guess, train=guess.rows if divide else guess.train),
    )


def settle(file: Path, *, allow_outside: bool = False) -> None:
    """Let rows that differ by a few letters through, in a file that `draft` made, and say so: a check stops at them.

    Raises:
        HarnessError: what a check would say of the file or its rows.
    """
    located = specfile.read(file, allow_outside=allow_outside)
    tasks = taskset.load(located.benchmark.task, located.folder, located.project, allow_outside=allow_outside)
    errors = [f for f in hygiene.find_leaks(tasks) if f.severity == "error"]
    if errors:
        said = f"{len(errors)} test rows are nearly the same as another row; better to keep one of each"
        text = file.read_text(encoding="utf-8")
        line = f"run: {{max_usd: 5, allow_near_duplicates: true}}    # {said}"
        file.write_text(text.replace(_RUN, line), encoding="utf-8")


def divide(data: Path, folder: Path) -> list[Path]:
    """Write a file without splits as train.jsonl (60 %), dev.jsonl (15 %) and test.jsonl (25 %) into a folder.

    A row's split comes from the hash of its content, so that equal rows stay together and new rows move no old ones.

    Raises:
        DataError: a row cannot be read, a file that would be written is there already, or the rows are too few.
    """
    paths: dict[splits.SplitName, Path] = {s: folder / f"{s}.jsonl" for s in splits.SPLITS}
    there = [Problem("the file is there already", shown(p), fix="remove it, or choose another folder")
             for p in paths.values() if p.exists()]  # fmt: skip
    lines: dict[splits.SplitName, list[str]] = {s: [] for s in splits.SPLITS}
    for row in rows.read(data):
        if isinstance(row, Problem):
            there.append(row)
            continue
        content = {k: v for k, v in row.data.items() if k not in columns.IDS}
        split = splits.share(json.dumps(content, sort_keys=True, default=str))
        lines[split].append(json.dumps(row.data, ensure_ascii=False, default=str) + "\n")
    if there:
        raise DataError(capped(there))
    if not (lines["train"] and lines["test"]):
        raise DataError(Problem("too few rows to divide", shown(data), fix="write the splits by hand"))
    folder.mkdir(parents=True, exist_ok=True)
    made = [path for split, path in paths.items() if lines[split]]
    for split, path in paths.items():
        if lines[split]:
            path.write_text("".join(lines[split]), encoding="utf-8")
    return made


def outside(data: str, folder: Path) -> bool:
    """Whether the data lies outside the project of the benchmark's folder, so that commands must be told to read it."""
    if data.startswith(hub.PREFIX):
        return False
    return not Path(data).resolve().is_relative_to(project_of(folder.resolve()))


def _written(data: str, path: Path, folder: Path) -> str:
    """The data as the YAML names it."""
    if not data.startswith(hub.PREFIX):
        return os.path.relpath(path.resolve(), folder.resolve())
    wanted = hub.parse(data)
    if wanted is None or not wanted.folder:
        return data
    home = os.path.relpath(Path(wanted.name).resolve(), folder.resolve())
    return data.replace(wanted.name, home if home.startswith(".") else f"./{home}", 1)


def _task(guess: Guess, where: str, *, divide: bool) -> list[str]:
    """The lines of `task`."""
    lines = [
        f"  data: {_text(where)}    # {guess.rows:,} rows",
        f"  input: {_text(_input(guess))}",
        f"  target: {_text(f'{{{{ {guess.names[guess.target]} }}}}')}    # {guess.why}",
    ]
    labels = f", labels: {json.dumps(list(guess.labels), ensure_ascii=False)}" if guess.labels else ""
    lines.append(f"  answer: {{format: {guess.format}{labels}}}    # list, label, text, json or sql")
    if guess.renamed:
        lines.append(f"  columns: {json.dumps(guess.renamed, ensure_ascii=False)}    # new name: old name")
    if guess.id is not None and guess.id != "id":
        lines.append(f"  id: {_text(guess.id)}")
    if not guess.cluster:
        lines.append("  cluster: null    # the column that says which rows come from one source, if there is one")
    if divide:
        lines.append(
            "  divide: true    # 60 % train, 15 % dev, 25 % test; `harness init DATA --split` writes them down"
        )
    if guess.rows > 2 * sum(LIMIT.values()):
        limit = ", ".join(f"{split}: {n}" for split, n in LIMIT.items())
        lines.append(f"  limit: {{{limit}}}    # of {guess.rows:,}: as many as you can afford to run")
    return lines


def _input(guess: Guess) -> str:
    """The input template; a column that some rows lack stands in it where it is there."""
    if len(guess.inputs) == 1:
        return f"{{{{ {guess.names[guess.inputs[0]]} }}}}"
    text = ""
    for column in guess.inputs:
        name, line = guess.names[column], f"{column.capitalize()}: {{{{ {guess.names[column]} }}}}\n"
        text += f"{{% if {name} is defined %}}{line}{{% endif %}}" if column in guess.optional else line
    return text.rstrip("\n")


def _arms(guess: Guess, *, train: int) -> dict[str, str]:
    """The parts of the file that are there only where train rows are."""
    off = "" if train else "# "
    classifier = f"  {off}{_CLASSIFIER}\n" if guess.format == "label" else ""
    tunes = train >= TUNABLE
    return {
        "shots": off, "tunes": "" if tunes else "# ", "few": "" if tunes else f"    # takes {TUNABLE} train rows",
        "classifier": classifier, "candidate": "candidate: fine_tuned\n" if tunes else "",
        "gates": _GATES if tunes else "",
    }  # fmt: skip


def _text(value: str) -> str:
    """A YAML text: JSON's quoting is YAML's too."""
    return json.dumps(value, ensure_ascii=False)


def _rag(data: Path, where: str) -> str:
    beside = data / "documents.jsonl" if data.is_dir() else data.parent / "documents.jsonl"
    path = f"{where}/documents.jsonl" if data.is_dir() else os.path.join(os.path.dirname(where), "documents.jsonl")
    there = beside.is_file() and not where.startswith(hub.PREFIX)
    path = path if there else "documents.jsonl"
    line = f"rag: {{technique: rag, extends: few_shot, documents: {_text(path)}, top_k: [4, 8]}}"
    return f"  {line}" if there else f"  # {line}    # documents: id, title, text"


_PROMPTS: dict[Format, str] = {
    "list": "Read the text and name what is asked for.",
    "label": "Classify the text.",
    "json": "Turn the text into JSON.",
    "sql": "Write the SQL query that answers the question.",
    "text": "Answer briefly and exactly.",
}

_RUN = "run: {max_usd: 5}"
_CLASSIFIER = "classifier: {technique: classifier, C: [1, 10]}    # no language model: the other floor"
_GATES = "gates:\n  worth_it: {arm: fine_tuned, beats: baseline, on: accuracy, by: 0.02}\n"

_TEMPLATE = """\
# yaml-language-server: $schema=benchmark.schema.json    (`harness schema > benchmark.schema.json` writes it)
# `harness check` says what this will cost; `harness run` answers the question.
version: 1
question: {question}
model: local/smollm2-135m-instruct    # or openai/..., azure/..., or {{base_url: http://localhost:8000/v1, id: ...}}
task:
{task}
arms:
  prompt: {{technique: prompt, system: [{system}, "Answer as the examples of this task would be answered."]}}
  {shots}few_shot: {{technique: few_shot, extends: prompt, k: [3, 6], select: [random, nearest]}}    # tried on dev
{rag}
{classifier}  # rule: {{technique: rule, call: rule.py:answer}}    # a function without a model: the floor to beat
  {tunes}fine_tuned: {{technique: fine_tune, extends: prompt, tuner: trl, epochs: 3, lora: {{r: 16}}}}{few}
{candidate}baseline: auto    # the best arm without fine-tuning, chosen on dev
metrics:
{metrics}
use_case: {{improve: "what should get better?"}}
verdict: {{min_effect: 0.02}}    # a gain under 2 points would not be worth it
economics: {{requests_per_month: 10000, horizon_months: 12}}    # add labelling_usd_per_row, effort_hours, usd_per_hour
  # and local_usd_per_hour: 0.20, what an hour of this machine costs: without it a local model has no price
{run}
{gates}"""
