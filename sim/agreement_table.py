"""The table of agreement: one row per story, and one for all of them, as text for a terminal or as Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sim.report_text import GAP, UNKNOWN, ratio_text
from sim.standing import FAILED, NOT_COMPARABLE, agreeing_count, together

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sim.standing import Standing

HEADINGS = ("story", "median error", "90th percentile", "equivalent", "different", "noise", "verdict")
VERDICT_COLUMN = HEADINGS.index("verdict")

# What the last row and the column of noise mean, for whoever reads the table alone.
LEGEND = (
    "noise: what two real runs differ by, the median over a story's physics metrics; "
    "all: the physics metrics of all stories that could be judged, pooled"
)


def cells(one: Standing) -> tuple[str, ...]:
    """The row of one story; what is not known is a dash."""
    known = one.physics_count > 0
    note = f" ({one.note})" if one.note else ""
    return (
        one.scenario,
        ratio_text(one.median_error_ratio),
        ratio_text(one.p90_error_ratio),
        f"{one.equivalent_count} of {one.physics_count}" if known else UNKNOWN,
        str(one.different_count) if known else UNKNOWN,
        ratio_text(one.noise_ratio),
        f"{one.verdict}{note}",
    )


def cells_of_all(standings: Sequence[Standing]) -> tuple[str, ...]:
    """The last row: the pooled figures, and how many stories agree."""
    agreeing = f"{agreeing_count(standings)} of {len(standings)} agree"
    return (*cells(together(standings))[:VERDICT_COLUMN], agreeing)


def table_text(standings: Sequence[Standing]) -> str:
    """The table for a terminal, in columns, with a line for each story that could not be judged."""
    lines = [HEADINGS, *map(cells, standings), cells_of_all(standings)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    table = [_aligned(line, widths) for line in lines]
    return "\n".join([*table, "", LEGEND, *_unjudged(standings)])


def _aligned(line: Sequence[str], widths: Sequence[int]) -> str:
    figures = [cell.rjust(width) for cell, width in zip(line[1:-1], widths[1:-1], strict=True)]
    return GAP.join([line[0].ljust(widths[0]), *figures, line[-1]])


def _unjudged(standings: Sequence[Standing]) -> list[str]:
    """Why a story has no verdict of its own, in one line each; more reasons are in its record."""
    told = [one for one in standings if one.verdict in {FAILED, NOT_COMPARABLE}]
    return [f"{one.scenario}: {one.verdict}{_because(one)}" for one in told]


def _because(one: Standing) -> str:
    if not one.reasons:
        return ""
    more = f" (and {len(one.reasons) - 1} more)" if len(one.reasons) > 1 else ""
    return f", {one.reasons[0]}{more}"


def markdown_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table in Markdown."""
    return [_piped(headings), "|" + "---|" * len(headings), *map(_piped, rows)]


def _piped(line: Sequence[str]) -> str:
    return "| " + " | ".join(line) + " |"
