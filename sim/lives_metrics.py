"""Metrics of containers that come and go: how often they were started anew, how long it took, how their health was."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from scenarios.story import Container

    Window = tuple[float, float]
    Row = tuple[float, str, str]


def lives_metrics(
    container: Container, events: Mapping[str, Sequence[object]], window: Window
) -> Iterator[tuple[str, str, float]]:
    """Name, unit and value of each metric that has a meaning for this container."""
    columns = (events[name] for name in ("at_s", "what", "detail", "container"))
    rows: list[Row] = sorted(
        (float(str(at_s)), str(what), str(detail))
        for at_s, what, detail, where in zip(*columns, strict=True)
        if where == container.name
    )
    if container.restart.condition != "no":
        yield "restart_count", "count", float(_restarts(rows, window))
        spans_s = list(_recoveries_s(rows, window))
        if spans_s:
            yield "recovery_s", "s", sum(spans_s) / len(spans_s)
    if container.health is not None:
        turns = [at_s for at_s, what, _ in rows if what == "unhealthy" and window[0] <= at_s <= window[1]]
        yield "unhealthy_count", "count", float(len(turns))


def _restarts(rows: Sequence[Row], window: Window) -> int:
    """The machine's count at the end of the window less that at its beginning: one nobody told of is in it."""

    def count_at(end_s: float) -> int:
        return max((int(detail) for at_s, what, detail in rows if what == "restarted" and at_s <= end_s), default=0)

    return count_at(window[1]) - count_at(window[0])


def _recoveries_s(rows: Sequence[Row], window: Window) -> Iterator[float]:
    """From each first death to when the container took work again, where both lie in the window."""
    gone_s: float | None = None
    for at_s, what, _ in rows:
        if not window[0] <= at_s <= window[1]:
            continue
        if what == "died" and gone_s is None:
            gone_s = at_s
        elif what == "restarted" and gone_s is not None:
            yield at_s - gone_s
            gone_s = None
