"""What the driver knows of containers when notices come once, twice, late, overtaken or never."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sim.machine import Died, DiskFull, EngineBack, EngineLost, HealthChanged, Notice, ProcessKilled, Restarted
from sim.presence import Presence

if TYPE_CHECKING:
    import simpy


def died(at_s: float, exit_code: int = 137) -> Died:
    """A container's end, noticed at once."""
    return Died("a", "exited", exit_code, at_s, at_s)


def restarted(ready_s: float, count: int = 1) -> Restarted:
    """A container's return: started a tenth of a second before it took work again."""
    return Restarted("a", count, ready_s - 0.1, ready_s, ready_s)


def health(at_s: float, *, healthy: bool) -> HealthChanged:
    """A verdict of the health check."""
    return HealthChanged("a", healthy, at_s, at_s)


def presence_up(env: simpy.Environment, at_s: float = 1.0) -> Presence:
    """A presence of containers `a` and `b` of which `a` came up."""
    presence = Presence(env, ("b", "a"))
    presence.came_up("a", at_s)
    return presence


def news(presence: Presence, *notices: Notice) -> list[bool]:
    """Which of some notices are news, told one after another."""
    return [presence.hear(notice) for notice in notices]


# Answers.


def test_nothing_is_known_before_anything_happens(env: simpy.Environment) -> None:
    """No container is up, was started or was refused at first."""
    presence = Presence(env, ("a",))

    assert ([], []) == (presence.started, presence.up)
    assert (False, None, None) == (presence["a"].refused, presence["a"].healthy, presence["a"].exit_code)


def test_containers_are_told_by_name(env: simpy.Environment) -> None:
    """What is up comes in the order of names, not in the order of starts; what ended was started all the same."""
    presence = presence_up(env)
    presence.came_up("b", 2.0)
    assert ["a", "b"] == presence.up

    presence.hear(died(3.0))
    assert (["b"], ["a", "b"]) == (presence.up, presence.started)


def test_an_end_noticed_before_the_answer_of_the_start_stands(env: simpy.Environment) -> None:
    """A program that ends at once is known to be over before its start is answered: started, and not up."""
    presence = Presence(env, ("a",))
    presence.hear(died(1.5, exit_code=0))
    presence.came_up("a", 1.0)

    assert (True, False, 0) == (presence["a"].started, presence["a"].up, presence["a"].exit_code)


def test_a_refused_start_is_known(env: simpy.Environment) -> None:
    """A container that could not be started is refused and not up."""
    presence = Presence(env, ("a",))
    presence.refused("a")

    assert (True, False) == (presence["a"].refused, presence["a"].up)


def test_an_answer_that_it_is_not_up_is_believed(env: simpy.Environment) -> None:
    """A refusal tells of a death that nobody noticed; the notice, when it comes, is still news."""
    presence = presence_up(env)
    presence.missed("a")

    assert [] == presence.up
    assert [True] == news(presence, died(2.0))


def test_a_loss_of_an_earlier_life_does_not_end_the_later_one(env: simpy.Environment) -> None:
    """Where the return is known already, a program lost in the life before it says nothing of now."""
    presence = presence_up(env)
    presence.hear(restarted(5.0))
    presence.went("a", 4.5)
    assert ["a"] == presence.up

    presence.went("a", 6.0)
    assert [] == presence.up


# Comings and goings.


def test_each_end_and_return_is_news_once(env: simpy.Environment) -> None:
    """A notice told twice is news the first time, and the second telling changes nothing."""
    presence = presence_up(env)

    assert [True, False] == news(presence, died(2.0), died(2.0))
    assert [] == presence.up
    assert [True, False, False] == news(presence, restarted(3.0), restarted(3.0), died(2.0))
    assert ["a"] == presence.up


def test_a_late_notice_counts_by_when_it_happened(env: simpy.Environment) -> None:
    """A death that nothing newer is known of is news however late it is told."""
    presence = presence_up(env)

    assert presence.hear(Died("a", "oom", 137, 2.0, 60.0))
    assert (2.0, 137) == (presence["a"].known_s, presence["a"].exit_code)


def test_an_overtaken_death_is_old_news(env: simpy.Environment) -> None:
    """A death told after the return that followed it does not take the container down again."""
    presence = presence_up(env)

    assert [True, False] == news(presence, restarted(3.0), died(2.0))
    assert ["a"] == presence.up


def test_an_overtaken_return_is_old_news(env: simpy.Environment) -> None:
    """A return told after the next death does not bring the container up."""
    presence = presence_up(env)

    assert [True, True, False] == news(presence, died(2.0), died(4.0), restarted(3.0))
    assert [] == presence.up


