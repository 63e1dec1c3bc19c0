"""How long an engine takes to start: crashed and brought back on one of our own, or said why not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import pytest

from live import engine_bench
from live.engine_bench import CRASHES_COUNT, with_engine_start
from live.errors import EngineMissing, EngineRefused, LiveError
from sim.physics.host_profile import load_profile

if TYPE_CHECKING:
    from sim.physics.host_profile import HostProfile

CONSTANT = "engine_start_s_mean"
SAID = f"crashing an engine of our own, {CRASHES_COUNT} times"


class Engine:
    """Stands in for a private engine: notes what is done to it, and takes its time for nothing."""

    def __init__(self, done: list[str], problem: LiveError | None) -> None:
        """Fail with this at the last crash, if with anything."""
        self._done = done
        self._problem = problem

    def __enter__(self) -> Self:
        """Be up."""
        return self

    def __exit__(self, *_: object) -> None:
        """Be gone."""
        self._done.append("closed")

    def strike(self, blow: str, down_s: float | None) -> None:
        """Be struck."""
        self._done.append(f"{blow} {down_s}")

    def bring_back(self) -> None:
        """Be up again, or not."""
        self._done.append("brought back")
        if self._problem is not None and self._done.count("brought back") == CRASHES_COUNT:
            raise self._problem


@pytest.fixture(name="done", autouse=True)
def _done(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is done to the engine, on a machine that can have one."""
    done: list[str] = []
    monkeypatch.setattr(engine_bench, "obstacle", str)
    monkeypatch.setattr(engine_bench, "PAUSE_S", 0.0)
    monkeypatch.setattr(engine_bench, "PrivateEngine", lambda: Engine(done, None))
    return done


def but_for_the_start(profile: HostProfile) -> dict[str, object]:
    """All constants but the one in question."""
    return {name: value for name, value in profile.to_json().items() if name not in {CONSTANT, "origin"}}


def test_the_mean_of_several_crashes_is_told(done: list[str]) -> None:
    """Only the time from a crash until the engine is back counts, and nothing else of the profile changes."""
    before, told = load_profile(None), list[str]()

    profile = with_engine_start(before, told.append)

    assert [*["crash None", "brought back"] * CRASHES_COUNT, "closed"] == done
    assert [SAID] == told
    assert 0.0 <= profile.engine_start_s_mean < before.engine_start_s_mean
    assert f"start of a crashed engine until it answers, mean of {CRASHES_COUNT}" == profile.origin[CONSTANT]
    assert but_for_the_start(before) == but_for_the_start(profile)


def test_where_none_can_be_started_nothing_is_tried(done: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The constant stays what it was, and its origin says why."""
    monkeypatch.setattr(engine_bench, "obstacle", lambda: "only root can start one")
    before = load_profile(None)

    profile = with_engine_start(before, pytest.fail)

    assert done == []
    assert before.engine_start_s_mean == profile.engine_start_s_mean
    assert profile.origin[CONSTANT] == "not measured: only root can start one"


@pytest.mark.parametrize(
    "problem", [EngineRefused("be joined by a private one", "it ended at once"), EngineMissing("here", "refused")]
)
def test_an_engine_that_fails_does_not_end_the_measuring(
    done: list[str], monkeypatch: pytest.MonkeyPatch, problem: LiveError
) -> None:
    """What went wrong is said, and is the origin; what was measured before is kept, and the engine ends."""
    monkeypatch.setattr(engine_bench, "PrivateEngine", lambda: Engine(done, problem))
    before, told = load_profile(None), list[str]()

    profile = with_engine_start(before, told.append)

    assert [SAID, str(problem)] == told
    assert before.engine_start_s_mean == profile.engine_start_s_mean
    assert f"not measured: {problem}" == profile.origin[CONSTANT]
    assert but_for_the_start(before) == but_for_the_start(profile)
    assert done[-1] == "closed"
