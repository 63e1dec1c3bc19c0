"""The tables of spreading in Markdown, each below what the kernel's source makes one expect of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sim.agreement_table import markdown_table
from sim.report_text import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.reality.kernel_trace import Recording
    from benchmarks.reality.spreading_chances import Tallies, Tally

CONFIDENCE_RATIO = 0.95
ALL = "all"
HEADINGS = (
    *("processes × compute / think", "kernel", "cores", "traced", "events", "dropped", "inferred", "tick"),
    "tick's phase",
)


@dataclass(frozen=True, slots=True)
class Table:
    """One way to sort chances: what its rows are, where they are counted, and whether chances are time."""

    rows: str
    tally: Callable[[Tallies], Tally]
    is_rate: bool = False


@dataclass(frozen=True, slots=True)
class Section:
    """A question to the kernel, what its source makes one expect, and the tables that answer it."""

    title: str
    expected: str
    tables: tuple[Table, ...]


SECTIONS = (
    Section(
        "A task wakes, its last core is busy, another is idle: did it wake on an idle one?",
        "`select_idle_sibling` looks for an idle core that shares a cache with the last one and takes it, whatever the"
        " running task has done before: on a plain kernel nearly all wake on an idle core, in every row. In a virtual"
        " machine `available_idle_cpu` also asks `vcpu_is_preempted`, which may be true of a halted CPU, and a kernel"
        " that packs work may go by how much the cores are used: then fewer do, and perhaps fewer where the running"
        " task has run little. The share of all is the part of `idle_seen_ratio` that wakes show. Use is the running"
        " task's share of the time, with a half-life of 32 ms.",
        (
            Table("the running task's use", lambda found: found.woke_by_use),
            Table("the running task has run for", lambda found: found.woke_by_run),
        ),
    ),
    Section(
        "Two tasks share a core while another is idle: when did an idle core fetch one?",
        "At each tick of a core with two runnable tasks `nohz_balancer_kick` wakes an idle core to balance. It fetches"
        " a task that waits, but `can_migrate_task` refuses one that ran within the last 0.5 ms (`task_hot`), unless"
        " balancing has failed more often than `cache_nice_tries` in a row. So a task that has waited since it woke"
        " should go at the first tick, that is within one tick of sharing; tasks that take turns at ticks have always"
        " just run, and should be parted some ticks later. Rates are fetches per second during which tasks shared a"
        " core and another was idle; the age counts from when they began to share. In the second table a tick is"
        " a chance, and those that wait are looked at just after it, once it has made them take turns.",
        (
            Table("they have shared it for", lambda found: found.parted_by_age, is_rate=True),
            Table("at a tick, those that waited", lambda found: found.parted_at_tick),
        ),
    ),
    Section(
        "A core falls idle while a task waits elsewhere: was one fetched?",
        "`sched_balance_newidle` looks for work before a core goes idle, if the core expects to be idle for longer than"
        " the search takes; here too `task_hot` refuses a task that ran within the last 0.5 ms. So on a plain kernel"
        " nearly none are fetched in the first row and nearly all in the second; newer kernels look only in proportion"
        " to how often they found something, so that recordings may differ by what came before them. With several"
        " that wait, the one counts that ran longest ago.",
        (Table("those that waited", lambda found: found.fell_idle),),
    ),
    Section(
        "A task wakes beside a running one: did it run at once?",
        "`check_preempt_wakeup_fair` lets a newcomer run at once if it is eligible and its deadline comes first. The"
        " running task is protected until its base slice is over; one that is over is renewed when run time is next"
        " accounted, usually at a tick. So newcomers should hardly ever run at once while the running task's slice"
        " lasts, and mostly after it: soon after a tick seldom, late in a tick mostly, if the slice is shorter than"
        " the tick. At once is within 60 µs; where the running task fell asleep first, nobody was pre-empted.",
        (
            Table("since the last tick", lambda found: found.at_once_by_tick),
            Table("since the running task was switched in", lambda found: found.at_once_by_run),
        ),
    ),
)


def page(found: Sequence[tuple[Recording, Tallies]]) -> str:
    """All tables of some recordings: one column for each, and one for all together."""
    lines = ["# How this kernel spreads tasks over cores", "", *_about(found)]
    for number, section in enumerate(SECTIONS, start=1):
        lines += ["", f"## {number}. {section.title}", "", section.expected]
        for table in section.tables:
            lines += ["", *_table(table, found)]
        if number == 1:
            lines += ["", _seen_share([one.woke_by_use for _, one in found])]
    return "\n".join(lines)


def _about(found: Sequence[tuple[Recording, Tallies]]) -> list[str]:
    """What was recorded, and what is wrong with it."""
    rows = [
        (
            recording.workload,
            recording.kernel or UNKNOWN,
            str(recording.cores_count),
            f"{recording.length_s:.1f} s",
            f"{len(recording.events):,}",
            f"{recording.dropped_count:,}",
            f"{one.inferred_count:,}",
            f"{recording.tick_us / 1000:g} ms",
            UNKNOWN if one.tick_phase_us is None else f"{one.tick_phase_us / 1000:g} ms",
        )
        for recording, one in found
    ]
    lines = markdown_table(HEADINGS, rows)
    if any(recording.dropped_count for recording, _ in found):
        lines += ["", "**Events were dropped**, so that what is told of cores may be wrong; record fewer seconds."]
    if any(one.inferred_count for _, one in found):
        lines += [
            "",
            "Inferred are switches that the kernel did not trace, told from later ones.",
        ]
    if any(one.tick_phase_us is None for _, one in found):
        lines += ["", "Where the phase is unknown the trace does not show ticks, and nothing is counted by them."]
    return lines


def _table(table: Table, found: Sequence[tuple[Recording, Tallies]]) -> list[str]:
    columns = [(recording.workload, table.tally(one)) for recording, one in found]
    taken, chances = [tally.taken for _, tally in columns], [tally.chances for _, tally in columns]
    names = [name for name, _ in columns]
    if len(columns) > 1:
        names.append(ALL)
        taken.append(sum(taken, Counter()))
        chances.append(sum(chances, Counter()))
    rows = list(dict.fromkeys(row for _, tally in columns for row in tally.rows))
    shown = _rate if table.is_rate else _share
    cells = [(row, *(shown(k[row], n[row]) for k, n in zip(taken, chances, strict=True))) for row in rows]
    totals = (ALL, *(shown(k.total(), n.total()) for k, n in zip(taken, chances, strict=True)))
    return markdown_table((table.rows, *names), [*cells, totals])


def _share(taken_count: int, chances_count: int) -> str:
    return f"{taken_count / chances_count:.0%} ({taken_count} of {chances_count})" if chances_count else UNKNOWN


def _rate(taken_count: int, exposed_us: int) -> str:
    exposed_s = exposed_us / 1e6
    return f"{taken_count / exposed_s:.0f}/s ({taken_count} in {exposed_s:.3f} s)" if exposed_us else UNKNOWN


def _seen_share(tallies: Sequence[Tally]) -> str:
    """The share of wakes that saw an idle core, with its exact interval."""
    from scipy.stats import binomtest

    taken_count = sum(tally.taken.total() for tally in tallies)
    chances_count = sum(tally.chances.total() for tally in tallies)
    if not chances_count:
        return "No task woke beside a busy last core with another idle: nothing is said of `idle_seen_ratio`."
    ends = binomtest(taken_count, chances_count).proportion_ci(CONFIDENCE_RATIO, method="exact")
    interval = f"{CONFIDENCE_RATIO:.0%} interval {ends.low:.3f} to {ends.high:.3f}"
    return f"`idle_seen_ratio`, as far as wakes show it: {taken_count / chances_count:.3f} ({interval})."
