"""Faults against the rest of the story: whom they strike, when, and how often."""

from __future__ import annotations

import pytest

from scenarios import load_text
from tests.scenarios.life_story import SOUND, complaints

CONTAINERS = "a name out of containers: one, two, db"
HOSTS = "for a name out of hosts: left, right"
OURS = "it must be for a container without an image: db runs a program that cannot be told to do this"
TMPFS = "it must be a container with a tmpfs, such as tmpfs: /scratch:size=50m"
ALREADY = "it must be left out, because there is one for"
WRONG = [
    ("{kill: on, at: 1s}", f'faults.0.kill is "on"; it must be {CONTAINERS}; write for example one'),
    ("{crash: on, at: 1s}", f'faults.0.crash is "on"; it must be for {CONTAINERS}; on is none'),
    ("{crash: {container: on}, at: 1s}", f"faults.0.crash is a mapping; it must be for {CONTAINERS}; on is none"),
    (
        "{hang: {container: on, for: 1s}, at: 1s}",
        f'faults.0.hang.container is "on"; it must be {CONTAINERS}; write for example one',
    ),
    ("{fill_disk: on, at: 1s}", f'faults.0.fill_disk is "on"; it must be {CONTAINERS}; write for example one'),
    (
        "{kill_process: x, at: 1s}",
        'faults.0.kill_process is "x"; it must be a name out of agents: w; write for example w',
    ),
    ("{lose_host: lft, at: 1s}", f'faults.0.lose_host is "lft"; it must be {HOSTS}; lft is none'),
    ("{lose_host: {}, at: 1s}", f"faults.0.lose_host is an empty mapping; it must be {HOSTS}"),
    ("{stop_engine: {for: 1s}, at: 1s}", f"faults.0.stop_engine is a mapping; it must be {HOSTS}"),
    ("{crash: db, at: 1s}", f'faults.0.crash is "db"; {OURS}'),
    ("{hang: {container: db, for: 1s}, at: 1s}", f'faults.0.hang.container is "db"; {OURS}'),
    ("{leak: {container: db, memory: 1m, over: 1s}, at: 1s}", f'faults.0.leak.container is "db"; {OURS}'),
    ("{fill_disk: db, at: 1s}", f'faults.0.fill_disk is "db"; {OURS}'),
    ("{slow_start: {container: db, delay: 1s}}", f'faults.0.slow_start.container is "db"; {OURS}'),
    ("{fill_disk: two, at: 1s}", f'faults.0.fill_disk is "two"; {TMPFS}'),
    (
        "{limit: {container: one, cpus: 3}, at: 1s}",
        "faults.0.limit.cpus is 3; it must be at most the host's 2 cores, or Docker refuses it; write for example 2",
    ),
    (
        "{kill_process: w, at: 30s}",
        'faults.0.at is "30s"; it must be before the end of the run, 30s; write for example 0s',
    ),
    (
        "{kill_process: w, at: {exponential: 40s}}",
        "faults.0.at is a mapping; it must be before the end of the run, 30s; write for example 0s",
    ),
    (
        "{kill_process: w, at: 1s, every: {uniform: [0s, 1ms]}}",
        (
            "faults.0.every is a mapping; it must be 3ms or more on average, so that faults do not happen more "
            "than 10,000 "
            "times; write for example 3ms"
        ),
    ),
    (
        "{kill: two, at: 1s}, {kill_process: w, at: 1s, every: 5ms}",
        (
            'faults.1.every is "5ms"; it must be 6ms or more on average, so that faults do not happen more than 10,000 '
            "times; write for example 6ms"
        ),
    ),
    (
        "{slow_start: {container: one, delay: 1s}}, {slow_start: {container: one, delay: 2s}}",
        f"faults.1 is a mapping; {ALREADY} the start of one already",
    ),
    ("{notices: {late: 1s}}, {notices: {lost: 1}}", f"faults.1 is a mapping; {ALREADY} notices already"),
]
SOUND_FAULTS = (
    "{kill: db, at: 1s}",
    "{limit: {container: db, cpus: 2, mem_limit: 6m}, at: 0s}",
    "{kill_process: w, at: {uniform: [10s, 40s]}}",
    "{crash: one, at: 1s, every: {exponential: 3ms}}",
    "{slow_start: {container: one, delay: 1s}}, {slow_start: {container: two, delay: 1s}}",
)


@pytest.mark.parametrize(("faults", "complaint"), WRONG, ids=range(len(WRONG)))
def test_what_does_not_go_together_is_named(faults: str, complaint: str) -> None:
    """The finding is the only one, with its line, its value and what would go."""
    assert [f"t:9: {complaint}"] == complaints("agents:\n", f"faults: [{faults}]\nagents:\n")


@pytest.mark.parametrize("faults", SOUND_FAULTS, ids=range(len(SOUND_FAULTS)))
def test_what_goes_together_passes(faults: str) -> None:
    """An image can be killed and limited, a time may lie in the run, and as many blows as are allowed are."""
    assert load_text(SOUND.replace("agents:\n", f"faults: [{faults}]\nagents:\n"), "t").containers


@pytest.mark.parametrize(
    ("limit", "scale", "complaint"),
    [
        (
            "mem_limit: 8m",
            "memory: 1/2",
            'live.scale.memory is "1/2"; it must be larger: a fault leaves two 4m, and Docker demands 6m',
        ),
        (
            "cpus: 0.01",
            "cpus: 1/2",
            'live.scale.cpus is "1/2"; it must be larger: a fault leaves two less than 0.01 cpus',
        ),
    ],
)
def test_a_scaled_limit_must_still_be_one_that_docker_takes(limit: str, scale: str, complaint: str) -> None:
    """Limits that faults set are scaled as those that containers have."""
    fault = f"live: {{scale: {{{scale}}}}}\nfaults: [{{limit: {{container: two, {limit}}}, at: 1s}}]\nagents:\n"

    assert [f"t:9: {complaint}"] == complaints("agents:\n", fault)
