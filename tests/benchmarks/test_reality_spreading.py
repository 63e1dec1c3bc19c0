"""The kernel's spreading from its trace: text is read, and each table counts what a trace written by hand has of it."""

from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING

import pytest

from benchmarks.reality import spreading, trace_recording
from benchmarks.reality.kernel_trace import Migration, Switch, Wakeup, Waking, read_recordings, tick_phase_us
from benchmarks.reality.missed_switches import with_missed_switches
from benchmarks.reality.spreading import main
from benchmarks.reality.spreading_chances import COLD, HOT, row_names, tallies_of
from benchmarks.reality.trace_recording import Workload, mounted, processes
from sim.errors import RequestError

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.reality.kernel_trace import Event, Recording
    from benchmarks.reality.spreading_chances import Tallies, Tally

TICK_US = 4000
IDLE, OTHER = 0, 99
TEXT = """\
# pids 11 12
# workload 2 × 10ms / 30ms
# tick_us 1000
# kernel 6.18
# tracer: nop
#
# entries-in-buffer/entries-written: 90/100   #P:2
CPU:1 [LOST 5 EVENTS]
          <idle>-0       [001] d..2. 36119.299990: sched_switch: prev_comm=swapper/1 prev_pid=0 prev_prio=120 \
prev_state=R ==> next_comm=a b: c next_pid=12 next_prio=120
          a b: c-12      [001] d..2. 36119.300025: sched_switch: prev_comm=a b: c prev_pid=12 prev_prio=120 \
prev_state=R+ ==> next_comm=migration/1 next_pid=20 next_prio=-1
         python3-11      [000] d.h2. 36119.300100: sched_waking: comm=a b: c pid=12 prio=120 target_cpu=001
         python3-11      [000] d.h2. 36119.300105: sched_migrate_task: comm=a b: c pid=12 prio=120 orig_cpu=1 dest_cpu=0
         python3-11      [000] dNh2. 36119.300110: sched_wakeup: comm=a b: c pid=12 prio=120 target_cpu=000
         python3-11      [000] d.... 36119.300200: sched_process_exit: comm=python3 pid=11 prio=120
"""


def switch(at_us: int, core: int, left: int, entered: int, state: str = "S") -> str:
    """A line of a core that passes from one task to another."""
    what = f"prev_comm=a prev_pid={left} prev_prio=120 prev_state={state} ==> next_comm=b next_pid={entered}"
    return _line(at_us, core, f"sched_switch: {what} next_prio=120")


def waking(at_us: int, pid: int, last: int) -> str:
    """A line of a task that is about to wake."""
    return _line(at_us, 0, f"sched_waking: comm=a pid={pid} prio=120 target_cpu={last:03}")


def wakeup(at_us: int, pid: int, core: int) -> str:
    """A line of a task that has woken on a core."""
    return _line(at_us, 0, f"sched_wakeup: comm=a pid={pid} prio=120 target_cpu={core:03}")


def migration(at_us: int, pid: int, source: int, target: int, by: int) -> str:
    """A line of a task that a core sends elsewhere."""
    what = f"comm=a pid={pid} prio=120 orig_cpu={source} dest_cpu={target}"
    return _line(at_us, by, f"sched_migrate_task: {what}")


def _line(at_us: int, core: int, what: str) -> str:
    return f"  any-1  [{core:03}] d..2. {at_us // 1_000_000}.{at_us % 1_000_000:06}: {what}\n"


def recording_of(*lines: str) -> Recording:
    """A recording whose workload is processes 11 to 13, on two cores."""
    (found,) = read_recordings(["# pids 11 12 13\n", *lines], "here", TICK_US)
    return found


def counted(*lines: str) -> Tallies:
    """What is counted in a recording."""
    return tallies_of(recording_of(*lines))


def taken_of(tally: Tally) -> dict[str, tuple[int, int]]:
    """What was taken of which chances, in the rows that have any."""
    return {row: (tally.taken[row], tally.chances[row]) for row in tally.rows if tally.chances[row] or tally.taken[row]}


# On core 1 nobody runs; process 12 joins 11 on core 0 at 1 ms; from 2 to 3 ms somebody else is on core 1, which
# fetches 12 at 4.9 ms.
SHARING = (
    switch(0, 0, IDLE, 11, "R"),
    switch(0, 1, OTHER, IDLE),
    wakeup(1000, 12, 0),
    switch(2000, 1, IDLE, OTHER, "R"),
    switch(3000, 1, OTHER, IDLE),
    migration(4900, 12, 0, 1, by=1),
    switch(4910, 1, IDLE, 12, "R"),
    switch(9000, 1, 12, IDLE),
)


