"""When which fault is dealt to whom, on a machine that keeps what it was asked for."""

from __future__ import annotations

import dataclasses
import itertools
import re
from typing import TYPE_CHECKING, cast

import pytest
import simpy

from scenarios import story as told
from scenarios.fields import NAME_PATTERN
from sim.fault_course import LEAK_PIECES_COUNT, REFUSAL_S_MAX, FaultCourse
from sim.machine import Finished, Hold, Limited, Lost, Machine, Program, Refused, Sleep, Stopped, Struck, Write
from sim.record import Recorder

if TYPE_CHECKING:
    Answer = Finished | Limited | Lost | Refused | Stopped | Struck
    Asked = tuple[float, str, tuple[object, ...]]

BEGIN_S, UNTIL_S = 5.0, 25.0
HOSTS = (told.Host("g", 2.0, 1 << 30, 0, 0, None), told.Host("h", 2.0, 1 << 20, 0, 0, None))
GROUP = told.AgentGroup("w", 4, "a", told.Law("constant", (1.0,)), (), "own", "restart", 1.0)
SECOND = told.When(told.Law("constant", (1.0,)), None)
RANDOM = told.When(told.Law("exponential", (2.0,)), told.Law("exponential", (1.0,)))


def container(tmpfs_bytes: int | None) -> told.Container:
    """A container on the second host with a disk of its own."""
    disk = (told.Tmpfs("/scratch", tmpfs_bytes),)
    return told.Container("a", "h", None, None, None, 1024, None, 100, 1.0, tmpfs=disk)


def story(*faults: told.Fault, seed: int = 1, tmpfs_bytes: int | None = 1000) -> told.Story:
    """A story of one container, four agents and these faults."""
    return told.Story(
        name="s",
        purpose="",
        source="",
        seed=seed,
        duration_s=20.0,
        sample_interval_s=1.0,
        hosts=HOSTS,
        containers=(container(tmpfs_bytes),),
        agents=(GROUP,),
        rate_limits=(),
        providers=(),
        goals=(),
        headline=(),
        live_scale=told.LiveScale(1.0, 1.0, 1.0),
        live_able=True,
        faults=faults,
    )


class Target:
    """A machine that keeps each blow with its time, and gives the same answer to each, after a while or never."""

    def __init__(self, env: simpy.Environment, answer: Answer, after_s: float | None) -> None:
        """Have been struck by nothing."""
        self.asked: list[Asked] = []
        self._env = env
        self._answer = answer
        self._after_s = after_s

    def _ask(self, verb: str, *what: object) -> simpy.Event:
        self.asked.append((self._env.now, verb, what))
        return self._env.event() if self._after_s is None else self._env.timeout(self._after_s, self._answer)

    def kill(self, name: str) -> simpy.Event:
        """Note a kill."""
        return self._ask("kill", name)

    def crash(self, name: str, exit_code: int) -> simpy.Event:
        """Note a crash."""
        return self._ask("crash", name, exit_code)

    def hang(self, name: str, duration_s: float) -> simpy.Event:
        """Note a hang."""
        return self._ask("hang", name, duration_s)

    def kill_agent(self, name: str, agent: str) -> simpy.Event:
        """Note a kill of one agent."""
        return self._ask("kill_agent", name, agent)

    def limit(self, name: str, *, cpus_limit: float | None, memory_bytes_limit: int | None) -> simpy.Event:
        """Note new limits."""
        return self._ask("limit", name, cpus_limit, memory_bytes_limit)

    def strike_host(self, host: str, blow: str, down_s: float | None) -> simpy.Event:
        """Note a blow to a host."""
        return self._ask("strike_host", host, blow, down_s)

    def submit(self, name: str, program: Program) -> simpy.Event:
        """Note a program."""
        return self._ask("submit", name, program)


@dataclasses.dataclass(frozen=True)
class Course:
    """What faults came to: what the machine was asked for, and what was recorded."""

    asked: list[Asked]
    recorder: Recorder

    @property
    def times_s(self) -> list[float]:
        """When each blow was dealt."""
        return [at_s for at_s, _, _ in self.asked]

    @property
    def events(self) -> list[tuple[float, str, str | None, str]]:
        """Time, kind, container and detail of all that was recorded."""
        events = self.recorder.tables["events"]
        return list(zip(*(events[name] for name in ("at_s", "what", "container", "detail")), strict=True))


def dealt(one: told.Story, *, answer: Answer | None = None, after_s: float | None = 0.5) -> Course:
    """The course of a story's faults over a window from 5 s to 25 s, and some seconds of aftermath."""
    env = simpy.Environment(BEGIN_S)
    machine, recorder = Target(env, answer or Struck("a"), after_s), Recorder(None)
    FaultCourse(env, one, cast("Machine", machine), recorder).begin(BEGIN_S, lambda: UNTIL_S)
    env.run(until=UNTIL_S + 5.0)
    return Course(machine.asked, recorder)


def each(first_s: float, every_s: float | None = None) -> told.When:
    """At a time of the window, and again and again."""
    return told.When(told.Law("constant", (first_s,)), None if every_s is None else told.Law("constant", (every_s,)))


