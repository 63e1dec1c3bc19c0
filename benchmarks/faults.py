"""Writes `docs/faults.md` from validations of stories with faults: what was predicted and what happened, side by side.

    python benchmarks/faults.py VALIDATION_DIRECTORY... > docs/faults.md

One row per headline metric and container, with the 95 % interval of the mean where runs differ.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from sim.report_text import metric_label, value_text

HEAD = """# Faults: predicted and measured

Each story deals one kind of fault, at the same moments in both worlds, and names beforehand what it is looked at by.
Every figure comes from the records of a validation, in brackets the 95 % interval of the mean where runs differ;
`tonnage validate STORY` repeats a table (`--private-engine` where an engine is struck), and
`python benchmarks/faults.py VALIDATION...` writes this page."""


def page(directories: list[Path]) -> str:
    """The whole page as Markdown."""
    return "\n\n".join([HEAD, *(_section(directory) for directory in directories)]) + "\n"


def _section(directory: Path) -> str:
    told = _read(directory / "comparison.json")
    run = Path(told["live_runs"][0])
    story, provenance = _read(run / "scenario.json")["story"], _read(run / "provenance.json")
    rows = [row for row in told["metrics"] if row["name"] in story["headline"]]
    made = (
        f"{provenance['started_at'][:10]}, commit `{provenance['commit'][:12]}`, kernel {provenance['kernel']}, Docker "
        f"{provenance['engine']}: {told['live_count']} real runs, {told['simulated_count']} simulated."
    )
    return "\n".join(
        [
            f"## {told['scenario']}",
            "",
            story["purpose"],
            "",
            made,
            "",
            "| what | container | predicted | measured | |",
            "|---|---|---|---|---|",
            *(_row(row) for row in rows),
        ]
    )


def _row(row: dict[str, Any]) -> str:
    cells = [metric_label(row["name"]), row["container"] or "all", _spread(row, "sim"), _spread(row, "live")]
    return "| " + " | ".join([*cells, row["verdict"]]) + " |"


def _spread(row: dict[str, Any], world: str) -> str:
    figures = (row[world], row[f"{world}_low"], row[f"{world}_high"])
    mean, low, high = (value_text(figure, row["name"], row["unit"]) for figure in figures)
    return mean if low == high else f"{mean} ({low} to {high})"


def _read(path: Path) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return data


if __name__ == "__main__":
    sys.stdout.write(page([Path(name) for name in sys.argv[1:]]))
