"""Calibration on a machine whose container answers each rate with the CPU that a function says."""

from __future__ import annotations

import bisect
from dataclasses import replace
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any, cast

import pytest
import simpy
from hypothesis import given
from hypothesis import strategies as st

from scenarios import load_text
from scenarios.story import TokenBucket
from sim.machine import Died, Machine, Refused, Sample
from sim.policies.calibration import (
    SAMPLE_S_MAX,
    VOID_COUNT_MAX,
    Calibration,
    Course,
    limits_of,
    watched,
)
from sim.policies.calibration_rules import SAME_RATE_RATIO
from sim.policies.rate_limit import Limiter
from sim.timers import after

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from scenarios import Story

    Response = Callable[[float], float]

WINDOW_S = 100.0
MIB = 1024**2
# A bucket that no agent here ever fills or empties by what it takes, so that waiting agents wait for good.
ENDLESS_TOKENS = 1_000_000_000
TEXT = f"""\
purpose: Five agents whose rate is turned.
duration: 10000s
hosts: {{local: {{cpus: 4, memory: 4g}}}}
containers: {{agents: {{cpus: 2, mem_limit: 1000m}}}}
rate_limits: {{llm: {{kind: token_bucket, rate: 10, capacity: {ENDLESS_TOKENS}, level: 0, per: agent}}}}
agents: {{worker: {{count: 5, steps: [{{take: {{from: llm, tokens: 60}}}}, {{compute: 100ms}}]}}}}
calibrate: {{turn: llm, watch: agents, window: {WINDOW_S:g}s, rounds: 100}}
"""


@cache
def as_written() -> Story:
    """The story as its text says."""
    return load_text(TEXT, "t")


def story(*, rate: float = 10.0, level: float = 0.0, **terms: Any) -> Story:  # noqa: ANN401  # Terms are of many types.
    """The story at a starting rate, with other terms of its calibration."""
    told = as_written()
    assert told.calibrate is not None
    (limit,) = told.rate_limits
    assert isinstance(limit, TokenBucket)
    limits = (replace(limit, rate_tokens_per_s=rate, level_tokens=level),)
    return replace(told, rate_limits=limits, calibrate=replace(told.calibrate, **terms))


class Responding:
    """A machine with one container of two cores, whose CPU since the last look is as the response to the rate says.

    What is in `changes` is put into samples that are read at that time; the first question at a time that is `silent`
    is not answered, at one that is `refused` it is refused.
    """

    def __init__(self, env: simpy.Environment, limiter: Limiter, response: Response) -> None:
        """Have used nothing."""
        self.changes: dict[float, dict[str, float]] = {}
        self.silent: set[float] = set()
        self.refused: set[float] = set()
        self._env = env
        self._limiter = limiter
        self._response = response
        self._cpu_s = 0.0
        self._at_s = env.now

    def sample(self, name: str) -> simpy.Event:
        """Read the counters at once."""
        now, rate = self._env.now, self._limiter.rate_tokens_per_s
        assert rate is not None
        if now > self._at_s:
            self._cpu_s += 2.0 * (now - self._at_s) * self._response(rate)
        self._at_s = now
        if now in self.silent:
            self.silent.remove(now)
            return self._env.event()
        if now in self.refused:
            self.refused.remove(now)
            return self._env.timeout(0.0, Refused(name, "it is not up"))
        plain = Sample(name, now, self._cpu_s, round(now * 10), round(now), now / 2, 100 * MIB, 100 * MIB, 100 * MIB, 0)
        return self._env.timeout(0.0, replace(plain, **cast("dict[str, Any]", self.changes.get(now, {}))))


class Bench:
    """A calibration with its machine, its clock, and agents of whom `waiting` wait for tokens all the time."""

    def __init__(self, told: Story, response: Response, *, waiting: int = 5) -> None:
        """Be ready to begin."""
        self.env = simpy.Environment()
        self.limiter = Limiter(self.env, told.rate_limits[0])
        self.machine = Responding(self.env, self.limiter, response)
        self.notes: list[str] = []
        machine = cast("Machine", self.machine)
        self.calibration = Calibration(self.env, told, machine, self.limiter, self.notes.append)
        for number in range(waiting):
            self.limiter.take(f"worker/{number}", ENDLESS_TOKENS)

    def course(self) -> Course:
        """What it comes to in the end."""
        self.env.run(until=self.env.process(self.calibration.run(0.0)))
        return self.calibration.course()


