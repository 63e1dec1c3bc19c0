"""The live environment: SimPy's loop in real time, with a door for other threads."""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import TYPE_CHECKING

import pytest

from live.errors import RunEnded
from live.real_time import Failed, LiveEnvironment

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    import simpy

SOON_S = 0.05
EARLY_S = 0.25
"""Far more than waking takes on a busy machine, far less than the timers that must not be waited for."""

FAR_S = 10.0


@pytest.fixture(name="env")
def _env() -> Iterator[LiveEnvironment]:
    with LiveEnvironment() as env:
        yield env


def later(delay_s: float, function: object, *arguments: object) -> threading.Thread:
    """Call `function` from another thread after a delay."""

    def wait_and_call() -> None:
        time.sleep(delay_s)
        assert callable(function)
        function(*arguments)

    thread = threading.Thread(target=wait_and_call, daemon=True)
    thread.start()
    return thread


class TestWaiting:
    """How the loop waits for what is due."""

    def test_a_timer_takes_its_time(self, env: LiveEnvironment) -> None:
        """A timer of 50 ms is processed no sooner than 50 ms after the start, at its own due time."""
        env.run(until=env.timeout(SOON_S))

        assert env.now == SOON_S
        assert env.clock() >= SOON_S

    def test_an_empty_schedule_ends_the_run(self, env: LiveEnvironment) -> None:
        """With nothing scheduled and nothing open the run ends, as it does in SimPy."""
        env.run()

        assert env.now == 0

    def test_an_empty_schedule_waits_for_an_open_call(self, env: LiveEnvironment) -> None:
        """While a call is under way the run goes on, and its value arrives."""

        def work() -> str:
            time.sleep(SOON_S)
            return "done"

        call = env.call(work)

        assert env.run(until=call) == "done"
        assert env.now >= SOON_S

    def test_an_empty_schedule_waits_for_an_open_source(self, env: LiveEnvironment) -> None:
        """A source held open keeps the run alive until it closes."""
        env.hold_open()
        later(SOON_S, env.let_close)

        env.run()

        assert env.clock() >= SOON_S

    def test_a_bound_ends_a_run_with_open_sources(self, env: LiveEnvironment) -> None:
        """`run(until=…)` bounds every run, whatever is open."""
        env.hold_open()

        env.run(until=SOON_S)

        assert env.now == SOON_S


class TestPosting:
    """What other threads may do."""

    def test_a_post_wakes_the_loop(self, env: LiveEnvironment) -> None:
        """A post is handled when it comes, not when the next timer is due."""
        handled_s: list[float] = []
        arrived = env.event()

        def handle() -> None:
            handled_s.append(env.clock())
            arrived.succeed()

        env.timeout(FAR_S)
        later(SOON_S, env.post, handle)
        env.run(until=arrived)

        assert SOON_S <= handled_s[0] < EARLY_S

    def test_a_post_is_stamped_with_its_arrival(self, env: LiveEnvironment) -> None:
        """`now` in a posted callable is the time of the post, not of the event before it."""
        stamps: list[tuple[float, float]] = []
        arrived = env.event()

        def handle(before_s: float) -> None:
            stamps.append((before_s, env.now))
            arrived.succeed()

        def post() -> None:
            before_s = env.clock()
            env.post(lambda: handle(before_s))

        later(SOON_S, post)
        env.hold_open()
        env.run(until=arrived)

        before_s, now_s = stamps[0]
        assert before_s <= now_s < before_s + EARLY_S

    def test_a_post_sorts_among_timers(self, env: LiveEnvironment) -> None:
        """What arrived while the loop was busy is handled between the timers due before and after it."""
        story: list[str] = []

        def busy() -> Generator[simpy.Event]:
            yield env.timeout(0.01)
            later(0.02, env.post, lambda: story.append("post"))
            time.sleep(0.1)
            story.append("busy until 0.11")

        def timer(due_s: float) -> Generator[simpy.Event]:
            yield env.timeout(due_s)
            story.append(f"timer {due_s}")

        for process in (busy(), timer(0.02), timer(0.1)):
            env.process(process)
        env.run(until=0.2)

        assert ["busy until 0.11", "timer 0.02", "post", "timer 0.1"] == story

    def test_thousands_of_posts_from_four_threads(self, env: LiveEnvironment) -> None:
        """2,000 posts from four threads among running timers all arrive, once each, and `now` never runs backwards."""
        taken: list[tuple[int, int]] = []
        times_s: list[float] = []
        all_taken = env.event()

        def take(thread: int, number: int) -> None:
            taken.append((thread, number))
            times_s.append(env.now)
            if len(taken) == 2000:
                all_taken.succeed()

        def post_all(thread: int) -> None:
            for number in range(500):
                env.post(partial(take, thread, number))
                if number % 100 == 0:
                    time.sleep(0.001)

        def tick() -> Generator[simpy.Event]:
            while True:
                yield env.timeout(0.0005)
                times_s.append(env.now)

        env.process(tick())
        threads = [later(0.0, post_all, number) for number in range(4)]
        env.run(until=env.any_of([all_taken, env.timeout(FAR_S)]))
        for thread in threads:
            thread.join()

        assert sorted((thread, number) for thread in range(4) for number in range(500)) == sorted(taken)
        assert sorted(times_s) == times_s

    def test_each_thread_keeps_its_order(self, env: LiveEnvironment) -> None:
        """Posts of one thread are handled in the order they were made."""
        taken: list[int] = []
        done = env.event()

        def post_all() -> None:
            for number in range(300):
                env.post(partial(taken.append, number))
            env.post(done.succeed)

        env.hold_open()
        later(0.0, post_all)
        env.run(until=done)

        assert list(range(300)) == taken

    def test_the_door_closes_with_the_run(self, env: LiveEnvironment) -> None:
        """A post or a call after the end is refused and says so."""
        env.end()

        for door in (env.post, env.call):
            with pytest.raises(RunEnded, match=r"^the run has ended$"):
                door(lambda: None)


