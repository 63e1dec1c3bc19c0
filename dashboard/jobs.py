"""The jobs a web page starts: each a folder of small files and a process of its own, which outlives page and server.

`home()/jobs/<id>/` holds `request.json` (what to do), `state.json` (how it goes), `output.json` (what the command
printed) and `log.txt` (what it said meanwhile). At most `RUNNING_MAX` run at once, and a live job runs alone, since
what runs beside it would show in its figures; the others wait in order.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import operator
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import psutil

from dashboard import wording
from dashboard.errors import JobError
from dashboard.job_request import JobRequest, check
from sim.places import home, runs

if TYPE_CHECKING:
    from collections.abc import Iterator

State = Literal["queued", "running", "done", "failed", "cancelled"]

RUNNING_MAX = 2
WAITING_MAX = 20
KEPT_MAX = 100
"""As many ended jobs as are kept; their records stay when a job's own folder goes."""

KILLED_WORDS = "killed before it had cleaned up; `tonnage doctor --fix` removes what it left on the engine"

SPAWN_GRACE = timedelta(seconds=30)
"""A process that has not said that it lives by then never will."""

PID_START_TOLERANCE_S = 2.0
"""Two readings of one process's start differ by less; a recycled process id is further off."""

JOB_ID = re.compile(r"\d{8}T\d{12}-[0-9a-f]{8}")
PROJECT_ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Job:
    """A job as it stands: `progress_ratio` is None while unknown, `result` is the record or validation it made."""

    id: str
    request: JobRequest
    state: State
    progress_ratio: float | None
    text: str
    submitted_at: str
    result: Path | None
    error: str

    @property
    def is_active(self) -> bool:
        """Whether the job waits or runs."""
        return self.state in {"queued", "running"}


def record_directory(job_id: str, story: str) -> Path:
    """Where a job's run is kept: named like any run, and by the job, since two may start in the same second."""
    day, _, clock = job_id.partition("-")[0].partition("T")
    return runs() / f"{day}-{clock[:6]}-{story}-{job_id.rpartition('-')[2]}"


def folder() -> Path:
    """The directory of all jobs."""
    return home() / "jobs"


def submit(request: JobRequest) -> str:
    """Start a job in a process of its own and return its id; `JobError` where it cannot be accepted."""
    check(request)
    waiting = sum(1 for job in list_jobs() if job.state == "queued")
    if waiting >= WAITING_MAX:
        raise JobError(f"{waiting} jobs are waiting already; wait for some to end, or cancel them")
    _forget_oldest()
    now = datetime.now(UTC)
    job_id = f"{now:%Y%m%dT%H%M%S%f}-{secrets.token_hex(4)}"
    place = folder() / job_id
    place.mkdir(parents=True)
    (place / "request.json").write_text(json.dumps(request.to_json()), encoding="utf-8")
    write_state(place, state="queued", submitted_at=now.isoformat(timespec="seconds"), text="waiting to start")
    _spawn(job_id, place)
    return job_id


def _spawn(job_id: str, place: Path) -> None:
    """Start the job's own process, in a session of its own, so that nothing that ends the server reaches it."""
    path = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), str(PROJECT_ROOT)]))
    with (place / "process.txt").open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "dashboard.job_process", job_id],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, "PYTHONPATH": path},
            cwd=place,
            start_new_session=True,
        )
    # Somebody has to take note of the process's end, or it stays a zombie for as long as the server lives.
    threading.Thread(target=process.wait, name=f"reaper of job {job_id}", daemon=True).start()


def status(job_id: str) -> Job | None:
    """How a job stands; None where there is no such job, whatever the text is. A job whose process is gone failed."""
    place = folder() / job_id
    if not JOB_ID.fullmatch(job_id) or not place.is_dir():
        return None
    state = read_state(place)
    if _is_unfinished(state) and _is_gone(state):
        state = _fail(place)
    return _job(job_id, place, state)


def _is_unfinished(state: dict[str, Any]) -> bool:
    """Whether a state is not a last one."""
    return state.get("state") in {"queued", "running"}


