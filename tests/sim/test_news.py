"""What is written down of each kind of notice."""

from __future__ import annotations

import pytest

from sim.machine import Died, DiskFull, EngineBack, EngineLost, HealthChanged, Notice, ProcessKilled, Restarted
from sim.news import note_news
from sim.record import Recorder


@pytest.mark.parametrize(
    ("notice", "row"),
    [
        (Died("a", "oom", 137, 2.0, 3.0), (2.0, "died", "a", None, "oom")),
        (Restarted("a", 4, 2.0, 2.5, 3.0), (2.5, "restarted", "a", None, "4")),
        (HealthChanged("a", healthy=True, happened_s=2.0, noticed_s=3.0), (2.0, "healthy", "a", None, "")),
        (HealthChanged("a", healthy=False, happened_s=2.0, noticed_s=3.0), (2.0, "unhealthy", "a", None, "")),
        (ProcessKilled("a", "w/0", "killed", 2.0, 3.0), (2.0, "process_killed", "a", "w/0", "killed")),
        (DiskFull("a", "w/0", 2.0, 3.0), (2.0, "disk_full", "a", "w/0", "")),
        (EngineLost("h", 2.0, 3.0), (2.0, "engine_lost", None, None, "h")),
        (EngineBack("h", 2.0, 3.0), (2.0, "engine_back", None, None, "h")),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_notice_is_an_event_at_the_time_it_happened(
    notice: Notice, row: tuple[float, str, str | None, str | None, str]
) -> None:
    """Time, kind, container, agent and detail; a return counts from when the container took work again."""
    recorder = Recorder(None)
    note_news(recorder, notice)
    events = recorder.tables["events"]

    assert [row] == list(zip(*(events[name] for name in ("at_s", "what", "container", "agent", "detail")), strict=True))
