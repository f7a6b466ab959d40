"""The simulated clickstream: calibrated, the same everywhere, its true probabilities right, its dials as they say."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from datetime import date, timedelta

import numpy as np
import pytest
from perennial.core import clickstream as cs

START = date(2015, 5, 3)
PUBLISHED = {"events": 2_756_101, "visitors": 1_407_580, "view": 2_664_312, "addtocart": 69_332, "transaction": 22_457}


def span(world: cs.World, days: int, *, start: date = START) -> list[cs.Events]:
    """Return the events of some days."""
    return [events for _, events in cs.days(world, start, start + timedelta(days=days))]


def small(**dials: object) -> cs.World:
    """Return a small world; a test names the dials that it turns."""
    return cs.World(events_per_day=2000, dials=cs.Dials(**dials))


@pytest.fixture(scope="module")
def whole() -> dict[str, float]:
    """Return the totals of RetailRocket's 139 days, simulated at its size."""
    found = span(cs.World(), 139)
    kinds = np.bincount(np.concatenate([events.kind for events in found]))
    visitors = len(np.unique(np.concatenate([events.visitor for events in found])))
    return {"events": int(kinds.sum()), "visitors": visitors, **dict(zip(cs.EVENTS, kinds.tolist(), strict=True))}


@pytest.mark.parametrize(
    ("what", "tolerance"),
    [("events", 0.01), ("visitors", 0.01), ("view", 0.01), ("addtocart", 0.04), ("transaction", 0.06)],
)
def test_the_totals_are_those_that_were_published(whole, what, tolerance):
    """Purchases are rare, and few visitors make most of them: their total scatters more."""
    assert whole[what] == pytest.approx(PUBLISHED[what], rel=tolerance)


def test_a_day_is_the_same_whichever_day_the_world_begins_with():
    """So that tomorrow's data can be added to today's."""
    (early, late) = (span(small(), 20)[15:], span(small(), 5, start=START + timedelta(days=15)))

    for one, other in zip(early, late, strict=True):
        assert all(np.array_equal(getattr(one, name), getattr(other, name)) for name in cs.Events.__slots__)


PRINT_HASH = """
import hashlib
from datetime import date, timedelta
from perennial.core import clickstream as cs
digest = hashlib.sha256()
for _, events in cs.days(cs.World(events_per_day=2000), date(2015, 5, 3), date(2015, 5, 13)):
    for name in cs.Events.__slots__:
        digest.update(getattr(events, name).tobytes())
print(digest.hexdigest())
"""


@pytest.mark.parametrize("threads", ["1", "4"])
def test_another_process_with_other_threads_gives_the_same_bytes(threads):
    """The seed and the calendar decide, nothing else."""
    environment = {"OMP_NUM_THREADS": threads, "PYTHONHASHSEED": threads, "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", PRINT_HASH], capture_output=True, text=True, check=True, env=environment
    )
    digest = hashlib.sha256()
    for events in span(small(), 10):
        for name in cs.Events.__slots__:
            digest.update(getattr(events, name).tobytes())

    assert done.stdout.strip() == digest.hexdigest()


def test_a_day_without_visitors_has_no_events():
    """One event a day in the mean: on some days nobody arrives, on some of them nobody returns either."""
    found = span(cs.World(events_per_day=1), 100)

    assert len(found) == 100
    assert 0 in {len(events.event) for events in found}
    assert 50 < sum(len(events.event) for events in found) < 200


def test_another_seed_is_another_world():
    """And the same seed is the same one."""
    (first,), (second,) = span(small(), 1), span(cs.World(seed=1, events_per_day=2000), 1)

    assert not np.isin(first.item, second.item).all()


