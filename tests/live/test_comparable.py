"""When a live run counts, and when something disturbed it."""

from __future__ import annotations

from live.comparable import disturbances, failures, refusals
from live.lag import LagSummary
from live.other_load import OtherLoad

PROMPT = LagSummary(100, 0.0001, 0.004, 0.02)
QUIET = OtherLoad(30.0, 0.05, 1.2, 0.02, 0.03, 0.001)


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


def test_containers_that_failed_are_named() -> None:
    """A refused start and a death that nobody predicts count, each once; a death for memory and refused work do not."""
    rows = [
        ("refused", "web", None, "no such image"),
        ("refused", "db", "worker/0", "it is not up"),
        ("died", "db", None, "oom"),
        ("died", "db", None, "exited"),
        ("died", "db", None, "exited"),
        ("started", "db", None, ""),
    ]
    events = {name: [row[place] for row in rows] for place, name in enumerate(("what", "container", "agent", "detail"))}

    assert refusals(events) == {"web": "no such image"}
    assert failures(events) == ["web was refused: no such image", "db died: exited"]
