"""The shelf of records: what is found, and what is never taken for a path."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from dashboard import record_shelf
from sim import places
from tests.sim.made_validation import compared, keep

if TYPE_CHECKING:
    from pathlib import Path

RUN = "20261101-100000-cpu-quota-bursts"
VALIDATION = "validations/20261101-110000-cpu-quota-bursts"


@pytest.fixture(name="bare_home")
def _bare_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with nothing in it, and no records that ship."""
    monkeypatch.setattr(places, "SHIPPED_RECORDS", home / "nowhere")
    return home


def test_runs_and_those_inside_validations_are_found(shelf: Path) -> None:
    """Every record of the home is listed under an id that says where it lies."""
    own = {run.id for run in record_shelf.runs() if not run.id.startswith("recorded")}

    inside = {f"{VALIDATION}/{name}" for name in ("live-1", "live-2", "live-3", "sim-1")}
    runs = {"20261101-100000-cpu-quota-bursts", "20261101-100100-memory-oom", "20261101-100200-cpu-weights"}
    assert {*inside, *(f"runs/{name}" for name in runs)} == own


def test_the_newest_stands_first(shelf: Path) -> None:
    """A list begins with what was started last."""
    dates = [run.started_at for run in record_shelf.runs()]

    assert sorted(dates, reverse=True) == dates


def test_an_empty_home_has_empty_lists(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the first run there is nothing, and that is no error."""
    monkeypatch.setattr(places, "SHIPPED_RECORDS", home / "nowhere")

    assert ([], []) == (record_shelf.runs(), record_shelf.validations())


def test_records_that_ship_are_found_at_any_depth(
    home: Path, recorded_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Recorded real runs and validations are on the shelf of every installation."""
    shipped = home / "recorded"
    shutil.copytree(recorded_home / "runs" / RUN, shipped / "two-cores" / "bursts" / "live-1")
    shutil.copytree(recorded_home / VALIDATION, shipped / "bursts-validated")
    monkeypatch.setattr(places, "SHIPPED_RECORDS", shipped)

    assert "recorded/two-cores/bursts/live-1" in {run.id for run in record_shelf.runs()}
    assert ["recorded/bursts-validated"] == [validation.id for validation in record_shelf.validations()]


@pytest.mark.parametrize("wanted", ["../runs", "/etc/passwd", "runs/../../etc", "", None, f"runs/{RUN}/"])
def test_an_id_is_looked_up_and_never_a_path(shelf: Path, wanted: str | None) -> None:
    """Whatever a URL names, only what is listed is opened."""
    assert record_shelf.find(wanted, record_shelf.runs()) is None


def test_a_listed_id_is_found(shelf: Path) -> None:
    """The id of a list leads back to its record."""
    found = record_shelf.find(f"runs/{RUN}", record_shelf.runs())

    assert found is not None
    assert shelf / "runs" / RUN == found.path


def test_broken_records_do_not_hide_the_others(home: Path, recorded_home: Path) -> None:
    """A folder with garbage in it is passed over."""
    shutil.copytree(recorded_home / "runs" / RUN, home / "runs" / "good")
    for name, text in (("torn", '{"schema_ver'), ("list", "[1]")):
        (home / "runs" / name).mkdir()
        (home / "runs" / name / "scenario.json").write_text(text, encoding="utf-8")
    (home / "runs" / "empty").mkdir()

    assert ["runs/good"] == [run.id for run in record_shelf.runs() if run.id.startswith("runs/")]


def test_the_parts_of_a_validation_stand_in_the_order_they_were_run(shelf: Path) -> None:
    """Real runs come first, by number."""
    validation = record_shelf.find(VALIDATION, record_shelf.validations())

    assert validation is not None
    assert ["live-1", "live-2", "live-3", "sim-1"] == [part.path.name for part in record_shelf.parts_of(validation)]


def test_the_tenth_run_follows_the_ninth(home: Path, recorded_home: Path) -> None:
    """Numbers in names are ordered as numbers."""
    for number in (10, 9, 1):
        shutil.copytree(recorded_home / "runs" / RUN, home / "validations" / "v" / f"live-{number}")
    (home / "validations" / "v" / "comparison.json").write_text(json.dumps({"scenario": "x"}), encoding="utf-8")
    validation = record_shelf.open_validation(home / "validations" / "v")

    assert validation is not None
    assert ["live-1", "live-9", "live-10"] == [part.path.name for part in record_shelf.parts_of(validation)]


def test_a_validation_knows_who_made_its_first_run(home: Path) -> None:
    """Its date, its code and its machine are those of the run that began first."""
    directory = keep(home / "validations" / "v", compared("burst"), started_at="2026-11-02T10:00:00+00:00")
    first = {"started_at": "2026-11-01T10:00:00+00:00", "commit": "abc"}
    (directory / "live-2" / "provenance.json").write_text(json.dumps(first), encoding="utf-8")
    validation = record_shelf.open_validation(directory)

    assert validation is not None
    assert ("2026-11-01T10:00:00+00:00", first) == (validation.started_at, validation.facts["provenance"])


def test_what_holds_of_a_story_is_its_newest_comparable_validation(bare_home: Path) -> None:
    """A disturbed one does not hide an earlier one, and stories are in the order of their names."""
    for day, story, comparable in ((1, "b", True), (2, "b", True), (3, "b", False), (1, "a", False)):
        started_at = f"2026-11-0{day}T10:00:00+00:00"
        place = bare_home / "validations" / f"{day}-{story}"
        keep(place, compared(story, comparable=comparable), started_at=started_at)

    assert ["validations/1-a", "validations/2-b"] == [
        validation.id for validation in record_shelf.current_validations(record_shelf.validations())
    ]


def test_limits_come_from_the_story_that_was_run(shelf: Path) -> None:
    """The figures draw the limits that held in the runs, shrunk or not."""
    limits = record_shelf.story_limits(record_shelf.validations()[-1])

    assert limits["agents"]["cpus_limit"] == 0.5


def test_what_a_job_made_is_found_by_its_directory(shelf: Path) -> None:
    """A directory on this user's shelf has an id; another has none."""
    run = record_shelf.on_user_shelf(shelf / "runs" / RUN)
    validation = record_shelf.on_user_shelf(shelf / VALIDATION)

    assert (f"runs/{RUN}", VALIDATION) == (run and run.id, validation and validation.id)
    assert record_shelf.on_user_shelf(shelf / "elsewhere" / RUN) is None
    assert record_shelf.on_user_shelf(None) is None
