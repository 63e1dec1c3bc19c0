"""The pages' logic, run by Streamlit's own test harness, without a browser."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from streamlit.testing.v1 import AppTest

from dashboard import jobs
from dashboard.commands import APP
from dashboard.job_request import ALLOW_LIVE, JobRequest
from scenarios import load
from sim import places
from sim.physics.host_profile import REFERENCE, load_profile
from sim.run import simulate
from tests.sim.made_courses import OTHER_OUTCOME
from tests.sim.made_validation import compared, keep

if TYPE_CHECKING:
    from pathlib import Path

RUN = "runs/20261101-100000-cpu-quota-bursts"
VALIDATION = "validations/20261101-110000-cpu-quota-bursts"
PAGES = (
    *("views/runs.py", "views/one_run.py", "views/model_against_reality.py", "views/agreement.py"),
    "views/story_shelf.py",
)

# Streamlit runs a page in a thread of its own and loads much on first use.
PATIENCE_S = 15

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(name="submitted")
def _submitted(monkeypatch: pytest.MonkeyPatch) -> list[JobRequest]:
    """The requests that pages submit, instead of processes that carry them out."""
    requests: list[JobRequest] = []

    def submit(request: JobRequest) -> str:
        requests.append(request)
        return f"20261121T{len(requests):012d}-00000000"

    monkeypatch.setattr(jobs, "submit", submit)
    return requests


@pytest.fixture(name="bare")
def _bare(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with nothing in it, and no records that ship."""
    monkeypatch.setattr(places, "SHIPPED_RECORDS", home / "nowhere")
    return home


@pytest.fixture(name="calibrated")
def _calibrated(bare: Path) -> str:
    """The id of a simulated run that calibrated, alone in its home."""
    run = "runs/20261101-100000-calibration-converges"
    simulate(load("calibration-converges").story, profile=load_profile(REFERENCE), directory=bare / run)
    return run


def opened(page: str, **parameters: str) -> AppTest:
    """The app on one page, with parameters in its address."""
    app = AppTest.from_file(str(APP), default_timeout=PATIENCE_S).run()
    app = app.switch_page(page)
    for name, value in parameters.items():
        app.query_params[name] = value
    return app.run()


def words(app: AppTest) -> str:
    """All text of a page, one element a line."""
    kinds = (app.title, app.subheader, app.markdown, app.caption, app.info, app.warning, app.error)
    return "\n".join(str(element.value).replace("\\", "") for kind in kinds for element in kind)


@pytest.mark.parametrize("page", PAGES)
def test_every_page_opens_on_an_empty_home_and_says_what_to_do(bare: Path, page: str) -> None:
    """Before the first run nothing fails, and each page has a next step."""
    app = opened(page)

    assert not app.exception
    assert app.info or app.button


@pytest.mark.parametrize("page", PAGES)
def test_every_page_opens_on_a_full_shelf(shelf: Path, page: str) -> None:
    """With records there, no page has an error to show."""
    app = opened(page)

    assert not app.exception
    assert not app.error
    assert app.title


def test_the_first_page_lists_runs_and_validations(shelf: Path) -> None:
    """Both tables are there, with verdicts in words."""
    validations, runs = (frame.value for frame in opened("views/runs.py").dataframe)

    assert validations["Verdict"][0].split(" ", 1)[1] in {"agrees", "does not agree"}
    assert {"cpu-quota-bursts", "memory-oom", "cpu-weights"} <= set(runs["Story"])


def test_starting_a_simulation_submits_a_job(shelf: Path, submitted: list[JobRequest]) -> None:
    """The form names a story and a seed, and the page starts nothing itself."""
    app = opened("views/runs.py")
    app.selectbox[0].set_value("memory-oom")
    app.number_input[0].set_value(7)
    app.button[0].click().run()

    assert [JobRequest("simulate", "memory-oom", 7)] == submitted


