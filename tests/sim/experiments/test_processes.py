"""Processes of our own: the order of what they come to, and how they end."""

from __future__ import annotations

import multiprocessing
import operator
import os
import time
from contextlib import closing

import pytest

from sim.errors import RequestError
from sim.experiments.processes import Processes, usable_cores_count


def test_results_come_in_the_order_of_the_tasks() -> None:
    """What was asked for first is told first, whoever is done first, and there are no more processes than asked for."""
    with closing(Processes(2)) as processes:
        found = list(processes.results(operator.pow, [(2, number) for number in range(5)]))
        again = list(processes.results(os.getpid, [()] * 6))

    assert [1, 2, 4, 8, 16] == found
    assert os.getpid() not in again
    assert len(set(again)) <= 2


def test_what_goes_wrong_in_another_process_goes_wrong_here() -> None:
    """An exception of the work is the exception of whoever wanted it."""
    with closing(Processes(1)) as processes, pytest.raises(ZeroDivisionError):
        list(processes.results(operator.truediv, [(1, 0)]))


def test_a_process_that_is_lost_is_one_line() -> None:
    """Whatever ended it, what is left to do is said."""
    with closing(Processes(2)) as processes:
        with pytest.raises(RequestError, match=r"^a process that simulates ended unasked, .* --jobs 1 needs") as caught:
            list(processes.results(os._exit, [(1,)]))
        with pytest.raises(RequestError):
            list(processes.results(abs, [(1,)]))

    assert "\n" not in str(caught.value)
    assert [] == multiprocessing.active_children()


def test_whoever_closes_waits_for_nobody() -> None:
    """Work that would take hours ends in the middle, what has not begun is not begun, and nobody is left."""
    processes = Processes(2)
    results = processes.results(time.sleep, [(0,), (36_000,), (36_000,), (36_000,)])
    assert next(results) is None
    assert 1 <= len(multiprocessing.active_children()) <= 2
    processes.close()

    assert [] == multiprocessing.active_children()


def test_nothing_need_be_started_to_be_closed() -> None:
    """Without work there is no process, and nothing to wait for."""
    Processes(3).close()

    assert [] == multiprocessing.active_children()


def test_cores_are_those_that_may_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system says which cores a process may use they are counted, elsewhere all there are."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {3, 5, 6}, raising=False)
    assert 3 == usable_cores_count()

    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 7)
    assert 7 == usable_cores_count()
