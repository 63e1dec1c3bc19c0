"""Fits what is fitted to real runs of small stories, and judges the prediction of large ones by runs it never saw.

    python benchmarks/blind_splits.py [--only SPLIT] [--repeats 4] [--replications 20] [--record DIRECTORY]
    python benchmarks/blind_splits.py --from DIRECTORY

One constant of a host profile is fitted to runs, by `measure-host` to a baseline story. A split fits it to another
story instead (`blind_split_stories/*.yaml`), and predicts what differs from that in one value. The same real runs are
judged with the profile of `measure-host` beside it. Prints a page of Markdown; `--from` makes it anew of kept runs.
Takes about a quarter of an hour and has the engine alone.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING

from live.baseline import Fit, as_it_is, fitted
from live.run import DockerWorld
from scenarios import load
from sim.agreement_page import read_validation
from sim.agreement_table import markdown_table
from sim.commands import say
from sim.errors import RequestError
from sim.exit_codes import guarded
from sim.physics.host_profile import load_profile
from sim.places import fresh, host_profile, validations
from sim.record import write_json
from sim.recorded import recall_all, story_of
from sim.report_text import UNKNOWN, metric_label, ratio_text
from sim.standing import standing
from sim.validation import Plan, judge, validate
from sim.worlds import Terms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from scenarios import Story
    from sim.compare import Comparison
    from sim.physics.host_profile import HostProfile
    from sim.run import Outcome
    from sim.worlds import World

STORIES = Path(__file__).with_name("blind_split_stories")
# The profile that everything is predicted with, but for what is fitted; kept beside the runs.
PROFILE = "profile.json"
COMPARISON = "comparison.json"
REPEATS_COUNT = 4
REPLICATIONS_COUNT = 20
BASELINE = "`measure-host`"


@dataclass(frozen=True, slots=True)
class Member:
    """One story of a split: the name of its records, what tables call it, and what of the split's story it sets."""

    name: str
    told: str
    sets: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Split:
    """A family of stories: the constant is fitted to the small one, the large ones are predicted with it."""

    name: str
    small: Member
    large: tuple[Member, ...]

    @property
    def members(self) -> tuple[Member, ...]:
        """All its stories, the small one first."""
        return (self.small, *self.large)

    def story(self, member: Member) -> Story:
        """The story of one of its members, under the member's name."""
        return replace(load(STORIES / f"{self.name}.yaml", sets=member.sets).story, name=member.name)


SPLITS = (
    Split(
        "agents",
        Member("agents-2", "2 agents"),
        (Member("agents-8", "8 agents", (("agents.worker.count", "8"),)),),
    ),
    Split(
        "cpus",
        Member("cpus-1", "1 CPU"),
        (
            Member("cpus-0.25", "0.25 CPU", (("containers.agents.cpus", "0.25"),)),
            Member("cpus-2", "2 CPUs", (("containers.agents.cpus", "2"),)),
        ),
    ),
    Split(
        "load",
        Member("load-30", "30 % of the limit"),
        (Member("load-97", "97 % of the limit", (("agents.worker.think.exponential", "109ms"),)),),
    ),
)


@dataclass(frozen=True, slots=True)
class Judgement:
    """A large story's real runs beside a prediction: what its constant was fitted on, and how well it fits that."""

    split: Split
    member: Member
    fitted_on: str
    fit: Fit
    comparison: Comparison


def main(
    arguments: list[str] | None = None, world: Callable[[], World] = lambda: DockerWorld(Terms(paced=True))
) -> int:
    """Do what the command line asks for, with real runs in this world; the exit code."""
    return guarded(lambda: _work(_asked(arguments), world))


