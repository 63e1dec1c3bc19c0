"""The record: everything a run leaves behind, one directory, the same for both worlds.

While a run goes on, its rows are appended to `journal.jsonl`; when it ends they become Parquet tables, `summary.json`
is written last, and the journal goes. So a run that was killed at any moment leaves a readable record: whatever the
journal holds, up to a line that was cut off. `scenario.json`, the tables and the summary are deterministic: the same
story and seeds give the same bytes in any process. What differs from run to run is in `provenance.json`.
"""

from __future__ import annotations

import json
import os
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields
from itertools import compress
from typing import TYPE_CHECKING, Any, TextIO

from scenarios.story_json import story_to_json
from sim.errors import RecordError
from sim.machine import Probed, Sample, StepDone

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from scenarios.story import Story

SCHEMA_VERSION = 1
JOURNAL = "journal.jsonl"
TABLES = ("samples", "steps", "events", "gauges", "probes")
# Where no host is probed there is no such table, as in all records made before there were probes.
TABLES_LEFT_OUT_EMPTY = frozenset({"probes"})
# What the first records of this version lack; it reads as 0.
ADDED_COLUMNS = {"samples": ("disk_bytes",)}
COLUMNS: dict[str, tuple[str, ...]] = {
    "samples": tuple(field.name for field in fields(Sample)),
    "steps": tuple(field.name for field in fields(StepDone) if field.name != "last"),
    "events": ("at_s", "what", "container", "agent", "detail"),
    "gauges": ("at_s", "name", "value"),
    "probes": ("host", "due_s", "finish_s"),
}
# Past this many, every agent's steps of odd index are dropped, then all but every fourth, and so on: memory stays
# bounded and what is left is an even sample of each agent. Counts and sums are kept exactly beside it.
STEPS_COUNT_MAX = 200_000

Table = dict[str, list[Any]]


@dataclass(slots=True)
class StepTotals:
    """Exact totals over a container's steps, whatever the table still holds of them."""

    steps_count: int = 0
    latency_s_sum: float = 0.0
    cpu_wait_s_sum: float = 0.0


_TOTAL_KEYS = {"container", "stride", *(field.name for field in fields(StepTotals))}


def _no_rows(table: str) -> Table:
    """A table with its columns and nothing in them."""
    return {column: [] for column in COLUMNS[table]}