# What is dealt.


@pytest.mark.parametrize(
    ("fault", "verb", "what", "row"),
    [
        (told.KillContainer(SECOND, "a"), "kill", ("a",), ("fault", "a", "KillContainer")),
        (told.CrashContainer(SECOND, "a", 3), "crash", ("a", 3), ("fault", "a", "CrashContainer")),
        (told.HangContainer(SECOND, "a", 4.0), "hang", ("a", 4.0), ("fault", "a", "HangContainer")),
        (told.ChangeLimits(SECOND, "a", 0.5, None), "limit", ("a", 0.5, None), ("limited", "a", "ChangeLimits")),
        (told.ChangeLimits(SECOND, "a", None, 99), "limit", ("a", None, 99), ("limited", "a", "ChangeLimits")),
        (
            told.StrikeHost(SECOND, "h", "crash", 2.0),
            "strike_host",
            ("h", "crash", 2.0),
            ("fault", None, "crash of h"),
        ),
        (told.StrikeHost(SECOND, "h", "loss", None), "strike_host", ("h", "loss", None), ("fault", None, "loss of h")),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_fault_is_dealt_through_its_verb(
    fault: told.Fault, verb: str, what: tuple[object, ...], row: tuple[str, str | None, str]
) -> None:
    """A second into the window the machine is asked for it, and that is when it is written down."""
    course = dealt(story(fault))

    assert [(6.0, verb, what)] == course.asked
    assert [(6.0, *row)] == course.events


def test_a_leak_is_a_program_of_its_own() -> None:
    """A thousand bytes over ten seconds come in twenty pieces, half a second apart; no group is so called."""
    ((_, verb, (name, program)),) = dealt(story(told.LeakMemory(SECOND, "a", 1000, 10.0))).asked
    assert isinstance(program, Program)
    (step,) = program.steps

    assert ("submit", "a", "!leak-0/0") == (verb, name, program.agent)
    assert (Hold(50, leak=True), Sleep(0.5)) * LEAK_PIECES_COUNT == step.work
    assert (6.0, False) == (step.due_s, step.last)
    assert not re.fullmatch(NAME_PATTERN, program.agent.partition("/")[0])
    assert program.until_s > UNTIL_S


@pytest.mark.parametrize(("tmpfs_bytes", "written_bytes"), [(1000, 1001), (None, (1 << 20) + 1)])
def test_a_disk_is_filled_whatever_lies_on_it(tmpfs_bytes: int | None, written_bytes: int) -> None:
    """More than the disk holds is written; one without a limit holds what the container's own host has."""
    one = story(told.FillDisk(SECOND, "a"), tmpfs_bytes=tmpfs_bytes)
    ((_, _, (name, program)),) = dealt(one).asked
    assert isinstance(program, Program)

    assert ("a", "!fill-0/0") == (name, program.agent)
    assert [(Write(written_bytes),)] == [step.work for step in program.steps]


def test_agents_are_struck_by_draws() -> None:
    """Over many kills each agent of the group is met, and nobody else."""
    asked = dealt(story(told.KillAgent(each(0.0, 0.1), "w"))).asked

    assert len(asked) > 190
    assert {"kill_agent"} == {verb for _, verb, _ in asked}
    assert {("a", f"w/{number}") for number in range(4)} == {what for _, _, what in asked}


def test_rude_notices_are_nobody_s_blow() -> None:
    """How notices come is the machine's own affair: nothing is dealt and nothing written down."""
    course = dealt(story(told.RudeNotices(told.Law("constant", (1.0,)), 1.0, 1.0, 1.0, 1.0)))

    assert ([], []) == (course.asked, course.events)


# When.


def test_faults_come_at_their_times_and_again() -> None:
    """Two seconds into the window and each five seconds from then on, whatever the answers take."""
    course = dealt(story(told.CrashContainer(each(2.0, 5.0), "a", 1)), after_s=7.0)

    assert [7.0, 12.0, 17.0, 22.0] == course.times_s
    assert [7.0, 12.0, 17.0, 22.0] == [at_s for at_s, *_ in course.events]


@pytest.mark.parametrize(("when", "times_s"), [(each(20.0), []), (each(19.9), [24.9]), (each(15.0, 5.0), [20.0])])
def test_no_fault_comes_at_the_end_of_the_window_or_after(when: told.When, times_s: list[float]) -> None:
    """A fault that would fall on the end is left out, the first as well as a repeat."""
    assert times_s == dealt(story(told.CrashContainer(when, "a", 1))).times_s


@pytest.mark.parametrize(("late_s", "times_s"), [(0.5, [6.0, 11.0]), (3.0, [8.0, 11.0])])
def test_times_count_from_the_beginning_of_the_window(late_s: float, times_s: list[float]) -> None:
    """A course that begins late, since samples took time, shifts no fault; one that is due by then comes at once."""
    env = simpy.Environment(BEGIN_S + late_s)
    machine = Target(env, Struck("a"), 0.0)
    one = story(told.CrashContainer(each(1.0, 5.0), "a", 1))
    FaultCourse(env, one, cast("Machine", machine), Recorder(None)).begin(BEGIN_S, lambda: BEGIN_S + 10.0)
    env.run(until=UNTIL_S)

    assert times_s == [at_s for at_s, _, _ in machine.asked]


def test_faults_do_not_wait_for_each_other() -> None:
    """One that is never answered holds up neither its own repeats nor another fault."""
    one = story(told.HangContainer(each(1.0, 8.0), "a", 1.0), told.KillContainer(each(2.0), "a"))

    assert [6.0, 7.0, 14.0, 22.0] == dealt(one, after_s=None).times_s


def test_the_same_seed_draws_the_same_faults() -> None:
    """Times and victims are those of the seed; another seed, and another place in the list, have their own."""
    fault = told.KillAgent(RANDOM, "w")
    first, again, other = (dealt(story(fault, seed=seed)).asked for seed in (1, 1, 2))
    second = dealt(story(told.RudeNotices(told.Law("constant", (1.0,)), 0.0, 0.0, 0.0, 0.0), fault)).asked

    assert len(first) > 5
    assert first == again
    assert first[0] not in {other[0], second[0]}


def test_each_repeat_has_a_draw_of_its_own() -> None:
    """Between repeats by a law lie spans of different lengths, which add up from the first one's time."""
    times_s = dealt(story(told.CrashContainer(RANDOM, "a", 1))).times_s
    spans_s = {round(later - earlier, 9) for earlier, later in itertools.pairwise(times_s)}

    assert len(times_s) > 5
    assert len(times_s) - 1 == len(spans_s)


def test_an_answer_that_takes_longer_shifts_no_draw() -> None:
    """Slow answers, as a real engine gives, change neither times nor victims."""
    one = story(told.KillAgent(RANDOM, "w"))

    assert dealt(one, after_s=0.0).asked == dealt(one, after_s=3.0).asked


def test_repeats_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault that repeats without any time between is dealt so often and no more."""
    monkeypatch.setattr("sim.fault_course.REPEATS_COUNT_MAX", 7)

    assert [6.0] * 7 == dealt(story(told.CrashContainer(each(1.0, 0.0), "a", 1))).times_s


# What comes of it.


@pytest.mark.parametrize(
    "fault",
    [
        told.KillContainer(SECOND, "a"),
        told.KillAgent(SECOND, "w"),
        told.ChangeLimits(SECOND, "a", 0.5, None),
        told.LeakMemory(SECOND, "a", 1000, 10.0),
        told.FillDisk(SECOND, "a"),
    ],
    ids=lambda fault: type(fault).__name__,
)
def test_a_refused_fault_is_written_down(fault: told.Fault) -> None:
    """What could not be dealt is no fault of the record; why is said, and to whom it was meant."""
    course = dealt(story(fault), answer=Refused("a", "it is not up"))

    assert [(6.0, "fault_refused", "a", f"{type(fault).__name__}: it is not up")] == course.events


@pytest.mark.parametrize(
    ("answer", "after_s"),
    [(Finished("!leak-0/0", 0, 16.0), 10.0), (Lost("!leak-0/0", 0, "oom", 9.0), 3.0), (Struck("a"), None)],
    ids=["ended", "killed", "still going on"],
)
@pytest.mark.parametrize("fault", [told.LeakMemory(SECOND, "a", 1000, 10.0), told.FillDisk(SECOND, "a")])
def test_a_program_is_a_fault_from_when_it_begins(fault: told.Fault, answer: Answer, after_s: float | None) -> None:
    """A leak is written down at its beginning, however long it runs and whatever ends it."""
    course = dealt(story(fault), answer=answer, after_s=after_s)

    assert [(6.0, "fault", "a", type(fault).__name__)] == course.events


def test_a_leak_is_written_down_before_the_run_ends() -> None:
    """One that begins near the end of the window is in the record a second later, and not when it is over."""
    env = simpy.Environment(BEGIN_S)
    one = story(told.LeakMemory(each(19.0), "a", 1000, 10.0))
    machine, recorder = Target(env, Finished("!leak-0/0", 0, 34.0), 10.0), Recorder(None)
    FaultCourse(env, one, cast("Machine", machine), recorder).begin(BEGIN_S, lambda: UNTIL_S)
    env.run(until=24.0 + REFUSAL_S_MAX + 0.001)

    assert ["fault"] == recorder.tables["events"]["what"]


def test_a_window_that_ends_early_ends_the_faults() -> None:
    """A fault that was still to come is not dealt once the end has come forward."""
    env = simpy.Environment(BEGIN_S)
    until_s = [UNTIL_S]
    machine = Target(env, Struck("a"), 0.0)
    one = story(told.CrashContainer(each(1.0, 5.0), "a", 1))
    FaultCourse(env, one, cast("Machine", machine), Recorder(None)).begin(BEGIN_S, lambda: until_s[0])
    env.run(until=BEGIN_S + 3.0)
    until_s[0] = env.now
    env.run(until=UNTIL_S)

    assert [BEGIN_S + 1.0] == [at_s for at_s, _, _ in machine.asked]
