"""The words between driver and supervisor."""

from __future__ import annotations

from live import messages
from sim.machine import (
    Compute,
    DiskFull,
    Erase,
    Finished,
    Hold,
    Lost,
    Program,
    Read,
    Refused,
    Release,
    Sample,
    Sleep,
    Step,
    StepDone,
    Struck,
    Write,
)


def test_a_program_is_put_into_words() -> None:
    """Every kind of work has its word, demands as they were drawn."""
    memory = (Hold(4096, leak=False), Hold(8192, leak=True), Release())
    work = (Sleep(0.5), Compute(0.25, 2), *memory, Write(512), Read(256), Erase())
    words = [["sleep", 0.5], ["cpu", 0.25, 2], ["hold", 4096, False], ["hold", 8192, True], ["release"]]
    steps = (Step(0, 1.5, 0.0, work), Step(1, None, 0.3, ()))

    told = messages.submit(7, Program("worker/0", steps, 60.0, "main"))

    assert told == {
        "do": "submit",
        "id": 7,
        "agent": "worker/0",
        "process": "main",
        "until": 60.0,
        "steps": [
            [0, 1.5, 0.0, [*words, ["write", 512], ["read", 256], ["erase"]]],
            [1, None, 0.3, []],
        ],
    }


def test_steps_are_read_back() -> None:
    """A batch is one report per row; a part of a step that goes on is marked as such."""
    message = {"is": "steps", "agent": "w/1", "rows": [[0, 1.0, 1.4, 0.4, 0.1, 0.3], [1, 2.0, 2.1, 0.1, 0.1, 0.0]]}

    done = list(messages.steps_from("a", message, lambda agent, index: (agent, index) != ("w/1", 1)))

    assert done == [
        StepDone("a", "w/1", 0, 1.0, 1.4, 0.4, 0.1, 0.3, last=True),
        StepDone("a", "w/1", 1, 2.0, 2.1, 0.1, 0.1, 0.0, last=False),
    ]


def test_a_sample_is_read_back() -> None:
    """Every counter lands in the field of its name."""
    message = {
        "is": "sample", "id": None, "at": 2.5, "cpu_s": 1.25, "periods": 20, "throttled_periods": 3,
        "throttled_s": 0.2, "memory": 1000, "memory_raw": 1100, "memory_peak": 1200, "oom_kills": 1,
        "disk": 300,
    }  # fmt: skip

    assert messages.sample_from("a", message) == Sample("a", 2.5, 1.25, 20, 3, 0.2, 1000, 1100, 1200, 1, 300)


def test_outcomes_are_read_back() -> None:
    """A program ended well, or with its process."""
    finished = {"is": "finished", "id": 3, "agent": "w/0", "count": 5, "finish": 9.5}
    lost = {"is": "lost", "id": 3, "agent": "w/0", "step": 4, "cause": "oom", "at": 9.25}

    assert messages.finished_from(finished) == Finished("w/0", 5, 9.5)
    assert messages.lost_from(lost) == Lost("w/0", 4, "oom", 9.25)


def test_blows_are_put_into_words() -> None:
    """Each of the three has its order; only the one that may be refused asks for an answer."""
    assert messages.kill(4, "w/0") == {"do": "kill", "id": 4, "agent": "w/0"}
    assert messages.hang(2.5) == {"do": "hang", "for_s": 2.5}
    assert messages.crash(3) == {"do": "exit", "code": 3}


def test_a_kill_is_answered() -> None:
    """The blow was dealt to the container, or nobody was there to be struck."""
    assert messages.struck_from("a", "w/0", {"is": "struck", "id": 4, "ok": True}) == Struck("a")
    assert messages.struck_from("a", "w/0", {"is": "struck", "id": 4, "ok": False}) == Refused(
        "a", "it has no process of agent w/0"
    )


def test_a_full_disk_is_read_back() -> None:
    """Who wrote, when it was refused, and when the driver heard of it."""
    message = {"is": "full", "agent": "w/0", "at": 3.5}

    assert messages.disk_full_from("a", message, 3.75) == DiskFull("a", "w/0", 3.5, 3.75)