class Recorder:
    """Takes a run's rows as they come; fulfils `sim.machine.Observer`.

    With a directory it keeps a journal there; without one it only collects, which is what replications need.
    """

    def __init__(self, directory: Path | None) -> None:
        """Begin empty."""
        self.tables = {name: _no_rows(name) for name in TABLES}
        self.window: tuple[float, float] | None = None
        self.totals: dict[str, StepTotals] = {}
        # What the run itself found out, by name: it goes into the summary beside the metrics.
        self.findings: dict[str, Any] = {}
        self._directory = directory
        self._journal: TextIO | None = None
        self._parts: dict[str, StepDone] = {}
        self._stride = 1
        if directory is not None:
            with _writing(directory):
                # Each line goes out at once: a kill between rare rows must not cost the last of them.
                self._journal = (directory / JOURNAL).open("w", encoding="utf-8", buffering=1)

    # What is recorded.

    def step(self, done: StepDone) -> None:
        """Take one finished step; parts of a step wait here for its last."""
        done = self._joined(done)
        if not done.last:
            self._parts[done.agent] = done
            return
        if self._keeps(done):
            self._row("steps", {name: getattr(done, name) for name in COLUMNS["steps"]})
        self._count(done)

    def sample(self, sample: Sample) -> None:
        """Take one sample of a container."""
        self._row("samples", {name: getattr(sample, name) for name in COLUMNS["samples"]})
        if self._stride > 1 and sample.container in self.totals:
            self._write_totals(sample.container)

    def event(self, at_s: float, what: str, container: str | None, agent: str | None, detail: str) -> None:
        """Note that something happened."""
        self._row("events", {"at_s": at_s, "what": what, "container": container, "agent": agent, "detail": detail})

    def gauge(self, at_s: float, name: str, value: float) -> None:
        """Note a level or a running total of the story's own."""
        self._row("gauges", {"at_s": at_s, "name": name, "value": float(value)})

    def probed(self, probed: Probed) -> None:
        """Note when a host's probe was due and when it had its CPU."""
        for due_s, finish_s in zip(probed.due_s, probed.finish_s, strict=True):
            self._row("probes", {"host": probed.host, "due_s": due_s, "finish_s": finish_s})

    def begin_window(self, start_s: float, end_s: float) -> None:
        """Say over which time the metrics are taken."""
        self.window = (start_s, end_s)
        self._write({"row": "window", "start_s": start_s, "end_s": end_s})

    def end_window(self, end_s: float) -> None:
        """Say that the window ends earlier than was said when it began; what finishes later no longer counts."""
        if self.window is not None:
            self.begin_window(self.window[0], min(end_s, self.window[1]))

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Turn the journal into tables, write the summary with the findings, and drop the journal."""
        if self._directory is None or self._journal is None:
            return
        with _writing(self._directory):
            self._journal.close()
            self._journal = None
            for name in TABLES:
                if name not in TABLES_LEFT_OUT_EMPTY or any(self.tables[name].values()):
                    write_table(self._directory / f"{name}.parquet", self.tables[name], name)
        told = {"schema_version": SCHEMA_VERSION, "ended": True, **self.findings, **summary}
        write_json(self._directory / "summary.json", told)
        (self._directory / JOURNAL).unlink()

    def abandon(self) -> None:
        """Close the journal and leave it as the record of a run that did not end."""
        if self._journal is not None:
            # A disk that is full keeps what it has; that it did was told when the row was written.
            with suppress(OSError):
                self._journal.close()
            self._journal = None

    # How.

    def _joined(self, done: StepDone) -> StepDone:
        """Add the earlier parts of a step to this one."""
        part = self._parts.pop(done.agent, None)
        if part is None or part.index != done.index:
            return done
        return StepDone(
            container=done.container,
            agent=done.agent,
            index=done.index,
            due_s=part.due_s,
            finish_s=done.finish_s,
            latency_s=part.latency_s + done.latency_s,
            cpu_s=part.cpu_s + done.cpu_s,
            cpu_wait_s=part.cpu_wait_s + done.cpu_wait_s,
            last=done.last,
        )

    def _keeps(self, done: StepDone) -> bool:
        """Whether a step's row is kept; where the table is full, it is thinned first."""
        table = self.tables["steps"]
        if len(table["index"]) >= STEPS_COUNT_MAX:
            self._stride *= 2
            kept = [index % self._stride == 0 for index in table["index"]]
            for column in table.values():
                column[:] = compress(column, kept)
            for container in self.totals:
                self._write_totals(container)
        return done.index % self._stride == 0

    def _write_totals(self, container: str) -> None:
        """Leave counts and sums in a journal that no longer holds every step, for the case that the run is killed."""
        self._write({"row": "total", "container": container, "stride": self._stride, **asdict(self.totals[container])})

    def _count(self, done: StepDone) -> None:
        if self.window is None or not self.window[0] <= done.finish_s <= self.window[1]:
            return
        totals = self.totals.setdefault(done.container, StepTotals())
        totals.steps_count += 1
        totals.latency_s_sum += done.latency_s
        totals.cpu_wait_s_sum += done.cpu_wait_s

    def _row(self, table: str, row: dict[str, Any]) -> None:
        columns = self.tables[table]
        for name, value in row.items():
            columns[name].append(value)
        self._write({"row": table[:-1], **row})

    def _write(self, row: dict[str, Any]) -> None:
        if self._journal is None or self._directory is None:
            return
        try:
            self._journal.write(json.dumps(row, separators=(",", ":")) + "\n")
        except OSError as problem:
            raise _refused(self._directory, problem) from None


@dataclass(frozen=True, slots=True)
class Record:
    """A record as read back: tables are dicts of equally long columns, `summary` is empty if the run did not end.

    `totals` are those of a run that did not end and whose table of steps had to be thinned, by container.
    """

    path: Path
    scenario: dict[str, Any]
    provenance: dict[str, Any]
    summary: dict[str, Any]
    tables: dict[str, Table]
    window: tuple[float, float] | None
    totals: dict[str, StepTotals] = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        """Whether the run came to its end."""
        return bool(self.summary.get("ended"))

    @property
    def story(self) -> dict[str, Any]:
        """The story as it was run."""
        told: dict[str, Any] = self.scenario["story"]
        return told

    @property
    def samples(self) -> Table:
        """Counters of containers in time."""
        return self.tables["samples"]

    @property
    def steps(self) -> Table:
        """Finished steps."""
        return self.tables["steps"]

    @property
    def events(self) -> Table:
        """What happened."""
        return self.tables["events"]

    @property
    def gauges(self) -> Table:
        """Levels and running totals of the story's own."""
        return self.tables["gauges"]


def begin_record(directory: Path, story: Story, physics: Mapping[str, Any], seeds: Mapping[str, int]) -> None:
    """Make a record's directory and write what is known before the run; RecordError if it holds a record already."""
    if (directory / "scenario.json").exists():
        raise RecordError(str(directory), "holds a record already; name another directory")
    data = {
        "schema_version": SCHEMA_VERSION,
        "story": story_to_json(story),
        "physics": dict(physics),
        "seeds": dict(seeds),
    }
    write_json(directory / "scenario.json", data)