class TestCalling:
    """Slow work in threads."""

    def test_a_slow_call_does_not_stop_the_loop(self, env: LiveEnvironment) -> None:
        """Timers go on while a call blocks its thread."""
        story: list[str] = []

        def tick() -> Generator[simpy.Event]:
            for _ in range(3):
                yield env.timeout(0.02)
                story.append("tick")

        def work() -> Generator[simpy.Event]:
            yield env.call(lambda: time.sleep(0.15))
            story.append("call")

        env.process(tick())
        env.run(until=env.process(work()))

        assert ["tick", "tick", "tick", "call"] == story

    def test_an_exception_becomes_a_value(self, env: LiveEnvironment) -> None:
        """A call that raises yields `Failed` with the exception's text; the loop lives on."""

        def fail() -> None:
            msg = "no such container"
            raise LookupError(msg)

        assert env.run(until=env.call(fail)) == Failed("LookupError: no such container")

    def test_the_end_waits_for_calls_under_way(self, env: LiveEnvironment) -> None:
        """Nothing a call does can happen after the end, so what it created can be removed."""
        finished: list[bool] = []

        def work() -> None:
            time.sleep(0.1)
            finished.append(True)

        env.call(work)
        env.end()

        assert finished == [True]

    def test_the_end_does_not_wait_for_ever(self, env: LiveEnvironment) -> None:
        """A call that hangs holds the end back only as long as patience lasts."""
        release = threading.Event()
        env.call(lambda: release.wait(FAR_S))

        began_s = time.monotonic()
        env.end(patience_s=SOON_S)
        took_s = time.monotonic() - began_s
        release.set()

        assert SOON_S <= took_s < EARLY_S


class TestInterrupting:
    """How Ctrl-C gets in."""

    def test_an_interrupt_wakes_and_raises(self, env: LiveEnvironment) -> None:
        """The loop raises KeyboardInterrupt between events, however long it would have slept."""
        env.timeout(FAR_S)
        later(SOON_S, env.interrupt)

        with pytest.raises(KeyboardInterrupt):
            env.run()

        assert env.clock() < EARLY_S

    def test_a_run_can_go_on_after_an_interrupt(self, env: LiveEnvironment) -> None:
        """An interrupt is delivered once, so that what is known so far can still be gathered."""
        env.interrupt()
        with pytest.raises(KeyboardInterrupt):
            env.run(until=SOON_S)

        env.run(until=SOON_S)

        assert env.now == SOON_S


class TestLag:
    """Lateness as data."""

    def test_a_late_timer_is_counted(self, env: LiveEnvironment) -> None:
        """A loop that was busy for 60 ms past a due time says so in its lag."""

        def busy(_: simpy.Event) -> None:
            time.sleep(0.08)

        first = env.timeout(0.01)
        assert first.callbacks is not None
        first.callbacks.append(busy)
        env.timeout(0.03)
        env.run(until=0.2)

        summary = env.lag.summary()
        assert summary.timers_count == 2
        assert 0.06 <= summary.lag_s_max < 0.06 + EARLY_S

    def test_posts_have_no_lag(self, env: LiveEnvironment) -> None:
        """A post was never due, so it counts as no timer."""
        done = env.event()
        env.hold_open()
        later(0.0, env.post, done.succeed)

        env.run(until=done)

        assert env.lag.summary().timers_count == 0
