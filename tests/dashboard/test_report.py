"""The report: one file, complete in itself."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest

from dashboard import report
from dashboard.errors import DashboardError
from tests.sim.made_courses import OTHER_OUTCOME
from tests.sim.made_validation import compared, keep

if TYPE_CHECKING:
    from pathlib import Path


class Outline(HTMLParser):
    """What a page shows and what it would fetch: the text outside of scripts, and all addresses."""

    def __init__(self) -> None:
        """Begin with nothing seen."""
        super().__init__()
        self.texts: list[str] = []
        self.addresses: list[str] = []
        self._inside: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the addresses of a tag, and whether its text is code."""
        self.addresses += [value or "" for name, value in attrs if name in {"src", "href", "srcset", "data"}]
        if tag in {"script", "style"}:
            self._inside.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Note the end of code."""
        if tag in {"script", "style"}:
            self._inside.pop()

    def handle_data(self, data: str) -> None:
        """Keep the text that a reader sees."""
        if not self._inside:
            self.texts.append(data)


@pytest.fixture(name="validation_dir")
def _validation_dir(recorded_home: Path, tmp_path: Path) -> Path:
    """A validation of this test's own."""
    source = next((recorded_home / "validations").iterdir())
    return shutil.copytree(source, tmp_path / "validation")


def outline(page: Path) -> Outline:
    """A page, parsed."""
    parsed = Outline()
    parsed.feed(page.read_text(encoding="utf-8"))
    return parsed


def test_the_report_tells_verdict_metrics_and_origin(validation_dir: Path) -> None:
    """Headline, figures of the verdict, every metric, and the machine are in the text."""
    text = " ".join(outline(report.write_report(validation_dir)).texts)

    for wanted in (
        "with reality on cpu-quota-bursts.",
        "Median error",
        "Step latency, 95th percentile",
        "Container agents",
        "fluid quota",
        "Given the other load",
        "Real (Docker)",
        "live-1 in full",
        "20.10.24",
    ):
        assert wanted in text, wanted


def test_the_report_needs_nothing_from_elsewhere(validation_dir: Path) -> None:
    """No address is fetched, and the page itself forbids it."""
    page = report.write_report(validation_dir)

    assert [] == outline(page).addresses
    assert "default-src 'none'" in page.read_text(encoding="utf-8")


def test_plotly_is_in_the_report_once(validation_dir: Path) -> None:
    """However many figures there are, the library is inlined a single time."""
    text = report.write_report(validation_dir).read_text(encoding="utf-8")

    assert len(re.findall(r"plotly\.js v\d", text)) == 1
    assert text.count("Plotly.newPlot(") == 2


def test_calibrations_have_a_section_of_their_own(tmp_path: Path, validation_dir: Path) -> None:
    """Sentence, figure and table of both courses; a story that calibrates nothing has none."""
    comparison = compared("burst")
    told = replace(comparison.circumstances, courses=OTHER_OUTCOME)
    page = report.write_report(keep(tmp_path / "v", replace(comparison, circumstances=told)))
    text = " ".join(outline(page).texts)

    assert "Calibration, window by window" in text
    assert "the calibrations come to another outcome." in text
    assert "CPU, difference" in text
    assert page.read_text(encoding="utf-8").count("Plotly.newPlot(") == 2
    assert "Calibration" not in " ".join(outline(report.write_report(validation_dir)).texts)


def test_text_from_records_is_never_markup(validation_dir: Path) -> None:
    """A story's name or a reason cannot bring a script into the page."""
    file = validation_dir / "comparison.json"
    comparison = json.loads(file.read_text(encoding="utf-8"))
    evil = "<script>alert(1)</script>"
    comparison |= {"scenario": evil, "reasons": [evil], "verdict": "not comparable"}
    comparison["metrics"][0]["container"] = evil
    file.write_text(json.dumps(comparison), encoding="utf-8")
    page = report.write_report(validation_dir)

    assert evil not in page.read_text(encoding="utf-8")
    assert evil in unescape(" ".join(outline(page).texts))


def test_a_validation_without_curves_has_a_report_too(validation_dir: Path) -> None:
    """What is missing is said, not left blank."""
    (validation_dir / "bands.json").unlink()
    for part in validation_dir.glob("*-*"):
        shutil.rmtree(part)
    text = " ".join(outline(report.write_report(validation_dir)).texts)

    assert "This validation kept no curves over time." in text
    assert "The runs themselves were not kept beside this report." in text


def test_a_directory_without_a_validation_is_said_so(tmp_path: Path) -> None:
    """One line says what is missing, and nothing is written."""
    with pytest.raises(DashboardError, match=r"is not a validation: it has no readable comparison\.json"):
        report.write_report(tmp_path)

    assert not (tmp_path / "report.html").exists()


def test_the_report_can_be_made_by_hand(validation_dir: Path) -> None:
    """As a program it prints the path of what it wrote."""
    done = subprocess.run(
        [sys.executable, "-m", "dashboard.report", str(validation_dir)], capture_output=True, text=True, check=True
    )

    assert str(validation_dir / "report.html") == done.stdout.strip()
