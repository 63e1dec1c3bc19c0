"""Jobs: processes of their own, whose state is always on the disk."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import psutil
import pytest

from dashboard import job_process, jobs
from dashboard.errors import JobError
from dashboard.job_request import ALLOW_LIVE, JobRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from dashboard.job_request import JobKind
    from dashboard.jobs import Job

PATIENCE_S = 15.0
STORY = JobRequest("simulate", "memory-oom")

# A stand-in for the command line, which does what its test wants: the deed is one of the values set.
STAND_IN = """
import json, signal, sys, time
from pathlib import Path

deed = next(word.removeprefix("deed=") for word in sys.argv if word.startswith("deed="))
if deed == "answer":
    print("run 2 of 4", file=sys.stderr)
    print(json.dumps({"record": "/somewhere/runs/one"}))
elif deed == "disagree":
    print(json.dumps({"record": "/somewhere/validations/one"}))
    sys.exit(1)
elif deed == "refuse":
    print("tonnage: there is no such story", file=sys.stderr)
    sys.exit(2)
elif deed == "say-nothing":
    sys.exit(70)
else:
    if deed == "go-on":
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    print("working: 42 %", file=sys.stderr, flush=True)
    Path("began").touch()
    try:
        time.sleep(60)
    except KeyboardInterrupt:
        Path("cleaned-up").touch()
        sys.exit(130)
"""


@pytest.fixture(autouse=True)
def _stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Put a stand-in before the real command line, and leave no process behind."""
    folder = tmp_path / "stand-in"
    folder.mkdir()
    (folder / "tonnage.py").write_text(STAND_IN, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(folder))
    yield
    for job in jobs.list_jobs():
        if jobs.cancel(job.id):
            until(lambda job=job: not status(job.id).is_active)  # type: ignore[misc]


def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds, for a bounded time."""
    give_up_at = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < give_up_at, "it never came true"
        time.sleep(0.02)


def status(job_id: str) -> Job:
    """How a job that exists stands."""
    job = jobs.status(job_id)
    assert job is not None
    return job


def asked(deed: str, kind: JobKind = "simulate") -> JobRequest:
    """A request that has the stand-in do something."""
    return JobRequest(kind, "memory-oom", None, {"deed": deed})


def ended(deed: str) -> Job:
    """A job after its end."""
    job_id = jobs.submit(asked(deed))
    until(lambda: not status(job_id).is_active)
    return status(job_id)


def working(deed: str = "work", kind: JobKind = "simulate") -> str:
    """The id of a job whose command is at work."""
    job_id = jobs.submit(asked(deed, kind))
    until((jobs.folder() / job_id / "began").exists)
    return job_id


def test_a_job_that_answers_is_done_and_knows_its_record() -> None:
    """The record that the command names is the job's result."""
    job = ended("answer")

    assert ("done", 1.0, "/somewhere/runs/one") == (job.state, job.progress_ratio, str(job.result))


def test_two_jobs_of_one_second_keep_their_records_apart() -> None:
    """A run's directory is named after its time and story, and after its job."""
    names = [jobs.record_directory(f"20261121T023118740863-{tail}", "memory-oom").name for tail in ("aaaa", "bbbb")]

    assert ["20261121-023118-memory-oom-aaaa", "20261121-023118-memory-oom-bbbb"] == names


def test_a_verdict_against_the_model_is_an_answer_too() -> None:
    """Exit code 1 means that something does not fit or agree, not that anything failed."""
    assert ended("disagree").state == "done"


def test_a_refusal_is_a_failure_with_its_reason() -> None:
    """The command's last line says why."""
    job = ended("refuse")

    assert ("failed", "there is no such story") == (job.state, job.error)
    assert ["tonnage: there is no such story"] == jobs.log_lines(job.id)


def test_a_failure_without_a_word_still_has_a_reason() -> None:
    """The exit code tells what kind of failure it was."""
    assert ended("say-nothing").error == "a bug in Tonnage"


