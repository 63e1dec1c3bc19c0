"""A container's quota pool: slices drawn, periods begun, debts paid, runtime given back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.physics.quota import QuotaPool
from sim.physics.run_queue import Group, GroupQueue

MS = 1_000_000


def pool(*, phase_ns: int = 0) -> QuotaPool:
    """20 ms in each 100 ms, drawn in slices of 5 ms."""
    return QuotaPool(20 * MS, 100 * MS, 5 * MS, phase_ns)


def queue(runtime_ns: int = 0, core: int = 0) -> GroupQueue:
    """A queue with this much runtime in hand; below zero it has overrun."""
    made = GroupQueue(Group("a", 1024, (0, 1), 2, 4_000_000), core)
    made.runtime_ns = runtime_ns
    return made


def stopped(one: QuotaPool, *runtimes_ns: int) -> list[GroupQueue]:
    """Queues that stand still in this order, with these debts."""
    queues = [queue(runtime_ns) for runtime_ns in runtimes_ns]
    one.throttled.extend(queues)
    return queues


@pytest.mark.parametrize(("now_ms", "next_ms"), [(0, 30), (29, 30), (30, 130), (31, 130), (1234, 1330)])
def test_periods_keep_their_phase(now_ms: int, next_ms: int) -> None:
    """Periods begin at 30, 130, 230 ms and so on, whenever somebody asks; one that begins now is not the next."""
    assert next_ms * MS == pool(phase_ns=30 * MS).next_period_ns(now_ms * MS)


def test_a_quota_is_four_slices() -> None:
    """20 ms are drawn as four slices of 5 ms, and the fifth asks in vain."""
    one = pool()
    queues = [queue() for _ in range(5)]
    for each in queues:
        one.draw(each, 5 * MS)

    assert [5 * MS] * 4 + [0] == [each.runtime_ns for each in queues]
    assert 0 == one.runtime_ns


def test_the_last_slice_is_what_is_left() -> None:
    """Who wants 5 ms of the last 3 gets 3."""
    one, last = pool(), queue()
    one.draw(queue(), 17 * MS)
    one.draw(last, 5 * MS)

    assert (3 * MS, 0) == (last.runtime_ns, one.runtime_ns)


def test_an_overrun_is_paid_with_the_next_slice() -> None:
    """A queue 2 ms over draws 7 ms to have a slice of 5, so the pool is left with 13."""
    one, late = pool(), queue(-2 * MS)
    one.draw(late, one.slice_ns - late.runtime_ns)

    assert (5 * MS, 13 * MS) == (late.runtime_ns, one.runtime_ns)


def test_a_refill_fills_up_and_saves_nothing() -> None:
    """What a period did not use is gone: 15 ms left become 20, not 35."""
    one = pool()
    one.draw(queue(), 5 * MS)

    assert one.refill()
    assert (20 * MS, 1, 0) == (one.runtime_ns, one.periods_count, one.throttled_periods_count)


def test_the_timer_rests_after_a_period_without_a_draw() -> None:
    """The period drawn on is followed by one in case; when nobody draws in that one either, the timer rests."""
    one = pool()
    one.draw(queue(), 5 * MS)

    assert [True, False] == [one.refill(), one.refill()]


def test_a_draw_keeps_the_timer_going() -> None:
    """With a draw in each period the timer never rests."""
    one = pool()
    going = []
    for _ in range(5):
        one.draw(queue(), MS)
        going.append(one.refill())

    assert [True] * 5 == going


def test_a_draw_from_an_empty_pool_is_none() -> None:
    """The kernel takes a pool as used only where something was given; asking for nothing left is no use."""
    one = pool()
    one.draw(queue(), 20 * MS)
    one.refill()
    one.runtime_ns = 0
    one.draw(queue(), 5 * MS)

    assert not one.refill()


def test_who_stands_still_keeps_the_timer_and_counts() -> None:
    """A period at whose end somebody stands still is a throttled one, and another follows although nobody drew."""
    one = pool()
    stopped(one, -1 * MS)

    assert [True, True, True] == [one.refill() for _ in range(3)]
    assert (3, 3) == (one.periods_count, one.throttled_periods_count)


def test_debts_are_lifted_just_above_zero_in_order() -> None:
    """Debts of 3 and 5 ms cost 8 ms and a nanosecond each; both queues run again, in the order they stopped."""
    one = pool()
    queues = stopped(one, -3 * MS, -5 * MS)

    assert queues == one.distribute()
    assert [1, 1] == [each.runtime_ns for each in queues]
    assert 12 * MS - 2 == one.runtime_ns
    assert [] == one.throttled


def test_the_first_to_stop_is_paid_first() -> None:
    """20 ms lift a debt of 15; the second queue's 10 ms are halved but for a nanosecond, and it stands on."""
    one = pool()
    first, second, third = stopped(one, -15 * MS, -10 * MS, -1 * MS)

    assert [first] == one.distribute()
    assert (1, -5 * MS - 1, -1 * MS) == (first.runtime_ns, second.runtime_ns, third.runtime_ns)
    assert [second, third] == one.throttled


