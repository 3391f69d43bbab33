"""What `harness check` shows: the data and its findings, every endpoint, every training, and what the run will take."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from harness.console import band

if TYPE_CHECKING:
    from rich.table import Table

    from harness.check import Checked
    from harness.estimate import ArmEstimate, Band, RunEstimate
    from harness.extras import ExtraEstimate
    from harness.preflight import Look

SHOWN = 20


def print_check(checked: Checked, *, json: bool = False) -> None:
    """Print it; with `json` one JSON object and nothing else."""
    import msgspec
    from rich.console import Console
    from rich.text import Text

    question, estimate = checked.question, checked.estimate
    rows = {split: len(question.tasks.split(split)) for split in ("train", "dev", "test")}
    if json:
        body = {
            "rows": rows,
            "notes": question.tasks.notes,
            "findings": question.findings,
            "models": checked.outlook.models,
            "left": checked.outlook.left,
            "estimate": estimate,
            "errors": checked.errors,
        }
        sys.stdout.write(msgspec.json.encode(body).decode() + "\n")
        return
    console = Console(highlight=False)
    console.print(Text(question.located.benchmark.question, style="bold"))
    console.print(Text("rows: " + ", ".join(f"{n} {split}" for split, n in rows.items())))
    for note in question.tasks.notes:
        console.print(Text(f"note: {note}"), soft_wrap=True)
    for finding in question.findings[:SHOWN]:
        console.print(Text(f"{finding.severity}: {finding.message} ({', '.join(finding.where)})"))
    if len(question.findings) > SHOWN:
        console.print(Text(f"and {len(question.findings) - SHOWN} more pairs, all of them in `harness check --json`"))
    for look in checked.outlook.models:
        console.print()
        console.print(Text(f"{look.model} at {look.url or 'no endpoint'} ({', '.join(look.arms)})", style="bold"))
        for name, said in _facts(look):
            console.print(Text(f"  {name:8} {said}"), soft_wrap=True)
    for line in checked.outlook.left:
        console.print(Text(f"left by an earlier run: {line}"), soft_wrap=True)
    if estimate is not None:
        for arm in estimate.arms:
            for said in _training(arm):
                console.print(Text(said), soft_wrap=True)
        console.print()
        console.print(_table(estimate))
        for extra in estimate.extras:
            console.print(Text(_beside(extra)), soft_wrap=True)
        console.print(Text(f"the run: {band(estimate)}"), soft_wrap=True)
    for error in checked.errors:
        console.print(Text(f"error: {error}", style="bold red"), soft_wrap=True)


def _facts(look: Look) -> Iterator[tuple[str, str]]:
    """What is known of an endpoint, a line each."""
    seen = look.listing
    if not look.key_env:
        yield "key", "none is sent to this host"
    elif not look.key_set:
        yield "key", f"{look.key_env} is not set"
    elif seen is not None and seen.reached:
        said = {True: "is set and accepted", False: "is set and not accepted", None: "is set"}[seen.accepted]
        yield "key", f"{look.key_env} {said}"
    else:
        yield "key", f"{look.key_env} is set"
    if seen is not None and seen.listed:
        yield "model", "listed"
    if look.tunable:
        yield "tuning", f"{look.tunable}: {look.why}"
    if look.retires is not None and look.days is not None:
        yield "life", f"shut down, with its fine-tunes, on {look.retires}: {look.days} days from now"
    else:
        yield "life", "no end is known; `retires:` sets one"
    price = look.price
    if price.known:
        cached = "" if price.cached_input is None else f", {price.cached_input:g} cached"
        age = f", {price.dated}: {look.price_days} days old" if look.price_days is not None else ""
        yield "price", f"${price.input:g} in{cached}, {price.output:g} out per million tokens ({price.source}{age})"
    else:
        yield "price", f"unknown: {price.reason}"
    for name, unit, rate in (
        ("training", "per million trained tokens", look.train),
        ("hosting", "an hour", look.hosting),
    ):
        if rate is not None:
            dated = f", {rate.dated}" if rate.dated else ""
            known = (
                f"${rate.usd:g} {unit} ({rate.source}{dated})" if rate.usd is not None else f"unknown: {rate.reason}"
            )
            yield name, known
    limits = [
        f"{count:,.0f} {what}"
        for count, what in ((look.requests_per_minute, "requests"), (look.tokens_per_minute, "tokens"))
        if count
    ]
    yield "limits", f"{' and '.join(limits)} a minute" if limits else "not said before the first call"
    for finding in look.findings:
        yield finding.severity, finding.message


def _training(arm: ArmEstimate) -> Iterator[str]:
    """A training: its file, what was found in it, what it is estimated to take."""
    made = arm.training
    if made is None:
        return
    yield ""
    yield f"training of {arm.arm}: {made.tuner} on {made.base}: {made.why or f'{made.rows} rows'}"
    for f in made.findings[:SHOWN]:
        yield f"  {f.severity:8} {f'line {f.line}: ' if f.line else ''}{f.message}"
    if len(made.findings) > SHOWN:
        yield f"  and {len(made.findings) - SHOWN} more findings"
    if not made.findings:
        yield "  nothing was found in the training file"


def _beside(extra: ExtraEstimate) -> str:
    """What is measured beside the arms, in a line."""
    trained = f"{extra.trainings} trainings, " if extra.trainings else ""
    cost = f"{_minutes(extra.seconds)} minutes, $ {_dollars(extra.usd)}"
    return f"{extra.name}: {trained}{extra.answers:,} answers, {cost}"


def _table(estimate: RunEstimate) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for i, name in enumerate(("arm", "dev", "test", "prompt tokens", "minutes", "$", "training minutes", "training $")):
        table.add_column(name, justify="left" if i == 0 else "right")
    for arm in estimate.arms:
        made = arm.training
        table.add_row(
            Text(arm.arm), str(arm.dev), str(arm.test), f"{arm.prompt_tokens:,.0f}", _minutes(arm.seconds_band),
            _dollars(arm.usd_band), _minutes(made.seconds) if made else "", _dollars(made.usd) if made else "",
        )  # fmt: skip
    return table


def _minutes(seconds: Band | None) -> str:
    return "unknown" if seconds is None else f"{seconds[0] / 60:.1f}-{seconds[1] / 60:.1f}"


def _dollars(usd: Band | None) -> str:
    return "unknown" if usd is None else "0" if usd == (0.0, 0.0) else f"{usd[0]:.3f}-{usd[1]:.3f}"