def course(response: Response, *, rate: float = 10.0, waiting: int = 5, **terms: Any) -> Course:  # noqa: ANN401  # As above.
    """A whole course under a response."""
    return Bench(story(rate=rate, **terms), response, waiting=waiting).course()


def share(part: float) -> Response:
    """CPU in proportion to the rate, up to the limit: this part of it at 10 tokens/s."""
    return lambda rate: min(1.0, part * rate / 10.0)


def zone(begin: float, end: float) -> Response:
    """CPU in the band for the rates in between, far below it and far above it for the others."""
    return lambda rate: 0.4 if rate < begin else 0.75 if rate < end else 0.95


def each(parts: Iterable[float]) -> Response:
    """CPU of one window after another, whatever the rate."""
    left = iter(parts)
    return lambda _rate: next(left)


def rates(found: Course) -> list[float]:
    """The rates tried, in their order."""
    return [one.rate_tokens_per_s for one in found.rounds]


# The rule as the document writes it.


def test_a_rate_in_the_band_is_kept() -> None:
    """Two windows at 75 % are enough; the rate stays what it was."""
    found = course(share(0.75))

    assert ("converged", 10.0, 0) == (found.outcome, found.rate_tokens_per_s, found.void_count)
    assert ["keep", "keep"] == [one.action for one in found.rounds]


def test_too_much_is_reduced_by_a_fifth() -> None:
    """93 % is above 85 %: at 8 tokens/s it is 74.4 %, in the band."""
    found = course(share(0.93))

    assert ("converged", [10.0, 8.0, 8.0]) == (found.outcome, rates(found))
    assert found.rate_tokens_per_s == pytest.approx(8.0)
    assert [0.93, 0.744, 0.744] == [pytest.approx(one.cpu_ratio) for one in found.rounds]
    assert ["reduce", "keep", "keep"] == [one.action for one in found.rounds]


@pytest.mark.parametrize("part", [0.66, 0.83])
def test_the_silent_zones_settle_outside_the_band(part: float) -> None:
    """From 50 to 70 and from 80 to 85 % the rule changes nothing, although the CPU is not in the band."""
    found = course(share(part))

    assert ("settled_outside_band", [10.0, 10.0]) == (found.outcome, rates(found))


@given(st.floats(0.01, 0.499))
def test_from_below_it_stops_short_of_the_band(part: float) -> None:
    """A proportional response is raised by quarters until it passes 50 %, so it ends below 62.5 %."""
    found = course(share(part))

    assert "settled_outside_band" == found.outcome
    assert 0.5 <= found.rounds[-1].cpu_ratio <= 0.625 + 1e-9


@given(st.floats(0.01, 5.0))
def test_a_proportional_response_never_oscillates(part: float) -> None:
    """Four fifths of more than 85 % are 68 % or more, which is not raised again; a CPU at its limit changes nothing."""
    found = course(share(part))

    assert found.outcome in {"converged", "settled_outside_band"}
    if part > 0.85:
        assert 0.68 - 1e-9 <= found.rounds[-1].cpu_ratio <= 0.85


def test_acting_at_the_edges_of_the_band_oscillates() -> None:
    """The band is a factor of 1.14 wide and a step up is 1.25: from just below it the rate lands just above."""
    found = course(share(0.665), raise_below_ratio=0.7, reduce_above_ratio=0.8)

    assert ("oscillating", [10.0, 12.5]) == (found.outcome, rates(found))
    assert ["raise", "reduce"] == [one.action for one in found.rounds]


def test_a_cliff_oscillates() -> None:
    """Where the CPU jumps from 40 to 95 %, the written thresholds oscillate too."""
    found = course(zone(12, 12))

    assert ("oscillating", [10.0, 12.5]) == (found.outcome, rates(found))


