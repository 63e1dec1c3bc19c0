"""Agents on a machine that does at once and without loss what it is told: when they act, and what they submit."""

from __future__ import annotations

import dataclasses
import itertools
from typing import TYPE_CHECKING, cast

import pytest

from scenarios import story as told
from sim.agents import ASK_AGAIN_S, REFUSED_PAUSE_S_MIN, Agent, Shared
from sim.machine import (
    Compute,
    Died,
    Erase,
    Finished,
    Hold,
    Lost,
    Machine,
    Program,
    Refused,
    Release,
    Restarted,
    Sample,
    Sleep,
    Work,
    Write,
)
from sim.policies.provider import LlmProvider
from sim.policies.rate_limit import Limiter
from sim.presence import Presence
from sim.record import Recorder

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Literal

    import simpy

    from sim.machine import Notice


def constant(value: float) -> told.Law:
    """A law whose every draw is the same."""
    return told.Law("constant", (value,))


COMPUTE = told.Compute(constant(0.5), 1)
HOLD = told.Hold(constant(1000))
TAKE = told.Take("b", constant(150))
CALL = told.Call("p", constant(10), constant(20))
# Debt lets the first 150 of 100 tokens pass; the next pass when the debt of 50 is paid, at 10 tokens a second.
BUCKET = told.TokenBucket("b", 10.0, 100.0, 100.0, "shared", debt=True)
# One request in an hour, in fact; a refused one is tried again after 1 and after 2 seconds more.
PROVIDER = told.Provider("p", constant(1.0), 1.0, None, 1.0, 0.0, 2, 1e-6, 2e-6, window_s=3600.0)


def group(
    *stages: told.Stage, think_s: float = 0.0, on_kill: Literal["restart", "stop"] = "restart"
) -> told.AgentGroup:
    """One agent that starts anew two seconds after a kill."""
    return told.AgentGroup("w", 1, "a", constant(think_s), stages, "own", on_kill, 2.0)


def story(
    one: told.AgentGroup, limits: tuple[told.RateLimit, ...] = (), provider: told.Provider | None = None, seed: int = 1
) -> told.Story:
    """A story of that group alone."""
    return told.Story(
        name="s",
        purpose="",
        source="",
        seed=seed,
        duration_s=10.0,
        sample_interval_s=1.0,
        hosts=(),
        containers=(),
        agents=(one,),
        rate_limits=limits,
        providers=() if provider is None else (provider,),
        goals=(),
        headline=(),
        live_scale=told.LiveScale(1.0, 1.0, 1.0),
        live_able=True,
    )


GONE = Refused("a", "no container of that name is up")


class Obedient:
    """A machine whose programs take exactly as long as their sleeping and computing; it keeps what it was given.

    `troubles` are answers by the number of the submission, given half a second after it. From the first to the second
    time of `gone_s` its container is not there, and everything is refused at once.
    """

    def __init__(
        self,
        env: simpy.Environment,
        troubles: Mapping[int, Lost | Refused] | None = None,
        gone_s: tuple[float, float] = (-1.0, -1.0),
    ) -> None:
        """Have been given nothing."""
        self.submitted: list[tuple[float, Program]] = []
        self.asked_s: list[float] = []
        self._env = env
        self._troubles = troubles or {}
        self._gone_s = gone_s

    def submit(self, name: str, program: Program) -> simpy.Event:
        """Run a program, or tell of the trouble planned for it."""
        trouble = self._troubles.get(len(self.submitted))
        self.submitted.append((self._env.now, program))
        if self._is_gone:
            return self._env.event().succeed(GONE)
        if trouble is not None:
            return self._env.timeout(0.5, trouble)
        at_s, count = self._env.now, 0
        for step in program.steps:
            due_s = at_s + step.think_s if step.due_s is None else step.due_s
            if due_s >= program.until_s:
                break
            at_s, count = max(at_s, due_s) + sum(_takes_s(work) for work in step.work), count + 1
        return self._env.timeout(at_s - self._env.now, Finished(program.agent, count, at_s))

    def sample(self, name: str) -> simpy.Event:
        """Read counters, which are all zero."""
        self.asked_s.append(self._env.now)
        if self._is_gone:
            return self._env.event().succeed(GONE)
        return self._env.timeout(0.0, Sample(name, self._env.now, 0.0, 0, 0, 0.0, 0, 0, 0, 0))

    @property
    def _is_gone(self) -> bool:
        return self._gone_s[0] <= self._env.now < self._gone_s[1]

    @property
    def times_s(self) -> list[float]:
        """When each program came."""
        return [at_s for at_s, _ in self.submitted]

    @property
    def indices(self) -> list[int]:
        """The index of each step that came, program after program."""
        return [step.index for _, program in self.submitted for step in program.steps]

    @property
    def works(self) -> list[tuple[Work, ...]]:
        """The work of each step that came, program after program."""
        return [step.work for _, program in self.submitted for step in program.steps]


