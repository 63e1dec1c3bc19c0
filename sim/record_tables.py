"""A record's tables, as the invariants read them: columns by name, in the order they were recorded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

Columns = Mapping[str, Sequence[Any]]


@dataclass(frozen=True, slots=True)
class RecordTables:
    """A record's tables as columns, its story as `story_to_json` gives it, and its window in run seconds.

    `samples` and `steps` have the fields of `sim.machine.Sample` and `StepDone`, `events` has {at_s, container,
    agent, what, detail}, `gauges` {at_s, name, value}, `probes` {host, due_s, finish_s}. A table without rows may lack
    its columns.
    """

    samples: Columns
    steps: Columns
    events: Columns
    gauges: Columns
    story: Mapping[str, Any]
    window_start_s: float
    window_end_s: float
    probes: Columns = field(default_factory=dict)


def groups(table: Columns, key: str, numbers: Sequence[str]) -> Iterator[tuple[Any, dict[str, Floats]]]:
    """What a column holds, each with its rows of the numeric columns, in their order."""
    found: dict[Any, list[int]] = {}
    for row, name in enumerate(table.get(key, ())):
        found.setdefault(name, []).append(row)
    if not found:
        return
    columns = {name: np.asarray(table[name], dtype=np.float64) for name in numbers}
    for name, rows in found.items():
        yield name, {column: values[rows] for column, values in columns.items()}


def in_order(rows: dict[str, Floats], by: str) -> dict[str, Floats]:
    """The same rows in the order of one column; equal ones stay as they were."""
    order = np.argsort(rows[by], kind="stable")
    return {name: values[order] for name, values in rows.items()}


def events_of(tables: RecordTables, kinds: frozenset[str]) -> list[tuple[float, str | None, str | None]]:
    """Time, container and agent of all events of some kinds."""
    events = tables.events
    columns = (events.get(name, ()) for name in ("what", "at_s", "container", "agent"))
    return [(at_s, container, agent) for what, at_s, container, agent in zip(*columns, strict=True) if what in kinds]