@pytest.mark.parametrize(("up", "down", "rounds"), [(1.3, 0.8, 11), (1.3, 0.7, 9), (1.333, 0.75, 6)])
def test_steps_that_never_come_back_to_a_rate_oscillate_too(up: float, down: float, rounds: int) -> None:
    """As soon as no rate of the twelve rounds can lie between those that were too low and too high."""
    found = course(zone(12, 12), raise_by_ratio=up, reduce_by_ratio=down, rounds_count_max=12)

    assert ("oscillating", rounds) == (found.outcome, len(found.rounds))


def test_steps_that_creep_up_on_the_band_do_not_oscillate() -> None:
    """There and back is 4 % higher each time, until a rate does; it is near others that were left both ways."""
    found = course(zone(11.5, 12), raise_by_ratio=1.3, reduce_by_ratio=0.8)

    assert ("converged", 10) == (found.outcome, len(found.rounds))
    assert found.rate_tokens_per_s == pytest.approx(10 * 1.04**4)


def test_rounds_that_end_on_the_way_give_no_verdict() -> None:
    """After there and back once it is not known where creeping leads."""
    found = course(zone(12, 12), raise_by_ratio=1.3, reduce_by_ratio=0.8, rounds_count_max=3)

    assert "out_of_rounds" == found.outcome


@given(st.floats(1.02, 3), st.floats(0.3, 0.98), st.floats(5, 20), st.floats(1, 1.3), st.integers(2, 40))
def test_what_would_converge_is_never_called_oscillating(
    up: float, down: float, begin: float, width_ratio: float, rounds: int
) -> None:
    """Whatever the steps: followed by hand through all of its rounds, such a course comes to no rate that does."""
    response = zone(begin, begin * width_ratio)
    terms: dict[str, Any] = {"raise_by_ratio": up, "reduce_by_ratio": down, "rounds_count_max": rounds}
    found = course(response, confirm_count=1, **terms)

    tried = [10.0]
    while len(tried) < rounds and response(tried[-1]) != 0.75:
        tried.append(tried[-1] * (up if response(tried[-1]) < 0.5 else down))
    *before, last = tried
    is_new = all(abs(last / rate - 1) > 2 * SAME_RATE_RATIO for rate in before)
    assert "oscillating" != found.outcome or response(last) != 0.75 or not is_new


def test_of_two_windows_that_contradict_each_other_the_later_one_counts() -> None:
    """At 10 tokens/s the CPU is too high and then, from 10.4 on, too low: nothing is known to be too high any more."""
    found = course(each([0.95, 0.4, 0.4, 0.75]), raise_by_ratio=1.3, confirm_count=1)

    assert ("converged", ["reduce", "raise", "raise", "keep"]) == (found.outcome, [one.action for one in found.rounds])


# The damped rule.


@pytest.mark.parametrize("part", [0.0075, 0.5, 0.66, 0.83, 75.0])
def test_damped_finds_the_band_from_anywhere(part: float) -> None:
    """From a hundredth and from a hundred times the right rate, and from where the written rule is silent."""
    found = course(share(part), rule="damped")

    assert ("converged", "damped") == (found.outcome, found.rule)
    assert 0.7 <= found.rounds[-1].cpu_ratio <= 0.8
    assert found.rate_tokens_per_s == pytest.approx(7.5 / part, rel=0.08)


def test_damped_steps_are_bounded_by_the_written_ones() -> None:
    """A proportional step from 10 % would be 7.5-fold; it is a quarter. One within the factors goes to the middle."""
    far, near = course(share(0.1), rule="damped"), course(share(0.65), rule="damped")

    assert 12.5 == far.rounds[1].rate_tokens_per_s
    assert near.rounds[1].cpu_ratio == pytest.approx(0.75)


def test_damped_ends_at_a_cliff_that_jumps_over_the_band() -> None:
    """It closes in on the jump until the bracket is a hundredth wide, and then says that it is outside."""
    found = course(lambda rate: 0.4 if rate < 12 else 0.95, rule="damped")

    assert "settled_outside_band" == found.outcome
    assert found.rate_tokens_per_s == pytest.approx(12, rel=0.011)