def test_a_lost_death_is_made_good_by_the_return(env: simpy.Environment) -> None:
    """A return without a death is news, and so is the next death."""
    presence = presence_up(env)

    assert [True, True] == news(presence, restarted(3.0), died(4.0))
    assert [] == presence.up


def test_a_lost_return_is_made_good_by_an_answer(env: simpy.Environment) -> None:
    """An answer from after the death brings the container up; one from before it does not."""
    presence = presence_up(env)
    presence.hear(died(2.0))
    presence.came_up("a", 1.9)
    assert [] == presence.up

    presence.came_up("a", 2.1)
    assert ["a"] == presence.up


# Health.


def test_health_is_what_was_found_last(env: simpy.Environment) -> None:
    """Verdicts count by when they were found: one that is overtaken or told twice is no news."""
    presence = presence_up(env)
    verdicts = (health(2.0, healthy=True), health(5.0, healthy=False), health(5.0, healthy=False))

    assert [True, True, False, False] == news(presence, *verdicts, health(4.0, healthy=True))
    assert presence["a"].healthy is False


def test_health_may_be_told_before_the_start_is_answered(env: simpy.Environment) -> None:
    """A verdict from before the supervisor was ready is one of this life and counts."""
    presence = Presence(env, ("a",))
    presence.hear(health(0.5, healthy=True))
    presence.came_up("a", 1.0)

    assert presence["a"].healthy is True


def test_health_of_an_earlier_life_says_nothing(env: simpy.Environment) -> None:
    """Death makes health unknown; a late verdict from before it is old news, one from after the return counts."""
    presence = presence_up(env)
    presence.hear(health(2.0, healthy=True))
    presence.hear(died(4.0))
    assert presence["a"].healthy is None

    assert [True, False] == news(presence, restarted(5.0), health(3.0, healthy=True))
    assert presence["a"].healthy is None
    assert [True] == news(presence, health(6.0, healthy=True))


# What happens again and again.


@pytest.mark.parametrize(
    ("first", "again", "other"),
    [
        (
            ProcessKilled("a", "w/0", "oom", 2.0, 2.0),
            ProcessKilled("a", "w/0", "oom", 3.0, 3.0),
            ProcessKilled("a", "w/1", "oom", 2.0, 2.0),
        ),
        (DiskFull("a", "w/0", 2.0, 2.0), DiskFull("a", "w/0", 3.0, 3.0), DiskFull("b", "w/0", 2.0, 2.0)),
        (EngineLost("h", 2.0, 2.0), EngineLost("h", 3.0, 3.0), EngineLost("g", 2.0, 2.0)),
        (EngineBack("h", 2.0, 2.0), EngineBack("h", 3.0, 3.0), EngineLost("h", 2.0, 2.0)),
    ],
    ids=["process", "disk", "engine lost", "engine back"],
)
def test_what_recurs_is_news_each_time_it_happens(
    env: simpy.Environment, first: Notice, again: Notice, other: Notice
) -> None:
    """The same thing told twice is news once; happening again, or to somebody else, it is news again."""
    presence = presence_up(env)

    assert [True, False, True, True] == news(presence, first, first, other, again)
    assert ["a"] == presence.up


# Waiting.


def woken_s(env: simpy.Environment, presence: Presence, name: str = "a") -> list[float]:
    """When somebody who waits from now on for one change of a container hears of it."""
    heard: list[float] = []

    def wait() -> simpy.events.ProcessGenerator:
        yield presence.changed(name)
        heard.append(float(env.now))

    env.process(wait())
    return heard


def test_all_who_wait_are_woken_once(env: simpy.Environment) -> None:
    """Two who wait for a container hear of its death at once; who waits for another one does not."""
    presence = presence_up(env)
    first, second, other = woken_s(env, presence), woken_s(env, presence), woken_s(env, presence, "b")
    env.run(until=2.0)
    presence.hear(died(2.0))
    env.run(until=3.0)
    presence.hear(restarted(3.0))
    env.run(until=4.0)

    assert ([2.0], [2.0], []) == (first, second, other)


def test_old_news_wakes_nobody(env: simpy.Environment) -> None:
    """Who waits is not woken by what was known already."""
    presence = presence_up(env)
    presence.hear(died(2.0))
    heard = woken_s(env, presence)
    env.run(until=3.0)
    presence.hear(died(2.0))
    presence.missed("a")
    env.run(until=4.0)

    assert [] == heard


def test_waiting_in_vain_leaves_nothing_behind(env: simpy.Environment) -> None:
    """Who asks for the next change again and again is given the same event until something changes."""
    presence = presence_up(env)
    waited = {presence.changed("a") for _ in range(1000)}
    assert 1 == len(waited)

    presence.hear(died(2.0))
    assert presence.changed("a") not in waited
