"""The order in which a hosted model is wrapped, and why it is this one.

    Cached(Retrying(Throttled(Budgeted(model))))

The cache is outermost: a hit takes no slot and no money. Retrying stands outside the throttle, so that a request that
waits for its next try holds no place; the throttle outside the budget, so that only calls on their way hold money.
Every attempt is paid for by itself.
"""

from __future__ import annotations

from harness.models.base import Model
from harness.models.budgeted import Budget, Budgeted
from harness.models.cached import Cached, ResponseCache
from harness.models.retrying import Retries, Retrying
from harness.models.throttled import Throttle, Throttled
from harness.prices import Price


def wrap(
    model: Model,
    *,
    cache: ResponseCache | None = None,
    retries: Retries | None = None,
    throttle: Throttle | None = None,
    budget: Budget | None = None,
    price: Price | None = None,
) -> Model:
    """A hosted model with what a run puts around it; what is None is left out, retrying never.

    Raises:
        ModelError: a budget is given, and the model's price is not known.
    """
    if budget is not None:
        model = Budgeted(model, budget, price or Price(reason="no price was looked up"))
    if throttle is not None:
        model = Throttled(model, throttle)
    model = Retrying(model, retries)
    return Cached(model, cache) if cache is not None else model