def test_live_runs_are_not_offered_by_default(shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is one thing to do, and a word on how to get more."""
    monkeypatch.delenv(ALLOW_LIVE, raising=False)
    app = opened("views/runs.py")

    assert ["Simulate"] == app.selectbox[1].options
    assert "tonnage dashboard --allow-live" in words(app)


def test_live_runs_are_offered_where_allowed(
    shelf: Path, submitted: list[JobRequest], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the flag a validation can be started."""
    monkeypatch.setenv(ALLOW_LIVE, "1")
    app = opened("views/runs.py")
    app.selectbox[1].set_value("validate")
    app.button[0].click().run()

    assert ["validate"] == [request.kind for request in submitted]


def test_a_run_is_chosen_by_the_address(shelf: Path) -> None:
    """A link opens the run it names, with its figures as tiles and its goals as a table."""
    app = opened("views/one_run.py", run=RUN)

    assert "cpu-quota-bursts · Simulated" in words(app)
    assert {"Steps finished", "CPU used"} <= {tile.label for tile in app.metric}
    assert "✓ met" in set(app.table[0].value["Result"])
    assert {"✓ holds"} == set(app.table[1].value["Result"])


def test_a_run_that_calibrated_shows_its_course(bare: Path, calibrated: str) -> None:
    """What it came to in one sentence, a figure, and a row for each window."""
    app = opened("views/one_run.py", run=calibrated)
    windows = app.table[0].value

    assert "Calibration" in [head.value for head in app.subheader]
    assert "Converged: at 8 tokens/s CPU is at 7" in words(app)
    assert ["10 tokens/s", "8 tokens/s", "8 tokens/s"] == list(windows["Rate"])
    assert not app.exception


def test_a_run_that_calibrated_nothing_does_not_speak_of_it(shelf: Path) -> None:
    """There is no empty section."""
    assert "Calibration" not in [head.value for head in opened("views/one_run.py", run=RUN).subheader]


def test_a_damaged_calibration_is_told_in_one_line(bare: Path, calibrated: str) -> None:
    """The rest of the run is shown all the same."""
    file = bare / calibrated / "summary.json"
    told = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps(told | {"calibration": {}}), encoding="utf-8")
    app = opened("views/one_run.py", run=calibrated)

    assert "This record's calibration is damaged and cannot be shown (KeyError" in words(app)
    assert "Results" in [head.value for head in app.subheader]
    assert not app.exception


def test_an_unknown_run_in_the_address_is_said_so(shelf: Path) -> None:
    """A stale link opens the newest run and says that it is not the one asked for."""
    app = opened("views/one_run.py", run="runs/../../etc/passwd")

    assert "There is no run called" in words(app)
    assert not app.exception


def test_a_run_that_did_not_end_shows_what_there_is(shelf: Path) -> None:
    """A killed run is told as one, with nothing made up."""
    app = opened("views/one_run.py", run="runs/20261101-100200-cpu-weights")

    assert "This run has not ended" in words(app)
    assert "Nothing was sampled" in words(app)
    assert not app.exception


def test_a_damaged_run_is_told_in_one_line(home: Path, recorded_home: Path) -> None:
    """A record with a table missing shows which, instead of an exception."""
    shutil.copytree(recorded_home / RUN, home / RUN)
    (home / RUN / "samples.parquet").write_bytes(b"torn")
    app = opened("views/one_run.py", run=RUN)

    assert "This record cannot be shown" in words(app)
    assert not app.exception


def test_a_validation_shows_its_verdict_first(shelf: Path) -> None:
    """The sentence, the three figures with their bounds, and every metric beside its noise."""
    app = opened("views/model_against_reality.py", validation=VALIDATION)
    errors = app.dataframe[0].value

    assert "with reality on cpu-quota-bursts." in words(app)
    assert ["Median error", "Error, 90th percentile", "Equivalent metrics"] == [tile.label for tile in app.metric]
    assert all(tile.delta[0] in "✓✗" for tile in app.metric)
    assert {"Real", "Simulated", "Error", "Noise", "Verdict"} <= set(errors.columns)
    assert "✓ caught" in set(app.table[0].value["Caught"])


def test_a_validation_shows_the_calibrations_of_both_worlds(bare: Path) -> None:
    """One sentence, a figure beside that of the metrics, and both courses as a table."""
    comparison = compared("burst", 10.2)
    told = replace(comparison.circumstances, courses=OTHER_OUTCOME)
    keep(bare / "validations" / "20261101-100000-burst", replace(comparison, circumstances=told))
    app = opened("views/model_against_reality.py")

    assert "Calibration, window by window" in [head.value for head in app.subheader]
    assert "Calibrated, real: converged (2 of 2), at 8 tokens/s" in words(app)
    assert "the calibrations come to another outcome." in words(app)
    assert ["10 tokens/s", "8 tokens/s"] == list(app.dataframe[1].value["Rate, real"])
    assert 2 == len(app.get("plotly_chart"))
    assert not app.exception


def test_a_validation_that_calibrated_nothing_does_not_speak_of_it(shelf: Path) -> None:
    """There is no empty section."""
    app = opened("views/model_against_reality.py", validation=VALIDATION)

    assert "Calibration, window by window" not in [head.value for head in app.subheader]


def test_the_page_of_agreement_has_every_story_and_all_together(shelf: Path) -> None:
    """How many agree, a row per story with its newest validation, and the errors of the story that is chosen."""
    app = opened("views/agreement.py", story="cpu-quota-bursts")
    stories = app.dataframe[0].value
    verdicts = list(stories["Verdict"])

    assert ["agent-ecology", "cpu-quota-bursts"] == list(stories["Story"])
    assert f"{verdicts.count('✓ agrees')} of 2" == app.metric[0].value
    assert ["Stories that agree", "Median error", "Error, 90th percentile", "Equivalent metrics"] == [
        tile.label for tile in app.metric
    ]
    assert "cpu-quota-bursts" == app.selectbox[0].value
    assert 2 == len(app.get("plotly_chart"))


