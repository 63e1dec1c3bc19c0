"""Notices on their way from a machine to its listener, polite and rude."""

from __future__ import annotations

import dataclasses

import pytest
import simpy

from scenarios.story import Law, RudeNotices
from sim.machine import EngineLost, Notice
from sim.notices import TWICE_AFTER_S, Notices

POLITE = RudeNotices(Law("constant", (3.0,)), 0.0, 0.0, 0.0, 0.0)
COUNT = 400


def told(env: simpy.Environment, notices: Notices, *, delay_s: float = 0.5, count: int = 1) -> list[tuple[float, str]]:
    """When each of `count` notices, put at 1 s, 2 s and so on, is told, and which it is."""
    heard: list[tuple[float, str]] = []

    def listen() -> simpy.events.ProcessGenerator:
        while True:
            notice: Notice = yield notices.store.get()
            assert isinstance(notice, EngineLost)
            assert notice.noticed_s == env.now
            assert notice.happened_s == float(notice.host)
            heard.append((notice.noticed_s, notice.host))

    def happen() -> simpy.events.ProcessGenerator:
        for number in range(1, count + 1):
            yield env.timeout(1.0)
            notices.put(EngineLost(f"{number}", number, 0.0), delay_s)

    env.process(listen())
    env.process(happen())
    env.run()
    return heard


def rude(**ratios: float) -> RudeNotices:
    """Notices of which these shares are not as they should be."""
    return dataclasses.replace(POLITE, **{f"{what}_ratio": ratio for what, ratio in ratios.items()})  # type: ignore[arg-type]


@pytest.mark.parametrize("how", [None, POLITE], ids=["not asked for", "asked for with no share"])
@pytest.mark.parametrize("delay_s", [0.0, 0.5])
def test_polite_notices_come_once_after_their_delay(
    env: simpy.Environment, how: RudeNotices | None, delay_s: float
) -> None:
    """Each is told once, in order, after what physics takes; `noticed_s` is then."""
    heard = told(env, Notices(env, how, 1), delay_s=delay_s, count=3)

    assert [(1.0 + delay_s, "1"), (2.0 + delay_s, "2"), (3.0 + delay_s, "3")] == heard


@pytest.mark.parametrize(
    ("how", "at_s"),
    [
        (rude(late=1.0), [4.5]),
        (rude(twice=1.0), [1.5, 1.5 + TWICE_AFTER_S]),
        (rude(late=1.0, twice=1.0), [4.5, 4.5 + TWICE_AFTER_S]),
        (rude(early=1.0), [1.0]),
        (rude(early=1.0, late=1.0), [1.0]),
        (rude(lost=1.0), []),
        (rude(lost=1.0, twice=1.0, early=1.0), []),
    ],
    ids=["late", "twice", "late and twice", "early", "early beats late", "lost", "lost beats all"],
)
def test_rude_notices_come_as_asked(env: simpy.Environment, how: RudeNotices, at_s: list[float]) -> None:
    """Half a second is physics: late adds three, twice adds another telling, early leaves the half out."""
    assert [pytest.approx(one_s) for one_s in at_s] == [one_s for one_s, _ in told(env, Notices(env, how, 1))]


@pytest.mark.parametrize(("what", "count"), [("lost", COUNT * 3 // 4), ("twice", COUNT * 5 // 4)])
def test_a_share_is_about_what_was_asked_for(env: simpy.Environment, what: str, count: int) -> None:
    """Of 400 notices about a quarter are met, within five standard deviations of nine."""
    heard = told(env, Notices(env, rude(**{what: 0.25}), 1), count=COUNT)

    assert abs(len(heard) - count) < 5 * 9


def test_late_notices_are_overtaken(env: simpy.Environment) -> None:
    """Half of them three seconds late, notices come out of order, and none is missing."""
    heard = [int(which) for _, which in told(env, Notices(env, rude(late=0.5), 1), count=50)]

    assert heard != sorted(heard)
    assert list(range(1, 51)) == sorted(heard)


def test_the_seed_says_who_is_met() -> None:
    """The same seed loses the same notices, another seed others."""
    runs = []
    for seed in (1, 1, 2):
        env = simpy.Environment()
        runs.append(told(env, Notices(env, rude(lost=0.5), seed), count=50))

    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


def test_one_rudeness_does_not_move_another(env: simpy.Environment) -> None:
    """Which notices are lost does not depend on whether others come late."""
    other = simpy.Environment()
    alone = {which for _, which in told(env, Notices(env, rude(lost=0.5), 1), count=50)}
    both = {which for _, which in told(other, Notices(other, rude(lost=0.5, late=0.5, twice=0.5), 1), count=50)}

    assert alone == both