def _takes_s(work: Work) -> float:
    if isinstance(work, Sleep):
        return work.duration_s
    return work.cpu_s / work.threads if isinstance(work, Compute) else 0.0


@dataclasses.dataclass(frozen=True)
class Life:
    """What one agent did: what it submitted, what was recorded, and what it shared."""

    agent: Agent
    machine: Obedient
    recorder: Recorder
    shared: Shared

    def events(self, what: str) -> list[float]:
        """When something of a kind happened."""
        table = self.recorder.tables["events"]
        return [at_s for at_s, kind in zip(table["at_s"], table["what"], strict=True) if kind == what]


def lived(
    env: simpy.Environment,
    one: told.Story,
    *,
    until_s: float = 10.0,
    number: int = 0,
    troubles: Mapping[int, Lost | Refused] | None = None,
    gone_s: tuple[float, float] = (-1.0, -1.0),
    notices: tuple[Notice, ...] = (),
    up: bool = True,
) -> Life:
    """An agent's whole life, from now to `until_s`, in a container that is up; notices are heard at their times."""
    machine, recorder, presence = Obedient(env, troubles, gone_s), Recorder(None), Presence(env, ("a",))
    if up:
        presence.came_up("a", env.now)

    def tell() -> simpy.events.ProcessGenerator:
        for notice in notices:
            yield env.timeout(notice.noticed_s - env.now)
            presence.hear(notice)

    env.process(tell())
    limiters = {spec.name: Limiter(env, spec) for spec in one.rate_limits}
    shared = Shared(limiters, {spec.name: LlmProvider(env, spec) for spec in one.providers}, presence, until_s)
    agent = Agent(env, one, one.agents[0], number, cast("Machine", machine), shared)
    env.run(until=env.process(agent.live(recorder)))
    return Life(agent, machine, recorder, shared)


# Alone: programs of many steps.


def test_a_loop_without_shared_decisions_is_one_program(env: simpy.Environment) -> None:
    """A second of thought and half of work fit seven times into ten seconds, as far as the agent can know."""
    life = lived(env, story(group(COMPUTE, think_s=1.0)))
    ((_, program),) = life.machine.submitted

    assert ("w/0", 10.0) == (program.agent, program.until_s)
    assert list(range(7)) == life.machine.indices
    assert [1.0, *[None] * 6] == [step.due_s for step in program.steps]
    assert [0.0, *[1.0] * 6] == [step.think_s for step in program.steps]


