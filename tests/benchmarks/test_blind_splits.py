"""Blind splits: the stories are what their names say, and the program goes from real runs to a page and again from it.

The real world is played by a simulated one, with physics seeds that no prediction has, and a constant of spreading that
the measured profile has not.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
from typing import TYPE_CHECKING

import pytest

from benchmarks import blind_splits
from benchmarks.blind_splits import SPLITS, Split
from live import baseline
from scenarios.demand import group_demand
from sim.physics.host_profile import load_profile
from sim.places import host_profile
from sim.record import write_json
from sim.run import Outcome, simulate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from scenarios import Story
    from sim.physics.host_profile import HostProfile
    from sim.worlds import Say

# What is true of the played world, and what the profile says that was measured before.
TRUE, MEASURED = 1.0, 0.0
STORIES = [(split, member) for split in SPLITS for member in split.members]


def profile_with(seen_ratio: float) -> HostProfile:
    """The reference profile with this constant of spreading."""
    return dataclasses.replace(load_profile(None), idle_seen_ratio=seen_ratio)


@dataclasses.dataclass
class Played:
    """A world that plays the real one, perhaps disturbed, perhaps interrupted after some runs."""

    comparable: bool = True
    runs_count_max: int = 1000
    played: list[str] = dataclasses.field(default_factory=list)
    name: str = "docker"

    @contextlib.contextmanager
    def hold(self, story: Story, say: Say) -> Iterator[None]:
        """Nobody else is there."""
        yield

    def run(self, story: Story, *, directory: Path | None, physics_seed: int, say: Say) -> Outcome:
        """Simulate with the true constant and a seed that no prediction uses."""
        if len(self.played) == self.runs_count_max:
            raise KeyboardInterrupt
        self.played.append(story.name)
        outcome = simulate(story, profile=profile_with(TRUE), physics_seed=10_000 + physics_seed, directory=directory)
        if self.comparable or directory is None:
            return outcome
        reasons = ("somebody else used the machine",)
        told = json.loads((directory / "provenance.json").read_text(encoding="utf-8"))
        write_json(directory / "provenance.json", told | {"comparable": False, "reasons": reasons})
        return dataclasses.replace(outcome, comparable=False, reasons=reasons)


def never() -> Played:
    """The world of a program that is to run nothing."""
    raise AssertionError("the real world was asked for")


def rows(page: str) -> list[list[str]]:
    """The cells of a page's table, without its heading."""
    lines = [line for line in page.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


@pytest.fixture(autouse=True)
def _few_simulations(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A measured profile in the home of the test, and two candidates, each simulated twice."""
    write_json(host_profile(), profile_with(MEASURED).to_json())
    monkeypatch.setattr(baseline, "CANDIDATES", (TRUE, MEASURED))
    monkeypatch.setattr(baseline, "REPLICATIONS_COUNT", 2)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same splits with stories of six seconds."""

    def shortened(split: Split) -> Split:
        small, *large = (
            dataclasses.replace(member, sets=(*member.sets, ("duration", "6s"))) for member in split.members
        )
        return Split(split.name, small, tuple(large))

    monkeypatch.setattr(blind_splits, "SPLITS", tuple(map(shortened, SPLITS)))


# The stories.


@pytest.mark.parametrize(("split", "member"), STORIES, ids=lambda one: one.name)
def test_each_story_is_short_and_fits_a_small_machine(split: Split, member: blind_splits.Member) -> None:
    """Every story of every split loads, lasts 20 s on two cores in little memory, and names what it is looked at by."""
    story = split.story(member)

    assert (member.name, 20.0, [2.0]) == (story.name, story.duration_s, [host.cpus_count for host in story.hosts])
    assert sum(container.memory_bytes_limit or 2**40 for container in story.containers) <= 256 * 1024**2
    assert story.headline


def test_records_of_two_stories_have_two_names() -> None:
    """All lie side by side in one directory."""
    assert len(STORIES) == len({member.name for _, member in STORIES})


def test_the_splits_are_what_they_say() -> None:
    """Agents go from 2 to 8, limits from 1 to 0.25 and 2, and loads from 30 to between 95 and 100 % of the limit."""
    agents, cpus, load = ([split.story(member) for member in split.members] for split in SPLITS)
    offered = [group_demand(story, story.agents[0]).cpus_mean / (story.containers[0].cpus_limit or 0) for story in load]

    assert [2, 8] == [story.agents[0].count for story in agents]
    assert [1.0, 0.25, 2.0] == [story.containers[0].cpus_limit for story in cpus]
    assert 0.30 == pytest.approx(offered[0], abs=0.005)
    assert 0.95 <= offered[1] <= 1.0


@pytest.mark.parametrize("split", SPLITS, ids=lambda split: split.name)
def test_a_large_story_is_the_small_one_but_for_one_value(split: Split) -> None:
    """What is predicted differs from what was fitted to in what the split is about, and in nothing else."""
    small = split.story(split.small)
    was, lived = small.agents[0], small.containers[0]
    for member in split.large:
        large = split.story(member)
        agents = dataclasses.replace(large.agents[0], count=was.count, think_s=was.think_s)
        # How many processes a container may have follows from its agents.
        container = dataclasses.replace(
            large.containers[0], cpus_limit=lived.cpus_limit, pids_count_limit=lived.pids_count_limit
        )

        assert 1 == len(member.sets)
        assert small == dataclasses.replace(large, name=small.name, agents=(agents,), containers=(container,))
        assert small != dataclasses.replace(large, name=small.name)


# The program.


@pytest.mark.timeout(180)
def test_program_goes_from_runs_to_a_page_and_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The fit finds the world's own constant on the small story and beats the measured one on the large.

    From the kept runs alone the same page is made again.
    """
    world, kept = Played(), tmp_path / "kept"
    options = ["--only", "agents", "--replications", "4"]

    assert 0 == blind_splits.main([*options, "--repeats", "3", "--record", str(kept)], lambda: world)
    page = capsys.readouterr().out
    fitted, measured = rows(page)

    assert ["agents-2"] * 3 + ["agents-8"] * 3 == world.played
    assert ["agents", "8 agents", "2 agents", "100.0 %"] == fitted[:4]
    assert ["agents", "8 agents", "`measure-host`", "0.0 %"] == measured[:4]
    assert float(fitted[4]) < float(measured[4])
    assert _percent(fitted[5]) < _percent(measured[5])
    assert "3 real runs, comparable." in page
    assert SPLITS[0].story(SPLITS[0].small).purpose in page

    assert 0 == blind_splits.main([*options, "--from", str(kept)], never)
    assert page == capsys.readouterr().out


@pytest.mark.timeout(60)
@pytest.mark.usefixtures("short")
def test_everything_is_kept_in_the_home(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Runs, both judgements, and the profile that was found lie under the validations; progress is not on stdout."""
    world = Played()

    assert 0 == blind_splits.main(["--only", "agents", "--repeats", "2", "--replications", "2"], lambda: world)
    told = capsys.readouterr()
    (kept,) = (home / "validations").iterdir()
    (into,) = kept.glob("*-judged")

    assert {"profile.json", "agents-2", "agents-8", into.name} == {found.name for found in kept.iterdir()}
    assert all((kept / name / "live-2" / "summary.json").exists() for name in ("agents-2", "agents-8"))
    assert {"agents.json", "agents-8-fitted", "agents-8-measured"} == {found.name for found in into.iterdir()}
    assert "fitted to 2 real runs of agents-2" == load_profile(into / "agents.json").origin["idle_seen_ratio"]
    assert told.out.startswith("# Blind splits")
    assert "fitting to 2 real runs" in told.err


@pytest.mark.timeout(60)
@pytest.mark.usefixtures("short")
def test_what_was_run_before_an_interruption_is_judged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Interrupted in its third story, the program leaves two, which make a page without the third."""
    kept = tmp_path / "kept"
    options = ["--only", "cpus", "--replications", "2"]

    assert 130 == blind_splits.main(
        [*options, "--repeats", "2", "--record", str(kept)], lambda: Played(runs_count_max=4)
    )
    assert 0 == blind_splits.main([*options, "--from", str(kept)], never)
    told = capsys.readouterr()

    assert [["cpus", "0.25 CPU"]] * 2 == [row[:2] for row in rows(told.out)]
    assert "left out is 2 CPUs" in told.err


@pytest.mark.timeout(60)
@pytest.mark.usefixtures("short")
def test_disturbed_runs_are_marked(capsys: pytest.CaptureFixture[str]) -> None:
    """Where every run was disturbed the table says so beside the story, and the page says by what."""
    options = ["--only", "load", "--repeats", "1", "--replications", "2"]

    assert 0 == blind_splits.main(options, lambda: Played(comparable=False))
    page = capsys.readouterr().out

    assert ["97 % of the limit (not comparable)"] * 2 == [row[1] for row in rows(page)]
    assert 2 == page.count("NOT comparable: somebody else used the machine")


def test_fit_that_finds_nothing_is_told(
    monkeypatch: pytest.MonkeyPatch, short: None, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where no candidate has waits like the real ones, the profile stays and its row says so."""
    monkeypatch.setattr(baseline, "distance", lambda _real, _predicted: float("inf"))

    assert 0 == blind_splits.main(["--only", "agents", "--repeats", "1", "--replications", "2"], Played)
    fitted, measured = rows(capsys.readouterr().out)

    assert ["0.0 %", "no value explains it"] == fitted[3:5]
    assert measured[3:] == fitted[3:]


# What a user can mend.


def test_without_a_measured_profile_nothing_is_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """There is nothing to hold the splits against; the line says what makes it."""
    host_profile().unlink()

    assert 2 == blind_splits.main(["--record", str(tmp_path / "kept")], Played)
    assert "tonnage measure-host" in capsys.readouterr().err
    assert not (tmp_path / "kept").exists()


@pytest.mark.parametrize("option", ["--record", "--from"])
def test_a_directory_must_be_of_the_right_kind(option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Runs go where none are kept yet, and are judged where some are; nothing is written elsewhere."""
    kept = tmp_path / "kept"
    if option == "--record":
        write_json(kept / "profile.json", profile_with(MEASURED).to_json())
    before = sorted(tmp_path.rglob("*"))

    assert 2 == blind_splits.main([option, str(kept)], Played)
    assert f"{option} {kept}" in capsys.readouterr().err
    assert before == sorted(tmp_path.rglob("*"))


def test_kept_profile_without_runs_makes_no_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A program that was interrupted before its second story ended left nothing to judge."""
    write_json(tmp_path / "profile.json", profile_with(MEASURED).to_json())

    assert 2 == blind_splits.main(["--from", str(tmp_path)], never)
    told = capsys.readouterr()
    assert "" == told.out
    assert "holds no split whose small story and a large one were run" in told.err


@pytest.mark.parametrize(
    "options",
    [["--repeats", "0"], ["--replications", "1"], ["--from", "a", "--repeats", "2"], ["--from", "a", "--record", "b"]],
    ids=" ".join,
)
def test_options_that_mean_nothing_are_refused(options: list[str]) -> None:
    """Counts have bounds, and kept runs are not run."""
    with pytest.raises(SystemExit) as refused:
        blind_splits.main(options, never)

    assert 2 == refused.value.code


def _percent(cell: str) -> float:
    return float(cell.removesuffix(" %"))