def _fail(place: Path) -> dict[str, Any]:
    """Write that a job's process is gone, unless it wrote its own last state just before; it may have been told to."""
    reason = "the job's process is gone: it was killed, or the machine was started anew"
    with _locked(place):
        state = read_state(place)
        if not _is_unfinished(state):
            return state
        if state.get("cancel_asked"):
            return _replace_state(place, state | {"state": "cancelled", "text": KILLED_WORDS})
        return _replace_state(place, state | {"state": "failed", "text": "failed", "error": reason})


def _job(job_id: str, place: Path, state: dict[str, Any]) -> Job | None:
    """The job that these files tell of; None where they are broken."""
    try:
        request = JobRequest.from_json(json.loads((place / "request.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    result = state.get("result")
    return Job(
        id=job_id,
        request=request,
        state=cast("State", state.get("state", "failed")),
        progress_ratio=state.get("progress"),
        text=str(state.get("text", "")),
        submitted_at=str(state.get("submitted_at", "")),
        result=Path(result) if result else None,
        error=str(state.get("error") or ""),
    )


def list_jobs() -> list[Job]:
    """All jobs, the newest first."""
    if not folder().is_dir():
        return []
    found = (status(place.name) for place in folder().iterdir())
    return sorted((job for job in found if job), key=operator.attrgetter("id"), reverse=True)


def cancel(job_id: str) -> bool:
    """Ask a job to end, as Ctrl-C would; a second time ends it at once. False where it is not under way."""
    job = status(job_id)
    if job is None or not job.is_active:
        return False
    place = folder() / job_id
    state = read_state(place)
    if state.get("pid") is None:
        write_state(place, state="cancelled", text="cancelled")
        return True
    is_second = bool(state.get("cancel_asked"))
    write_state(place, cancel_asked=True, text="ending")
    return _signal_group(state, signal.SIGKILL if is_second else signal.SIGINT)


def _signal_group(state: dict[str, Any], number: signal.Signals) -> bool:
    """Signal the job's process group, after making sure that the process is still the one that was started."""
    if not _is_alive(state):
        return False
    with contextlib.suppress(ProcessLookupError):
        os.killpg(int(state["pid"]), number)
    return True


def _is_gone(state: dict[str, Any]) -> bool:
    """Whether an unfinished job has nobody left to finish it."""
    if state.get("pid") is not None:
        return not _is_alive(state)
    submitted = wording.moment(state.get("submitted_at"))
    return submitted is None or datetime.now(UTC) - submitted > SPAWN_GRACE


def _is_alive(state: dict[str, Any]) -> bool:
    """Whether the process that a state names still runs, and is no later one with the same number."""
    try:
        process = psutil.Process(int(state["pid"]))
        started_s = process.create_time()
        is_zombie = process.status() == psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
    return not is_zombie and abs(started_s - float(state["pid_start"])) < PID_START_TOLERANCE_S


def read_state(place: Path) -> dict[str, Any]:
    """A job's state as its file tells it; empty where the file is broken."""
    try:
        data = json.loads((place / "state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


def write_state(place: Path, **changes: object) -> dict[str, Any]:
    """Change parts of a job's state; what another process changes at the same time is kept."""
    with _locked(place):
        return _replace_state(place, read_state(place) | changes)


@contextlib.contextmanager
def _locked(place: Path) -> Iterator[None]:
    """Keep other processes from changing a job's state meanwhile."""
    with (place / "state.lock").open("w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _replace_state(place: Path, state: dict[str, Any]) -> dict[str, Any]:
    """Write a whole state; a reader sees the old file or the new one, never half of one."""
    whole = {"state": "queued", "progress": None, "pid": None, "pid_start": None, "result": None, "error": None} | state
    new = place / "state.new"
    new.write_text(json.dumps(whole), encoding="utf-8")
    new.replace(place / "state.json")
    return whole


def log_lines(job_id: str, lines_max: int = 200) -> list[str]:
    """The last lines of what a job's command said."""
    try:
        text = (folder() / job_id / "log.txt").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return [line for line in re.split(r"[\r\n]+", text) if line.strip()][-lines_max:]


def _forget_oldest() -> None:
    """Remove the folders of the oldest ended jobs beyond `KEPT_MAX`."""
    ended = [job for job in list_jobs() if not job.is_active]
    for job in ended[KEPT_MAX:]:
        shutil.rmtree(folder() / job.id, ignore_errors=True)
