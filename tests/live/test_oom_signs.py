"""Of what a container died, from every combination of signs that matters."""

from __future__ import annotations

import pytest

from live.oom_signs import DeathSigns, cause, verdict

CASES = (
    # Exit code, engine's flag, OOM events, agents killed for memory, kill asked: verdict.
    ((0, False, 0, 0, False), "exited"),
    ((1, True, 2, 2, False), "exited"),
    ((137, False, 0, 0, True), "killed"),
    ((137, True, 1, 1, True), "killed"),
    ((137, True, 1, 0, False), "oom_certain"),
    ((137, False, 1, 0, False), "oom_certain"),
    ((137, True, 0, 0, False), "oom_certain"),
    ((137, True, 3, 2, False), "oom_certain"),
    ((137, True, 2, 2, False), "oom_likely"),
    ((137, False, 1, 1, False), "oom_likely"),
    ((137, True, 0, 1, False), "oom_likely"),
    ((137, False, 0, 0, False), "killed"),
)


def signs(values: tuple[int, bool, int, int, bool]) -> DeathSigns:
    """The signs of one case."""
    exit_code, engine_flag, oom_events, agents_killed, kill_asked = values
    return DeathSigns(
        exit_code=exit_code,
        engine_flag=engine_flag,
        oom_events_count=oom_events,
        agents_oom_killed_count=agents_killed,
        kill_asked=kill_asked,
    )


@pytest.mark.parametrize(("values", "expected"), CASES)
def test_the_verdict_follows_the_signs(values: tuple[int, bool, int, int, bool], expected: str) -> None:
    """Exit code 137 alone says nothing; an agent's kill explains the engine's flag; an asked kill explains all."""
    assert expected == verdict(signs(values))


@pytest.mark.parametrize(("values", "expected"), CASES)
def test_the_port_knows_three_causes(values: tuple[int, bool, int, int, bool], expected: str) -> None:
    """Certain and likely are both `oom` to policies."""
    assert cause(signs(values)) == {"oom_certain": "oom", "oom_likely": "oom"}.get(expected, expected)