def _asked(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    names = [split.name for split in SPLITS]
    parser.add_argument("--only", action="append", choices=names, help="this split alone; may be given several times")
    parser.add_argument("--repeats", type=_count(1, 100), help=f"real runs of each story, {REPEATS_COUNT} by default")
    parser.add_argument("--replications", type=_count(2, 1000), default=REPLICATIONS_COUNT, help="simulated runs")
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--record", type=Path, metavar="DIRECTORY", help="where everything is kept")
    place.add_argument("--from", dest="kept", type=Path, metavar="DIRECTORY", help="run nothing, judge what is kept")
    asked = parser.parse_args(arguments)
    if asked.kept is not None and asked.repeats is not None:
        parser.error(f"--from {asked.kept} runs nothing; leave --repeats out")
    return asked


def _count(low: int, high: int) -> Callable[[str], int]:
    def count(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not low <= int(text[:9]) <= high:
            raise argparse.ArgumentTypeError(f"{text} is not a whole number from {low} to {high}")
        return int(text)

    return count


def _work(asked: argparse.Namespace, world: Callable[[], World]) -> None:
    splits = [split for split in SPLITS if asked.only is None or split.name in asked.only]
    directory = asked.kept or asked.record or fresh(validations(), "blind-splits")
    if asked.kept is None:
        _run(splits, directory, asked.repeats or REPEATS_COUNT, asked.replications, world())
    print(page(judgements(splits, directory, asked.replications), directory))


# Real runs.


def _run(splits: Sequence[Split], directory: Path, repeats_count: int, replications_count: int, world: World) -> None:
    """Run every story for real, as a validation by the profile of `measure-host`, and keep the runs."""
    if (directory / PROFILE).exists():
        raise RequestError(
            f"--record {directory} holds blind splits already; name another directory, or judge them with --from"
        )
    if not host_profile().exists():
        raise RequestError(f"{host_profile()} is not there yet; `tonnage measure-host` makes it, run that first")
    profile = load_profile(host_profile())
    write_json(directory / PROFILE, profile.to_json())
    say(f"everything is kept in {directory}; --from {directory} judges what is there")
    for split in splits:
        for member in split.members:
            say(f"{split.name}: {member.told}")
            plan = Plan(split.story(member), repeats_count, replications_count, directory / member.name, None, profile)
            validate(plan, world, say)


# Fits and judgements, of kept runs alone.


def judgements(splits: Iterable[Split], directory: Path, replications_count: int) -> list[Judgement]:
    """What the kept runs of some splits come to; RequestError where there are none to judge."""
    if not (directory / PROFILE).exists():
        raise RequestError(f"--from {directory} has no {PROFILE}; name a directory that this program kept runs in")
    profile = load_profile(directory / PROFILE)
    into = fresh(directory, "judged")
    found = [one for split in splits for one in _judged(split, directory, into, profile, replications_count)]
    if not found:
        raise RequestError(f"{directory} holds no split whose small story and a large one were run; run them anew")
    return found


def _judged(
    split: Split, directory: Path, into: Path, profile: HostProfile, replications_count: int
) -> Iterator[Judgement]:
    """Fit to the small story, and judge each large one with what was found and with what was there before."""
    missing = [member for member in split.members if not (directory / member.name / COMPARISON).exists()]
    for member in missing:
        say(f"{split.name}: left out is {member.told}, of which {directory} holds no validation")
    if split.small in missing:
        return
    runs, story = _used(directory / split.small.name), story_of(directory / split.small.name)
    say(f"{split.name}: fitting to {len(runs)} real runs of {split.small.told}")
    found = _with_origin(fitted(profile, story, runs), f"fitted to {len(runs)} real runs of {story.name}")
    write_json(into / f"{split.name}.json", found.profile.to_json())
    before = as_it_is(profile, story, runs)
    for member in split.large:
        if member not in missing:
            for fitted_on, fit, mark in ((split.small.told, found, "fitted"), (BASELINE, before, "measured")):
                say(f"{split.name}: judging {member.told}, predicted with the constant fitted on {fitted_on}")
                place = into / f"{member.name}-{mark}"
                comparison = _judge(directory / member.name, place, fit.profile, replications_count)
                yield Judgement(split, member, fitted_on, fit, comparison)


def _used(validation: Path) -> list[Outcome]:
    """The real runs of a validation that it is judged by: all, where every one was disturbed."""
    runs = recall_all(validation)
    return [run for run in runs if run.comparable] or runs


def _with_origin(fit: Fit, told: str) -> Fit:
    if not isfinite(fit.distance_ratio):
        return fit
    return replace(fit, profile=replace(fit.profile, origin=fit.profile.origin | {"idle_seen_ratio": told}))


def _judge(validation: Path, place: Path, profile: HostProfile, replications_count: int) -> Comparison:
    """Hold the real runs of a validation against another prediction, which is kept in a place of its own."""
    real, story = recall_all(validation), story_of(validation)
    seconds_live = float(read_validation(validation).told.get("seconds_live") or 0.0)
    # Without a home: the noise is that of these runs, whatever else was run since, so that the page stays the same.
    return judge(Plan(story, len(real), replications_count, place, None, profile), story, real, seconds_live, say)


# The page.

HEAD = """# Blind splits: fitted on small, judged on large

One constant of a host profile is fitted to runs: how often a waking task sees an idle core, and how often a core that
falls idle looks for work (`idle_seen_ratio`, here "seen"). `tonnage measure-host` fits it to a baseline story of its
own. Here it is fitted to the real runs of a small story instead, and the large ones are predicted with what was found.
No real run of a large story was seen by either fit. Below each row stands the same with the profile of `measure-host`,
judged by the same real runs; everything else in the profile is the same.

`python benchmarks/blind_splits.py` makes the runs, and with `--from DIRECTORY` this page of runs that are kept."""

HEADINGS = (
    *("split", "judged on", "fitted on", "seen", "distance"),
    *("median error", "90th percentile", "noise", "equivalent", "furthest off"),
)

LEGEND = """Distance: how far the waits for CPU of the small story, simulated with this constant, are from those of
its real runs, in squared differences over their variances (`live/spreading.py`). Errors are those of physics metrics,
noise is what two real runs differ by, the median over these metrics, and equivalent is how many of them are."""


def page(found: Sequence[Judgement], directory: Path) -> str:
    """The whole page as Markdown, without a newline at its end."""
    table = "\n".join(markdown_table(HEADINGS, [_cells(one) for one in found]))
    predicted = f"Each prediction is the mean of {found[0].comparison.simulated_count} simulated runs."
    splits = dict.fromkeys(one.split for one in found)
    return "\n\n".join([HEAD, table, f"{LEGEND}\n{predicted}", *(_section(split, directory) for split in splits)])


def _cells(one: Judgement) -> tuple[str, ...]:
    profile, distance_ratio, comparison = one.fit.profile, one.fit.distance_ratio, one.comparison
    return (
        one.split.name,
        one.member.told + ("" if comparison.circumstances.comparable else " (not comparable)"),
        one.fitted_on,
        ratio_text(profile.idle_seen_ratio),
        f"{distance_ratio:.1f}" if isfinite(distance_ratio) else "no value explains it",
        ratio_text(comparison.median_error_ratio),
        ratio_text(comparison.p90_error_ratio),
        ratio_text(standing(comparison.to_json()).noise_ratio),
        f"{comparison.equivalent_count} of {len(comparison.physics)}",
        _furthest(comparison),
    )


def _furthest(comparison: Comparison) -> str:
    furthest = comparison.furthest
    if furthest is None:
        return UNKNOWN
    by = "in one world only" if furthest.error_ratio is None else ratio_text(furthest.error_ratio)
    return f"{metric_label(furthest.name)}, {by}"


def _section(split: Split, directory: Path) -> str:
    """What a split is about, and the circumstances of each of its stories that was run."""
    ran = [member for member in split.members if (directory / member.name / COMPARISON).exists()]
    purpose = story_of(directory / split.small.name).purpose
    return "\n".join([f"## {split.name}", "", purpose, "", *(_circumstances(member, directory) for member in ran)])


def _circumstances(member: Member, directory: Path) -> str:
    kept = read_validation(directory / member.name)
    host, told = kept.run["host"], kept.told
    judged = "comparable" if told["comparable"] else f"NOT comparable: {'; '.join(told['reasons'])}"
    return (
        f"- {member.told}: {kept.date}, commit {kept.commit}, {host['cpus_count']} cores, kernel {host['kernel']}, "
        f"Docker {host['engine']}; {told['live_count']} real runs, {judged}."
    )


if __name__ == "__main__":
    sys.exit(main())