@given(
    st.lists(st.floats(0.1, 1000), min_size=1, max_size=8, unique=True),
    st.lists(st.floats(0, 1), min_size=9, max_size=9),
    st.floats(0.05, 2000),
    st.floats(0.1, 0.9),
    st.booleans(),
)
def test_damped_never_oscillates(
    edges: list[float],
    parts: list[float],
    rate: float,
    low: float,
    rising: bool,  # noqa: FBT001
) -> None:
    """Whatever the response, rising or not: no rate is left and come back to."""
    answers = sorted(parts) if rising else parts
    steps = sorted(edges)
    band: dict[str, Any] = {
        "cpu_ratio_low": low,
        "cpu_ratio_high": low + 0.05,
        "raise_below_ratio": low,
        "reduce_above_ratio": 1.0,
    }
    found = course(lambda at: answers[bisect.bisect(steps, at)], rate=rate, rule="damped", **band)

    changes = [now for before, now in pairwise([0.0, *rates(found)]) if now != before]
    assert "oscillating" != found.outcome
    assert len(changes) == len(set(changes))


# Outcomes that the CPU alone does not give.


def test_who_waits_for_no_tokens_is_not_bound_by_the_rate() -> None:
    """The rule would raise, but the agents wait for something else."""
    found = course(share(0.1), waiting=0)

    assert ("not_rate_bound", [10.0]) == (found.outcome, rates(found))
    assert ["raise"] == [one.action for one in found.rounds]


def test_waiting_is_a_share_of_all_agents_time() -> None:
    """One of five agents that waits all the time is a fifth, which is enough to go on."""
    found = course(share(0.45), waiting=1)

    assert "settled_outside_band" == found.outcome
    assert [0.2, 0.2, 0.2] == [pytest.approx(one.waited_ratio) for one in found.rounds]


def test_a_stock_that_is_being_spent_is_no_sign() -> None:
    """As long as more is taken than drips in, nobody waits only because the buckets began full."""
    bench = Bench(story(level=6000.0), share(0.2), waiting=0)
    # Five buckets get 10 tokens/s for 100 s: 5,000 tokens.
    after(bench.env, 50.0, lambda: bench.limiter.take("worker/0", 5001.0))
    found = bench.course()

    assert ("not_rate_bound", [10.0, 12.5]) == (found.outcome, rates(found))


