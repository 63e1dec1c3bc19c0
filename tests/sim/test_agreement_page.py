"""The page of agreement: every figure out of records, and the same records give the same page."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sim.agreement_page import HOW, TITLE, newest_validations, page, read_remarks
from sim.agreement_table import LEGEND
from sim.errors import RecordError, RequestError
from tests.sim.made_courses import OTHER_OUTCOME, SAME
from tests.sim.made_validation import DISTURBED, STARTED_AT, compared, keep

if TYPE_CHECKING:
    from pathlib import Path

    from sim.compare import Comparison
    from sim.course_comparison import CourseComparison

EXPECTED = f"""\
{TITLE}

{HOW}

| story | median error | 90th percentile | equivalent | different | noise | verdict | date | commit |
|---|---|---|---|---|---|---|---|---|
| [burst](#burst) | 1.0 % | 1.8 % | 2 of 2 | 0 | 0.7 % | agrees | 2026-11-21 | `e5823a2c8622` |
| all | 1.0 % | 1.8 % | 2 of 2 | 0 | 0.7 % | 1 of 1 agree |  |  |

N{LEGEND[1:]}.

A remark.

## burst

2026-11-21, commit `e5823a2c8622`: 2 cores, kernel 6.18, Docker 20.10, cgroup v1; 3 real runs, 4 simulated; \
lag p99 3.3 ms, other load 0.01 cores, comparable.

**agrees**: median error 1.0 %, 90th percentile 1.8 %, 100.0 % of physics metrics equivalent, 0 different. \
Given the measured other load: median 1.0 %, 90th 1.8 %, 100.0 % equivalent.

| metric | container | real | simulated | error | noise | verdict |
|---|---|---|---|---|---|---|
| steps | api | 10.0 /s | 10.2 /s | 2.0 % | 1.4 % | equivalent |
| memory, mean | api | 100 MiB | 100 MiB | 0.0 % | 0.0 % | equivalent |
| cost (shared) | all | 1.50 USD | 1.50 USD | 0.0 % | 0.0 % | equivalent |

Negative controls:

- fluid_quota: caught (the quota is a rate)"""


def test_the_whole_page(tmp_path: Path) -> None:
    """All stories at the top, what people say about them, then each story: where it was measured, and every metric."""
    assert EXPECTED == page([keep(tmp_path / "v", compared("burst", 10.2))], "A remark.\n")


COURSES = """\
Calibration, window by window:

| round | rate, real | rate, simulated | CPU of limit, real | CPU of limit, simulated | difference |
|---|---|---|---|---|---|
| 1 | 10 tokens/s | 10 tokens/s | 93.0 % | 95.0 % | +2.0 points |
| 2 | 8 tokens/s | 8 tokens/s | 75.0 % | 74.0 % | -1.0 points |

Calibrated, real: converged (2 of 2), at 8 tokens/s; simulated: converged (3 of 3), at 8 tokens/s; \
the same outcome, and rates less than a step (factor 1.25) apart.

Negative controls:
"""


def calibrated(courses: CourseComparison) -> Comparison:
    """A comparison of a story that calibrates."""
    comparison = compared("burst", 10.2)
    return replace(comparison, circumstances=replace(comparison.circumstances, courses=courses))


def test_calibrations_stand_below_the_metrics(tmp_path: Path) -> None:
    """Both courses, and a sentence; a story that calibrates nothing has neither."""
    text = page([keep(tmp_path / "v", calibrated(SAME))])

    assert f"| equivalent |\n\n{COURSES}" in text
    assert "Calibration" not in page([keep(tmp_path / "w", compared("burst"))])


def test_calibrations_that_come_apart_stand_in_the_verdict(tmp_path: Path) -> None:
    """Metrics alone would have agreed."""
    text = page([keep(tmp_path / "v", calibrated(OTHER_OUTCOME))])

    assert "**does not agree**: median error 1.0 %" in text
    assert "0 different; the calibrations come to another outcome. Given" in text


def test_a_validation_that_was_moved_gives_the_same_page(tmp_path: Path) -> None:
    """Its runs are looked for beside it, whatever path they once had."""
    made = keep(tmp_path / "first", compared("burst"))
    told = json.loads((made / "comparison.json").read_text(encoding="utf-8"))
    (made / "comparison.json").write_text(json.dumps(told | {"live_runs": [str(made / "live-1")]}), encoding="utf-8")
    before = page([made])
    moved = made.rename(tmp_path / "second")

    assert before == page([moved])
    assert STARTED_AT[:10] in before


def test_a_disturbed_story_says_so_and_counts_for_nothing(tmp_path: Path) -> None:
    """Its section has the reason, and the row of all stories is that of the others."""
    directories = [
        keep(tmp_path / "a", compared("burst", 10.2)),
        keep(tmp_path / "b", compared("oom", 13.0, comparable=False)),
    ]
    text = page(directories)

    assert "| all | 1.0 % | 1.8 % | 2 of 2 | 0 | 0.7 % | 1 of 2 agree |  |  |" in text
    assert f"NOT comparable: {DISTURBED}." in text


def test_a_comparison_without_its_runs_leaves_date_and_machine_out(tmp_path: Path) -> None:
    """What is not kept is said not to be known."""
    text = page([keep(tmp_path / "v", compared("burst"), runs_count=0)])

    assert "| agrees | – | – |" in text
    assert "neither date nor machine is known; 3 real runs" in text


def test_a_validation_without_harness_figures_leaves_them_out(tmp_path: Path) -> None:
    """Where nobody looked at the harness, the sentence goes without it."""
    made = keep(tmp_path / "v", compared("burst"))
    told = json.loads((made / "comparison.json").read_text(encoding="utf-8"))
    (made / "comparison.json").write_text(json.dumps(told | {"harness": None}), encoding="utf-8")

    assert "3 real runs, 4 simulated; comparable." in page([made])


def test_code_that_differed_from_its_commit_is_said_to(tmp_path: Path) -> None:
    """A commit alone does not name such code."""
    assert "`abc` with changes" in page([keep(tmp_path / "v", compared("burst"), commit="abc-dirty")])


@pytest.mark.parametrize("text", [None, "{", "[1]"])
def test_what_is_no_validation_is_named(tmp_path: Path, text: str | None) -> None:
    """A directory without a comparison, or with a broken one, ends in one line with its name."""
    if text is not None:
        (tmp_path / "comparison.json").write_text(text, encoding="utf-8")

    with pytest.raises(RecordError, match=rf"^{tmp_path}: is no validation"):
        page([tmp_path])


def test_a_damaged_validation_is_named(tmp_path: Path) -> None:
    """JSON of the right syntax and the wrong content is no traceback either."""
    (tmp_path / "comparison.json").write_text('{"scenario": "a", "metrics": [{}]}', encoding="utf-8")

    with pytest.raises(RecordError, match=rf"^{tmp_path}: is damaged \(KeyError"):
        page([tmp_path])


def test_by_default_each_story_has_its_newest_comparable_validation(tmp_path: Path) -> None:
    """Names begin with the time; a disturbed validation and a broken one do not hide an earlier one."""
    for name, story, comparable in (
        ("20261101-090000-b", "b", True),
        ("20261101-100000-b", "b", True),
        ("20261101-110000-b", "b", False),
        ("20261101-080000-a", "a", True),
    ):
        keep(tmp_path / name, compared(story, comparable=comparable))
    (tmp_path / "20261101-120000-a").mkdir()

    assert ["20261101-080000-a", "20261101-100000-b"] == [found.name for found in newest_validations(tmp_path)]
    assert [] == newest_validations(tmp_path / "nowhere")


def test_remarks_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    """A missing file and one that is no text are each told in one line."""
    (tmp_path / "binary").write_bytes(b"\xff\xfe")

    for name, what in (("missing", "No such file"), ("binary", "not UTF-8")):
        with pytest.raises(RequestError, match=rf"^--remarks {tmp_path / name} cannot be read \(.*{what}"):
            read_remarks(tmp_path / name)
