"""Who is started anew by the engine after an end that nobody asked for, when, and as what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from scenarios import story as told
from sim.machine import (
    Compute,
    Died,
    Finished,
    Hold,
    Lost,
    Program,
    Refused,
    Restarted,
    Sample,
    Sleep,
    Started,
    Step,
    Stopped,
    Struck,
    Write,
)
from tests.conformance.bench import (
    ALWAYS,
    CLOCK_SLACK_S,
    DISK,
    FAR_S,
    MIB,
    NO,
    ON_FAILURE,
    PATIENCE_S,
    UNLESS_STOPPED,
    container,
    program,
)

if TYPE_CHECKING:
    from collections.abc import Generator

    import simpy

    from tests.conformance.bench import Bench

# The engine's back-off before each of the first restarts; what the start itself takes is less than the last.
BACK_OFFS_S = (0.1, 0.2, 0.4, 0.8)
# Longer than the first back-offs and the engine's start together: a restart that has not come by then does not come.
QUIET_S = 2.0
# The table of Docker's restart policies: which of them starts a container anew that ended with which exit code.
ENDS = {
    "no-1": (NO, 1, 0),
    "no-0": (NO, 0, 0),
    "on-failure-1": (ON_FAILURE, 1, 1),
    "on-failure-0": (ON_FAILURE, 0, 0),
    "always-1": (ALWAYS, 1, 1),
    "always-0": (ALWAYS, 0, 1),
    "unless-stopped-1": (UNLESS_STOPPED, 1, 1),
    "unless-stopped-0": (UNLESS_STOPPED, 0, 1),
}


def test_the_policy_decides_who_comes_back(bench: Bench) -> None:
    """After an end by itself `always` and `unless-stopped` restart, `on-failure` for a failure only, `no` never."""

    def script() -> Generator[simpy.Event, Any, None]:
        coming = [container(name, memory_mib=64, restart=policy) for name, (policy, _, _) in ENDS.items()]
        yield bench.env.all_of([bench.machine.start(spec) for spec in coming])
        for name, (_, exit_code, _) in ENDS.items():
            assert Struck(name) == (yield bench.machine.crash(name, exit_code))
        for name, (_, _, restarts_count) in ENDS.items():
            yield from bench.hear(Died, name)
            if restarts_count:
                yield from bench.hear(Restarted, name)
        yield bench.env.timeout(QUIET_S)

    bench.play(script)
    expected = {name: [("exited", exit_code)] for name, (_, exit_code, _) in ENDS.items()}
    assert expected == {name: [(died.cause, died.exit_code) for died in bench.told(Died, name)] for name in ENDS}
    counts = {name: restarts_count for name, (_, _, restarts_count) in ENDS.items()}
    assert counts == {name: len(bench.told(Restarted, name)) for name in ENDS}


def test_a_crashed_container_comes_back(bench: Bench) -> None:
    """What ran is lost, its end is noticed and then its return, and the next program runs."""

    def script() -> Generator[simpy.Event, Any, list[object]]:
        yield bench.machine.start(container(restart=ALWAYS))
        running = [bench.machine.submit("a", program(Sleep(30.0), agent=f"w/{n}", index=3 + n)) for n in range(2)]
        yield bench.env.timeout(0.5)
        crashed_s = bench.env.now
        yield bench.machine.crash("a", 7)
        yield bench.env.all_of(running)
        yield from bench.hear(Restarted)
        again = yield bench.machine.submit("a", program(Compute(0.01, 1), index=5))
        assert crashed_s - CLOCK_SLACK_S <= bench.told(Died)[0].happened_s
        return [*(lost.value for lost in running), again]

    *lost, again = bench.play(script)
    assert [("w/0", 3, "container"), ("w/1", 4, "container")] == [
        (outcome.agent, outcome.step_index, outcome.cause) for outcome in lost if isinstance(outcome, Lost)
    ]
    assert isinstance(again, Finished)
    died, restarted = bench.said
    assert isinstance(died, Died)
    assert ("a", "exited", 7) == (died.container, died.cause, died.exit_code)
    assert isinstance(restarted, Restarted)
    assert ("a", 1) == (restarted.container, restarted.restarts_count)
    assert died.happened_s < restarted.happened_s <= restarted.ready_s + CLOCK_SLACK_S
    assert restarted.ready_s <= restarted.noticed_s + CLOCK_SLACK_S


def test_a_new_life_counts_from_zero(bench: Bench) -> None:
    """CPU time, peak memory and what lay on the disk belong to the life that ended."""

    def script() -> Generator[simpy.Event, Any, list[Sample]]:
        yield bench.machine.start(container(restart=ALWAYS, tmpfs=DISK))
        work = (Hold(64 * MIB, leak=True), Write(16 * MIB), Compute(0.6, 1))
        yield bench.machine.submit("a", program(*work))
        before = yield bench.machine.sample("a")
        yield bench.machine.crash("a", 1)
        yield from bench.hear(Restarted)
        return [before, (yield bench.machine.sample("a"))]

    before, after = bench.play(script)
    assert after.cpu_s < before.cpu_s - 0.3
    assert after.memory_peak_bytes < before.memory_peak_bytes - 60 * MIB
    assert after.memory_bytes < before.memory_bytes - 60 * MIB
    assert (True, 0) == (before.disk_bytes > 0, after.disk_bytes)


def test_a_container_waiting_for_its_restart_does_nothing(bench: Bench) -> None:
    """Between death and return the name is taken, and every verb but `stop` is refused."""

    def script() -> Generator[simpy.Event, Any, list[object]]:
        yield bench.machine.start(container(restart=ALWAYS))
        yield bench.machine.crash("a", 1)
        yield from bench.hear(Died)
        asked = [
            bench.machine.start(container(restart=ALWAYS)),
            bench.machine.kill("a"),
            bench.machine.limit("a", cpus_limit=0.5, memory_bytes_limit=None),
            bench.machine.sample("a"),
            bench.machine.submit("a", program(Compute(0.01, 1))),
            bench.machine.crash("a", 1),
            bench.machine.hang("a", 1.0),
            bench.machine.kill_agent("a", "w/0"),
        ]
        yield bench.env.all_of(asked)
        yield from bench.hear(Restarted)
        return [*(event.value for event in asked), (yield bench.machine.sample("a"))]

    *waiting, back = bench.play(script)
    assert ["a"] * 8 == [outcome.container for outcome in waiting if isinstance(outcome, Refused)]
    assert isinstance(back, Sample)


def test_each_restart_waits_longer(bench: Bench) -> None:
    """The engine waits at least a tenth of a second before the first restart, and each time twice as long."""

    def script() -> Generator[simpy.Event, Any, None]:
        yield bench.machine.start(container(restart=ALWAYS))
        for count in (1, 2, 3, 4):
            yield bench.machine.crash("a", 1)
            yield from bench.hear(Restarted, count=count)

    bench.play(script)
    assert [1, 2, 3, 4] == [restarted.restarts_count for restarted in bench.told(Restarted)]
    for died, restarted, back_off_s in zip(bench.told(Died), bench.told(Restarted), BACK_OFFS_S, strict=True):
        assert back_off_s - CLOCK_SLACK_S <= restarted.happened_s - died.happened_s


def test_restarts_have_an_end(bench: Bench) -> None:
    """With `on-failure:1` the second failure is the last: no restart follows, and the name is free."""

    def script() -> Generator[simpy.Event, Any, object]:
        once = told.RestartPolicy("on-failure", retries_max=1)
        yield bench.machine.start(container(restart=once))
        yield bench.machine.crash("a", 1)
        yield from bench.hear(Restarted)
        yield bench.machine.crash("a", 2)
        yield from bench.hear(Died, count=2)
        anew = yield bench.machine.start(container())
        yield bench.env.timeout(QUIET_S)
        return anew

    assert isinstance(bench.play(script), Started)
    assert [1, 2] == [died.exit_code for died in bench.told(Died)]
    assert [1] == [restarted.restarts_count for restarted in bench.told(Restarted)]


def test_a_name_is_free_at_once_where_nothing_restarts(bench: Bench) -> None:
    """In the moment an end without a restart is noticed, another container of that name can be started."""

    def script() -> Generator[simpy.Event, Any, list[object]]:
        yield bench.machine.start(container())
        yield bench.machine.crash("a", 3)
        yield from bench.hear(Died)
        anew = yield bench.machine.start(container())
        return [anew, (yield bench.machine.submit("a", program(Compute(0.01, 1))))]

    assert [Started, Finished] == [type(outcome) for outcome in bench.play(script)]


def test_memory_restarts_as_any_failure(bench: Bench) -> None:
    """PID 1 over the memory limit is an OOM death, and what comes back has seen no kill yet."""

    def script() -> Generator[simpy.Event, Any, list[object]]:
        yield bench.machine.start(container(memory_mib=128, restart=ALWAYS))
        lost = yield bench.machine.submit("a", program(Hold(150 * MIB, leak=False), process="main"))
        yield from bench.hear(Restarted)
        return [lost, (yield bench.machine.sample("a"))]

    lost, sample = bench.play(script)
    assert isinstance(lost, Lost)
    assert "container" == lost.cause
    assert [("oom", 137)] == [(died.cause, died.exit_code) for died in bench.told(Died)]
    assert isinstance(sample, Sample)
    assert 0 == sample.oom_kills_count
    assert sample.memory_peak_bytes < 128 * MIB


@pytest.mark.parametrize("policy", [ALWAYS, UNLESS_STOPPED, ON_FAILURE], ids=lambda policy: policy.condition)
def test_a_kill_is_for_good(bench: Bench, policy: told.RestartPolicy) -> None:
    """What is killed through the engine stays down, whatever its policy, and its name is free."""

    def script() -> Generator[simpy.Event, Any, list[object]]:
        yield bench.machine.start(container(restart=policy))
        killed = yield bench.machine.kill("a")
        yield from bench.hear(Died)
        yield bench.env.timeout(QUIET_S)
        return [killed, (yield bench.machine.start(container()))]

    killed, anew = bench.play(script)
    assert Stopped("a", 137) == killed
    assert isinstance(anew, Started)
    assert [("killed", 137)] == [(died.cause, died.exit_code) for died in bench.told(Died)]
    assert [] == bench.told(Restarted)


def test_a_stop_is_for_good_and_no_news(bench: Bench) -> None:
    """What is stopped stays down, although its policy is `always`, and nothing is said of it unasked."""

    def script() -> Generator[simpy.Event, Any, list[object]]:
        yield bench.machine.start(container(restart=ALWAYS))
        stopped = yield bench.machine.stop("a")
        yield bench.env.timeout(QUIET_S)
        return [stopped, (yield bench.machine.start(container()))]

    stopped, anew = bench.play(script)
    assert Stopped("a", 0) == stopped
    assert isinstance(anew, Started)
    assert [] == bench.said


def test_a_container_can_be_stopped_while_it_waits(bench: Bench) -> None:
    """Stopped before its third restart it keeps the exit code it died with, does not come back, and is forgotten."""

    def script() -> Generator[simpy.Event, Any, list[object]]:
        yield bench.machine.start(container(restart=ALWAYS))
        for count in (1, 2):
            yield bench.machine.crash("a", 1)
            yield from bench.hear(Restarted, count=count)
        yield bench.machine.crash("a", 9)
        yield from bench.hear(Died, count=3)
        stopped = yield bench.machine.stop("a")
        anew = yield bench.machine.start(container())
        yield bench.env.timeout(QUIET_S)
        return [stopped, anew, (yield bench.machine.sample("a"))]

    stopped, anew, sample = bench.play(script)
    assert Stopped("a", 9) == stopped
    assert isinstance(anew, Started)
    assert isinstance(sample, Sample)
    assert (3, 2) == (len(bench.told(Died)), len(bench.told(Restarted)))


def test_what_was_reported_and_what_is_lost_fit_together(bench: Bench) -> None:
    """The steps before the lost one are reported, once and with no gap; reports come in batches, of seconds at most."""

    def script() -> Generator[simpy.Event, Any, object]:
        yield bench.machine.start(container(restart=ALWAYS))
        thinking = tuple(Step(index, None, 0.4, (Compute(0.01, 1),)) for index in range(6))
        running = bench.machine.submit("a", Program("w/0", (*thinking, Step(6, None, 0.0, (Sleep(30),))), FAR_S))
        yield bench.env.timeout(3.5)
        yield bench.machine.crash("a", 1)
        lost = yield running
        yield from bench.hear(Restarted)
        yield bench.machine.submit("a", program(Compute(0.01, 1), index=7))
        return lost

    lost = bench.play(script)
    assert isinstance(lost, Lost)
    assert "container" == lost.cause
    assert 2 <= lost.step_index <= 6
    assert [*range(lost.step_index), 7] == [done.index for done in bench.heard.steps]


def test_nothing_asked_at_a_death_stays_owed(bench: Bench) -> None:
    """Whatever is asked in the moment of a crash is answered: as done, lost or refused, but answered."""

    def script() -> Generator[simpy.Event, Any, list[simpy.Event]]:
        yield bench.machine.start(container(restart=ALWAYS))
        yield bench.machine.submit("a", program(Compute(0.01, 1)))
        asked = [
            bench.machine.submit("a", program(Sleep(30.0), agent="w/0", index=1)),
            bench.machine.crash("a", 1),
            bench.machine.submit("a", program(Sleep(30.0), agent="w/1")),
            bench.machine.sample("a"),
            bench.machine.kill_agent("a", "w/0"),
            bench.machine.limit("a", cpus_limit=0.5, memory_bytes_limit=None),
        ]
        yield bench.env.any_of([bench.env.all_of(asked), bench.env.timeout(PATIENCE_S)])
        yield from bench.hear(Restarted)
        return asked

    asked = bench.play(script)
    assert [True] * 6 == [event.triggered for event in asked]
    assert {Lost, Refused} >= {type(asked[0].value), type(asked[2].value)}