@contextmanager
def _writing(directory: Path) -> Iterator[None]:
    """Turn what the disk refuses into a RecordError that names the two ways to say where records go."""
    try:
        yield
    except OSError as problem:
        raise _refused(directory, problem) from None


def _refused(directory: Path, problem: OSError) -> RecordError:
    told = problem.strerror or str(problem)
    return RecordError(str(directory), f"cannot be written ({told}); name another place with --record or TONNAGE_HOME")


def read_record(path: Path) -> Record:
    """Read a record, also one whose run was killed; RecordError says what is missing."""
    scenario = _read_json(path / "scenario.json", path)
    provenance = _read_json(path / "provenance.json", path, missing={})
    summary = _read_json(path / "summary.json", path, missing={})
    version = scenario.get("schema_version")
    if version != SCHEMA_VERSION:
        raise RecordError(str(path), f"has schema version {version}; this Tonnage reads version {SCHEMA_VERSION}")
    if summary:
        left_out = {name for name in TABLES_LEFT_OUT_EMPTY if not (path / f"{name}.parquet").exists()}
        tables = {name: _no_rows(name) if name in left_out else read_table(path / f"{name}.parquet") for name in TABLES}
        return Record(path, scenario, provenance, summary, tables, _window(summary))
    tables, window, totals = _replay(path / JOURNAL)
    return Record(path, scenario, provenance, {}, tables, window, totals)


def _window(summary: Mapping[str, Any]) -> tuple[float, float] | None:
    if "window_start_s" not in summary:
        return None
    return float(summary["window_start_s"]), float(summary["window_end_s"])


def _replay(journal: Path) -> tuple[dict[str, Table], tuple[float, float] | None, dict[str, StepTotals]]:
    """Build the tables of a run that did not end from its journal."""
    tables = {name: _no_rows(name) for name in TABLES}
    window = None
    totals: dict[str, StepTotals] = {}
    stride = 1
    for row in _rows(journal):
        kind = row.pop("row", "")
        if kind == "window":
            window = (row["start_s"], row["end_s"])
        elif kind == "total" and set(row) == _TOTAL_KEYS:
            stride, container = row.pop("stride"), row.pop("container")
            totals[container] = StepTotals(**row)
        elif f"{kind}s" in tables:
            for name, column in tables[f"{kind}s"].items():
                column.append(row.get(name))
    # What was written before the table was thinned is thinned like what came after.
    if stride > 1:
        kept = [index % stride == 0 for index in tables["steps"]["index"]]
        tables["steps"] = {name: list(compress(column, kept)) for name, column in tables["steps"].items()}
    return tables, window, totals


def _rows(journal: Path) -> Iterator[dict[str, Any]]:
    """Whole lines of a journal; the last may have been cut off by a kill."""
    if not journal.exists():
        return
    with journal.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            try:
                row = json.loads(line)
            except ValueError:
                continue
            if isinstance(row, dict):
                yield row


def write_json(path: Path, data: object) -> None:
    """Write JSON whole or not at all: to a neighbour first, then renamed over; RecordError where the disk refuses."""
    beside = path.with_name(f".{path.name}.part")
    with _writing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(json.dumps(data, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        os.replace(beside, path)  # noqa: PTH105  # The one call that says what is meant.


def _read_json(path: Path, record: Path, missing: dict[str, Any] | None = None) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if missing is not None:
            return missing
        raise RecordError(str(record), f"is not a record: it has no {path.name}") from None
    except (OSError, ValueError) as problem:
        raise RecordError(str(record), f"{path.name} cannot be read ({problem})") from None
    if not isinstance(data, dict):
        raise RecordError(str(record), f"{path.name} is not a JSON object")
    return data


def write_table(path: Path, table: Table, name: str) -> None:
    """Write one table as Parquet, with the types its name gives."""
    import pyarrow as pa  # Slow to import, and only runs that keep a record need it.
    import pyarrow.parquet as pq

    text, whole = {"container", "agent", "what", "detail", "name", "host"}, ("_count", "_bytes", "index")
    schema = []
    for column in COLUMNS[name]:
        if column in text:
            schema.append(pa.field(column, pa.string()))
        elif column.endswith(whole):
            schema.append(pa.field(column, pa.int64()))
        else:
            schema.append(pa.field(column, pa.float64()))
    pq.write_table(pa.table(table, schema=pa.schema(schema)), path, compression="zstd")


def read_table(path: Path) -> Table:
    """Read one Parquet table as columns; RecordError where it is missing or damaged."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        columns: Table = pq.read_table(path).to_pydict()
    except (OSError, pa.ArrowException) as problem:
        raise RecordError(str(path.parent), f"{path.name} cannot be read ({problem})") from None
    rows_count = len(next(iter(columns.values()), []))
    # A record made before containers had a disk of their own says nothing of it.
    return {column: [0] * rows_count for column in ADDED_COLUMNS.get(path.stem, ())} | columns
