"""What is written down of the notices that are news."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sim.machine import Died, DiskFull, EngineBack, EngineLost, HealthChanged, ProcessKilled, Restarted

if TYPE_CHECKING:
    from sim.machine import Notice
    from sim.record import Recorder


def note_news(recorder: Recorder, notice: Notice) -> None:
    """Write a notice down as an event, at the time it happened."""
    at_s, container, agent = notice.happened_s, getattr(notice, "container", None), getattr(notice, "agent", None)
    what: str
    detail: str
    match notice:
        case Died():
            what, detail = "died", notice.cause
        case Restarted():
            # From when it takes work again; how often, so that a restart nobody told of is counted with the next.
            at_s, what, detail = notice.ready_s, "restarted", str(notice.restarts_count)
        case HealthChanged():
            what, detail = ("healthy" if notice.healthy else "unhealthy"), ""
        case ProcessKilled():
            what, detail = "process_killed", notice.cause
        case DiskFull():
            what, detail = "disk_full", ""
        case EngineLost():
            what, detail = "engine_lost", notice.host
        case EngineBack():
            what, detail = "engine_back", notice.host
    recorder.event(at_s, what, container, agent, detail)
