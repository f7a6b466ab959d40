"""A simulated clickstream: visitors who view, add to a cart and buy, with the probability of it known exactly.

Calibrated to the totals that RetailRocket published (139 days, 2,756,101 events, 1,407,580 visitors; of the events
96.67 % views, 2.52 % carts, 0.81 % transactions; 32.4 % of carts bought). Only those totals are real: the shape of
visits, the popularity of items and the time of day are assumptions of this simulator.

A visitor arrives, and returns `returns` times in the mean, at ages that fall off with `decay` days and end after
MAX_AGE days. Visits are independent given the visitor, so the chance to buy in a span of days has a closed form.

Everything of a day is drawn from the seed and the calendar days behind it alone: two runs that begin on different days,
in other processes, with other numbers of threads, give the same events for the days they share.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

EVENTS = ("view", "addtocart", "transaction")
MAX_AGE = 60
ITEMS = 235_061
DAY = 86_400_000_000  # microseconds
# Found by matching the published totals over 139 days; tests hold them.
EVENTS_A_VISITOR = 2.018  # over a visitor's whole life, hence a little more than the published 1.958 of 139 days
RETURNS, RETURNS_SPREAD = 0.476, 1.6
DECAY, DECAY_SPREAD = 14.0, 0.5
VIEWS, VIEWS_SPREAD = 0.32, 1.1
CART, CART_SPREAD, CART_MOST = 0.00531, 1.25, 0.5
BUY, BUY_SPREAD, BUY_MOST = 0.1225, 0.6, 0.9
WEEK = (1.06, 1.05, 1.04, 1.03, 0.98, 0.90, 0.94)  # visitors who arrive, Monday first
HOURS = (5, 3, 2, 2, 2, 3, 4, 5, 6, 7, 7, 7, 7, 7, 8, 9, 10, 10, 10, 10, 9, 9, 8, 7)  # visits by hour, UTC
PAUSE = 45_000_000  # microseconds between two views of a visit, in the mean
SCRAMBLE = 0x9E3779B97F4A7C15 | 1  # odd, so that it maps the numbers below 2^50 one to one

Change = Literal["none", "new", "missing", "retyped"]
Leak = Literal["none", "label", "status"]


@dataclass(frozen=True, slots=True)
class Dials:
    """What goes wrong; the default is nothing.

    Attributes:
        drift_from: from this day on visitors behave otherwise; None for never.
        drift_views: factor on the views of a visit after the first one, from then on.
        drift_carts: factor on the chance that a view ends in the cart, from then on.
        drift_visitors: factor on how many visitors arrive a day, from then on.
        outage: the day of which no event is recorded between 06:00 and 18:00 UTC; the purchases still happen.
        duplicates: share of events that are delivered twice.
        late: share of events that are received one to `late_days` days after they happened.
        late_days: how late at most.
        schema_change: from `schema_from` on there is a column more, one less, or one is text instead of a number.
        schema_from: the day of that change.
        leak: a column that knows the future: `label` whether the visitor buys within 15 days, `status` whether ever.
    """

    drift_from: date | None = None
    drift_views: float = 1.0
    drift_carts: float = 1.0
    drift_visitors: float = 1.0
    outage: date | None = None
    duplicates: float = 0.0
    late: float = 0.0
    late_days: int = 3
    schema_change: Change = "none"
    schema_from: date | None = None
    leak: Leak = "none"


@dataclass(frozen=True, slots=True)
class World:
    """A world of visitors: how many events a day it has in the mean, and which of the many it is."""

    seed: int = 20150503
    events_per_day: float = 19_828.0
    dials: Dials = Dials()


@dataclass(frozen=True, slots=True)
class Visitors:
    """The visitors that arrived on a day, with what is hidden from any model; arrays of one length.

    Attributes:
        day: when they arrived.
        visitor: their ids, each once in a world.
        arrived: fraction of the day that had passed.
        returns: expected number of later visits.
        decay: days in which the rate of later visits falls to 1/e.
        views: expected views of a visit after its first one.
        cart: chance that a view ends in the cart.
        buy: chance that what is in the cart is bought.
    """

    day: date
    visitor: Integers
    arrived: Floats
    returns: Floats
    decay: Floats
    views: Floats
    cart: Floats
    buy: Floats


@dataclass(frozen=True, slots=True)
class Events:
    """Events in the order of their times; arrays of one length.

    Attributes:
        event: unique numbers.
        visit: number of the visit, unique over all visitors.
        kind: position in EVENTS.
        at: microseconds since 1970, UTC.
        received: day since 1970 on which the event became known.
    """

    event: Integers
    visitor: Integers
    visit: Integers
    item: Integers
    kind: NDArray[np.int8]
    at: Integers
    received: Integers

    @classmethod
    def none(cls) -> Events:
        """Return no events."""
        numbers = np.zeros(0, np.int64)
        return cls(numbers, numbers, numbers, numbers, numbers.astype(np.int8), numbers, numbers)

    def where(self, keep: NDArray[np.bool_] | Integers) -> Events:
        """Return those events, by mask or position."""
        return Events(*(getattr(self, name)[keep] for name in Events.__slots__))


def visitors_of(world: World, day: date) -> Visitors:
    """Return who arrives on a day of a world.

    Intent drives carts and purchases, engagement drives returns and, less so, carts; the first shows in what a visitor
    does, the second in how often.
    """
    draw = _draws(world, day, 0)
    drifted = world.dials.drift_from is not None and day >= world.dials.drift_from
    factor = world.dials.drift_visitors if drifted else 1.0
    count = round(world.events_per_day / EVENTS_A_VISITOR * WEEK[day.weekday()] * factor)
    engagement, intent, patience, curiosity = draw.standard_normal((4, count))
    number = np.int64(day.toordinal()) * 10_000_000 + np.arange(count)
    return Visitors(
        day=day,
        visitor=(number.astype(np.uint64) * np.uint64(SCRAMBLE % 2**64) % np.uint64(2**50)).astype(np.int64),
        arrived=_times_of_day(draw, count) / DAY,
        returns=RETURNS * _lognormal(engagement, RETURNS_SPREAD),
        decay=DECAY * np.exp(DECAY_SPREAD * patience),
        views=VIEWS * _lognormal(0.8 * intent + 0.6 * curiosity, VIEWS_SPREAD),
        cart=np.minimum(CART * np.exp(CART_SPREAD * (0.6 * engagement + 0.8 * intent)), CART_MOST),
        buy=np.minimum(BUY * np.exp(BUY_SPREAD * intent), BUY_MOST),
    )


def days(world: World, start: date, end: date) -> Iterator[tuple[date, Events]]:
    """Yield each day from `start` to before `end` with its events, duplicates and outage as the dials say.

    Visitors who arrived up to MAX_AGE days before `start` are there as well.
    """
    first = start - timedelta(days=MAX_AGE)
    waiting: dict[date, list[Events]] = defaultdict(list)
    for offset in range((end - first).days):
        day = first + timedelta(days=offset)
        for later, events in _behaviour(world, visitors_of(world, day)):
            if start <= later < end:
                waiting[later].append(events)
        if day >= start:
            yield day, _delivered(world, day, _in_order(day, waiting.pop(day, [Events.none()])))


def probability(world: World, visitors: Visitors, day: date, *, horizon_days: int = 15) -> Floats:
    """Return the chance of each visitor to buy in the days `day` + 1 .. `day` + `horizon_days`.

    `P = 1 - exp(-Σ Λ(span) · s(span))`, where Λ is the expected number of visits in a span and s the chance that a
    visit buys; a span ends where the drift begins. No model can know it, since `returns`, `cart` and the others are
    hidden: its AUC bounds that of every model.
    """
    begin, end = day + timedelta(days=1), day + timedelta(days=1 + horizon_days)
    turn = min(max(world.dials.drift_from or end, begin), end)
    expected = np.zeros(len(visitors.visitor))
    for first, last, changed in ((begin, turn, False), (turn, end, True)):
        visits = _visits_between(visitors, first) - _visits_between(visitors, last)
        expected += visits * _buys_in_visit(world, visitors, changed=changed)
    return 1 - np.exp(-expected)


def _visits_between(visitors: Visitors, day: date) -> Floats:
    """Return the expected visits from the beginning of `day` on."""
    age = np.clip((day - visitors.day).days - visitors.arrived, 0, MAX_AGE)
    rest = np.exp(-age / visitors.decay) - np.exp(-MAX_AGE / visitors.decay)
    result: Floats = visitors.returns * rest / (1 - np.exp(-MAX_AGE / visitors.decay))
    return result


def _buys_in_visit(world: World, visitors: Visitors, *, changed: bool) -> Floats:
    """Return the chance that a visit buys something: its views are 1 and geometrically many more."""
    views, cart = _behaviour_after(world, visitors.views, visitors.cart, changed=changed)
    nothing = 1 - cart * visitors.buy
    go_on = views / (1 + views)
    result: Floats = 1 - nothing * (1 - go_on) / (1 - go_on * nothing)
    return result


def _behaviour_after(
    world: World, views: Floats, cart: Floats, *, changed: bool | NDArray[np.bool_]
) -> tuple[Floats, Floats]:
    dials = world.dials
    return (
        views * np.where(changed, dials.drift_views, 1.0),
        np.minimum(cart * np.where(changed, dials.drift_carts, 1.0), CART_MOST),
    )


def _behaviour(world: World, visitors: Visitors) -> Iterator[tuple[date, Events]]:
    """Yield what the visitors of a day do, by the day on which they do it."""
    draw = _draws(world, visitors.day, 1)
    who, offset = _visits(draw, visitors)
    turn = None if world.dials.drift_from is None else (world.dials.drift_from - visitors.day).days
    changed = np.zeros(len(who), bool) if turn is None else offset >= turn
    views, cart = _behaviour_after(world, visitors.views[who], visitors.cart[who], changed=changed)
    began = offset * DAY + _times_of_day(draw, len(who))
    count = draw.geometric(1 / (1 + views))
    visit = np.repeat(np.arange(len(who)), count)
    place = np.arange(len(visit)) - np.repeat(np.cumsum(count) - count, count)
    at = began[visit] + place * PAUSE + (draw.random(len(visit)) * PAUSE).astype(np.int64)
    item = (ITEMS * draw.random(len(visit)) ** 3).astype(np.int64) + 1
    carted = np.flatnonzero(draw.random(len(visit)) < cart[visit])
    bought = carted[draw.random(len(carted)) < visitors.buy[who[visit[carted]]]]
    rows = np.concatenate([np.arange(len(visit)), carted, bought])
    kind = np.repeat(np.array([0, 1, 2], np.int8), [len(visit), len(carted), len(bought)])
    # A visit ends at midnight at the latest, so that its day is one.
    at = np.minimum(at[rows] + kind.astype(np.int64) * 20_000_000, (offset[visit[rows]] + 1) * DAY - 1)
    epoch = visitors.day.toordinal() - date(1970, 1, 1).toordinal()
    number = np.int64(visitors.day.toordinal()) * 10_000_000 + visit[rows]
    late = _lateness(world, draw, len(rows))
    events = Events(
        event=np.zeros(len(rows), np.int64), visitor=visitors.visitor[who[visit[rows]]], visit=number, item=item[rows],
        kind=kind, at=at + epoch * DAY, received=epoch + offset[visit[rows]] + late,
    )  # fmt: skip
    yield from _by_day(visitors.day, events, offset[visit[rows]])


def _visits(draw: np.random.Generator, visitors: Visitors) -> tuple[Integers, Integers]:
    """Return of each visit the position of its visitor and the days since the visitor's arrival; first visits first."""
    count = len(visitors.visitor)
    again = np.repeat(np.arange(count), draw.poisson(visitors.returns))
    decay = visitors.decay[again]
    age = -decay * np.log1p(-draw.random(len(again)) * (1 - np.exp(-MAX_AGE / decay)))
    offset = np.floor(visitors.arrived[again] + age).astype(np.int64)
    return np.concatenate([np.arange(count), again]), np.concatenate([np.zeros(count, np.int64), offset])