def test_long_loops_go_on_where_they_stopped(env: simpy.Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    """In programs of two steps indices run on, and each program's first step is due a thought after the last ended."""
    monkeypatch.setattr("sim.agents.WORKS_PER_PROGRAM_MAX", 2)
    machine = lived(env, story(group(COMPUTE, think_s=1.0))).machine

    # The last is due when the story ends, so the machine does not begin it.
    assert [0.0, 3.0, 6.0, 9.0] == machine.times_s
    assert list(range(7)) == machine.indices
    assert [1.0, 4.0, 7.0, 10.0] == [program.steps[0].due_s for _, program in machine.submitted]


def test_threads_shorten_the_least_time_of_a_step(env: simpy.Environment) -> None:
    """A second of CPU on four threads may be over in a quarter: forty steps are sent for ten seconds, not ten."""
    machine = lived(env, story(group(told.Compute(constant(1.0), 4)))).machine

    assert 40 == len(machine.submitted[0][1].steps)
    assert {Compute(1.0, 4)} == {work for works in machine.works for work in works}


@pytest.mark.parametrize(
    ("stages", "work"),
    [
        ((HOLD, COMPUTE), (Hold(1000, leak=False), Compute(0.5, 1), Release())),
        ((HOLD, COMPUTE, told.Release()), (Hold(1000, leak=False), Compute(0.5, 1), Release())),
        ((HOLD, told.Release(), COMPUTE), (Hold(1000, leak=False), Release(), Compute(0.5, 1), Release())),
        ((told.Leak(constant(1000)), COMPUTE), (Hold(1000, leak=True), Compute(0.5, 1))),
        ((told.Sleep(constant(2.0)), COMPUTE), (Sleep(2.0), Compute(0.5, 1))),
        ((told.Write(constant(700)), COMPUTE, told.Erase()), (Write(700), Compute(0.5, 1), Erase())),
    ],
    ids=["held", "released last", "released early", "leaked", "slept", "written"],
)
def test_what_a_step_holds_is_given_back_at_its_end(
    env: simpy.Environment, stages: tuple[told.Stage, ...], work: tuple[Work, ...]
) -> None:
    """Memory held lasts until the step's end unless the story releases it last; what leaks stays."""
    assert {work} == set(lived(env, story(group(*stages))).machine.works)


# Draws.

RANDOM = group(told.Compute(told.Law("exponential", (0.5,)), 1))


def test_draws_are_an_agent_s_own(env: simpy.Environment) -> None:
    """The same agent meets the same demands in every run; another agent, and another seed, meet others."""
    first, again = (lived(env, story(RANDOM), until_s=env.now + 10.0).machine.works for _ in range(2))
    other = lived(env, story(RANDOM), until_s=env.now + 10.0, number=1).machine.works
    reseeded = lived(env, story(RANDOM, seed=2), until_s=env.now + 10.0).machine.works

    shared_count = min(len(first), len(again))
    assert shared_count > 5
    assert first[:shared_count] == again[:shared_count]
    assert first[0] not in {other[0], reseeded[0]}


def test_a_lost_step_shifts_no_later_draw(env: simpy.Environment) -> None:
    """After a kill in step 3 step 4 asks for what it would have asked for without the kill."""
    calm = lived(env, story(RANDOM)).machine
    lost = Lost("w/0", 3, "oom", env.now + 0.5)
    shaken = lived(env, story(RANDOM), until_s=env.now + 10.0, troubles={0: lost}).machine
    ((_, whole),), (_, later) = calm.submitted, shaken.submitted[1]

    assert 4 == later.steps[0].index
    demands = {step.index: step.work for step in whole.steps}
    met = [(demands[step.index], step.work) for step in later.steps if step.index in demands]
    assert met
    assert all(without == after for without, after in met)


# Kills and refusals.


def test_a_killed_agent_starts_anew_after_its_delay(env: simpy.Environment) -> None:
    """Killed at 0.25 s and told at 0.5, with 2 s of delay and 1 of thought, the next step is due at 3.25 s."""
    lost = Lost("w/0", 0, "oom", 0.25)
    life = lived(env, story(group(COMPUTE, think_s=1.0)), troubles={0: lost})
    second = life.machine.submitted[1][1].steps[0]

    assert (1, 3.25) == (second.index, second.due_s)
    assert ([0.25], True) == (life.events("lost"), life.agent.up)


@pytest.mark.parametrize("cause", ["oom", "killed"])
def test_who_is_to_stop_on_a_kill_is_gone(env: simpy.Environment, cause: Literal["oom", "killed"]) -> None:
    """An agent that is to stop on a kill submits nothing more, asks nothing, and its life is over."""
    lost = Lost("w/0", 0, cause, 0.25)
    life = lived(env, story(group(COMPUTE, on_kill="stop")), troubles={0: lost})

    assert (1, False, 0.5) == (len(life.machine.submitted), life.agent.up, env.now)
    assert ([cause], []) == (life.recorder.tables["events"]["detail"], life.machine.asked_s)


@pytest.mark.parametrize("on_kill", ["restart", "stop"])
def test_who_lost_its_container_for_good_submits_nothing_more(
    env: simpy.Environment, on_kill: Literal["restart", "stop"]
) -> None:
    """An agent whose container went waits to the end, asks now and then, and hands nothing to what is not there."""
    lost = Lost("w/0", 0, "container", 0.25)
    life = lived(env, story(group(COMPUTE, on_kill=on_kill)), until_s=18.0, troubles={0: lost}, gone_s=(0.25, 99.0))

    assert (1, False, 18.0) == (len(life.machine.submitted), life.agent.up, env.now)
    assert ["container"] == life.recorder.tables["events"]["detail"]
    assert all(earlier + ASK_AGAIN_S <= later for earlier, later in itertools.pairwise(life.machine.asked_s))
    assert 3 == len(life.machine.asked_s)


def test_a_refused_agent_hands_nothing_more_to_what_is_not_there(env: simpy.Environment) -> None:
    """A refusal says that the container is gone, though nobody noticed its death; it is written down once."""
    life = lived(env, story(group(COMPUTE)), until_s=18.0, gone_s=(0.0, 99.0))

    assert (1, False) == (len(life.machine.submitted), life.agent.up)
    assert [0.0] == life.events("refused")
    assert [GONE.reason] == life.recorder.tables["events"]["detail"]


@pytest.mark.parametrize("stages", [(COMPUTE,), (TAKE, COMPUTE)], ids=["alone", "with tokens"])
def test_an_agent_of_a_container_that_never_came_up_begins_nothing(
    env: simpy.Environment, stages: tuple[told.Stage, ...]
) -> None:
    """It takes no tokens and submits nothing, and no refusal of its own is written down."""
    life = lived(env, story(group(*stages), (BUCKET,)), until_s=18.0, gone_s=(0.0, 99.0), up=False)

    assert ([], False, 18.0) == (life.machine.submitted, life.agent.up, env.now)
    assert 0 == life.shared.limiters["b"].tally.granted_tokens
    assert [] == life.recorder.tables["events"]["what"]


# Containers that come back.

DEATH = Died("a", "exited", 1, 2.0, 2.0)
RETURN = Restarted("a", 1, 4.0, 4.5, 4.5)


def test_an_agent_goes_on_when_its_container_is_back(env: simpy.Environment) -> None:
    """Its step 4 was lost at 2 s; a thought after the return at 4.5 s it goes on with step 5."""
    lost = Lost("w/0", 4, "container", 2.0)
    life = lived(env, story(group(COMPUTE, think_s=1.0)), troubles={0: lost}, notices=(DEATH, RETURN))
    second = life.machine.submitted[1][1].steps[0]

    assert (4.5, 5, 5.5) == (life.machine.times_s[1], second.index, second.due_s)
    assert ([2.0], []) == (life.events("lost"), life.events("refused"))
    assert ([], True) == (life.machine.asked_s, life.agent.up)


def test_the_delay_after_a_kill_is_kept_after_a_quick_return(env: simpy.Environment) -> None:
    """Lost at 2 s with 2 s of delay, an agent whose container is back at 2.5 s is free at 4 s."""
    lost = Lost("w/0", 4, "container", 2.0)
    quick = Restarted("a", 1, 2.1, 2.5, 2.5)
    life = lived(env, story(group(COMPUTE)), troubles={0: lost}, notices=(DEATH, quick))

    assert 4.0 == life.machine.submitted[1][1].steps[0].due_s


def test_a_return_that_is_heard_of_before_the_loss_is_not_missed(env: simpy.Environment) -> None:
    """Told at 0.5 s of a loss at 0.25 s, after the return at 0.4 s, it goes on when its two seconds are over."""
    lost = Lost("w/0", 0, "container", 0.25)
    back = Restarted("a", 1, 0.3, 0.4, 0.4)
    life = lived(env, story(group(COMPUTE)), troubles={0: lost}, notices=(back,))

    assert ([0.0, 2.25], []) == (life.machine.times_s[:2], life.machine.asked_s)
    assert 1 == life.machine.submitted[1][1].steps[0].index


def test_a_return_nobody_told_of_is_asked_for(env: simpy.Environment) -> None:
    """Where the notice was lost the agent asks five seconds later, is answered, and goes on with the next step."""
    lost = Lost("w/0", 0, "container", 0.25)
    life = lived(env, story(group(COMPUTE)), until_s=20.0, troubles={0: lost}, gone_s=(0.25, 3.0), notices=(DEATH,))

    assert [0.5 + ASK_AGAIN_S] == life.machine.asked_s
    assert [0.0, 0.5 + ASK_AGAIN_S] == life.machine.times_s[:2]
    assert 1 == life.machine.submitted[1][1].steps[0].index
    assert ["a"] == life.shared.presence.up


def test_asking_goes_on_until_there_is_an_answer(env: simpy.Environment) -> None:
    """Gone for twelve seconds and never told of, the container is asked after three times and then worked in."""
    lost = Lost("w/0", 0, "container", 0.25)
    life = lived(env, story(group(COMPUTE)), until_s=20.0, troubles={0: lost}, gone_s=(0.25, 12.0))

    assert [0.5 + number * ASK_AGAIN_S for number in (1, 2, 3)] == life.machine.asked_s
    assert 0.5 + 3 * ASK_AGAIN_S == life.machine.times_s[1]


def test_a_question_that_is_not_answered_is_given_up(env: simpy.Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that never answers holds nobody: the return, when it is told, is worked in."""
    monkeypatch.setattr(Obedient, "sample", lambda self, name: env.event())
    lost = Lost("w/0", 0, "container", 0.25)
    back = Restarted("a", 1, 6.0, 6.5, 6.5)
    life = lived(env, story(group(COMPUTE)), until_s=20.0, troubles={0: lost}, notices=(back,))

    assert [0.0, 0.5 + 2 * ASK_AGAIN_S] == life.machine.times_s[:2]


def test_nothing_is_taken_for_a_container_that_is_gone(env: simpy.Environment) -> None:
    """A container that goes while its agent thinks costs no tokens; the step it thought of is taken up when it is back.

    Thinking from 0 to 3 s, the agent finds it gone since 2 s, hears at 4.5 s of its return, and thinks anew.
    """
    one = story(group(TAKE, COMPUTE, think_s=3.0), (BUCKET,))
    life = lived(env, one, until_s=8.0, gone_s=(2.0, 4.5), notices=(DEATH, RETURN))

    assert ([7.5], [0]) == (life.machine.times_s, life.machine.indices)
    assert 150.0 == life.shared.limiters["b"].tally.granted_tokens
    assert [] == life.recorder.tables["events"]["what"]


def test_a_death_that_is_known_makes_no_refusal(env: simpy.Environment) -> None:
    """A container that goes while its agent waits for tokens refuses what they were for: the same step comes again."""
    empty = dataclasses.replace(BUCKET, level_tokens=-30.0)
    life = lived(env, story(group(TAKE, COMPUTE), (empty,)), gone_s=(2.0, 4.5), notices=(DEATH, RETURN))

    assert (3.0, [0, 0]) == (life.machine.times_s[0], life.machine.indices)
    assert [] == life.recorder.tables["events"]["what"]


def test_a_failed_step_does_not_come_again(env: simpy.Environment) -> None:
    """Step 1 fails at 4 s in a container that is gone; what it held went with it, and step 2 is next."""
    back = Restarted("a", 1, 5.0, 5.5, 5.5)
    one = story(group(HOLD, CALL), provider=PROVIDER)
    life = lived(env, one, until_s=6.0, gone_s=(3.5, 5.5), notices=(back,))

    assert [4.0] == life.events("step_failed")[:1]
    assert [0, 0, 1, 1, 2] == life.machine.indices[:5]


def test_waiting_for_a_container_costs_no_tokens(env: simpy.Environment) -> None:
    """However often it asks, an agent takes nothing until its container is back."""
    generous = dataclasses.replace(BUCKET, rate_tokens_per_s=1e6, capacity_tokens=1e6, level_tokens=1e6)
    life = lived(env, story(group(TAKE, COMPUTE), (generous,)), until_s=30.0, gone_s=(0.5, 99.0))

    assert 300.0 == life.shared.limiters["b"].tally.granted_tokens
    assert [0.0, 0.5] == life.machine.times_s


def test_a_step_whose_first_part_died_with_its_container_is_lost(env: simpy.Environment) -> None:
    """Half a second of work was done when the container went at 0.6 s; what tokens at 1 s were for is refused.

    That loses the step: when the container is back the agent begins another, and no refusal is written down beside it.
    """
    stages = (HOLD, COMPUTE, TAKE, COMPUTE)
    empty = dataclasses.replace(BUCKET, level_tokens=-10.0)
    back = Restarted("a", 1, 3.0, 3.5, 3.5)
    life = lived(env, story(group(*stages), (empty,)), until_s=4.0, gone_s=(0.6, 3.5), notices=(back,))

    assert ([0.0, 1.0, 3.5], [0, 0, 1]) == (life.machine.times_s[:3], life.machine.indices[:3])
    assert ([1.0], []) == (life.events("lost"), life.events("refused"))
    assert ["container"] == life.recorder.tables["events"]["detail"]


# Refused by a container that is there.

FULL = Refused("a", "no process can be made")


def test_one_refusal_is_not_the_end_of_a_container(env: simpy.Environment) -> None:
    """Refused at 0.5 s by a container that answers, an agent with 2 s of delay tries the same step again at 2.5 s."""
    life = lived(env, story(group(COMPUTE)), troubles={0: FULL})

    assert ([0.5], [0.0, 2.5]) == (life.machine.asked_s, life.machine.times_s[:2])
    assert [0, 0] == [program.steps[0].index for _, program in life.machine.submitted[:2]]
    assert (["a"], True) == (life.shared.presence.up, life.agent.up)
    assert [0.5] == life.events("refused")
    assert [FULL.reason] == life.recorder.tables["events"]["detail"]


@pytest.mark.parametrize("stages", [(COMPUTE,), (TAKE, COMPUTE)], ids=["alone", "with tokens"])
def test_a_refused_agent_pauses_though_it_has_no_delay(env: simpy.Environment, stages: tuple[told.Stage, ...]) -> None:
    """Half a second for each answer and a second of pause: no refusal is followed by the next at once."""
    generous = dataclasses.replace(BUCKET, rate_tokens_per_s=1e6, capacity_tokens=1e6, level_tokens=1e6)
    eager = dataclasses.replace(group(*stages), restart_delay_s=0.0)
    life = lived(env, story(eager, (generous,)), until_s=6.0, troubles=dict.fromkeys(range(99), FULL))

    assert [number * (0.5 + REFUSED_PAUSE_S_MIN) for number in range(4)] == life.machine.times_s


def test_the_first_refusal_of_a_row_is_written_down(env: simpy.Environment) -> None:
    """Refused at 0.5 and 3 s, the agent works from 5 to 5.5 s; the next row begins at 6 s."""
    one = story(group(TAKE, COMPUTE), (dataclasses.replace(BUCKET, level_tokens=1e6, capacity_tokens=1e6),))
    life = lived(env, one, until_s=9.0, troubles={0: FULL, 1: FULL, 3: FULL})

    assert [0.0, 2.5, 5.0, 5.5] == life.machine.times_s[:4]
    assert [0.5, 6.0] == life.events("refused")


def test_a_step_whose_second_part_is_refused_is_lost_alone(env: simpy.Environment) -> None:
    """Refused half a second after its tokens at 1 s, the step is lost; the container answers, and the next begins."""
    stages = (HOLD, COMPUTE, TAKE, COMPUTE)
    empty = dataclasses.replace(BUCKET, level_tokens=-10.0)
    life = lived(env, story(group(*stages), (empty,)), until_s=4.0, troubles={1: FULL})

    assert ([0.0, 1.0, 3.5], [0, 0, 1]) == (life.machine.times_s[:3], life.machine.indices[:3])
    assert ([1.5], []) == (life.events("lost"), life.events("refused"))
    assert (["refused"], ["a"]) == (life.recorder.tables["events"]["detail"], life.shared.presence.up)


def test_a_refusal_that_nobody_answers_for_is_no_end(env: simpy.Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    """A container that does not say that it is gone is not taken for gone: after the question comes the pause."""
    monkeypatch.setattr(Obedient, "sample", lambda self, name: env.event())
    life = lived(env, story(group(COMPUTE)), troubles={0: FULL})

    assert [0.0, 0.5 + ASK_AGAIN_S + 2.0] == life.machine.times_s[:2]
    assert ["a"] == life.shared.presence.up


def test_a_return_that_is_heard_of_during_the_question_counts(
    env: simpy.Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked at 0.5 s and refused at 1.5, but back since 0.9: the container is there, and nobody waits for it."""
    monkeypatch.setattr(Obedient, "sample", lambda self, name: env.timeout(1.0, GONE))
    notices = (Died("a", "exited", 1, 0.4, 0.7), Restarted("a", 1, 0.8, 0.9, 1.0))
    life = lived(env, story(group(COMPUTE)), troubles={0: FULL}, notices=notices)

    assert ([0.0, 1.5 + 2.0], ["a"]) == (life.machine.times_s[:2], life.shared.presence.up)


def test_a_death_that_is_heard_of_during_the_question_makes_no_refusal(
    env: simpy.Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked at 0.5 s, known dead at 0.7, back at 4.5: the agent waits for that, and no refusal is written down."""
    monkeypatch.setattr(Obedient, "sample", lambda self, name: env.timeout(1.0, GONE))
    notices = (Died("a", "exited", 1, 0.4, 0.7), RETURN)
    life = lived(env, story(group(COMPUTE)), troubles={0: FULL}, notices=notices)

    assert ([0.0, 4.5], []) == (life.machine.times_s[:2], life.events("refused"))


# Shared decisions: tokens.


def test_debt_delays_the_next_step(env: simpy.Environment) -> None:
    """100 in hand and 150 spent is -50: the second step is granted when ten tokens a second have paid it, at 5 s."""
    machine = lived(env, story(group(TAKE, COMPUTE), (BUCKET,)), until_s=5.2).machine

    assert [0.0, 5.0] == machine.times_s
    assert [0.0, 5.0] == [program.steps[0].due_s for _, program in machine.submitted]
    assert [0, 1] == machine.indices


def test_work_before_a_decision_is_a_part_of_its_own(env: simpy.Environment) -> None:
    """Half a second of work is done before tokens are asked for; both parts are the same step, and one is its last."""
    stages = (HOLD, COMPUTE, TAKE, told.Compute(constant(2.0), 1))
    machine = lived(env, story(group(*stages), (BUCKET,)), until_s=2.0).machine

    assert [0.0, 0.5] == machine.times_s
    assert [0, 0] == machine.indices
    assert [False, True] == [step.last for _, program in machine.submitted for step in program.steps]
    assert [(Hold(1000, leak=False), Compute(0.5, 1)), (Compute(2.0, 1), Release())] == machine.works


def test_no_step_begins_at_the_end(env: simpy.Environment) -> None:
    """A step due exactly when the story ends takes no tokens and is not submitted."""
    life = lived(env, story(group(TAKE, COMPUTE, think_s=10.0), (BUCKET,)))

    assert [] == life.machine.submitted
    assert 0 == life.shared.limiters["b"].tally.waits_count


def test_a_bucket_of_one_s_own_fills_from_the_beginning(env: simpy.Environment) -> None:
    """An empty bucket has 150 tokens after 15 s of thought, though nobody looked at it before."""
    own = dataclasses.replace(BUCKET, scope="agent", debt=False, capacity_tokens=200.0, level_tokens=0.0)
    life = lived(env, story(group(TAKE, COMPUTE, think_s=15.0), (own,)), until_s=16.0)

    assert [15.0] == life.machine.times_s
    assert 0.0 == life.shared.limiters["b"].tally.wait_s_sum


# Shared decisions: providers.


def test_a_call_without_limits_is_its_latency(env: simpy.Environment) -> None:
    """What can never be refused interrupts nothing: one program, a sleep in its place, and the call is paid for."""
    unlimited = dataclasses.replace(PROVIDER, requests_per_minute=None)
    life = lived(env, story(group(COMPUTE, CALL, COMPUTE), provider=unlimited), until_s=2.0)

    assert [(Compute(0.5, 1), Sleep(1.0), Compute(0.5, 1))] == life.machine.works
    assert 10 * 1e-6 + 20 * 2e-6 == life.shared.providers["p"].tally.cost_usd


def test_refused_calls_back_off_and_fail(env: simpy.Environment) -> None:
    """The second call comes at 1 s: refused there, a second later and two later again, and then its step fails."""
    life = lived(env, story(group(CALL), provider=PROVIDER), until_s=4.5)

    assert [1.0, 2.0, 4.0] == life.events("provider_429")
    assert [4.0] == life.events("step_failed")
    assert ([0], 6.0) == (life.machine.indices, env.now)


def test_a_failed_step_gives_back_what_it_held(env: simpy.Environment) -> None:
    """Memory held before the refusals is released at 4 s, in a part that ends no step."""
    life = lived(env, story(group(HOLD, CALL), provider=PROVIDER), until_s=4.5)
    at_s, program = life.machine.submitted[-1]

    assert [0, 0, 1, 1] == life.machine.indices
    assert (4.0, (Release(),), False) == (at_s, program.steps[0].work, program.steps[0].last)


def test_a_kill_before_a_decision_ends_the_step(env: simpy.Environment) -> None:
    """An agent that loses the first part of a step asks the provider for nothing."""
    lost = Lost("w/0", 0, "oom", 0.25)
    life = lived(env, story(group(HOLD, CALL), provider=PROVIDER), until_s=1.0, troubles={0: lost})

    assert (1, [0.25]) == (len(life.machine.submitted), life.events("lost"))
    assert 0 == life.shared.providers["p"].tally.calls_count


def test_failing_takes_time(env: simpy.Environment) -> None:
    """Without any delay of its own a step that fails at once still pauses a millisecond, so that the clock moves on."""
    closed = dataclasses.replace(PROVIDER, retries_max=0)
    eager = dataclasses.replace(group(CALL), restart_delay_s=0.0)
    life = lived(env, story(eager, provider=closed), until_s=1.0035)

    assert [pytest.approx(at_s) for at_s in (1.0, 1.001, 1.002, 1.003)] == life.events("step_failed")
