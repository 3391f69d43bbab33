"""What a solver's outcomes on some examples come to: a value an example, tokens, dollars, seconds."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from harness.models.base import Completion, Failure, Usage, billed
from harness.scorers.base import Scorer
from harness.taskset import Example
from harness.techniques.base import Scored

Price = Callable[[str, Usage, float], float | None]


async def scored(
    examples: Sequence[Example], outcomes: Sequence[Completion | Failure], scorer: Scorer, price: Price
) -> Scored:
    """Values turned so that more is better; a failure, and what the scorer could not say, counts as the worst."""
    right = [(e, o) for e, o in zip(examples, outcomes, strict=True) if isinstance(o, Completion)]
    marks = iter(await scorer.score(right)) if right else iter(())
    worst = 0.0 if scorer.higher_is_better else 1.0
    raw = [next(marks).value if isinstance(o, Completion) else worst for o in outcomes]
    values = [worst if v is None else v for v in raw]
    usage, compute, usd = Usage(), 0.0, 0.0
    for outcome in outcomes:
        usage, compute = usage + outcome.usage, compute + outcome.compute_seconds
        for part in billed(outcome):
            paid = price(part.model, part.usage, part.compute_seconds)
            usd = None if usd is None or paid is None else usd + paid
    return Scored(
        values=tuple(values if scorer.higher_is_better else [1.0 - v for v in values]),
        failures=sum(isinstance(o, Failure) for o in outcomes),
        usage=usage,
        usd=usd,
        compute_seconds=compute,
        logprobs=tuple(o.logprob if isinstance(o, Completion) else None for o in outcomes),
    )