def _lateness(world: World, draw: np.random.Generator, count: int) -> Integers:
    late = draw.random(count) < world.dials.late
    return np.where(late, draw.integers(1, max(world.dials.late_days, 1) + 1, count), 0)


def _by_day(first: date, events: Events, offset: Integers) -> Iterator[tuple[date, Events]]:
    order = np.argsort(offset, kind="stable")
    found, starts, counts = np.unique(offset[order], return_index=True, return_counts=True)
    for day, start, end in zip(found, starts, starts + counts, strict=True):
        yield first + timedelta(days=int(day)), events.where(order[start:end])


def _in_order(day: date, parts: list[Events]) -> Events:
    """Return a day's events by time, numbered; ties by visit and kind."""
    together = Events(*(np.concatenate([getattr(part, name) for part in parts]) for name in Events.__slots__))
    ordered = together.where(np.lexsort((together.kind, together.visit, together.at)))
    ordered.event[:] = np.int64(day.toordinal()) * 1_000_000_000 + np.arange(len(ordered.event))
    return ordered


def _delivered(world: World, day: date, events: Events) -> Events:
    """Return the events as the dials let them through."""
    if world.dials.outage == day:
        hour = events.at % DAY // (DAY // 24)
        events = events.where((hour < 6) | (hour >= 18))
    if world.dials.duplicates:
        again = np.flatnonzero(_draws(world, day, 2).random(len(events.event)) < world.dials.duplicates)
        events = events.where(np.sort(np.concatenate([np.arange(len(events.event)), again])))
    return events


def _draws(world: World, day: date, purpose: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([world.seed, day.toordinal(), purpose])))


def _lognormal(standard: Floats, spread: float) -> Floats:
    """Return lognormal factors whose mean is 1."""
    result: Floats = np.exp(spread * standard - spread**2 / 2)
    return result


def _times_of_day(draw: np.random.Generator, count: int) -> Integers:
    shares = np.cumsum(HOURS) / np.sum(HOURS)
    hours = np.searchsorted(shares, draw.random(count), side="right")
    return hours * (DAY // 24) + (draw.random(count) * (DAY // 24)).astype(np.int64)
