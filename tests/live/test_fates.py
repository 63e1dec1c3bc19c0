"""What becomes of containers whose engine goes, comes back, refuses to tell or forgets them; the engine is made up."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from live.container_life import Answered, Remains, Standing, Vanished
from live.container_register import ContainerRegister
from live.engine_events import EngineEvent
from live.fates import SILENCE_S, WAITING_LOOK_S, Fates
from live.line import Line
from live.live_container import LiveContainer
from scenarios.story import Container, RestartPolicy
from sim.machine import Died, EngineBack, EngineLost, Notice, Refused, Restarted, Stopped
from sim.notices import Notices
from sim.timers import after

if TYPE_CHECKING:
    from collections.abc import Callable

    import simpy

    from live.container_life import ContainerLife
    from live.foreign_samples import ForeignSamples
    from live.real_time import LiveEnvironment
    from live.slow_calls import SlowCalls

CALL_S = 0.01
NO_WORD = Refused("a", "it does not answer")
# As engines have it: an end that has not come is long before any run.
NEVER_S = -1e9


def running(started_s: float = 0.0, finished_s: float = NEVER_S) -> Standing:
    """A container that runs since then."""
    return Standing(
        runs=True,
        waits_for_restart=False,
        started_s=started_s,
        finished_s=finished_s,
        exit_code=0,
        engine_flag=False,
        ended_before=finished_s > NEVER_S,
    )


def ended(finished_s: float, exit_code: int) -> Standing:
    """A container that ended then, and stays so."""
    return Standing(
        runs=False,
        waits_for_restart=False,
        started_s=0.0,
        finished_s=finished_s,
        exit_code=exit_code,
        engine_flag=False,
        ended_before=True,
    )


class Calls:
    """Calls that take a moment of the run's clock, and no thread."""

    def __init__(self, env: simpy.Environment) -> None:
        """Have made none."""
        self._env = env

    def patient(self, work: Callable[[], object], settle: Callable[[object], object]) -> None:
        """Do it a moment later."""
        after(self._env, CALL_S, lambda: settle(work()))

    engine = patient


class Life:
    """The engine's part: it says of a container what it is told to say, the last of it for ever."""

    def __init__(self) -> None:
        """Say that it runs."""
        self.standings: list[object] = [running()]
        self.revival: object = Answered(100.0)
        self.discard_refusals_count = 0
        self.looks_count = 0
        self.discarded: list[str] = []
        self.killed: list[str] = []

    def stand(self, _: LiveContainer) -> object:
        """Say the next of it."""
        self.looks_count += 1
        return self.standings.pop(0) if len(self.standings) > 1 else self.standings[0]

    def look(self, _: LiveContainer, line: Line, death: EngineEvent) -> Remains:
        """Confirm a death."""
        line.close()
        return Remains(death.exit_code, engine_flag=False, happened_s=death.happened_s)

    def revive(self, *_: object) -> object:
        """Answer, or not."""
        return self.revival

    def hang_up(self, line: Line) -> None:
        """Close it."""
        line.close()

    def discard(self, gone: LiveContainer) -> object:
        """Remove it, unless that is to be refused."""
        if self.discard_refusals_count:
            self.discard_refusals_count -= 1
            return NO_WORD
        self.discarded.append(gone.name)
        return None

    def kill(self, going: LiveContainer) -> None:
        """Keep who was killed."""
        self.killed.append(going.name)


class Samples:
    """Nobody's stats are followed."""

    def follow(self, *_: object) -> None:
        """Do nothing."""

    def leave(self, *_: object) -> None:
        """Do nothing."""


class Rig:
    """The fates of one container, which is up."""

    def __init__(self, env: simpy.Environment) -> None:
        """Begin with it starting."""
        self.env = env
        self.life = Life()
        self.register = ContainerRegister()
        self.notices = Notices(env, None, 1)
        self.fates = Fates(
            cast("LiveEnvironment", env),
            cast("SlowCalls", Calls(env)),
            cast("ContainerLife", self.life),
            self.register,
            self.notices,
            cast("ForeignSamples", Samples()),
            ("h",),
        )
        spec = Container("a", "h", None, None, None, 1024, None, 64, 1.0, restart=RestartPolicy("no"))
        self.live = LiveContainer(spec, 1, lambda _: Line(lambda *_: None, lambda _: None))
        self.live.container_id = "id"
        self.register.enter(self.live)
        self.register.created(self.live)

    def fall_silent(self) -> None:
        """End its line."""
        self.live.line.ended.set()
        self.fates.fell_silent(self.live, self.live.line)

    def told(self) -> list[Notice]:
        """What was told of it until now."""
        return list(self.notices.store.items)


@pytest.fixture(name="rig")
def _rig(env: simpy.Environment) -> Rig:
    rig = Rig(env)
    rig.fates.came_up(rig.live)
    return rig


def test_one_that_lived_on_without_its_engine_is_taken_up_again(rig: Rig) -> None:
    """Some engines leave containers running while they are away: such a one is up again, and that is told."""
    rig.env.run(until=5.0)
    rig.fates.engine_lost()
    rig.env.run(until=6.0)
    rig.fates.engine_back()
    rig.env.run(until=7.0)

    assert "up" == rig.live.state
    assert [EngineLost, Died, EngineBack, Restarted] == [type(notice) for notice in rig.told()]
    restarted = rig.told()[-1]
    assert isinstance(restarted, Restarted)
    assert 5.0 < restarted.happened_s <= restarted.noticed_s