def test_progress_is_read_off_what_the_command_says() -> None:
    """The last line is the text, and a percentage in it the progress."""
    job_id = working()
    until(lambda: status(job_id).progress_ratio is not None)

    assert ("running", 0.42, "working: 42 %") == (
        status(job_id).state,
        status(job_id).progress_ratio,
        status(job_id).text,
    )


@pytest.mark.parametrize(
    ("line", "ratio"),
    [("42 %", 0.42), ("real run 3 of 4: 30 s", 0.5), ("run 1 of 3", 0.0), ("120 %", 1.0), ("working", None)],
)
def test_a_line_may_tell_how_far_the_work_is(line: str, ratio: float | None) -> None:
    """The third of four runs being under way, half is done."""
    assert ratio == job_process.progress_ratio(line)


def test_a_cancelled_job_may_clean_up() -> None:
    """Cancelling is Ctrl-C: the command ends in its own way, and then the job is cancelled."""
    job_id = working()

    assert jobs.cancel(job_id)
    until(lambda: not status(job_id).is_active)
    assert status(job_id).state == "cancelled"
    assert (jobs.folder() / job_id / "cleaned-up").exists()


def test_a_job_that_ended_cannot_be_cancelled() -> None:
    """There is nobody left to ask."""
    assert not jobs.cancel(ended("answer").id)


def test_a_job_is_in_a_session_of_its_own() -> None:
    """What ends the server, or the terminal it was started in, does not reach the job."""
    pid = json.loads((jobs.folder() / working() / "state.json").read_text(encoding="utf-8"))["pid"]

    assert pid == os.getsid(pid) != os.getsid(0)


def test_a_job_whose_process_is_gone_has_failed() -> None:
    """After a kill -9 of the whole group the state says so, instead of running for ever."""
    job_id = working()
    pid = jobs.read_state(jobs.folder() / job_id)["pid"]
    os.killpg(pid, signal.SIGKILL)
    until(lambda: not status(job_id).is_active)

    assert (status(job_id).state, status(job_id).error[:25]) == ("failed", "the job's process is gone")


def test_only_two_jobs_run_at_once_and_the_others_in_order() -> None:
    """A third job waits, and starts when one ends."""
    first, second = working(), working()
    third = jobs.submit(asked("answer"))
    time.sleep(2 * job_process.POLL_S)

    assert ["running", "running", "queued"] == [status(job_id).state for job_id in (first, second, third)]
    jobs.cancel(first)
    until(lambda: status(third).state == "done")
    assert status(second).state == "running"


def test_a_live_job_runs_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits until every job has ended, and whatever comes later waits for it."""
    monkeypatch.setenv(ALLOW_LIVE, "1")
    first = working()
    live = jobs.submit(asked("work", "run_live"))
    later = jobs.submit(asked("answer"))
    time.sleep(2 * job_process.POLL_S)

    assert ["running", "queued", "queued"] == [status(job_id).state for job_id in (first, live, later)]
    jobs.cancel(first)
    until((jobs.folder() / live / "began").exists)
    time.sleep(2 * job_process.POLL_S)
    assert ["running", "queued"] == [status(job_id).state for job_id in (live, later)]


def test_a_cancelled_job_that_had_to_be_killed_says_what_to_do() -> None:
    """It is cancelled, as was asked, and not failed; what it had no time for is for the doctor."""
    job_id = working("go-on")
    jobs.cancel(job_id)
    jobs.cancel(job_id)
    until(lambda: not status(job_id).is_active)

    assert ("cancelled", "") == (status(job_id).state, status(job_id).error)
    assert "tonnage doctor --fix" in status(job_id).text


def test_a_job_that_ends_too_late_after_a_cancel_is_cancelled(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed by its own process after the grace, it is told like one that was killed by a second cancel."""
    place = _written("running")
    killed: list[int] = []
    monkeypatch.setattr(os, "killpg", lambda _group, number: killed.append(number))
    monkeypatch.setattr(signal, "signal", lambda _number, _handler: None)
    ending = job_process.Ending()
    ending.is_asked = True
    job_process._end_group(place, ending)  # What follows it in earnest is the end of the process.

    assert [signal.SIGKILL] == killed
    assert ("cancelled", jobs.KILLED_WORDS) == (status(place.name).state, status(place.name).text)


