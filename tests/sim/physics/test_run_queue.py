"""Run queues: what a container weighs on each core, and where a newcomer is placed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.physics.cpu import Task
from sim.physics.run_queue import Core, Group, GroupQueue

# Of a kernel with slices of 1.4 ms and ticks of 4.
LAG_NS_MAX = 4_000_000


def task(vruntime_ns: int = 0) -> Task:
    """A task that has run this long."""
    made = Task("a")
    made.vruntime_ns = vruntime_ns
    return made


def group(*counts: int, shares: int = 1024) -> Group:
    """A container with so many runnable tasks on each core."""
    made = Group("a", shares, tuple(range(len(counts))), len(counts), LAG_NS_MAX)
    for queue, count in zip(made.queues, counts, strict=True):
        queue.tasks.extend(task() for _ in range(count))
    made.runnable_count = sum(counts)
    return made


def queue(*vruntimes_ns: int) -> GroupQueue:
    """A queue on core 0 with tasks that have run so long."""
    made = group(0).queues[0]
    made.tasks.extend(task(vruntime_ns) for vruntime_ns in vruntimes_ns)
    return made


def core(*vruntimes_ns: int) -> Core:
    """A core where containers of these virtual runtimes compete, each with one task."""
    made = Core(0)
    for vruntime_ns in vruntimes_ns:
        one = queue(0)
        one.vruntime_ns = vruntime_ns
        made.queues.append(one)
    return made


@pytest.mark.parametrize(
    ("counts", "shares", "weights"),
    [
        ((3, 1), 1024, [768, 256]),
        ((1, 1, 2), 512, [128, 128, 256]),
        ((4, 0), 2048, [2048, 0]),
    ],
)
def test_a_weight_is_spread_over_cores_by_tasks(counts: tuple[int, ...], shares: int, weights: list[float]) -> None:
    """On each core a container weighs its shares times the fraction of its tasks that are there."""
    assert weights == [one.weight for one in group(*counts, shares=shares).queues]


@given(
    counts=st.lists(st.integers(min_value=0, max_value=9), min_size=1, max_size=8).filter(any),
    shares=st.integers(min_value=2, max_value=262_144),
)
def test_more_tasks_add_no_weight(counts: list[int], shares: int) -> None:
    """However many tasks a container has, and wherever they are, over all cores it weighs its shares."""
    assert shares == pytest.approx(sum(one.weight for one in group(*counts, shares=shares).queues))


def test_a_container_has_a_queue_on_every_core() -> None:
    """There is one queue per core of the host, also where the container may not use the core."""
    one = Group("a", 1024, (1,), 3, LAG_NS_MAX)

    assert [0, 1, 2] == [each.core for each in one.queues]
    assert all(each.group is one for each in one.queues)


def test_who_ran_least_is_first() -> None:
    """The task with the least virtual runtime runs next."""
    one = queue(30, 10, 20)

    assert one.tasks[1] is one.first(None)


@pytest.mark.parametrize(("present", "placed"), [((), 0), ((70,), 70), ((10, 20), 15), ((0, 0, 90), 30)])
def test_a_woken_task_is_placed_at_the_average(present: tuple[int, ...], placed: int) -> None:
    """A newcomer is owed nothing and owes nothing, however long it ran or slept before; alone it begins at zero."""
    one, woken = queue(*present), task(5_000)
    one.place(woken)

    assert (placed, woken) == (woken.vruntime_ns, one.tasks[-1])


@given(present=st.lists(st.integers(min_value=0, max_value=10**12), min_size=1, max_size=8))
def test_a_newcomer_is_neither_first_nor_last(present: list[int]) -> None:
    """Whoever is there, a newcomer stands between the one that ran least and the one that ran most."""
    one, woken = queue(*present), task()
    one.place(woken)

    assert min(present) <= woken.vruntime_ns <= max(present)


@pytest.mark.parametrize(("present", "placed"), [((40, 80), 60), ((7,), 7)])
def test_a_container_joins_at_the_average(present: tuple[int, ...], placed: int) -> None:
    """A container that comes back to a core gains nothing by having been away."""
    one, back = core(*present), queue(0)
    back.vruntime_ns = 1_000
    one.join(back)

    assert (placed, back) == (back.vruntime_ns, one.queues[-1])


def test_of_level_tasks_the_first_to_come_is_first_and_the_current_one_last() -> None:
    """A task whose slice is over makes room for any that is level; those that wait keep their order."""
    one = queue(10, 10, 10)

    assert one.tasks[0] is one.first(None)
    assert one.tasks[1] is one.first(one.tasks[0])


def test_of_level_containers_the_running_one_is_last() -> None:
    """As among tasks."""
    one = core(10, 10)
    before = one.best()
    one.running = one.queues[0]

    assert (one.queues[0], one.queues[1]) == (before, one.best())


def test_the_container_that_ran_least_is_best() -> None:
    """Of containers on one core the one furthest behind runs next."""
    one = core(300, 100, 200)

    assert one.queues[1] is one.best()


def test_a_core_counts_the_tasks_that_could_run() -> None:
    """Tasks of all containers that compete count; a core where none competes is idle."""
    busy, idle = Core(0), Core(1)
    busy.join(queue(0, 0))
    busy.join(queue(0, 0, 0))

    assert (5, False) == (busy.runnable_count(), busy.idle)
    assert (0, True) == (idle.runnable_count(), idle.idle)


def owed_ns(one: GroupQueue, who: Task) -> float:
    """How far a task lies behind the average of its queue."""
    return sum(other.vruntime_ns for other in one.tasks) / len(one.tasks) - who.vruntime_ns


@given(
    present=st.lists(st.integers(min_value=0, max_value=10_000_000), min_size=1, max_size=8),
    behind_ns=st.integers(min_value=0, max_value=3_000_000),
    count=st.integers(min_value=1, max_value=8),
)
def test_what_a_sleeper_was_owed_it_is_owed_when_it_wakes(present: list[int], behind_ns: int, count: int) -> None:
    """Whatever queue it wakes in, it lies as far behind that queue's average, which it moves itself."""
    one = queue(*present, min(present) - behind_ns)
    sleeper = one.tasks[-1]
    before_ns = owed_ns(one, sleeper)
    one.take(sleeper, sleeps=True)
    other = queue(*range(1_000_000, 1_000_000 * (count + 1), 1_000_000))
    other.place(sleeper)

    assert pytest.approx(min(before_ns, LAG_NS_MAX), abs=2) == owed_ns(other, sleeper)


