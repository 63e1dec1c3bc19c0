"""A validation as one HTML file that needs nothing else: it opens offline, can be mailed, and prints well.

`python -m dashboard.report DIR` writes `report.html` into a validation's directory.
"""

from __future__ import annotations

import html
import sys
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

from plotly.offline import get_plotlyjs

from dashboard import comparison_figures, course_figures, record_shelf, tables, verdicts, wording
from dashboard.errors import DashboardError
from dashboard.report_page import PAGE
from sim.course_comparison import courses_of
from sim.report_text import course_sentence

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import plotly.graph_objects as go

    from dashboard.record_shelf import Shelved

CONTAINERS_MAX = 12
INK = "#1f2933"

NUMBER_COLUMNS = frozenset({"Real", "Simulated", "Error", "Noise", "Margin", "Full size", "As run"})

VERDICT_CLASSES = {"agrees": "agrees", "does not agree": "differs"}


def write_report(validation_dir: Path) -> Path:
    """Write `report.html` into a validation's directory and return its path; DashboardError where there is none."""
    validation = record_shelf.open_validation(validation_dir)
    if validation is None:
        raise DashboardError(f"{validation_dir} is not a validation: it has no readable comparison.json")
    report = validation_dir / "report.html"
    part = report.with_suffix(".part")
    part.write_text(report_html(validation), encoding="utf-8")
    return part.replace(report)


def report_html(validation: Shelved) -> str:
    """The report of a validation as one HTML text."""
    comparison = validation.facts["comparison"]
    verdict = verdicts.sentence(comparison)
    return Template(PAGE).substitute(
        story=html.escape(validation.story),
        verdict_class=VERDICT_CLASSES.get(verdict.verdict, "unknown"),
        sign=html.escape(verdict.sign),
        headline=html.escape(verdict.headline),
        explanation=html.escape(verdict.explanation),
        effort=html.escape(verdicts.effort_words(comparison)),
        when=html.escape(wording.moment_words(validation.started_at)),
        tiles=_tiles(comparison),
        overlays=_overlays(validation),
        differences=_differences(comparison),
        errors=_table(_error_cells(comparison)),
        courses=_courses(comparison),
        extras=_extras(comparison),
        runs=_runs(validation),
        plotly=get_plotlyjs(),
    )


def _tiles(comparison: Mapping[str, Any]) -> str:
    """The three figures that the verdict rests on."""
    values = {bound: comparison.get(bound.key) for bound in verdicts.BOUNDS}
    return "".join(
        f'<div class="tile"><div class="label">{bound.name}</div><div class="value">{wording.percent(value)}</div>'
        f'<div class="label">{"" if value is None else bound.words(value)}</div></div>'
        for bound, value in values.items()
    )


def _overlays(validation: Shelved) -> str:
    """Both worlds over time, a figure per container."""
    bands = record_shelf.bands_of(validation)
    limits = record_shelf.story_limits(validation)
    shown = list(bands)[:CONTAINERS_MAX]
    figures = {name: comparison_figures.overlay(bands[name], limits.get(name, {})) for name in shown}
    parts = [f"<h3>Container {html.escape(name)}</h3>{_figure(figure)}" for name, figure in figures.items()]
    if len(bands) > len(shown):
        parts.append(f"<p>{len(bands) - len(shown)} more containers are in <code>bands.json</code>.</p>")
    return "".join(parts) or "<p>This validation kept no curves over time.</p>"


def _differences(comparison: Mapping[str, Any]) -> str:
    """How far off each physics metric was."""
    return _figure(
        comparison_figures.differences([metric for metric in comparison["metrics"] if metric["kind"] == "physics"])
    )


def _error_cells(comparison: Mapping[str, Any]) -> list[tables.Row]:
    """The table of errors with its percentages written out."""
    rows = tables.error_rows(comparison["metrics"])
    percents = {"Error": "{:+.1f} %", "Noise": "{:.1f} %", "Margin": "{:.1f} %"}
    return [
        {
            name: percents[name].format(value) if name in percents and value is not None else value
            for name, value in row.items()
        }
        for row in rows
    ]


def _courses(comparison: Mapping[str, Any]) -> str:
    """The calibrations of both worlds, window by window, where the story calibrates."""
    courses = courses_of(comparison)
    if courses is None:
        return ""
    sentence = course_sentence(courses)
    figure = course_figures.of_comparison(courses)
    drawn = "" if figure is None else _figure(figure) + _table(tables.course_comparison_rows(courses))
    told = html.escape(f"{sentence[:1].upper()}{sentence[1:]}.")
    return f"<h2>Calibration, window by window</h2><p>{told}</p>{drawn}"


def _extras(comparison: Mapping[str, Any]) -> str:
    """What else the validation found out, where it did."""
    given = verdicts.load_given_words(comparison)
    parts = [f"<h2>Given the other load</h2><p>{html.escape(given)}</p>"] if given else []
    for title, rows in (
        ("Broken models, to see that they are caught", tables.control_rows(comparison)),
        ("What shrinking the story changed", tables.changed_rows(comparison)),
    ):
        parts += [f"<h2>{title}</h2>{_table(rows)}"] if rows else []
    return "".join(parts)


def _runs(validation: Shelved) -> str:
    """What was run where: a row per run, and the machine of the first real one in full."""
    parts = record_shelf.parts_of(validation)
    if not parts:
        return "<p>The runs themselves were not kept beside this report.</p>"
    first = next((part for part in parts if part.world == "docker"), parts[0])
    facts = tables.provenance_rows(first.facts["provenance"], first.facts["scenario"])
    return f"{_table(tables.part_rows(parts))}<h3>{html.escape(first.path.name)} in full</h3>{_table(facts)}"


def _table(rows: Sequence[tables.Row]) -> str:
    """Rows as an HTML table; numbers and quantities stand right."""
    if not rows:
        return "<p>Nothing to show.</p>"
    head = "".join(f"<th{_alignment(name)}>{html.escape(name)}</th>" for name in rows[0])
    body = "".join(
        f"<tr>{''.join(f'<td{_alignment(name)}>{_cell(value)}</td>' for name, value in row.items())}</tr>"
        for row in rows
    )
    return f'<div class="table"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _alignment(column: str) -> str:
    """The class of a column's cells."""
    is_number = column in NUMBER_COLUMNS or column.endswith((", real", ", simulated", ", difference"))
    return ' class="number"' if is_number else ""


def _cell(value: object) -> str:
    """A cell's text."""
    return html.escape(wording.NONE if value is None else str(value))


def _figure(figure: go.Figure) -> str:
    """A figure as a part of the page; the page brings plotly.js once."""
    figure.update_layout(
        template="plotly_white",
        font={"family": "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif", "size": 12, "color": INK},
        paper_bgcolor="white",
        plot_bgcolor="white",
    )
    drawn: str = figure.to_html(
        full_html=False,
        include_plotlyjs=False,
        default_width="100%",
        default_height=f"{figure.layout.height}px",
        config={"displaylogo": False, "responsive": True, "displayModeBar": False},
    )
    return f'<div class="figure">{drawn}</div>'


if __name__ == "__main__":
    print(write_report(Path(sys.argv[1])))  # noqa: T201  (a command's one line of output)
