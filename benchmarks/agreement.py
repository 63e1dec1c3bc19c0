"""Writes `docs/agreement.md` from validations: how far model and reality are apart, story by story.

    python benchmarks/agreement.py VALIDATION_DIRECTORY... > docs/agreement.md

Every figure comes from the records named; nothing is typed in by hand but the remarks file `docs/agreement_remarks.md`,
which is put on top.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from sim.report_text import metric_label, ratio_text, value_text

REMARKS = Path(__file__).parents[1] / "docs" / "agreement_remarks.md"


def page(directories: list[Path]) -> str:
    """The whole page as Markdown."""
    sections = [_section(directory) for directory in directories]
    return "\n\n".join([REMARKS.read_text(encoding="utf-8").rstrip(), *sections]) + "\n"


def _section(directory: Path) -> str:
    """One story: where it was measured, the verdict, the table, the negative controls."""
    told = _read(directory / "comparison.json")
    run = _read(Path(told["live_runs"][0]) / "provenance.json")
    lines = [
        f"## {told['scenario']}",
        "",
        _circumstances(told, run),
        "",
        _verdict(told),
        "",
        "| metric | container | real | simulated | error | noise | verdict |",
        "|---|---|---|---|---|---|---|",
        *(_row(row) for row in told["metrics"]),
    ]
    controls = [
        f"- {control['name']}: {'caught' if control['caught'] else 'NOT CAUGHT'} ({control['detail']})"
        for control in told.get("negative_controls", [])
    ]
    return "\n".join([*lines, "", "Negative controls:", "", *controls] if controls else lines)


def _circumstances(told: dict[str, Any], run: dict[str, Any]) -> str:
    host, harness = run["host"], told["harness"]
    judged = "comparable" if told["comparable"] else f"NOT comparable: {'; '.join(told['reasons'])}"
    return (
        f"{run['started_at'][:10]}, commit `{run['commit'][:12]}`: {host['cpus_count']} cores, "
        f"kernel {host['kernel']}, Docker {host['engine']}, cgroup v{host['cgroup_version']}; "
        f"{told['live_count']} real runs, {told['simulated_count']} simulated; "
        f"lag p99 {harness['lag_s_p99'] * 1e3:.1f} ms, other load {harness['other_load_cores']:.2f} cores, {judged}."
    )


def _verdict(told: dict[str, Any]) -> str:
    given = told["load_given"]
    return (
        f"**{told['verdict']}**: median error {ratio_text(told['median_error_ratio'])}, 90th percentile "
        f"{ratio_text(told['p90_error_ratio'])}, {ratio_text(told['equivalent_ratio'])} of physics metrics equivalent, "
        f"{told['different_count']} different. Given the measured other load: median "
        f"{ratio_text(given['median_error_ratio'])}, 90th {ratio_text(given['p90_error_ratio'])}, "
        f"{ratio_text(given['equivalent_ratio'])} equivalent."
    )


def _row(row: dict[str, Any]) -> str:
    cells = [
        metric_label(row["name"]) + ("" if row["kind"] == "physics" else " (shared)"),
        row["container"] or "all",
        value_text(row["live"], row["name"], row["unit"]),
        value_text(row["sim"], row["name"], row["unit"]),
        ratio_text(row["error_ratio"]),
        ratio_text(row["noise_ratio"]),
        row["verdict"],
    ]
    return "| " + " | ".join(cells) + " |"


def _read(path: Path) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return data


if __name__ == "__main__":
    sys.stdout.write(page([Path(name) for name in sys.argv[1:]]))
