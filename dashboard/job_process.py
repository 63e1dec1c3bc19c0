"""One job's own process: waits for its turn, runs the command line, and writes down how it goes.

Started by `dashboard.jobs.submit` as `python -m dashboard.job_process ID`, in a session of its own.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, TextIO

import psutil

from dashboard import jobs
from dashboard.job_request import JobRequest, command_line

if TYPE_CHECKING:
    from pathlib import Path
    from types import FrameType

POLL_S = 1.0
"""A job that looks after itself more often would be load on the machine that it measures."""

CANCEL_GRACE_S = 120.0
"""How long a command may take to clean up after a cancel: a live run has containers to remove."""

DURATION_S_MAX = 6 * 3600.0
"""No job may run for longer."""

LOG_TAIL_BYTES = 4_096
TEXT_LENGTH_MAX = 400

EXIT_MEANINGS = {
    2: "the request was refused",
    3: "no Docker engine can be reached",
    70: "a bug in Tonnage",
    130: "interrupted",
}


class Ending:
    """Whether this process was asked to end; signal handlers write it, the loops read it."""

    def __init__(self) -> None:
        """Listen for the signals that ask."""
        self.is_asked = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._ask)

    def _ask(self, _number: int, _frame: FrameType | None) -> None:
        """Take note of a signal."""
        self.is_asked = True


def run(job_id: str) -> None:
    """Carry one job through, from waiting for its turn to its last state."""
    ending = Ending()
    place = jobs.folder() / job_id
    if jobs.read_state(place).get("state") != "queued":
        return
    jobs.write_state(place, pid=os.getpid(), pid_start=psutil.Process().create_time())
    request = JobRequest.from_json(json.loads((place / "request.json").read_text(encoding="utf-8")))
    turns = _wait_for_turns(job_id, ending, count=turns_count(request))
    if turns is None:
        jobs.write_state(place, state="cancelled", text="cancelled")
        return
    with turns:
        _carry_out(place, request, ending)


def turns_count(request: JobRequest) -> int:
    """How many turns a job needs: a simulation one, a live job all there are, so that nothing runs beside it."""
    return 1 if request.kind == "simulate" else jobs.RUNNING_MAX


def _wait_for_turns(job_id: str, ending: Ending, *, count: int) -> contextlib.ExitStack | None:
    """Wait until so many turns are free and no job waits that came before; None if asked to end meanwhile."""
    while not ending.is_asked:
        if not any(job.state == "queued" and job.id < job_id for job in jobs.list_jobs()):
            turns = _take_turns(count)
            if turns is not None:
                return turns
        time.sleep(POLL_S)
    return None


def _take_turns(count: int) -> contextlib.ExitStack | None:
    """Take the first free turns in their order; None, and none of them is kept, where there are fewer than asked.

    A turn is a locked file: the kernel gives it back in whatever way its holder ends.
    """
    with contextlib.ExitStack() as taken:
        missing_count = count
        for number in range(jobs.RUNNING_MAX):
            turn = _lock(jobs.folder() / f"turn-{number}.lock") if missing_count else None
            if turn is not None:
                taken.enter_context(turn)
                missing_count -= 1
        return None if missing_count else taken.pop_all()


def _lock(file: Path) -> TextIO | None:
    """The file, locked; None where another process holds it."""
    handle = file.open("w", encoding="utf-8")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        handle.close()
        return None
    return handle


def _carry_out(place: Path, request: JobRequest, ending: Ending) -> None:
    """Run the command and write down its end."""
    jobs.write_state(place, state="running", text="started")
    words = command_line(request, jobs.record_directory(place.name, request.story))
    with (place / "output.json").open("wb") as output, (place / "log.txt").open("wb") as log:
        command = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=output, stderr=log, cwd=place)
    is_over = _watch(command, place, ending)
    if not is_over:
        _end_group(place, ending)
    if ending.is_asked:
        jobs.write_state(place, state="cancelled", text="cancelled")
    else:
        _conclude(place, command.returncode)


def _watch(command: subprocess.Popen[bytes], place: Path, ending: Ending) -> bool:
    """Follow the command until it ends; False where it had to be given up."""
    give_up_at = time.monotonic() + DURATION_S_MAX
    asked = False
    while command.poll() is None:
        if ending.is_asked and not asked:
            asked, give_up_at = True, time.monotonic() + CANCEL_GRACE_S
        if time.monotonic() > give_up_at:
            return False
        if not asked:
            _note_progress(place)
        time.sleep(POLL_S)
    return True


def _end_group(place: Path, ending: Ending) -> None:
    """End this process and all it started, at once; the state is written before, since nothing follows."""
    if ending.is_asked:
        jobs.write_state(place, state="cancelled", text=jobs.KILLED_WORDS)
    else:
        jobs.write_state(place, state="failed", text="failed", error="it did not end in time and was killed")
    os.killpg(os.getpgrp(), signal.SIGKILL)


def _note_progress(place: Path) -> None:
    """Write the last line of the log as the job's text, and how far it got if the line tells."""
    line = _last_line(place / "log.txt")
    known = jobs.read_state(place)
    if line and line != known.get("text"):
        progress = progress_ratio(line)
        jobs.write_state(place, text=line, progress=known.get("progress") if progress is None else progress)


def _last_line(file: Path) -> str:
    """The last line of a log that may rewrite its line with carriage returns."""
    with file.open("rb") as log:
        log.seek(max(file.stat().st_size - LOG_TAIL_BYTES, 0))
        text = log.read().decode("utf-8", errors="replace")
    lines = [line.strip() for line in re.split(r"[\r\n]+", text) if line.strip()]
    return lines[-1][:TEXT_LENGTH_MAX].removeprefix("tonnage: ") if lines else ""


def progress_ratio(line: str) -> float | None:
    """How far a line says the work is: "42 %" or "run 2 of 3" (two of three under way: one is done); else None."""
    percent = re.search(r"(\d+(?:\.\d+)?) ?%", line)
    if percent:
        return min(float(percent[1]) / 100, 1.0)
    part = re.search(r"(\d+) of (\d+)", line)
    if part and int(part[2]) > 0:
        return min(max(int(part[1]) - 1, 0) / int(part[2]), 1.0)
    return None


def _conclude(place: Path, exit_code: int) -> None:
    """Write the state a command's end leads to: 0 and 1 are answers, the rest are failures."""
    if exit_code in {0, 1}:
        result = result_path(_output(place))
        jobs.write_state(place, state="done", progress=1.0, text="done", result=result)
        return
    reason = _last_line(place / "log.txt") or EXIT_MEANINGS.get(exit_code, f"the command ended with {exit_code}")
    jobs.write_state(place, state="failed", text=EXIT_MEANINGS.get(exit_code, "failed"), error=reason)


def _output(place: Path) -> dict[str, Any]:
    """The JSON object the command printed; empty where it printed none."""
    try:
        data = json.loads((place / "output.json").read_text(encoding="utf-8"))
    except ValueError:
        return {}
    return data if isinstance(data, dict) else {}


def result_path(output: dict[str, Any]) -> str | None:
    """The directory a command's JSON names: a run's record, or the folder around a validation's runs."""
    named = output.get("record") or output.get("directory")
    if named:
        return str(named)
    live_runs = output.get("live_runs") or []
    return str(live_runs[0]).rpartition("/")[0] if live_runs else None


if __name__ == "__main__":
    run(sys.argv[1])