def test_a_debt_larger_than_the_quota_takes_several_periods() -> None:
    """50 ms of debt at 20 ms a period: the third refill, not the second, lets the queue run."""
    one = pool()
    stopped(one, -50 * MS)
    released = []
    for _ in range(3):
        one.refill()
        released.append(len(one.distribute()))

    assert [0, 0, 1] == released
    assert 10 * MS - 1 == one.runtime_ns


def test_a_sleeping_queue_keeps_a_millisecond() -> None:
    """Of 4 ms in hand 3 go back to the pool."""
    one, asleep = pool(), queue()
    one.draw(asleep, 4 * MS)
    one.take_back(asleep, 0)

    assert (1 * MS, 19 * MS) == (asleep.runtime_ns, one.runtime_ns)


@pytest.mark.parametrize("runtime_ns", [1 * MS, 400_000, 0, -2 * MS])
def test_a_millisecond_or_less_is_not_given_back(runtime_ns: int) -> None:
    """What a queue keeps anyway, and what it owes, stays with it, and wakes nobody."""
    one, asleep = pool(), queue(runtime_ns)
    stopped(one, -1 * MS)

    assert not one.take_back(asleep, 0)
    assert (runtime_ns, 20 * MS) == (asleep.runtime_ns, one.runtime_ns)


@pytest.mark.parametrize(
    ("now_ns", "left_ns", "standing", "starts"),
    [
        (50 * MS, 5 * MS, True, True),
        (93 * MS, 5 * MS, True, True),
        (93 * MS + 1, 5 * MS, True, False),
        (50 * MS, 2 * MS, True, False),
        (50 * MS, 2 * MS + 1, True, True),
        (50 * MS, 5 * MS, False, False),
    ],
)
def test_slack_is_handed_out_where_it_pays(now_ns: int, left_ns: int, standing: bool, starts: bool) -> None:  # noqa: FBT001
    """3 ms returned are worth a timer if the pool then passes a slice, somebody stands, and a refill is 7 ms off."""
    one, asleep = pool(), queue(4 * MS)
    one.runtime_ns = left_ns
    if standing:
        stopped(one, -1 * MS)

    assert starts == one.take_back(asleep, now_ns)
    assert left_ns + 3 * MS == one.runtime_ns


def test_one_slack_timer_at_a_time() -> None:
    """A second return while the timer runs adds to the pool and starts no other."""
    one = pool()
    stopped(one, -1 * MS)

    assert [True, False] == [one.take_back(queue(4 * MS), 0), one.take_back(queue(4 * MS), 0)]
    assert 26 * MS == one.runtime_ns


debts_ns = st.lists(st.integers(min_value=-60 * MS, max_value=0), max_size=8)
wishes_ns = st.lists(st.integers(min_value=1, max_value=30 * MS), max_size=8)


@given(debts_ns=debts_ns, left_ns=st.integers(min_value=0, max_value=60 * MS))
def test_handing_out_makes_no_runtime(debts_ns: list[int], left_ns: int) -> None:
    """What the queues gain the pool loses; only they run again who owe nothing, and while it is not empty all do."""
    one = pool()
    one.runtime_ns = left_ns
    queues = stopped(one, *debts_ns)
    released = one.distribute()

    assert left_ns - one.runtime_ns == sum(each.runtime_ns for each in queues) - sum(debts_ns)
    assert released + one.throttled == queues
    assert all(each.runtime_ns == 1 for each in released)
    assert all(each.runtime_ns <= 0 for each in one.throttled)
    assert one.runtime_ns == 0 or not one.throttled


@given(wishes_ns=wishes_ns)
def test_no_period_gives_more_than_the_quota(wishes_ns: list[int]) -> None:
    """Whatever is wanted, what was given and what is left are the quota, and nobody gets more than wanted."""
    one = pool()
    given_ns = []
    for wish_ns in wishes_ns:
        each = queue()
        one.draw(each, wish_ns)
        given_ns.append(each.runtime_ns)

    assert 20 * MS == sum(given_ns) + one.runtime_ns
    assert sum(given_ns) == min(20 * MS, sum(wishes_ns))
    assert all(got <= wish for got, wish in zip(given_ns, wishes_ns, strict=True))
