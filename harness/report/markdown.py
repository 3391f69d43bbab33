"""`summary.md`: the answer, the arms and the changes, short enough for the body of a pull request."""

from __future__ import annotations

import re

from harness.report import figures
from harness.report.html import ordered_metrics
from harness.report.text import visible
from harness.report.view import View

_SPECIAL = re.compile(r"([\\`*_\[\]<>|~$#!:])|(?<=www)(\.)")

_SAID = re.compile(r"([\\`*_<>|~$])")


def escaped(text: str) -> str:
    """Text that Markdown shows as it is: no link, image, mention, HTML or formula, no table cell broken."""
    return _SPECIAL.sub(r"\\\1\2", " ".join(visible(text).split())).replace("@", "@\u2060")


def summary(view: View, link: str = "report.html") -> str:
    """The summary as Markdown."""
    answer = view.answer
    lines = [f"## {escaped(answer.word)}: {_sentence(answer.sentence)}", "", f"*{escaped(view.question)}*", ""]
    if answer.worth:
        lines += [_sentence(answer.worth), ""]
    elif isinstance(view.worth, str) and answer.comparison:
        lines += [f"Not priced: {view.worth}.", ""]
    if answer.advice:
        lines += [f"**{_code(answer.advice)}**", ""]
    lines += [_sentence(f"{answer.because} {answer.others}".strip()), ""]
    lines += [f"- {_code(line)}" for line in answer.would_change]
    lines += ["" if answer.would_change else None, *_table(view), ""]  # type: ignore[list-item]
    lines += [f"{escaped(metric)}: {_sentence(note)}.\n" for metric, note in view.metric_notes]
    lines += [f"{view.looks}\n"] if view.looks else []
    if view.flip_counts:
        c = view.flip_counts
        lines += [f"Fixed {c['fixed']:,} examples, broke {c['broken']:,}, left {c['same']:,} as they were.", ""]
        broken = [f for f in view.flips if f.kind == "broken"][:5]
        if broken:
            lines += [
                "Worst losses: " + ", ".join(f"{escaped(f.title)} ({100 * f.change:.0f})" for f in broken) + ".",
                "",
            ]
    lines.append(f"[The whole report]({link}) · {escaped(view.name)} {escaped(view.run)} · n = {view.n:,}")
    return "\n".join(line for line in lines if line is not None) + "\n"


def _sentence(text: str) -> str:
    """Our own sentence: names in it keep their underscores, brackets of intervals stay."""
    return _SAID.sub(r"\\\1", " ".join(text.split()))


def _code(text: str) -> str:
    """Our own sentence with its code between backticks."""
    return "".join(f"`{part}`" if i % 2 else _SAID.sub(r"\\\1", part) for i, part in enumerate(text.split("`")))


def _table(view: View) -> list[str]:
    metrics = ordered_metrics(view)
    head = [
        "arm",
        *(escaped(m) + (" (by judge only)" if m in view.by_judge_only else "") for m in metrics),
        "failed",
        "tokens in + out",
        "$ per 1,000",
        "training",
    ]
    found = any(arm.recall for arm in view.arms)
    head += ["recall of passages"] if found else []
    rows = ["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * (len(head) - 1)]
    for arm in view.arms:
        cells = [arm.cells[m] for m in metrics]
        name = escaped(arm.name)
        name = f"**{name}**" if arm.role == "candidate" else name
        name += " (baseline)" if arm.role == "baseline" else ""
        each = None if arm.bill.usd_a_task is None else 1000 * arm.bill.usd_a_task
        trained = figures.usd(arm.bill.training) if arm.trained_tokens or arm.train_seconds else figures.DASH
        row = [
            name,
            *(
                f"{figures.score(c.mean, c.low, c.high)} ({figures.score_interval(c.low, c.high)})"
                if c.n
                else figures.DASH
                for c in cells
            ),
            str(sum(arm.failures.values())),
            f"{arm.effort.input_tokens:,.0f} + {arm.effort.output_tokens:,.0f}",
            figures.usd(each).replace("$", "\\$"),
            trained.replace("$", "\\$"),
            *([figures.recall(arm.recall)] if found else []),
        ]
        rows.append("| " + " | ".join(row) + " |")
    return rows