@pytest.mark.parametrize(("sleeps", "lag_ns"), [(True, 0), (False, -1_000_000)])
def test_who_sleeps_owes_nothing_and_who_is_moved_does(sleeps: bool, lag_ns: int) -> None:  # noqa: FBT001  # A case.
    """A task 2 ms ahead of the other is 1 ms ahead of their average; asleep it stays queued until it is not."""
    one = queue(0, 2_000_000)
    ahead = one.tasks[-1]
    one.take(ahead, sleeps=sleeps)

    assert lag_ns == ahead.lag_ns


@given(
    vruntimes_ns=st.lists(st.integers(min_value=0, max_value=3_000_000), min_size=2, max_size=6),
    shares=st.lists(st.integers(min_value=2, max_value=8192), min_size=6, max_size=6),
)
def test_what_a_container_was_owed_it_is_owed_when_it_comes_back(vruntimes_ns: list[int], shares: list[int]) -> None:
    """Among the same others it comes to lie where it was, whatever they weigh, but for whole nanoseconds of lag."""
    here = core(*vruntimes_ns)
    for one, weight in zip(here.queues, shares, strict=False):
        one.group.shares = weight
        one.group.runnable_count = 1
    leaving = here.queues[-1]
    before_ns = leaving.vruntime_ns
    most_ns = LAG_NS_MAX * 1024 / leaving.weight
    others = sum(one.weight for one in here.queues[:-1])
    rounding_ns = (others + leaving.weight) / others + 2
    here.leave(leaving, sleeps=False)
    is_bounded = abs(leaving.lag_ns) >= int(most_ns)
    here.join(leaving)

    assert is_bounded or pytest.approx(before_ns, abs=rounding_ns) == leaving.vruntime_ns
