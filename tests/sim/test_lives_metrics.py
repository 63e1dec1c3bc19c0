"""Figures of containers that come and go, over a window from 10 s to 20 s."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

from scenarios.story import Container, HealthCheck, RestartPolicy
from sim.lives_metrics import lives_metrics

if TYPE_CHECKING:
    from typing import Literal

WINDOW = (10.0, 20.0)
MORTAL = Container("a", "h", None, None, None, 1024, None, 100, 1.0)
IMMORTAL = dataclasses.replace(MORTAL, restart=RestartPolicy("always"))

Row = tuple[float, str, str]


def figures(*rows: Row, container: Container = IMMORTAL, where: str = "a") -> dict[str, float]:
    """The metrics of a container with these events (time, what, detail), by name."""
    columns: dict[str, list[object]] = {
        "at_s": [at_s for at_s, _, _ in rows],
        "what": [what for _, what, _ in rows],
        "detail": [detail for _, _, detail in rows],
        "container": [where] * len(rows),
    }
    return {name: value for name, _, value in lives_metrics(container, columns, WINDOW)}


def died(at_s: float) -> Row:
    """An end."""
    return at_s, "died", "exited"


def restarted(at_s: float, count: int) -> Row:
    """The `count`th return."""
    return at_s, "restarted", str(count)


@pytest.mark.parametrize("condition", ["on-failure", "always", "unless-stopped"])
def test_who_may_return_and_did_not_has_no_recovery(
    condition: Literal["on-failure", "always", "unless-stopped"],
) -> None:
    """No restart is a count of zero, and no figure for how long it took."""
    container = dataclasses.replace(MORTAL, restart=RestartPolicy(condition))

    assert {"restart_count": 0.0} == figures(container=container)
    assert {"restart_count": 0.0} == figures(died(12.0), container=container)


def test_who_cannot_return_has_no_figures() -> None:
    """Without a restart policy no engine starts a container anew, whatever else happens to it."""
    assert {} == figures(died(12.0), container=MORTAL)


def test_restarts_are_counted_in_the_window() -> None:
    """Of returns before, in and after the window the two in it count, in whatever order they were written."""
    rows = [restarted(21.0, 5), restarted(19.0, 4), restarted(9.0, 2), restarted(11.0, 3)]

    assert 2.0 == figures(*rows)["restart_count"]


def test_a_restart_nobody_told_of_is_counted_with_the_next() -> None:
    """After the first return comes the fourth: three more have happened."""
    assert 4.0 == figures(restarted(11.0, 1), restarted(12.0, 4))["restart_count"]


def test_tens_are_more_than_nines() -> None:
    """The engine's count is a number, and not a text that sorts by its first letter."""
    assert 10.0 == figures(restarted(11.0, 9), restarted(12.0, 10))["restart_count"]


def test_another_container_s_lives_do_not_count() -> None:
    """What happened to somebody else is no figure of this one."""
    assert {"restart_count": 0.0} == figures(died(11.0), restarted(12.0, 1), where="b")


def test_recovery_is_from_death_to_work() -> None:
    """One second and three seconds are two on average, in whatever order they were written."""
    rows = [died(11.0), restarted(12.0, 1), died(14.0), restarted(17.0, 2)]

    assert pytest.approx(2.0) == figures(*rows)["recovery_s"]
    assert figures(*rows) == figures(*rows[::-1])


def test_recovery_of_a_crash_loop_is_from_its_first_death() -> None:
    """Three deaths before work was taken again are one recovery, of four seconds."""
    rows = [died(11.0), died(12.0), died(13.0), restarted(15.0, 3)]

    assert {"restart_count": 3.0, "recovery_s": 4.0} == figures(*rows)


def test_only_recoveries_inside_the_window_count() -> None:
    """A return from a death before the window, and a death whose return comes after it, have no length."""
    assert "recovery_s" not in figures(died(9.0), restarted(11.0, 1), died(19.0), restarted(21.0, 2))


def test_turns_to_unhealthy_are_counted() -> None:
    """Of turns at 9, 10, 15, 20 and 21 s the middle three count; turns to healthy do not."""
    container = dataclasses.replace(MORTAL, health=HealthCheck())
    rows = [(at_s, "unhealthy", "") for at_s in (9.0, 10.0, 15.0, 20.0, 21.0)]

    assert {"unhealthy_count": 3.0} == figures(*rows, (16.0, "healthy", ""), container=container)