def turns(count: int) -> list[str]:
    """Processes 11 and 12 take turns on core 0 at so many ticks, while 13 is on core 1."""
    lines = [switch(0, 0, IDLE, 11, "R"), switch(0, 1, IDLE, 13, "R"), wakeup(1000, 12, 0)]
    pair = (11, 12)
    return lines + [switch((n + 1) * TICK_US, 0, pair[n % 2], pair[(n + 1) % 2], "R") for n in range(count)]


def test_lines_become_events() -> None:
    """Each kind of line is read to the microsecond, whatever tasks are called; other kinds are passed over."""
    (found,) = read_recordings(TEXT.splitlines(keepends=True), "here", TICK_US)

    base_us = 36_119_000_000
    expected = [
        Switch(base_us + 299_990, 1, 0, left_runnable=True, entered_pid=12),
        Switch(base_us + 300_025, 1, 12, left_runnable=True, entered_pid=20),
        Waking(base_us + 300_100, 12, 1),
        Migration(base_us + 300_105, 0, 12, 0),
        Wakeup(base_us + 300_110, 12, 0),
    ]
    assert expected == found.events
    assert (frozenset({11, 12}), "2 × 10ms / 30ms", "6.18", 2, 1000) == (
        *(found.pids, found.workload, found.kernel, found.cores_count, found.tick_us),
    )


def test_dropped_events_are_counted() -> None:
    """Events that were overwritten and events that the kernel says it lost are told together."""
    (found,) = read_recordings(TEXT.splitlines(keepends=True), "here", TICK_US)

    assert 10 + 5 == found.dropped_count


def test_a_file_holds_several_recordings() -> None:
    """Each line of processes begins a recording; what one does not say of itself is taken from this machine."""
    lines = ["# pids 7\n", switch(5, 3, IDLE, 7), *TEXT.splitlines(keepends=True)]

    first, second = read_recordings(lines, "here", TICK_US)

    assert ("1 processes", 4, TICK_US, 1) == (first.workload, first.cores_count, first.tick_us, len(first.events))
    assert (1000, 5) == (second.tick_us, len(second.events))


@pytest.mark.parametrize("text", ["", "# pids 11\n", "# pids eleven\n", switch(0, 0, 11, 12)])
def test_what_is_no_trace_is_refused(text: str) -> None:
    """A file without events, without processes or with wrong ones is refused by name, with what would be right."""
    with pytest.raises(RequestError, match=r"^here.*(--keep|`# pids 11 12`)$"):
        read_recordings(text.splitlines(keepends=True), "here", TICK_US)


def test_ticks_are_found_where_tasks_take_turns() -> None:
    """The phase is where switches between busy processes fall; one that has just woken does not count."""
    late = [line.replace("000: sched_switch", "025: sched_switch") for line in turns(6)]

    assert 25 == tick_phase_us(recording_of(*late))
    assert tick_phase_us(recording_of(*turns(4))) is None
    just_woken = [wakeup(n * TICK_US - 10, pid, 0) for n in range(1, 7) for pid in (11, 12)]
    mixed = sorted([*turns(6), *just_woken], key=lambda line: float(line.split()[3].rstrip(":")))
    assert tick_phase_us(recording_of(*mixed)) is None


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        # The idle task of core 1 is never seen to leave: 11 enters when it wakes there, 12 when it is sent there.
        (
            [switch(0, 1, OTHER, IDLE), wakeup(100, 11, 1), switch(5000, 1, 11, IDLE)],
            [(1, Switch(100, 1, IDLE, left_runnable=False, entered_pid=11))],
        ),
        (
            [switch(0, 1, OTHER, IDLE), migration(100, 12, 0, 1, by=1), switch(5000, 1, 12, IDLE)],
            [(1, Switch(100, 1, IDLE, left_runnable=False, entered_pid=12))],
        ),
        # Somebody is never seen to leave, and 11 comes only later.
        (
            [switch(0, 0, IDLE, OTHER), wakeup(100, 11, 0), switch(5000, 0, 11, IDLE)],
            [
                (0, Switch(0, 0, OTHER, left_runnable=False, entered_pid=IDLE)),
                (1, Switch(100, 0, IDLE, left_runnable=False, entered_pid=11)),
            ],
        ),
        # Somebody is never seen to leave, and 11 has waited meanwhile, or nobody has.
        (
            [switch(0, 0, IDLE, 11), switch(100, 0, 11, OTHER, "R"), switch(5000, 0, 11, IDLE)],
            [(1, Switch(100, 0, OTHER, left_runnable=False, entered_pid=11))],
        ),
        (
            [switch(0, 0, IDLE, OTHER), switch(5000, 0, IDLE, 11)],
            [(0, Switch(0, 0, OTHER, left_runnable=False, entered_pid=IDLE))],
        ),
        ([switch(0, 0, IDLE, 11), wakeup(100, 12, 0), switch(200, 0, 11, 12, "R")], []),
    ],
)
def test_switches_that_were_not_traced_are_told_from_later_ones(
    lines: list[str], expected: list[tuple[int, Switch]]
) -> None:
    """Who leaves a core must have entered it, at the latest that is known; a trace without gaps stays as it is."""
    events = recording_of(*lines).events

    behind: dict[int, list[Event]] = {}
    for index, gap in expected:
        behind.setdefault(index, []).append(gap)
    filled = [one for index, event in enumerate(events) for one in (event, *behind.get(index, []))]
    assert filled == with_missed_switches(events)


