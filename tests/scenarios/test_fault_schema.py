"""Faults: what one entry alone may say."""

from __future__ import annotations

import pytest

from tests.scenarios.life_story import complaints

KINDS = (
    "kill, crash, hang, kill_process, leak, fill_disk, limit, stop_engine, crash_engine, lose_host, slow_start, notices"
)
ONE_KIND = f"it must be exactly one kind out of {KINDS}; write for example {{kill: agents, at: 10s}}"
WRONG = [
    (
        "{kill: one}",
        "faults.0.at is missing; it must be the time of the run at which it happens; write for example at: 10s",
    ),
    ("{at: 3s}", f"faults.0 is a mapping; {ONE_KIND}"),
    ("{kill: one, crash: one, at: 1s}", f"faults.0 is a mapping; {ONE_KIND}"),
    ("x", 'faults.0 is "x"; it must be a mapping: keys with values, one a line'),
    ("{bang: 3}", "faults.0.bang is not a key of the language; did you mean hang?"),
    ("{crash: {container: one, exit_code: 0}, at: 1s}", "faults.0.crash.exit_code is 0; it must be 1 or more"),
    (
        "{crash: {container: one, exit_code: 137}, at: 1s}",
        (
            "faults.0.crash.exit_code is 137; it must be another exit code than that of a kill, or a `kill` "
            "instead; write "
            "for example 1"
        ),
    ),
    ("{hang: {container: one}, at: 1s}", "faults.0.hang.for is missing; write for example for: 5s"),
    ("{hang: one, at: 1s}", 'faults.0.hang is "one"; it must be a mapping: keys with values, one a line'),
    ("{hang: {container: one, for: 0s}, at: 1s}", 'faults.0.hang.for is "0s"; it must be 1ms or more'),
    ("{hang: {container: one, for: 25h}, at: 1s}", 'faults.0.hang.for is "25h"; it must be 1d or less'),
    (
        "{leak: {container: one, memory: 0, over: 1s}, at: 1s}",
        "faults.0.leak.memory is 0; it must be 1k or more, and a plain number is bytes; write for example 64m",
    ),
    ("{leak: {container: one, memory: 1m}, at: 1s}", "faults.0.leak.over is missing; write for example over: 10s"),
    (
        "{limit: {container: one}, at: 1s}",
        "faults.0.limit.cpus is missing; it must be given, or mem_limit, or both; write for example cpus: 0.5",
    ),
    (
        "{limit: {container: one, mem_limit: 5m}, at: 1s}",
        'faults.0.limit.mem_limit is "5m"; it must be 6m or more, as Docker demands',
    ),
    (
        "{stop_engine: {host: left, for: 0s}, at: 1s}",
        'faults.0.stop_engine.for is "0s"; it must be 1ms or more',
    ),
    (
        "{slow_start: {container: one, delay: 1s}, at: 1s}",
        'faults.0.at is "1s"; it must be left out, because slow_start holds for the whole run',
    ),
    (
        "{notices: {lost: 1}, every: 3s}",
        'faults.0.every is "3s"; it must be left out, because notices holds for the whole run',
    ),
    (
        "{notices: {}}",
        (
            "faults.0.notices.lost is missing; it must be given, or another of late, twice and early; write for "
            "example "
            "lost: 0.1"
        ),
    ),
    (
        "{notices: {late_ratio: 0.5}}",
        "faults.0.notices.late is missing; it must be given where late_ratio is; write for example late: 2s",
    ),
    ("{notices: {lost: 2}}", "faults.0.notices.lost is 2; it must be 1 or less"),
    (
        "{crash: [1], at: 1s}",
        (
            "faults.0.crash is a list of 1; it must be a name: up to 63 letters, digits, - and _, a letter or "
            "digit first; "
            "write for example coder-1"
        ),
    ),
]


@pytest.mark.parametrize(("fault", "complaint"), WRONG, ids=range(len(WRONG)))
def test_one_mistake_is_answered_with_one_exact_line(fault: str, complaint: str) -> None:
    """Where it is, what stands there, and what would have worked."""
    assert [f"t:9: {complaint}"] == complaints("agents:\n", f"faults: [{fault}]\nagents:\n")


def test_faults_are_a_list() -> None:
    """Their order is the order of the file."""
    assert ["t:9: faults is a mapping; it must be a list"] == complaints("agents:\n", "faults: {kill: one}\nagents:\n")


def test_more_than_a_thousand_faults_are_a_slip() -> None:
    """A list of faults is read by people."""
    many = ", ".join(["{kill: one, at: 1s}"] * 1001)

    assert ["t:9: faults is a list of 1001; it must be at most 1,000 long"] == complaints(
        "agents:\n", f"faults: [{many}]\nagents:\n"
    )