def test_without_comparable_runs_nothing_is_drawn(home: Path, bare: Path) -> None:
    """Disturbed validations are rows with a verdict, and no points."""
    keep(home / "validations" / "20261101-100000-burst", compared("burst", comparable=False))
    app = opened("views/agreement.py")

    assert "0 of 1" == app.metric[0].value
    assert "nothing to draw" in words(app)
    assert 1 == len(app.get("plotly_chart"))


def test_before_the_first_validation_the_command_is_told(bare: Path) -> None:
    """The page says how to validate all stories at once."""
    assert "`tonnage validate --all`" in words(opened("views/agreement.py"))


def test_a_story_shows_its_text_and_its_knobs(bare: Path) -> None:
    """Purpose, YAML and the few values worth turning are side by side."""
    app = opened("views/story_shelf.py", story="memory-oom")

    assert "purpose:" in app.code[0].value
    assert ["worker: agents", "agents: CPU quota, cores"] == [field.label for field in app.number_input]
    assert ["agents: memory limit"] == [field.label for field in app.text_input]


def test_a_what_if_submits_the_story_twice(bare: Path, submitted: list[JobRequest]) -> None:
    """As it ships and with the change, so that the two can be compared; both are in the address."""
    app = opened("views/story_shelf.py", story="memory-oom")
    app.number_input[0].set_value(6)
    app.button[0].click().run()

    assert [{}, {"agents.worker.count": "6"}] == [request.settings for request in submitted]
    assert len(app.query_params["job"]) == 2


def test_a_what_if_without_a_change_runs_once(bare: Path, submitted: list[JobRequest]) -> None:
    """There is nothing to compare with itself."""
    app = opened("views/story_shelf.py", story="cpu-weights")
    app.button[0].click().run()

    assert [JobRequest("simulate", "cpu-weights")] == submitted


def test_a_what_if_that_makes_no_sense_is_refused_at_once(bare: Path, submitted: list[JobRequest]) -> None:
    """The complaint is on the page, and no job is started."""
    app = opened("views/story_shelf.py", story="memory-oom")
    app.text_input[0].set_value("lots")
    app.button[0].click().run()

    assert [] == submitted
    assert "mem_limit" in words(app)


def test_a_what_if_shows_what_changed(shelf: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When both jobs are done, their headline metrics stand side by side."""
    monkeypatch.setenv("TONNAGE_HOME", str(home))
    shutil.copytree(shelf / RUN, home / RUN)
    made = [_done_job(home, number, home / RUN) for number in (1, 2)]
    app = AppTest.from_file(str(APP), default_timeout=PATIENCE_S).run().switch_page("views/story_shelf.py")
    app.query_params["story"] = "cpu-quota-bursts"
    app.query_params["job"] = made
    app.run()

    assert {"none"} == set(app.table[0].value["Change"])


def test_a_failed_job_says_why(home: Path) -> None:
    """The reason stands on the card, and no character of it is taken for markup."""
    job_id = _done_job(home, 1, None)
    jobs.write_state(jobs.folder() / job_id, state="failed", error="limit is `lots`; it must be a size")
    app = opened("views/story_shelf.py", story="memory-oom", job=job_id)

    assert "limit is \\`lots\\`; it must be a size" in app.error[0].value


def test_what_others_wrote_is_no_markup(home: Path) -> None:
    """Neither an address nor a job's values or words can put a link or a picture on the page."""
    job_id = _done_job(home, 1, None)
    place = jobs.folder() / job_id
    request = JobRequest("simulate", "cpu-quota-bursts", None, {"a": "![x](http://x)"})
    (place / "request.json").write_text(json.dumps(request.to_json()), encoding="utf-8")
    jobs.write_state(place, state="queued", submitted_at="2999-01-01T00:00:00+00:00", text="![y](http://y)")
    app = opened("views/story_shelf.py", story="![z](http://z)", job=job_id)
    shown = [element.value for kind in (app.markdown, app.caption, app.warning) for element in kind]

    assert [1, 1, 1] == [sum(f"!\\[{letter}\\](http\\://{letter})" in text for text in shown) for letter in "xyz"]


def test_cancelling_asks_the_job_to_end(shelf: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The button on a card reaches the job it stands on."""
    monkeypatch.setenv("TONNAGE_HOME", str(home))
    job_id = _done_job(home, 1, None)
    jobs.write_state(jobs.folder() / job_id, state="queued", submitted_at="2999-01-01T00:00:00+00:00")
    app = opened("views/runs.py")
    next(button for button in app.button if button.label == "Cancel").click().run()

    job = jobs.status(job_id)
    assert job is not None
    assert job.state == "cancelled"


def _done_job(home: Path, number: int, result: Path | None) -> str:
    """The id of a job that is done."""
    place = home / "jobs" / f"20261121T{number:012d}-00000000"
    place.mkdir(parents=True)
    request = JobRequest("simulate", "cpu-quota-bursts").to_json()
    (place / "request.json").write_text(json.dumps(request), encoding="utf-8")
    jobs.write_state(place, state="done", result=str(result) if result else None)
    return place.name