def test_who_is_never_seen_again_takes_no_idle_core() -> None:
    """A task that is told to be waking keeps a core from being idle for a millisecond, and no longer."""
    found = counted(
        switch(0, 0, IDLE, 11, "R"),
        wakeup(10, 98, 1),
        switch(20, 1, OTHER, IDLE),
        waking(1000, OTHER, 1),
        waking(1500, 12, 0),
        wakeup(1510, 12, 0),
        switch(1900, 0, 11, 12),
        switch(2000, 0, 12, 11),
        waking(3000, 12, 0),
        wakeup(3010, 12, 0),
    )

    assert {"1 to 2 ms": (0, 1)} == taken_of(found.woke_by_run)


def test_wakes_beside_an_idle_core_are_counted() -> None:
    """A wake counts if the last core is busy and another idle, by how much the running task has run."""
    found = counted(
        switch(0, 0, IDLE, 11, "R"),
        switch(0, 1, OTHER, IDLE),
        waking(10_000, 12, 0),
        migration(10_005, 12, 0, 1, by=0),
        wakeup(10_030, 12, 1),
        switch(10_040, 1, IDLE, 12, "R"),
        # Its last core is busy, but no other is idle.
        waking(10_500, 13, 0),
        wakeup(10_510, 13, 0),
        migration(10_600, 13, 0, 1, by=1),
        switch(11_000, 1, 12, 13),
        switch(11_500, 1, 13, IDLE),
        # Its last core is idle itself.
        waking(12_000, 13, 1),
        wakeup(12_010, 13, 1),
        switch(12_020, 1, IDLE, 13, "R"),
        switch(13_000, 1, 13, IDLE),
        waking(40_000, 12, 0),
        wakeup(40_005, 12, 0),
    )

    # The running task's use is 1 - 0.5^(10/32) = 0.19 at 10 ms and 1 - 0.5^(40/32) = 0.58 at 40 ms.
    assert {"below 0.2": (1, 1), "0.4 to 0.6": (0, 1)} == taken_of(found.woke_by_use)
    assert {"8 to 16 ms": (1, 1), "16 ms and more": (0, 1)} == taken_of(found.woke_by_run)


def test_a_shared_core_is_exposed_only_while_another_is_idle() -> None:
    """Age counts from when two began to share; time with no idle core is no chance, a fetch by an idle one is taken."""
    found = counted(*SHARING)

    expected = {"below 0.5 ms": (0, 500), "0.5 to 1 ms": (0, 500), "2 to 4 ms": (1, 1900)}
    assert expected == taken_of(found.parted_by_age)


def test_a_core_that_is_not_idle_fetches_nobody_for_the_ages() -> None:
    """What a busy core fetches while it balances is no answer of an idle one."""
    found = counted(
        switch(0, 0, IDLE, 11, "R"),
        switch(0, 1, IDLE, OTHER, "R"),
        wakeup(1000, 12, 0),
        migration(4900, 12, 0, 1, by=1),
        switch(4910, 1, OTHER, 12, "R"),
    )

    assert {} == taken_of(found.parted_by_age)


