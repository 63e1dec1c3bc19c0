"""What a web page may ask of the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from dashboard.errors import DashboardError, JobError
from dashboard.job_request import ALLOW_LIVE, JobRequest, check, command_line

RECORD = Path("/home/runs/one")


def test_a_simulation_is_a_run_in_the_simulated_world() -> None:
    """Seed and settings become options, and the answer is asked for as JSON."""
    request = JobRequest("simulate", "memory-oom", 7, {"agents.worker.count": "8"})

    expected = ["-m", "tonnage", "run", "memory-oom", "--on", "sim", "--seed", "7", "--set", "agents.worker.count=8"]
    assert [*expected, "--record", "/home/runs/one", "--json"] == command_line(request, RECORD)[2:]


@pytest.mark.parametrize("kind", ["run_live", "validate"])
def test_live_work_is_refused_unless_the_server_allows_it(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the flag no web page reaches the Docker engine."""
    monkeypatch.delenv(ALLOW_LIVE, raising=False)

    with pytest.raises(JobError, match="tonnage dashboard --allow-live"):
        check(JobRequest(kind, "memory-oom"))  # type: ignore[arg-type]  # Each case is a kind.


def test_live_work_is_passed_on_where_it_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the flag a story runs on Docker, or in both worlds."""
    monkeypatch.setenv(ALLOW_LIVE, "1")

    live, both = (command_line(JobRequest(kind, "memory-oom", 7), RECORD)[4:] for kind in ("run_live", "validate"))

    assert ["run", "memory-oom", "--on", "docker", "--seed", "7", "--record", "/home/runs/one", "--json"] == live
    assert ["validate", "memory-oom", "--seed", "7", "--json"] == both


@pytest.mark.parametrize(
    "request_",
    [
        JobRequest("simulate", "../secret.yaml"),
        JobRequest("simulate", "/etc/passwd"),
        JobRequest("simulate", "--help"),
        JobRequest("simulate", ""),
        JobRequest("simulate", "memory-boom"),
        JobRequest("simulate", "x" * 200),
        JobRequest("doctor", "memory-oom"),  # type: ignore[arg-type]  # A forged request.
        JobRequest("simulate", "memory-oom", None, {"a b": "1"}),
        JobRequest("simulate", "memory-oom", None, {"agents.worker.count": "8\n9"}),
        JobRequest("simulate", "memory-oom", None, {"agents.worker.count": "8" * 200}),
        JobRequest("simulate", "memory-oom", None, {f"a.x{index}": "1" for index in range(60)}),
    ],
    ids=lambda request: f"{request.kind} {request.story[:20]} {list(request.settings.items())[:1]}"[:60],
)
def test_whatever_is_no_story_with_values_is_refused(request_: JobRequest) -> None:
    """A page's request holds no path, no option and no command."""
    with pytest.raises(JobError):
        check(request_)


def test_a_request_survives_its_file() -> None:
    """What is written down for the job's process is what was asked."""
    request = JobRequest("simulate", "memory-oom", 7, {"agents.worker.count": "8"})

    assert request == JobRequest.from_json(request.to_json())


@pytest.mark.parametrize("error", [DashboardError, JobError])
def test_an_error_survives_being_made_anew(error: type[DashboardError]) -> None:
    """An error made again from its arguments says the same."""
    made = error("20 jobs are waiting already; wait for some to end")
    again = type(made)(*made.args)

    assert (str(made), made.args) == (str(again), again.args)
