"""The words between the driver and a container's supervisor, as JSON-ready data.

The driver says clock, begin, submit, sample, kill, hang and exit; the supervisor says ready, clock, sample, steps,
finished, lost, killed, full and struck. After `begin` every time on the wire is in seconds of the run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, assert_never

from sim.machine import (
    Compute,
    DiskFull,
    Erase,
    Finished,
    Hold,
    Lost,
    Read,
    Refused,
    Release,
    Sample,
    Sleep,
    StepDone,
    Struck,
    Write,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sim.machine import Program, Step, Work

    Message = dict[str, Any]


def clock(number: int) -> Message:
    """Ask for the supervisor's monotonic clock."""
    return {"do": "clock", "id": number}


def begin(epoch_s: float, interval_s: float) -> Message:
    """Give the supervisor the run's zero on its own clock, and how often to sample itself."""
    return {"do": "begin", "epoch": epoch_s, "interval_s": interval_s}


def sample(number: int) -> Message:
    """Ask for the container's counters now."""
    return {"do": "sample", "id": number}


def kill(number: int, agent: str) -> Message:
    """Have one agent's process killed."""
    return {"do": "kill", "id": number, "agent": agent}


def hang(duration_s: float) -> Message:
    """Have the supervisor stand still; it does not answer this."""
    return {"do": "hang", "for_s": duration_s}


def crash(exit_code: int) -> Message:
    """Have the supervisor end at once with this exit code; it does not answer this."""
    return {"do": "exit", "code": exit_code}


def submit(number: int, program: Program) -> Message:
    """Give an agent's process a program."""
    return {
        "do": "submit",
        "id": number,
        "agent": program.agent,
        "process": program.process,
        "until": program.until_s,
        "steps": [_step(step) for step in program.steps],
    }


def _step(step: Step) -> list[object]:
    return [step.index, step.due_s, step.think_s, [_work(work) for work in step.work]]


def _work(work: Work) -> list[object]:
    match work:
        case Sleep():
            return ["sleep", work.duration_s]
        case Compute():
            return ["cpu", work.cpu_s, work.threads]
        case Hold():
            return ["hold", work.memory_bytes, work.leak]
        case Release():
            return ["release"]
        case Write() | Read():
            return [type(work).__name__.lower(), work.size_bytes]
        case Erase():
            return ["erase"]
        case _:
            assert_never(work)


def sample_from(container: str, message: Message) -> Sample:
    """A `sample` message as the port's sample."""
    return Sample(
        container=container,
        at_s=message["at"],
        cpu_s=message["cpu_s"],
        periods_count=message["periods"],
        throttled_periods_count=message["throttled_periods"],
        throttled_s=message["throttled_s"],
        memory_bytes=message["memory"],
        memory_raw_bytes=message["memory_raw"],
        memory_peak_bytes=message["memory_peak"],
        oom_kills_count=message["oom_kills"],
        disk_bytes=message["disk"],
    )


def steps_from(container: str, message: Message, is_last: Callable[[str, int], bool]) -> Iterator[StepDone]:
    """The finished steps of a `steps` message; `is_last` says of an agent's step whether no part of it is to come."""
    agent = message["agent"]
    for index, due_s, finish_s, latency_s, cpu_s, cpu_wait_s in message["rows"]:
        yield StepDone(
            container, agent, index, due_s, finish_s, latency_s, cpu_s, cpu_wait_s, last=is_last(agent, index)
        )


def finished_from(message: Message) -> Finished:
    """A `finished` message as the outcome of a submit."""
    return Finished(message["agent"], message["count"], message["finish"])


def lost_from(message: Message) -> Lost:
    """A `lost` message as the outcome of a submit."""
    return Lost(message["agent"], message["step"], message["cause"], message["at"])


def disk_full_from(container: str, message: Message, noticed_s: float) -> DiskFull:
    """A `full` message as the port's notice."""
    return DiskFull(container, message["agent"], message["at"], noticed_s)


def struck_from(container: str, agent: str, message: Message) -> Struck | Refused:
    """A `struck` message as the outcome of having that agent killed."""
    return Struck(container) if message["ok"] else Refused(container, f"it has no process of agent {agent}")