def test_ticks_are_chances_by_whether_those_that_wait_have_run() -> None:
    """Two take turns and stay at one tick, and are parted at the next; one that has waited goes at its first."""
    found = counted(
        *turns(5),
        switch(21_000, 1, 13, IDLE),
        switch(24_000, 0, 12, 11, "R"),
        switch(28_010, 0, 11, 12, "R"),
        migration(28_200, 11, 0, 1, by=1),
        switch(28_210, 1, IDLE, 11, "R"),
        switch(30_000, 1, 11, IDLE),
        wakeup(31_000, 11, 0),
        migration(32_050, 11, 0, 1, by=1),
        switch(32_060, 1, IDLE, 11, "R"),
    )

    assert 0 == found.tick_phase_us
    assert {HOT: (1, 2), COLD: (1, 1)} == taken_of(found.parted_at_tick)


def test_cores_that_fall_idle_are_counted_with_and_without_a_fetch() -> None:
    """Fetched counts if the core was about to fall idle, missed if it fell; balancing of a busy core is neither."""
    found = counted(
        switch(0, 0, IDLE, 11, "R"),
        switch(0, 1, IDLE, 13, "R"),
        wakeup(1000, 12, 0),
        migration(2000, 12, 0, 1, by=1),
        switch(2005, 1, 13, 12),
        wakeup(3000, 13, 0),
        switch(3500, 0, 11, 13, "R"),
        # Process 11, which waits, ran 0.3 ms ago.
        switch(3800, 1, 12, IDLE),
        wakeup(4990, 12, 1),
        switch(5000, 1, IDLE, 12, "R"),
        migration(6000, 11, 0, 1, by=1),
        switch(6100, 1, 12, 11, "R"),
    )

    assert {HOT: (0, 1), COLD: (1, 1)} == taken_of(found.fell_idle)


def test_running_at_once_is_counted_by_how_long_the_other_has_run() -> None:
    """Who takes a running one's place within 60 us counts; whose rival fell asleep meanwhile is no case of either."""
    found = counted(
        switch(0, 0, IDLE, 11, "R"),
        wakeup(500, 12, 0),
        switch(520, 0, 11, 12, "R"),
        switch(1520, 0, 12, 11),
        wakeup(1720, 12, 0),
        switch(3000, 0, 11, 12),
        wakeup(3100, 13, 0),
        switch(3150, 0, 12, 13),
        switch(5000, 0, 13, IDLE),
    )

    assert {"below 0.3 ms": (0, 1), "0.3 to 0.7 ms": (1, 1)} == taken_of(found.at_once_by_run)
    assert {} == taken_of(found.at_once_by_tick)


def test_an_interruption_does_not_begin_a_running_time_anew() -> None:
    """A process that somebody else interrupts has run since it was first switched in."""
    found = counted(
        switch(0, 0, IDLE, 11, "R"),
        switch(2000, 0, 11, OTHER, "R"),
        switch(2020, 0, OTHER, 11),
        wakeup(2100, 12, 0),
        switch(2120, 0, 11, 12, "R"),
    )

    assert {"1.8 to 2.5 ms": (1, 1)} == taken_of(found.at_once_by_run)


def test_running_at_once_is_counted_by_the_last_tick() -> None:
    """Where ticks are known, wakes are sorted by the time since the last one."""
    found = counted(
        *turns(5),
        wakeup(21_200, 14, 0),
        switch(21_300, 1, 13, IDLE),
        wakeup(21_600, 13, 0),
        switch(21_620, 0, 12, 13, "R"),
        switch(21_900, 0, 13, 12),
        wakeup(23_900, 13, 0),
        switch(24_000, 0, 12, 11, "R"),
    )

    # Process 12 woke beside 11 at 1 ms and had to wait; process 14 is somebody else's.
    assert {"1 to 1.5 ms": (0, 1), "1.5 to 2 ms": (1, 1), "3.5 ms and more": (0, 1)} == taken_of(found.at_once_by_tick)


def test_rows_are_named_by_their_edges() -> None:
    """The first row is below, the last has no end, and units are said."""
    assert ("below 0.5 ms", "0.5 to 2 ms", "2 ms and more") == row_names((500, 2000), "ms", 1000)


