"""The demonstration: one story in both worlds, the comparison printed, the report written.

`make demo` runs it. Where no engine answers it compares with the real runs that ship, and says so plainly.
It fails only when the harness fails; the verdict is printed whatever it is.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from dashboard.report import write_report
from live.engine import connect
from live.errors import EngineBusy, EngineMissing
from live.measuring import measure_and_keep
from live.run import DockerWorld
from scenarios import load
from sim.commands import say, show
from sim.exit_codes import guarded
from sim.physics.host_profile import load_profile
from sim.places import SHIPPED_RECORDS, fresh, home, host_profile, validations
from sim.record import read_record
from sim.recorded import recall_all, story_of
from sim.report_text import comparison_text
from sim.run import simulate
from sim.run_text import outcome_text
from sim.validation import Plan, judge, validate
from sim.worlds import Terms

if TYPE_CHECKING:
    from pathlib import Path

    from scenarios import Story
    from sim.compare import Comparison

STORY = "agent-ecology"
REPEATS = 3
REPLICATIONS = 20


def main() -> int:
    """Simulate, run for real, compare, report; 0 unless the harness fails."""
    story = load(STORY).story
    show("1. The story at full size, simulated: five agents in a container of 4 GB and 2 CPUs\n")
    show(outcome_text(story, simulate(story, profile=load_profile(host_profile()))))
    show("\n2. The same story, shrunk to this machine, in both worlds\n")
    directory = fresh(validations(), STORY)
    comparison = _compared(story, directory)
    show(f"\n{comparison_text(comparison)}\n")
    report = write_report(directory)
    show(f"3. The report, one file that opens anywhere: {report}")
    show("4. The dashboard, with this run in it: make dashboard")
    return 0


def _compared(story: Story, directory: Path) -> Comparison:
    """Compare with this machine's engine, or with the recorded runs where there is none."""
    try:
        connect(None).close()
    except EngineMissing as missing:
        say(str(missing))
        return _with_recorded(story, directory)
    try:
        return _with_engine(story, directory)
    except EngineBusy as busy:
        say(str(busy))
        return _with_recorded(story, directory)


def _with_engine(story: Story, directory: Path) -> Comparison:
    """Run the story for real here, after measuring the host where that was not done yet."""
    if not host_profile().exists():
        say("this host has no profile yet: measuring its physics constants, about five minutes")
        measure_and_keep(say)
    plan = Plan(story, REPEATS, REPLICATIONS, directory, home(), load_profile(host_profile()))
    return validate(plan, DockerWorld(Terms(paced=True)), say)


def _with_recorded(story: Story, directory: Path) -> Comparison:
    """Hold the model against real runs recorded on another machine, with that machine's constants."""
    shelf = SHIPPED_RECORDS / STORY
    real = recall_all(shelf)
    told = read_record(shelf / "live-1").provenance
    # The reference profile was measured on the machine of the recorded runs, apart from them.
    profile = load_profile(None)
    show(
        f"No engine here, so the real side below was RECORDED: {len(real)} runs on {told['started_at'][:10]}, "
        f"{profile.cpus_count} cores, kernel {profile.kernel}, Docker {profile.engine}. Nothing ran for real just now."
    )
    plan = Plan(story, len(real), REPLICATIONS, directory, None, profile)
    return judge(plan, story_of(shelf), real, seconds_live=sum(_seconds(run.recorder.window) for run in real), say=say)


def _seconds(window: tuple[float, float] | None) -> float:
    return window[1] - window[0] if window else 0.0


if __name__ == "__main__":
    sys.exit(guarded(main))