def test_the_true_probabilities_are_those_of_what_happens():
    """Over 1.6 million visitors, as many buy as were expected, in each fifth of the probabilities that matters."""
    world = cs.World(events_per_day=40_000)
    snapshot = START + timedelta(days=10)
    visitors = [cs.visitors_of(world, snapshot - timedelta(days=age)) for age in range(cs.MAX_AGE + 1)]
    chance = np.concatenate([cs.probability(world, each, snapshot) for each in visitors])
    after = span(world, 15, start=snapshot + timedelta(days=1))
    buyers = np.concatenate([events.visitor[events.kind == 2] for events in after])
    bought = np.isin(np.concatenate([each.visitor for each in visitors]), buyers)

    assert bought.sum() == pytest.approx(chance.sum(), abs=4 * np.sqrt(chance.sum()))
    order = np.argsort(chance)
    for part in np.array_split(order[np.cumsum(chance[order]) > chance.sum() / 5], 4):
        assert bought[part].sum() == pytest.approx(chance[part].sum(), abs=4 * np.sqrt(chance[part].sum()))


def test_the_true_probabilities_know_a_drift_that_is_to_come():
    """With half the chance of a cart from the fifth day on, less than all and more than half of the buying is left."""
    snapshot = START
    visitors = cs.visitors_of(small(), snapshot)
    before = cs.probability(small(), visitors, snapshot).sum()
    drifting = small(drift_from=snapshot + timedelta(days=5), drift_carts=0.5)

    assert 0.5 * before < cs.probability(drifting, visitors, snapshot).sum() < 0.95 * before
    later = small(drift_from=snapshot + timedelta(days=16), drift_carts=0.5)
    assert cs.probability(later, visitors, snapshot).sum() == pytest.approx(before)


def views_a_visit(found: list[cs.Events]) -> float:
    """Return the mean number of views of a visit."""
    views = sum(int((events.kind == 0).sum()) for events in found)
    return views / sum(len(np.unique(events.visit)) for events in found)


def test_drift_changes_the_days_from_its_first_on_and_no_other():
    """Twice as many further views of a visit."""
    turn = START + timedelta(days=5)
    calm, drifting = span(small(), 10), span(small(drift_from=turn, drift_views=2.0), 10)
    views = [
        np.mean(
            [np.bincount(np.unique(events.visit, return_inverse=True)[1], events.kind == 0).mean() for events in part]
        )
        for part in (calm[5:], drifting[5:], calm[:5], drifting[:5])
    ]

    assert (views[1] - 1) / (views[0] - 1) == pytest.approx(2, rel=0.15)
    assert views[3] == pytest.approx(views[2], rel=0.02)


def test_an_outage_takes_twelve_hours_out_of_one_day():
    """The other days are untouched, to the last event."""
    day = START + timedelta(days=1)
    calm, dark = span(small(), 3), span(small(outage=day), 3)
    hours = dark[1].at % cs.DAY // (cs.DAY // 24)

    assert not ((hours >= 6) & (hours < 18)).any()
    assert 0.3 < len(dark[1].event) / len(calm[1].event) < 0.7
    assert np.array_equal(dark[0].event, calm[0].event)
    assert np.array_equal(dark[2].event, calm[2].event)


@pytest.mark.parametrize("share", [0.0, 0.1, 1.0])
def test_duplicates_are_the_same_event_again(share):
    """Their number tells them."""
    (events,) = span(small(duplicates=share), 1)
    _, times = np.unique(events.event, return_counts=True)

    assert set(times) <= {1, 2}
    assert (times == 2).mean() == pytest.approx(share, abs=0.03)


def test_late_events_are_received_on_a_later_day():
    """At most so many days later as the dial says."""
    (events,) = span(small(late=0.2, late_days=2), 1)
    days_late = events.received - events.at // cs.DAY

    assert (days_late > 0).mean() == pytest.approx(0.2, abs=0.03)
    assert set(days_late) == {0, 1, 2}


def test_a_visit_lies_in_one_day_and_in_the_order_of_its_events():
    """A cart is filled after the view, bought after that; no visit crosses midnight."""
    (events,) = span(small(), 1)

    assert (np.diff(events.at) >= 0).all()
    assert set(events.at // cs.DAY) == {(START - date(1970, 1, 1)).days}
    for visit in np.unique(events.visit[events.kind == 2])[:20]:
        of_visit = events.visit == visit
        assert events.at[of_visit & (events.kind == 0)].min() <= events.at[of_visit & (events.kind == 2)].min()
