"""Restart policies: who comes back, after how long."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from scenarios import life_advice
from scenarios.story import RestartPolicy
from sim.physics.engine import NETWORKS_COUNT_MAX
from sim.physics.restarts import BACK_OFF_S_MAX, BACK_OFF_S_MIN, UP_S_MIN, Restarts

if TYPE_CHECKING:
    from sim.machine import Blow

BACK_OFFS_S = [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2, 60.0, 60.0]


def test_back_off_doubles_up_to_a_minute() -> None:
    """Each short life makes the wait twice as long, until it is 60 s."""
    restarts = Restarts(RestartPolicy("always"))

    assert [pytest.approx(wait_s) for wait_s in BACK_OFFS_S] == [restarts.after_end(1, 9.9) for _ in BACK_OFFS_S]
    assert len(BACK_OFFS_S) == restarts.count


def test_a_long_life_makes_the_wait_short_again() -> None:
    """After 10 s up the next wait is 100 ms, and doubles from there."""
    restarts = Restarts(RestartPolicy("always"))
    lives_s = [1.0, 1.0, 10.0, 1.0]

    waits_s = [restarts.after_end(1, up_s) for up_s in lives_s]
    assert [pytest.approx(wait_s) for wait_s in (0.1, 0.2, 0.1, 0.2)] == waits_s


def test_failures_are_restarted_so_often_and_no_more() -> None:
    """`on-failure` with a bound of 2 gives up at the third failure."""
    restarts = Restarts(RestartPolicy("on-failure", 2))

    assert [True, True, False] == [restarts.after_end(1, 0.0) is not None for _ in range(3)]
    assert 2 == restarts.count


@pytest.mark.parametrize(
    ("policy", "exit_code", "comes_back"),
    [
        (RestartPolicy(), 1, False),
        (RestartPolicy("on-failure"), 0, False),
        (RestartPolicy("on-failure"), 137, True),
        (RestartPolicy("always"), 0, True),
        (RestartPolicy("unless-stopped"), 0, True),
    ],
)
def test_policy_decides_by_exit_code(policy: RestartPolicy, exit_code: int, *, comes_back: bool) -> None:
    """Failures alone bring an `on-failure` container back, any end an `always` or `unless-stopped` one."""
    assert comes_back == (Restarts(policy).after_end(exit_code, 0.0) is not None)


@pytest.mark.parametrize(
    ("condition", "returning"),
    [
        ("no", set()),
        ("on-failure", {"loss"}),
        ("unless-stopped", {"stop", "loss"}),
        ("always", {"stop", "crash", "loss"}),
    ],
)
def test_returning_engine_decides_by_how_it_went(condition: str, returning: set[Blow]) -> None:
    """As measured on Docker 20.10: what it ends itself was stopped by hand, what it finds dead has failed."""
    blows: tuple[Blow, ...] = ("stop", "crash", "loss")
    waits: dict[Blow, float | None] = {}
    for blow in blows:
        restarts = Restarts(RestartPolicy(condition))  # type: ignore[arg-type]  # The words above are the type's.
        restarts.after_end(0, 0.0)
        waits[blow] = restarts.after_loss(blow)

    assert {blow: 0.0 if blow in returning else None for blow in blows} == waits


def test_advice_knows_the_same_engine() -> None:
    """The language's advice may not import the model, so it has these constants of the engine a second time."""
    assert (BACK_OFF_S_MIN, BACK_OFF_S_MAX, UP_S_MIN, NETWORKS_COUNT_MAX) == (
        life_advice.BACKOFF_S_MIN,
        life_advice.BACKOFF_S_MAX,
        life_advice.BACKOFF_RESET_S,
        life_advice.NETWORKS_COUNT_STOCK,
    )