class Spending(Bench):
    """A bench whose buckets are full, and whose last agent spends tokens by tens in the middle of the first window.

    Five buckets get 10 tokens/s for 100 s in it: 5,000 tokens. Its CPU is as given, later ones are at 75 %.
    """

    def __init__(self, tokens: int, cpu_ratio: float, **terms: Any) -> None:  # noqa: ANN401  # Terms are of many types.
        """Have spent nothing."""
        told = story(level=10_000.0, **terms)
        super().__init__(told, lambda _rate: cpu_ratio if self.env.now <= WINDOW_S else 0.75, waiting=4)
        for _ in range(tokens // 10):
            after(self.env, 50.0, lambda: self.limiter.take("worker/4", 10.0))


def test_damped_does_not_take_a_stock_for_the_rate() -> None:
    """95 % with 9,000 tokens are no less than 53 % with 5,000, and no more than 95: the rate is tried once more."""
    found = Spending(9000, 0.95, rule="damped").course()

    assert ("converged", [10.0, 10.0, 10.0]) == (found.outcome, rates(found))
    assert ["keep", "keep", "keep"] == [one.action for one in found.rounds]
    # Of 4,000 tokens too many, one amount for each of the five buckets is no stock.
    assert [3950 / 9000, 0.0, 0.0] == [pytest.approx(one.stock_ratio) for one in found.rounds]


def test_whole_amounts_are_no_stock() -> None:
    """A window may have a grant more for each bucket than dripped in, before as after the others."""
    found = Spending(5050, 0.79, rule="damped").course()

    assert ("converged", [0.0, 0.0]) == (found.outcome, [one.stock_ratio for one in found.rounds])


@pytest.mark.parametrize(("tokens", "cpu_ratio", "action"), [(5500, 0.95, "reduce"), (9000, 0.6, "raise")])
def test_damped_turns_where_the_stock_makes_no_difference(tokens: int, cpu_ratio: float, action: str) -> None:
    """Above the band without it as well, or below the band even with it."""
    found = Spending(tokens, cpu_ratio, rule="damped").course()

    assert action == found.rounds[0].action
    assert 10.0 != found.rounds[1].rate_tokens_per_s


def test_as_written_turns_by_what_is_measured() -> None:
    """The document knows nothing of what the buckets hold."""
    found = Spending(9000, 0.95).course()

    assert [10.0, 8.0, 8.0] == rates(found)


@pytest.mark.parametrize("rule", ["as_written", "damped"])
def test_a_band_that_is_held_by_a_stock_is_not_confirmed(rule: str) -> None:
    """It takes two windows more, in which only what drips in is spent."""
    found = Spending(9000, 0.75, rule=rule).course()

    assert ("converged", [10.0, 10.0, 10.0]) == (found.outcome, rates(found))


@pytest.mark.parametrize(
    ("change", "outcome"),
    [
        ({"memory_bytes": 901 * MIB}, "over_limit"),
        ({"memory_bytes": 899 * MIB}, "converged"),
        ({"memory_peak_bytes": 901 * MIB}, "over_limit"),
        ({"oom_kills_count": 1}, "over_limit"),
    ],
)
def test_memory_above_its_bound_ends_it(change: dict[str, float], outcome: str) -> None:
    """More than 90 % of the limit at the end of a window, or in its course, or a kill: whatever the CPU does."""
    bench = Bench(story(), share(0.75))
    bench.machine.changes[WINDOW_S] = change
    found = bench.course()

    assert outcome == found.outcome
    assert (1 if outcome == "over_limit" else 2) == len(found.rounds)


def test_an_old_peak_counts_for_no_window() -> None:
    """A peak that did not rise in the window may be from before all of this."""
    bench = Bench(story(), share(0.75))
    bench.machine.changes = {at_s: {"memory_peak_bytes": 990 * MIB} for at_s in (0.0, WINDOW_S, 2 * WINDOW_S)}
    found = bench.course()

    assert "converged" == found.outcome
    assert [0.1, 0.1] == [one.memory_ratio for one in found.rounds]


def test_rounds_that_are_over_give_no_verdict() -> None:
    """After the last window nothing is turned any more, so the rate is one that was tried."""
    found = course(share(0.01), rounds_count_max=2)

    assert ("out_of_rounds", [10.0, 12.5], 12.5) == (found.outcome, rates(found), found.rate_tokens_per_s)


# Being sure.


@pytest.mark.parametrize(
    ("parts", "confirm", "rounds"),
    [
        ([0.75, 0.9, 0.75, 0.75], 2, 4),
        ([0.6, 0.75, 0.75], 2, 3),
        ([0.75, 0.75, 0.6, 0.75, 0.75, 0.75], 3, 6),
        ([0.75], 1, 1),
    ],
)
def test_windows_in_a_row_must_say_the_same(parts: list[float], confirm: int, rounds: int) -> None:
    """A turn or another answer in between begins the count anew."""
    found = course(each(parts), confirm_count=confirm)

    assert ("converged", rounds) == (found.outcome, len(found.rounds))


# What is measured.


def test_a_round_says_what_was_seen() -> None:
    """Counters are differences over the window, against the container's limits."""
    first = course(share(0.75)).rounds[0]

    assert (1, 0.0, WINDOW_S) == (first.index, first.began_s, first.ended_s)
    assert (0.75, 1.0) == pytest.approx((first.cpu_ratio, first.waited_ratio))
    assert (0.1, 0.1, 0) == (first.memory_ratio, first.throttled_period_ratio, first.oom_kills_count)


def test_windows_follow_one_another_on_a_grid() -> None:
    """Each is as long as it is to be, and its first part is not judged."""
    found = course(share(0.75), settle_s=20.0)

    assert [(20.0, 100.0), (120.0, 200.0)] == [(one.began_s, one.ended_s) for one in found.rounds]


def test_what_settles_is_not_judged() -> None:
    """The CPU is at its limit for the first fifth of each window, and nobody minds."""
    bench = Bench(story(settle_s=20.0), lambda _rate: 1.0 if 0 < bench.env.now % WINDOW_S <= 20 else 0.75)

    assert "converged" == bench.course().outcome


def test_waits_that_ended_count_too() -> None:
    """Five hundred tokens at ten a second are waited for half a window, by one agent of five."""
    bench = Bench(story(), share(0.75), waiting=0)
    bench.limiter.take("worker/0", 500.0)

    assert 0.1 == pytest.approx(bench.course().rounds[0].waited_ratio)


def test_without_limits_the_host_is_the_limit() -> None:
    """A container that may use all of its host is held against its cores and its memory."""
    told = load_text(TEXT.replace("cpus: 2, mem_limit: 1000m", "cpu_shares: 1024"), "t")

    assert (4.0, 4 * 1024**3) == limits_of(told, "agents")
    assert (2.0, 1000 * MIB) == limits_of(story(), "agents")


def test_each_window_is_told_in_words() -> None:
    """A note for each round, and one for the outcome."""
    bench = Bench(story(), share(0.93))
    bench.course()

    assert "round 1: 10 tokens/s, CPU 93.0 % of its limit: reduce" == bench.notes[0]
    assert "converged at 8 tokens/s" == bench.notes[-1]
    assert 4 == len(bench.notes)


def test_a_course_is_known_before_it_ends() -> None:
    """Who watches finds it however its run ends; what is begun later, or before, is not theirs."""
    earlier = Bench(story(), share(0.75))
    with watched() as begun:
        bench = Bench(story(), share(0.93))
    later = Bench(story(), share(0.75))
    bench.env.process(bench.calibration.run(0.0))
    bench.env.run(until=1.5 * WINDOW_S)
    found = bench.calibration.course()

    assert [bench.calibration] == begun
    assert not {earlier.calibration, later.calibration} & set(begun)
    assert ("out_of_rounds", [10.0], 8.0) == (found.outcome, rates(found), found.rate_tokens_per_s)


# Containers that do not answer, or die.


@pytest.mark.parametrize("kind", ["refused", "silent"])
def test_a_window_that_cannot_be_read_is_passed_over(kind: str) -> None:
    """The next one is judged again, at the same rate."""
    bench = Bench(story(), share(0.75))
    getattr(bench.machine, kind).add(2 * WINDOW_S)
    found = bench.course()

    assert ("converged", 1) == (found.outcome, found.void_count)
    assert [(1, 10.0), (3, 10.0)] == [(one.index, one.rate_tokens_per_s) for one in found.rounds]


def test_a_container_that_is_gone_is_not_waited_for() -> None:
    """After some windows without any answer the course ends without a verdict."""
    bench = Bench(story(), share(0.75))
    times_s = [index * WINDOW_S for index in range(100)]
    bench.machine.refused.update(times_s)
    found = bench.course()

    assert ("out_of_rounds", VOID_COUNT_MAX, ()) == (found.outcome, found.void_count, found.rounds)
    assert VOID_COUNT_MAX * WINDOW_S == bench.env.now


def test_a_late_answer_is_not_waited_for() -> None:
    """A question that nobody answers holds a window up for some seconds only."""
    bench = Bench(story(rounds_count_max=1), share(0.75))
    bench.machine.silent.add(WINDOW_S)
    bench.course()

    assert WINDOW_S + SAMPLE_S_MAX == bench.env.now


@pytest.mark.parametrize(("cause", "outcome", "rounds"), [("oom", "over_limit", 0), ("exited", "converged", 2)])
def test_a_container_that_ended_is_heard_of(cause: str, outcome: str, rounds: int) -> None:
    """Its counters say nothing of the window; where it ended for lack of memory, that says enough."""
    bench = Bench(story(), share(0.75))

    def die() -> simpy.events.ProcessGenerator:
        yield bench.env.timeout(50.0)
        bench.calibration.hear(Died("another", "oom", 137, 50.0, 50.0))
        bench.calibration.hear(Died("agents", cause, 137, 50.0, 50.0))  # type: ignore[arg-type]

    bench.env.process(die())
    found = bench.course()

    assert (outcome, 1, rounds) == (found.outcome, found.void_count, len(found.rounds))


def test_counters_that_fell_are_of_another_life() -> None:
    """A restart that nobody told of shows in less CPU than before."""
    bench = Bench(story(), share(0.75))
    bench.machine.changes[WINDOW_S] = {"cpu_s": 0.0}
    bench.machine.changes[0.0] = {"cpu_s": 10.0}

    assert 1 == bench.course().void_count