def test_a_waiting_job_can_be_cancelled() -> None:
    """Nothing of it is ever run."""
    working(), working()
    third = jobs.submit(asked("work"))
    until(lambda: jobs.read_state(jobs.folder() / third)["pid"] is not None)
    jobs.cancel(third)
    until(lambda: status(third).state == "cancelled")

    assert not (jobs.folder() / third / "began").exists()


def test_a_process_that_took_over_the_number_is_left_alone() -> None:
    """A recycled process id is told by its start, and neither signalled nor taken for the job."""
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    try:
        place = _written("running", pid=stranger.pid, pid_start=psutil.Process(stranger.pid).create_time() - 1_000)

        assert not jobs.cancel(place.name)
        assert status(place.name).state == "failed"
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_job_that_ends_while_it_is_looked_at_has_not_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last state that a process wrote itself stands, even if the process is found gone just after."""
    place = _written("running", pid=os.getpid(), pid_start=0.0)

    def end_and_go(_state: dict[str, object]) -> bool:
        jobs.write_state(place, state="done")
        return True

    monkeypatch.setattr(jobs, "_is_gone", end_and_go)

    assert status(place.name).state == "done"


def test_a_job_that_never_started_has_failed_after_a_while() -> None:
    """A server killed between writing the job down and starting it leaves no job waiting for ever."""
    place = _written("queued", submitted_at="2026-01-01T00:00:00+00:00")

    assert status(place.name).state == "failed"


def test_waiting_jobs_are_bounded() -> None:
    """A page cannot pile up work without end."""
    for number in range(jobs.WAITING_MAX):
        _written("queued", number, pid=os.getpid(), pid_start=psutil.Process().create_time())

    with pytest.raises(JobError, match="20 jobs are waiting already"):
        jobs.submit(STORY)
    for place in jobs.folder().iterdir():
        jobs.write_state(place, state="failed")


def test_old_jobs_are_forgotten() -> None:
    """The folders of ended jobs do not grow without end."""
    for number in range(jobs.KEPT_MAX + 5):
        _written("done", number)
    ended("answer")

    assert len(jobs.list_jobs()) == jobs.KEPT_MAX + 1


@pytest.mark.parametrize("job_id", ["../runs", "", "20261121T000000000000-zzzzzzzz", "20261121T000000000000-00000000"])
def test_an_unknown_job_is_none(job_id: str) -> None:
    """Whatever a URL names, only jobs are looked up."""
    assert jobs.status(job_id) is None


def test_a_broken_folder_is_no_job() -> None:
    """Files that cannot be read hide no other job."""
    place = _written("done")
    (place / "request.json").write_text("{", encoding="utf-8")

    assert [] == jobs.list_jobs()


@pytest.mark.parametrize(
    ("output", "path"),
    [
        ({"record": "/home/runs/a"}, "/home/runs/a"),
        ({"live_runs": ["/home/validations/a/live-1"]}, "/home/validations/a"),
        ({}, None),
    ],
)
def test_the_result_is_what_the_command_names(output: dict[str, object], path: str | None) -> None:
    """A run names its record; a validation may be told by its runs."""
    assert path == job_process.result_path(output)


def _written(state: str, number: int = 0, **more: object) -> Path:
    """The folder of a job that nobody started, in a state."""
    place = jobs.folder() / f"20261121T{number:012d}-00000000"
    place.mkdir(parents=True)
    (place / "request.json").write_text(json.dumps(STORY.to_json()), encoding="utf-8")
    jobs.write_state(place, state=state, **more)
    return place
