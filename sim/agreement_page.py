"""The page of agreement: how far model and reality are apart, story by story, in Markdown out of the records.

Every figure comes from the validations named. What people have to say about them is theirs to write: `remarks` are put
below the table of all stories as they are.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sim.agreement_table import HEADINGS, LEGEND, cells, cells_of_all, markdown_table
from sim.course_comparison import courses_of
from sim.errors import RecordError, RequestError
from sim.report_text import (
    COURSE_HEADINGS,
    UNKNOWN,
    course_rows,
    course_sentence,
    courses_apart,
    metric_label,
    ratio_text,
    value_text,
)
from sim.standing import DIFFERS, Standing, current, standing

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

TITLE = "# How far model and reality agree"
HOW = (
    "`tonnage agreement VALIDATION_DIRECTORY... --remarks FILE` writes this page. Every table comes from the records\n"
    "of `tonnage validate`; no figure in them is typed in by hand."
)
METRIC_HEADINGS = ("metric", "container", "real", "simulated", "error", "noise", "verdict")
COMMIT_CHARACTERS = 12
# The newest say what holds today, and reading a directory of thousands would take minutes.
VALIDATIONS_COUNT_MAX = 200


@dataclass(frozen=True, slots=True)
class Kept:
    """A validation as its directory tells it; `run` is the provenance of its first real run, empty where it is gone."""

    directory: Path
    told: dict[str, Any]
    run: dict[str, Any]

    @property
    def standing(self) -> Standing:
        """Its figures."""
        return standing(self.told, record=str(self.directory))

    @property
    def date(self) -> str:
        """The day of its first real run."""
        return str(self.run.get("started_at", ""))[:10] or UNKNOWN

    @property
    def commit(self) -> str:
        """The commit it was made with, short, with a word where files differed from it."""
        commit, _, dirty = str(self.run.get("commit", "")).partition("-")
        return f"`{commit[:COMMIT_CHARACTERS]}`{' with changes' if dirty else ''}" if commit else UNKNOWN


def read_validation(directory: Path) -> Kept:
    """The validation in a directory, moved here or not; RecordError where there is none."""
    told = _object(directory / "comparison.json")
    with _undamaged(directory):
        return Kept(directory, told, _provenance(directory, told))


def newest_validations(parent: Path) -> list[Path]:
    """Of each story the newest validation in a directory that is comparable, else its newest; broken ones are not."""
    newest = sorted(parent.glob("*/"), key=lambda found: found.name, reverse=True)[:VALIDATIONS_COUNT_MAX]
    found = (_standing_or_none(directory) for directory in newest)
    return [Path(one.record) for one in current(standing for standing in found if standing) if one.record]


def read_remarks(file: Path) -> str:
    """What people have to say about the figures, from a file; RequestError where it cannot be read."""
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, ValueError) as problem:
        what = problem.strerror if isinstance(problem, OSError) else "it is not UTF-8"
        raise RequestError(f"--remarks {file} cannot be read ({what}); name a Markdown file") from None


def page(directories: Sequence[Path], remarks: str = "") -> str:
    """The whole page, without a newline at its end."""
    validations = [read_validation(directory) for directory in directories]
    sections = [_section(kept) for kept in validations]
    return "\n\n".join(filter(None, [TITLE, HOW, *_overview(validations), remarks.strip(), *sections]))


def _overview(validations: Sequence[Kept]) -> list[str]:
    """The table of all stories, and what its columns mean."""
    standings = [kept.standing for kept in validations]
    rows = [_overview_cells(kept) for kept in validations]
    last = (*cells_of_all(standings), "", "")
    table = markdown_table((*HEADINGS, "date", "commit"), [*rows, last])
    return ["\n".join(table), f"{LEGEND[:1].upper()}{LEGEND[1:]}."]


def _overview_cells(kept: Kept) -> tuple[str, ...]:
    name, *figures = cells(kept.standing)
    return (f"[{name}](#{name})", *figures, kept.date, kept.commit)


def _section(kept: Kept) -> str:
    """One story: where it was measured, the verdict, the metrics, its calibrations, the negative controls."""
    with _undamaged(kept.directory):
        told = kept.told
        table = markdown_table(METRIC_HEADINGS, [_metric_cells(row) for row in told["metrics"]])
        controls = [
            f"- {control['name']}: {'caught' if control['caught'] else 'NOT CAUGHT'} ({control['detail']})"
            for control in told.get("negative_controls", [])
        ]
        lines = [f"## {told['scenario']}", "", _circumstances(kept), "", _verdict(told), "", *table, *_courses(told)]
        return "\n".join([*lines, "", "Negative controls:", "", *controls] if controls else lines)


def _courses(told: dict[str, Any]) -> list[str]:
    """Both calibrations window by window and what they came to; nothing where the story calibrates nothing."""
    courses = courses_of(told)
    if courses is None:
        return []
    sentence = course_sentence(courses)
    rows = course_rows(courses)
    table = ["Calibration, window by window:", "", *markdown_table(COURSE_HEADINGS, rows), ""] if rows else []
    return ["", *table, f"{sentence[:1].upper()}{sentence[1:]}."]


def _circumstances(kept: Kept) -> str:
    """When, with what code and on what machine it was run, how often, and how quiet it was."""
    told = kept.told
    judged = "comparable" if told["comparable"] else f"NOT comparable: {'; '.join(told['reasons'])}"
    runs = f"{told['live_count']} real runs, {told['simulated_count']} simulated"
    return f"{_machine(kept)}; {runs}; {_quiet(told.get('harness'))}{judged}."


def _quiet(harness: dict[str, Any] | None) -> str:
    """How well the real runs could be driven; nothing where nobody looked."""
    if not harness:
        return ""
    pace = harness.get("pace")
    starts = "" if pace is None else f"a lone start beside took {pace['start_s'] * 1e3:.0f} ms, "
    quiet = f"lag p99 {harness['lag_s_p99'] * 1e3:.1f} ms, other load {harness['other_load_cores']:.2f} cores, "
    return quiet + starts


def _machine(kept: Kept) -> str:
    if not kept.run:
        return "The real runs are not kept beside it, so neither date nor machine is known"
    host = kept.run["host"]
    return (
        f"{kept.date}, commit {kept.commit}: {host['cpus_count']} cores, kernel {host['kernel']}, "
        f"Docker {host['engine']}, cgroup v{host['cgroup_version']}"
    )


def _verdict(told: dict[str, Any]) -> str:
    given = told.get("load_given")
    line = (
        f"**{told['verdict']}**: median error {ratio_text(told['median_error_ratio'])}, 90th percentile "
        f"{ratio_text(told['p90_error_ratio'])}, {ratio_text(told['equivalent_ratio'])} of physics metrics equivalent, "
        f"{told['different_count']} different{_apart(told)}."
    )
    if not given:
        return line
    return (
        f"{line} Given the measured other load: median "
        f"{ratio_text(given['median_error_ratio'])}, 90th {ratio_text(given['p90_error_ratio'])}, "
        f"{ratio_text(given['equivalent_ratio'])} equivalent."
    )


def _apart(told: dict[str, Any]) -> str:
    """What calibrations say against agreement, where runs may be judged at all."""
    courses = courses_of(told) if told["verdict"] == DIFFERS else None
    apart = courses_apart(courses) if courses is not None else ""
    return f"; {apart}" if apart else ""


def _metric_cells(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        metric_label(row["name"]) + ("" if row["kind"] == "physics" else " (shared)"),
        row["container"] or "all",
        value_text(row["live"], row["name"], row["unit"]),
        value_text(row["sim"], row["name"], row["unit"]),
        ratio_text(row["error_ratio"]),
        ratio_text(row["noise_ratio"]),
        row["verdict"],
    )


def _provenance(directory: Path, told: dict[str, Any]) -> dict[str, Any]:
    """The provenance of the first real run that was used: beside the comparison, or where it was recorded."""
    first = next(iter(told.get("live_runs") or ()), None)
    if first is None:
        return {}
    # A path that was written down relative is relative to the validation; joined, an absolute one stays as it is.
    files = (place / "provenance.json" for place in (directory / Path(first).name, directory / first))
    file = next((file for file in files if file.is_file()), None)
    return {} if file is None else _object(file)


def _standing_or_none(directory: Path) -> Standing | None:
    try:
        with _undamaged(directory):
            return read_validation(directory).standing
    except RecordError:
        return None


def _object(file: Path) -> dict[str, Any]:
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise RecordError(str(file.parent), f"is no validation: it has no readable {file.name}") from None
    if not isinstance(data, dict):
        raise RecordError(str(file.parent), f"is no validation: its {file.name} holds no JSON object")
    return data


@contextmanager
def _undamaged(directory: Path) -> Iterator[None]:
    """Turn what goes wrong with hand-edited JSON of the right syntax into a RecordError."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as problem:
        raise RecordError(str(directory), f"is damaged ({type(problem).__name__}: {problem})") from None
