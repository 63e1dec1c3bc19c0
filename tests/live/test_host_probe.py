"""Probes of this machine as children of this process; no engine is needed for them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from live import host_probe
from live.host_probe import PROGRAM, HostProbes, obstacle, unprobed
from live.real_time import LiveEnvironment
from live.slow_calls import SlowCalls
from scenarios import load_text
from sim.machine import Probed, Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scenarios import Story

EVERY_S, COMPUTE_S = 0.02, 0.001
UP_S_MAX = 15.0
INFO = {"NCPU": 2}


@pytest.fixture(name="env")
def _env() -> Iterator[LiveEnvironment]:
    with LiveEnvironment() as env:
        yield env


@pytest.fixture(name="probes")
def _probes(env: LiveEnvironment) -> Iterator[HostProbes]:
    calls = SlowCalls(env)
    probes = HostProbes(env, calls, "")
    yield probes
    probes.close()
    calls.end(5.0)


def children() -> list[psutil.Process]:
    """The probes that run now as children of this process."""
    return [one for one in psutil.Process().children() if "live.host_probe_program" in " ".join(command_line(one))]


def command_line(child: psutil.Process) -> list[str]:
    """What a child was started with; a new program's is empty for a moment after its start has succeeded."""
    deadline_s = time.monotonic() + UP_S_MAX
    while not (words := child.cmdline()) and time.monotonic() < deadline_s:
        time.sleep(0.001)
    return words


def test_a_probe_tells_when_it_was_due_and_when_it_had_its_cpu(env: LiveEnvironment, probes: HostProbes) -> None:
    """One interval after another on the run's clock, each with its CPU time at least, and nothing runs afterwards."""
    found = env.run(until=probes.begin("h", EVERY_S, COMPUTE_S, env.timeout(1.0)))

    assert isinstance(found, Probed)
    assert "h" == found.host
    assert len(found.due_s) >= 3
    assert [pytest.approx(found.due_s[0] + number * EVERY_S) for number in range(len(found.due_s))] == list(found.due_s)
    pairs = list(zip(found.due_s, found.finish_s, strict=True))
    assert all(0.0 < due_s < finish_s - 0.9 * COMPUTE_S < env.clock() for due_s, finish_s in pairs)
    assert [] == children()


def test_what_probes_use_is_counted(env: LiveEnvironment, probes: HostProbes) -> None:
    """Both while they run and after they have ended, at least what they burnt."""
    assert 0.0 == probes.cpu_s
    answer = probes.begin("h", EVERY_S, 0.01, env.timeout(1.5))
    env.run(until=env.timeout(1.0))
    during_s = probes.cpu_s
    found = env.run(until=answer)
    assert isinstance(found, Probed)

    assert 0.0 < during_s <= probes.cpu_s
    # What it burnt after it was read last is missing.
    assert during_s >= 0.5 * 0.01 * sum(finish_s < 1.0 for finish_s in found.finish_s)


def test_a_second_probe_of_a_host_is_refused(env: LiveEnvironment, probes: HostProbes) -> None:
    """Until the first has ended."""
    until = env.timeout(0.2)
    first = probes.begin("h", EVERY_S, COMPUTE_S, until)
    second = probes.begin("h", EVERY_S, COMPUTE_S, until)
    env.run(until=first)

    assert Refused("h", "it is probed already") == second.value
    assert isinstance(env.run(until=probes.begin("h", EVERY_S, COMPUTE_S, env.timeout(0.2))), Probed)


def test_a_probe_that_cannot_be_is_refused_with_the_reason(env: LiveEnvironment) -> None:
    """Nothing is started where it is known that nothing can be probed."""
    probes = HostProbes(env, SlowCalls(env), "it is far away")

    assert Refused("h", "it is far away") == probes.begin("h", EVERY_S, COMPUTE_S, env.timeout(1.0)).value
    assert [] == children()


