"""The page: one file, no request to any network. Its policy allows what is inlined, by hash, and nothing else."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import math
import re
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import Any, cast

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from harness import __version__
from harness.report import charts, figures, payload
from harness.report.changes import ChangesView
from harness.report.drawing import spoken
from harness.report.money import Worth
from harness.report.text import defused, one_line, script_json
from harness.report.view import View

SCRIPTS = ("whatif.js", "page.js")
STYLES = ("page.css",)
_BETWEEN = re.compile(r"\[[-+−$\d][^\[\]a-z]{0,40}\]")
_TIED = re.compile(r"(?<=\d) (?=%)|(?<=[pn]) (?=[=<])|(?<=[pn] [=<]) (?=\d)")
ICONS = {"yes": "✓", "no": "✕", "inconclusive": "?", "unasked": "–", "depends": "◐", "unknown": "–"}


def page(view: View) -> str:
    """The whole page as text."""
    return _environment().get_template("page.html").render(context(view))


def context(view: View) -> dict[str, Any]:
    """What the template is given."""
    style = "\n".join(_source(name) for name in STYLES)
    script = "\n".join(_source(name) for name in SCRIPTS)
    return {
        "view": view,
        "charts": charts.draw(view),
        "strip": charts.strip(view),
        "spending": charts.spending(view),
        "columns": columns(view),
        "unpriced": _unpriced(view),
        "waited": _waited(view),
        "worth": view.worth if isinstance(view.worth, Worth) else None,
        "lacking": view.worth if isinstance(view.worth, str) else "",
        "style": Markup(style),
        "script": Markup(script),
        "policy": policy(style, script),
        "facts": Markup(script_json(payload.facts(view))),
        "data": Markup(payload.deflated(view.stored)),
        "held": len(payload.held(view.stored)),
        "arms_csv": _link(arms_csv(view)),
        "metrics": ordered_metrics(view),
        "version": __version__,
    }


def changes_page(view: ChangesView) -> str:
    """The page of two runs as text; it needs no script."""
    style = "\n".join(_source(name) for name in STYLES)
    given = {"view": view, "chart": charts.changes(view), "style": Markup(style), "policy": policy(style)}
    return _environment().get_template("compare.html").render(given | {"version": __version__})


def policy(style: str, script: str = "") -> str:
    """Nothing may be loaded; the style and the script of this page may run, by their hashes."""
    scripts = f"script-src '{_hash(script)}'" if script else "script-src 'none'"
    parts = ("default-src 'none'", f"style-src '{_hash(style)}'", scripts)
    return "; ".join((*parts, "base-uri 'none'", "form-action 'none'"))


def ordered_metrics(view: View) -> list[str]:
    """The metric that decides first, then the others as written."""
    return [view.primary, *(m for m in view.metrics if m != view.primary)]


def _unpriced(view: View) -> dict[str, str]:
    """The arms without a price, by the reason."""
    found: dict[str, list[str]] = {}
    for arm in view.arms:
        if arm.bill.reason:
            found.setdefault(arm.bill.reason, []).append(arm.name)
    return {reason: spoken(names) for reason, names in found.items()}


def _waited(view: View) -> str:
    """What latency holds: whoever reads it must not take it for the time of one answer alone."""
    most = view.stored.benchmark.run.max_concurrency
    if most == 1:
        return ""
    local = any(a.effort.compute_seconds for a in view.arms)
    alone = "; what a task takes of the machine alone stands in the checklist, under compute" if local else ""
    return f"Latency was measured with up to {most:,} answers under way at a time, the wait included{alone}."


def columns(view: View) -> dict[str, dict[str, str]]:
    """The figures of the arm table, by column and arm, point under point."""

    def column(texts: Iterable[str]) -> dict[str, str]:
        return dict(zip((a.name for a in view.arms), figures.aligned(list(texts)), strict=True))

    made = {
        m: column(figures.score(c.mean, c.low, c.high) if (c := a.cells[m]).n else figures.DASH for a in view.arms)
        for m in view.metrics
    }
    made[" cost"] = column(_per_thousand(a.bill.usd_a_task) for a in view.arms)
    made[" correct"] = column(
        "none right" if a.bill.per_correct == math.inf else _per_thousand(a.bill.per_correct) for a in view.arms
    )
    return made


def arms_csv(view: View) -> str:
    """The arm table as CSV."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    metrics = ordered_metrics(view)
    head = [f"{m}{end}" for m in metrics for end in ("", "_low", "_high")]
    writer.writerow(["arm", "technique", "model", "n", *head, "failed", "input_tokens", "output_tokens",
                     "usd_per_1000", "usd_per_correct", "seconds_p50", "seconds_p95", "training_usd"])  # fmt: skip
    for arm in view.arms:
        cells = [f"{v:.6g}" for m in metrics for v in (arm.cells[m].mean, arm.cells[m].low, arm.cells[m].high)]
        effort, bill = arm.effort, arm.bill
        each = None if bill.usd_a_task is None else 1000 * bill.usd_a_task
        numbers = (effort.input_tokens, effort.output_tokens, each, bill.per_correct, effort.seconds_p50,
                   effort.seconds_p95, bill.training)  # fmt: skip
        writer.writerow([
            defused(arm.name), arm.technique, defused(arm.model), arm.cells[view.primary].n, *cells,
            sum(arm.failures.values()), *("" if v is None else f"{v:.6g}" for v in numbers),
        ])  # fmt: skip
    return out.getvalue()


def _link(text: str) -> str:
    return "data:text/csv;base64," + base64.b64encode(text.encode()).decode("ascii")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")


@cache
def _source(name: str) -> str:
    return files("harness.report").joinpath("templates", name).read_text("utf-8").replace("\r\n", "\n")


@cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("harness.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Any] = {
        "usd": figures.usd, "count": figures.count, "seconds": figures.seconds, "months": figures.months,
        "brief": _brief, "code": _code, "tied": _tied,
    }  # fmt: skip
    cast("dict[str, Any]", made.filters).update(filters)
    shared: dict[str, Any] = {"figures": figures, "icons": ICONS, "share": _share}
    cast("dict[str, Any]", made.globals).update(shared)
    return made


def _per_thousand(usd: float | None) -> str:
    return figures.usd(None if usd is None else 1000 * usd, whole=True)


def _share(value: float | None) -> str:
    """A mean in points of 100."""
    return figures.DASH if value is None else figures.score(value)


def _tied(text: str) -> str:
    """A sentence whose figures do not break over a line: intervals, percentages, p-values; a minus that is one."""
    if isinstance(text, Markup):
        return Markup(_tied(str(text)))
    text = _BETWEEN.sub(lambda m: m[0].replace(" ", "\u00a0").replace("-", "\u2212"), text)
    return _TIED.sub("\u00a0", text)


def _brief(text: str) -> str:
    return one_line(text, 300)


def _code(text: str) -> Markup:
    """Words between backticks as code."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return Markup("{}").format(text)
    made = [Markup("<code>{}</code>").format(p) if i % 2 else Markup("{}").format(p) for i, p in enumerate(parts)]
    return Markup("").join(made)
