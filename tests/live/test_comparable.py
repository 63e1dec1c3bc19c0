"""When a live run counts, and when something disturbed it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

from live.comparable import RETURN_S, disturbances, failures, quiet_spans_s, refusals
from live.cpu_meters import DISCOVERY_S
from live.lag import LagSummary
from live.other_load import OtherLoad
from scenarios import story as told

if TYPE_CHECKING:
    from sim.record import Table

PROMPT = LagSummary(100, 0.0001, 0.004, 0.02)
QUIET = OtherLoad(30.0, 0.05, 1.2, 0.02, 0.03, 0.001)
NOW = told.When(told.Law("constant", (0.0,)), None)


def test_a_quiet_run_is_comparable() -> None:
    """Within all three bounds nothing speaks against the run."""
    assert disturbances(PROMPT, QUIET, "") == []


def test_a_late_driver_is_named() -> None:
    """The 99th percentile counts, not the single worst moment."""
    late = LagSummary(100, 0.0001, 0.0123, 0.02)

    assert disturbances(late, QUIET, "") == ["the driver was late: 12.3 ms at the 99th percentile, bound 5 ms"]


def test_other_load_and_steal_are_named() -> None:
    """Each reason carries its figure and its bound."""
    busy = OtherLoad(30.0, 0.42, 1.2, 0.02, 0.03, 0.035)

    assert disturbances(PROMPT, busy, "") == [
        "other load took 0.42 cores, bound 0.10",
        "the hypervisor took 3.5% of the CPU, bound 2%",
    ]


def test_what_is_not_known_is_no_comparison() -> None:
    """A run whose other load could not be measured says so instead of passing."""
    hidden = "the containers' cgroups cannot be read from this client"

    assert disturbances(PROMPT, None, hidden) == [f"other load is not known: {hidden}"]
    assert disturbances(PROMPT, None, "") == ["other load is not known: the run was too short to measure it"]
    assert disturbances(PROMPT, None, "", engine_was_away=True) == [
        "other load is not known: the engine was away for all of it"
    ]
    assert disturbances(PROMPT, QUIET, "", engine_was_away=False) == []


def story(*faults: told.Fault) -> told.Story:
    """A story of two of our workers on one host and a program of the user's own on another, with these faults."""
    worker = told.Container("db", "here", None, None, None, 1024, None, 100, 1.0)
    foreign = dataclasses.replace(worker, name="web", host="there", foreign=told.Foreign("nginx"))
    return told.Story(
        name="s",
        purpose="",
        source="",
        seed=1,
        duration_s=10.0,
        sample_interval_s=1.0,
        hosts=tuple(told.Host(name, 2.0, 1 << 30, 0, 0, None) for name in ("here", "there")),
        containers=(worker, dataclasses.replace(worker, name="api"), foreign),
        agents=(told.AgentGroup("w", 1, "db", NOW.first_s, (), "own", "restart", 1.0),),
        rate_limits=(),
        providers=(),
        goals=(),
        headline=(),
        live_scale=told.LiveScale(1.0, 1.0, 1.0),
        live_able=True,
        faults=faults,
    )


def events(*rows: tuple[str, str | None, str | None, str]) -> dict[str, list[str | None]]:
    """Events: what, container, agent, detail."""
    return {name: [row[place] for row in rows] for place, name in enumerate(("what", "container", "agent", "detail"))}


def test_containers_that_failed_are_named() -> None:
    """A refused start and a death that nobody predicts count, each once; a death for memory and refused work do not."""
    found = events(
        ("refused", "web", None, "no such image"),
        ("refused", "db", "worker/0", "it is not up"),
        ("died", "db", None, "oom"),
        ("died", "db", None, "exited"),
        ("died", "db", None, "exited"),
        ("started", "db", None, ""),
    )

    assert refusals(found) == {"web": "no such image"}
    assert failures(story(), found) == ["web was refused: no such image", "db died: exited"]


@pytest.mark.parametrize(
    ("fault", "mortal"),
    [
        (told.KillContainer(NOW, "db"), {"db"}),
        (told.CrashContainer(NOW, "api", 1), {"api"}),
        (told.StrikeHost(NOW, "here", "loss", None), {"db", "api"}),
        (told.StrikeHost(NOW, "there", "stop", 1.0), set()),
        (told.KillAgent(NOW, "w"), set()),
        (told.HangContainer(NOW, "db", 1.0), set()),
        (told.LeakMemory(NOW, "db", 1000, 1.0), set()),
    ],
    ids=lambda value: type(value).__name__,
)
def test_deaths_that_the_story_asks_for_are_none_of_a_failure(fault: told.Fault, mortal: set[str]) -> None:
    """Who is struck may die of it, and so may all on a host that is struck; nobody else may."""
    found = events(*(("died", name, None, "killed") for name in ("db", "api")))

    assert failures(story(fault), found) == [f"{name} died: killed" for name in ("db", "api") if name not in mortal]


def test_a_program_of_the_user_s_own_may_end() -> None:
    """Its end is its own affair, whatever the cause."""
    assert failures(story(), events(("died", "web", None, "exited"))) == []


def test_a_fault_that_was_refused_is_a_failure() -> None:
    """A run without its faults is not the story's; one that is refused again and again is told once."""
    refused = ("fault_refused", "db", None, "KillContainer: it is not up")

    assert failures(story(), events(refused, refused, ("fault", "db", None, "KillContainer"))) == [
        "a fault could not be dealt: KillContainer: it is not up"
    ]


def test_an_agent_that_is_dead_already_cannot_be_killed() -> None:
    """A kill that finds no process is part of the story: the agent died a moment before."""
    missed = ("fault_refused", "db", None, "KillAgent: it has no process of agent w/0")

    assert failures(story(), events(missed)) == []


@pytest.mark.parametrize(
    ("happenings", "spans_s"),
    [
        ((), [(0.0, 20.0)]),
        (((8.0, "engine_lost"), (10.0, "engine_back")), [(0.0, 2.0), (16.0, 20.0)]),
        (((8.0, "engine_lost"),), [(0.0, 2.0)]),
        (((1.0, "engine_lost"), (19.0, "engine_back")), []),
        # What was before the window or after it leaves spans within the window only.
        (((-9.0, "engine_lost"), (-1.0, "engine_back")), [(5.0, 20.0)]),
        (((-9.0, "engine_lost"), (-7.0, "engine_back")), [(0.0, 20.0)]),
        (((-9.0, "engine_lost"),), []),
        (((22.0, "engine_lost"), (25.0, "engine_back")), [(0.0, 16.0)]),
        (((30.0, "engine_lost"), (32.0, "engine_back")), [(0.0, 20.0)]),
        # Two hosts on one engine lose it at once.
        (
            ((8.0, "engine_lost"), (8.0, "engine_lost"), (9.0, "engine_back"), (9.0, "engine_back")),
            [(0.0, 2.0), (15.0, 20.0)],
        ),
    ],
)
def test_an_engine_s_own_end_is_no_other_load(
    happenings: tuple[tuple[float, str], ...], spans_s: list[tuple[float, float]]
) -> None:
    """Six seconds before it was noticed to be away until six after it was back are left out."""
    table: Table = {"at_s": [at_s for at_s, _ in happenings], "what": [what for _, what in happenings]}

    assert spans_s == quiet_spans_s((0.0, 20.0), table)


def test_the_span_left_out_is_longer_than_finding_the_engine_takes() -> None:
    """An engine process that is not found yet counts as other load, which a returning engine is none of."""
    assert RETURN_S > DISCOVERY_S