def test_a_probe_that_dies_is_refused_at_its_end(env: LiveEnvironment, probes: HostProbes) -> None:
    """Its times died with it, and the answer says how it ended."""
    answer = probes.begin("h", EVERY_S, COMPUTE_S, env.timeout(0.5))
    [child] = children()
    child.kill()

    assert Refused("h", "its probe ended with exit code -9") == env.run(until=answer)


def test_no_process_is_a_refusal(env: LiveEnvironment, probes: HostProbes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that is full says so, and the run goes on."""
    monkeypatch.setattr(sys, "executable", "/nowhere/python")

    answer = probes.begin("h", EVERY_S, COMPUTE_S, env.timeout(1.0))

    assert Refused("h", "no process could be started for it (No such file or directory)") == answer.value


def test_closing_ends_what_runs(env: LiveEnvironment, probes: HostProbes) -> None:
    """A run that ends before its time leaves no child, and closing twice is closing once."""
    probes.begin("h", EVERY_S, COMPUTE_S, env.timeout(60.0))
    before = children()
    probes.close()
    probes.close()

    assert 1 == len(before)
    assert [] == children()


def test_a_probe_ends_with_whoever_started_it() -> None:
    """Where its parent is killed, its stdin closes and it ends."""
    starting = f"""
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-I", "-S", "-c", {PROGRAM!r}, "0.05", "0.001", "100"],
    stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
print(child.pid, flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", starting], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        parent.kill()

    psutil.wait_procs([child], timeout=UP_S_MAX)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_a_probe_keeps_no_more_than_it_may() -> None:
    """After as many times as it was told it rests, and tells of those."""
    command = [sys.executable, "-I", "-S", "-c", PROGRAM, "0.001", "0.0001", "7"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        time.sleep(1.0)
        told, _ = child.communicate()

    assert (0, 7 * 2 * 8) == (child.returncode, len(told))


# Where a host can be probed at all.


def story(hosts: str) -> Story:
    """A story of these hosts."""
    text = "purpose: P.\nduration: 5s\nhosts: {%s}\ncontainers: {box: {host: a}}\n"
    return load_text(text % hosts, "t")


@pytest.mark.parametrize(
    ("where", "hosts", "usable", "why"),
    [
        ("here", "a: {cpus: 2, memory: 4g}", {0, 1}, ""),
        ("elsewhere", "a: {cpus: 2, memory: 4g}", {0, 1}, "its engine runs elsewhere"),
        ("desktop", "a: {cpus: 2, memory: 4g}", {0, 1}, "its engine runs elsewhere"),
        ("here", "a: {cpus: 1, memory: 4g}", {0, 1}, "it has not exactly the engine's 2 cores"),
        (
            "here",
            "a: {cpus: 1, memory: 4g}, b: {cpus: 1, memory: 4g}",
            {0, 1},
            "it has not exactly the engine's 2 cores",
        ),
        ("here", "a: {cpus: 2, memory: 4g}", {1}, "may run on 1 of the engine's 2 cores only"),
    ],
)
def test_a_host_is_probed_where_it_is_this_machine(
    monkeypatch: pytest.MonkeyPatch, where: str, hosts: str, usable: set[int], why: str
) -> None:
    """The engine's machine, all of it, with every core open to this program; else there is a reason."""

    def told_place(_: dict[str, Any]) -> str:
        return where

    monkeypatch.setattr(host_probe, "place", told_place)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: usable)
    told = obstacle(story(hosts), INFO)

    assert why in told
    assert bool(why) == bool(told)


def test_a_host_that_could_not_be_probed_speaks_against_the_run() -> None:
    """Its latency is missing, and each such host is named with its reason; nothing else that happened is."""
    events = {"what": ["started", "probe_refused"], "detail": ["", "laptop: its engine runs elsewhere"]}

    assert ["a host could not be probed: laptop: its engine runs elsewhere"] == unprobed(events)
    assert [] == unprobed({"what": ["started"], "detail": [""]})