def test_one_that_lived_on_and_says_nothing_is_killed(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody can use it, so it does not wait for its restart for ever."""
    monkeypatch.setattr("live.fates.SILENT_LOOKS_MAX", 3)
    rig.life.revival = NO_WORD
    rig.env.run(until=5.0)
    rig.fates.engine_lost()
    rig.fates.engine_back()
    rig.env.run(until=7.0)

    assert ["a"] == rig.life.killed


def test_one_that_ended_with_its_engine_is_given_up(rig: Rig) -> None:
    """What does not run when the engine is back, and is not started anew, is gone."""
    rig.env.run(until=5.0)
    rig.fates.engine_lost()
    rig.life.standings = [ended(5.0, 0)]
    rig.fates.engine_back()
    rig.env.run(until=7.0)

    assert "gone" == rig.live.state
    assert [] == list(rig.register.all)
    assert ["a"] == rig.life.discarded


def test_a_refused_look_is_repeated(rig: Rig) -> None:
    """An engine that is too busy to say how a container stands is asked again, so that its death is told."""
    rig.life.standings = [NO_WORD, NO_WORD, ended(0.5, 3)]
    rig.fall_silent()
    rig.env.run(until=2.0)
    unheard = rig.told()
    rig.env.run(until=3 * WAITING_LOOK_S)

    assert [] == unheard
    (died,) = rig.told()
    assert isinstance(died, Died)
    assert ("exited", 3) == (died.cause, died.exit_code)


def test_a_stop_whose_look_is_refused_is_answered_in_the_end(rig: Rig) -> None:
    """The engine has stopped it and does not say so yet: whoever waits for that hears of it."""
    done = rig.env.event()
    rig.live.stops.append(done)
    rig.live.stop_asked = True
    rig.life.standings = [NO_WORD, ended(0.5, 0)]
    rig.fates.stopped(rig.live)
    rig.env.run(until=2 * WAITING_LOOK_S)

    assert Stopped("a", 0) == done.value
    assert [] == rig.told()


def test_looks_at_one_that_waits_for_its_restart_do_not_multiply(rig: Rig) -> None:
    """Each of them is followed by one more, whether it is refused or not."""
    rig.life.standings = [NO_WORD]
    rig.env.run(until=1.0)
    rig.fates.engine_lost()
    rig.fates.engine_back()
    rig.env.run(until=1.0 + 10.5 * WAITING_LOOK_S)

    assert 11 == rig.life.looks_count


def test_one_that_somebody_removed_was_killed(rig: Rig) -> None:
    """The engine knows it no more: that is an end like any other, and its name is free."""
    rig.life.standings = [Vanished()]
    rig.fall_silent()
    rig.env.run(until=2.0)

    (died,) = rig.told()
    assert isinstance(died, Died)
    assert ("killed", 137) == (died.cause, died.exit_code)
    assert [] == list(rig.register.all)


def test_one_that_was_removed_while_it_waited_is_gone(rig: Rig) -> None:
    """Its death was told before, and a stop that waits is answered."""
    rig.env.run(until=5.0)
    rig.fates.engine_lost()
    rig.life.standings = [Vanished()]
    done = rig.env.event()
    rig.live.stops.append(done)
    rig.fates.engine_back()
    rig.env.run(until=7.0)

    assert [EngineLost, Died, EngineBack] == [type(notice) for notice in rig.told()]
    assert Stopped("a", 137) == done.value


def test_a_line_that_ended_before_it_was_minded_is_looked_into(env: simpy.Environment) -> None:
    """A worker that ends in the moment of its start is missed by nobody, even if no event tells of it."""
    rig = Rig(env)
    rig.live.line.ended.set()
    rig.life.standings = [ended(0.1, 3)]
    rig.fates.came_up(rig.live)
    env.run(until=2.0)

    assert [("exited", 3)] == [(died.cause, died.exit_code) for died in rig.told() if isinstance(died, Died)]


def test_the_first_start_is_known_by_nobody_s_clock(rig: Rig) -> None:
    """However far the engine's clock is off, its first start is the one that is known, and the next is another."""
    rig.life.standings = [running(started_s=0.3)]
    rig.fates.event(EngineEvent("start", "id", 0.3))
    rig.env.run(until=1.0)
    looks_count = rig.life.looks_count
    rig.live.line.ended.set()
    rig.fates.fell_silent(rig.live, rig.live.line)
    rig.env.run(until=1.0 + 2 * SILENCE_S)
    looked_at = rig.told()
    rig.life.standings = [running(started_s=2.0, finished_s=1.5)]
    rig.fates.event(EngineEvent("start", "id", 2.0))
    rig.env.run(until=3.0)

    assert 0 == looks_count
    assert [] == looked_at
    (died,) = rig.told()
    assert isinstance(died, Died)
    assert 1.5 == died.happened_s


def test_what_could_not_be_removed_is_when_the_engine_is_back(env: simpy.Environment) -> None:
    """A start that was cut off by the engine's end leaves nothing; what is refused again waits for the next return."""
    rig = Rig(env)
    rig.register.forget(rig.live)
    rig.fates.engine_lost()
    rig.life.discard_refusals_count = 1
    rig.fates.left_behind(rig.live)
    env.run(until=1.0)
    rig.fates.engine_back()
    env.run(until=2.0)
    refused_count, discarded = rig.life.discard_refusals_count, list(rig.life.discarded)
    rig.fates.engine_lost()
    rig.fates.engine_back()
    env.run(until=3.0)

    assert (0, []) == (refused_count, discarded)
    assert ["a"] == rig.life.discarded