def test_a_kept_trace_becomes_a_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each recording has a column and all together one; without root, and dropped events are said."""
    kept = tmp_path / "kept.txt"
    kept.write_text("".join(["# pids 11 12 13\n", *SHARING, TEXT]), encoding="utf-8")

    assert 0 == main(["--from", str(kept)])

    said = capsys.readouterr().out
    assert "| they have shared it for | 3 processes | 2 × 10ms / 30ms | all |" in said
    assert "| 2 to 4 ms | 526/s (1 in 0.002 s) | – | 526/s (1 in 0.002 s) |" in said
    assert "nothing is said of `idle_seen_ratio`" in said
    assert "**Events were dropped**" in said
    assert ["1", "2", "3", "4"] == [line[3] for line in said.splitlines() if line.startswith("## ")]


def test_the_share_of_wakes_has_an_interval(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One wake of one that saw an idle core: any share from 2.5 % on is as likely as not to be that lucky."""
    kept = tmp_path / "kept.txt"
    wake = (waking(100, 12, 0), migration(101, 12, 0, 1, by=0), wakeup(110, 12, 1))
    kept.write_text("".join(["# pids 11 12\n", *SHARING[:2], *wake]), encoding="utf-8")

    assert 0 == main(["--from", str(kept)])

    said = capsys.readouterr().out
    assert "`idle_seen_ratio`, as far as wakes show it: 1.000 (95% interval 0.025 to 1.000)." in said
    assert "**Events were dropped**" not in said


def test_tracing_needs_root(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Without it there is one line with what to do, and exit code 2."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    assert 2 == main(["--seconds", "1"])

    said = capsys.readouterr()
    assert "" == said.out
    assert "tonnage: tracing the kernel needs root; run it with sudo" in said.err.splitlines()[-1]


def test_nothing_is_left_where_tracefs_cannot_be_mounted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The directory made for it is removed again."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def refuse(*_: str) -> None:
        assert list(tmp_path.iterdir())
        raise RequestError("no")

    monkeypatch.setattr(trace_recording, "_call", refuse)

    with pytest.raises(RequestError, match=r"^no$"), mounted():
        pass
    assert [] == list(tmp_path.iterdir())


def test_a_file_that_is_there_is_not_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The mistake is told before anything is traced."""
    kept = tmp_path / "kept.txt"
    kept.write_text("mine", encoding="utf-8")

    assert 2 == main(["--keep", str(kept)])
    assert "mine" == kept.read_text(encoding="utf-8")
    assert f"tonnage: {kept} is there already; name a new file for --keep" in capsys.readouterr().err


def test_a_file_that_is_not_there_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Reading a trace that does not exist is one line and exit code 2."""
    assert 2 == main(["--from", str(tmp_path / "none.txt")])
    assert "none.txt cannot be opened (No such file or directory)" in capsys.readouterr().err


@pytest.mark.parametrize(
    "wrong", [["--from", "a", "--count", "3"], ["--compute", "0"], ["--seconds", "1h"], ["--think", "x"]]
)
def test_wrong_options_are_refused(wrong: list[str]) -> None:
    """What does not go together, and times outside their limits, end with exit code 2."""
    with pytest.raises(SystemExit) as ended:
        main(wrong)

    assert 2 == ended.value.code


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], [Workload(12, 0.020, 0.040), Workload(16, 0.010, 0.030), Workload(32, 0.003, 0.021)]),
        (["--count", "3"], [Workload(3, 0.010, 0.030)]),
        (["--compute", "1ms", "--think", "2ms"], [Workload(4, 0.001, 0.002)]),
    ],
)
def test_workloads_share_the_time(
    options: list[str],
    expected: list[Workload],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Three by default, by the number of cores; one where any part of it is asked for. All are kept in one file."""
    recorded: list[tuple[Workload, float]] = []

    def play(workload: Workload, run_s: float, into: object) -> None:
        recorded.append((workload, run_s))
        print(f"# pids 11 12 13\n# workload {workload}\n", *SHARING, file=into, sep="", end="")  # type: ignore[call-overload]

    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(spreading, "record", play)
    kept = tmp_path / "kept.txt"

    assert 0 == main([*options, "--seconds", "30", "--keep", str(kept)])
    assert [(one, 30 / len(expected)) for one in expected] == recorded
    with kept.open(encoding="utf-8") as lines:
        again = read_recordings(lines, str(kept), TICK_US)
    assert [str(one) for one in expected] == [one.workload for one in again]


def test_no_process_of_a_workload_is_left() -> None:
    """They are there while the recording lasts and gone afterwards, however long they had still to go."""
    with processes(Workload(2, 0.001, 0.001), 600.0) as pids:
        for pid in pids:
            os.kill(pid, 0)

    assert 2 == len(set(pids))
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
