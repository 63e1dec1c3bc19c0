"""The record: what a run leaves behind, ended or killed."""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from scenarios import load
from sim.errors import RecordError
from sim.machine import Probed, StepDone
from sim.physics.host_profile import load_profile
from sim.record import STEPS_COUNT_MAX, Recorder, begin_record, read_record
from sim.recorded import recall, story_of
from sim.run import simulate

DETERMINISTIC = (
    "scenario.json",
    "summary.json",
    "samples.parquet",
    "steps.parquet",
    "events.parquet",
    "gauges.parquet",
)

# The long story a kill is to hit in the middle of; it would take hours.
ENDLESS = """
import sys
from pathlib import Path
from scenarios import load
from sim.physics.host_profile import load_profile
from sim.run import simulate
story = load("cpu-quota-bursts", sets=[("duration", "20d")]).story
print("begun", flush=True)
simulate(story, profile=load_profile(None), directory=Path(sys.argv[1]))
"""

ONCE = """
import sys
from pathlib import Path
from scenarios import load
from sim.physics.host_profile import load_profile
from sim.run import simulate
simulate(load("memory-oom").story, profile=load_profile(None), physics_seed=3, directory=Path(sys.argv[1]))
"""


def done(index: int, *, agent: str = "w/0", last: bool = True, latency_s: float = 0.1) -> StepDone:
    """A step or a part of one."""
    return StepDone("a", agent, index, float(index), index + latency_s, latency_s, 0.05, 0.01, last)


@pytest.mark.timeout(60)
def test_same_seed_gives_the_same_bytes_in_three_processes(tmp_path: Path) -> None:
    """The deterministic part is byte-identical in this process and in two fresh ones."""
    simulate(load("memory-oom").story, profile=load_profile(None), physics_seed=3, directory=tmp_path / "0")
    for number in ("1", "2"):
        subprocess.run([sys.executable, "-c", ONCE, str(tmp_path / number)], check=True)

    for name in DETERMINISTIC:
        first = (tmp_path / "0" / name).read_bytes()
        assert [first, first] == [(tmp_path / number / name).read_bytes() for number in ("1", "2")], name


def test_another_physics_seed_gives_another_record(tmp_path: Path) -> None:
    """The test above would see a difference: another seed makes other steps."""
    for seed in (1, 2):
        simulate(
            load("memory-oom").story, profile=load_profile(None), physics_seed=seed, directory=tmp_path / str(seed)
        )

    assert (tmp_path / "1" / "steps.parquet").read_bytes() != (tmp_path / "2" / "steps.parquet").read_bytes()


@pytest.mark.timeout(60)
def test_killed_run_is_readable_up_to_its_last_second(tmp_path: Path) -> None:
    """After kill -9 the journal is the record: rows up to a second before, and metrics over what there is."""
    directory = tmp_path / "killed"
    with subprocess.Popen([sys.executable, "-c", ENDLESS, str(directory)], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(3)
        child.send_signal(signal.SIGKILL)
    record = read_record(directory)
    outcome = recall(directory)

    assert not record.ended
    assert len(record.samples["at_s"]) > 10
    assert 20 == pytest.approx({metric.name: metric.value for metric in outcome.metrics}["steps_per_s"], rel=0.2)
    assert (False, ("the run did not come to its end",)) == (outcome.comparable, outcome.reasons)


def test_cut_off_line_is_left_out(tmp_path: Path) -> None:
    """A journal whose last line was cut off in the middle is read up to the line before."""
    begin_record(tmp_path / "r", load("memory-oom").story, {}, {})
    recorder = Recorder(tmp_path / "r")
    recorder.step(done(0))
    recorder.step(done(1))
    recorder.abandon()
    journal = tmp_path / "r" / "journal.jsonl"
    journal.write_bytes(journal.read_bytes()[:-20])

    assert [0] == read_record(tmp_path / "r").steps["index"]


def test_ended_run_reads_back_as_it_was(tmp_path: Path) -> None:
    """Metrics, goals, checks and tables come back as the run gave them."""
    outcome = simulate(load("agent-ecology").story, profile=load_profile(None), directory=tmp_path / "r")
    again = recall(tmp_path / "r")

    assert (outcome.metrics, outcome.goals, outcome.checks) == (again.metrics, again.goals, again.checks)
    assert outcome.recorder.tables == again.recorder.tables
    assert not (tmp_path / "r" / "journal.jsonl").exists()


def test_probes_have_a_table_where_a_host_was_probed(tmp_path: Path) -> None:
    """They read back as they were; a record without any has no such file and reads as one with none."""
    probes = {}
    for name, found in (("with", ((1.0, 2.0), (1.1, 2.3))), ("without", ((), ()))):
        begin_record(tmp_path / name, load("memory-oom").story, {}, {})
        recorder = Recorder(tmp_path / name)
        recorder.probed(Probed("local", *found))
        recorder.finish({"window_start_s": 0.0, "window_end_s": 3.0})
        probes[name] = read_record(tmp_path / name).tables["probes"]

    assert {"host": ["local", "local"], "due_s": [1.0, 2.0], "finish_s": [1.1, 2.3]} == probes["with"]
    assert {"host": [], "due_s": [], "finish_s": []} == probes["without"]
    assert [True, False] == [(tmp_path / name / "probes.parquet").exists() for name in probes]


def test_probes_of_a_run_that_did_not_end_are_in_its_journal(tmp_path: Path) -> None:
    """What was found before the end came is read like all else."""
    begin_record(tmp_path / "r", load("memory-oom").story, {}, {})
    recorder = Recorder(tmp_path / "r")
    recorder.probed(Probed("local", (1.0,), (1.1,)))
    recorder.abandon()

    assert {"host": ["local"], "due_s": [1.0], "finish_s": [1.1]} == read_record(tmp_path / "r").tables["probes"]


def test_parts_of_a_step_become_one_row() -> None:
    """A step in two parts is one row: due with the first, finished with the last, times added up."""
    recorder = Recorder(None)
    recorder.step(done(3, last=False, latency_s=0.2))
    recorder.step(done(3, latency_s=0.3))
    steps = recorder.tables["steps"]

    assert ([3], [3.0], [3.3], [0.5], [0.1]) == (
        steps["index"],
        steps["due_s"],
        steps["finish_s"],
        steps["latency_s"],
        steps["cpu_s"],
    )


def test_lost_first_part_does_not_leak_into_the_next_step() -> None:
    """A part whose step was never finished is forgotten when another step comes."""
    recorder = Recorder(None)
    recorder.step(done(3, last=False, latency_s=0.2))
    recorder.step(done(4))

    assert [0.1] == recorder.tables["steps"]["latency_s"]


def test_step_rows_are_bounded_and_totals_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """Past the bound rows thin out evenly; counts and sums go on counting every step."""
    monkeypatch.setattr("sim.record.STEPS_COUNT_MAX", 100)
    recorder = Recorder(None)
    recorder.begin_window(0.0, 1e9)
    for index in range(1000):
        recorder.step(done(index))
    kept = recorder.tables["steps"]["index"]

    assert len(kept) <= 100 < STEPS_COUNT_MAX
    assert 1 == len({later - earlier for earlier, later in itertools.pairwise(kept)})
    assert 1000 == recorder.totals["a"].steps_count
    assert 100.0 == pytest.approx(recorder.totals["a"].latency_s_sum)


def test_directory_holds_one_record(tmp_path: Path) -> None:
    """A second record in the same directory is refused, and the first stays as it is."""
    story = load("memory-oom").story
    begin_record(tmp_path / "r", story, {}, {})

    with pytest.raises(RecordError, match=r"r: holds a record already; name another directory$"):
        begin_record(tmp_path / "r", story, {}, {})


def test_what_is_not_a_record_is_named(tmp_path: Path) -> None:
    """An empty directory, a damaged file and a foreign version each say what is wrong."""
    with pytest.raises(RecordError, match=r"is not a record: it has no scenario.json$"):
        read_record(tmp_path)
    (tmp_path / "scenario.json").write_text("{", encoding="utf-8")
    with pytest.raises(RecordError, match=r"scenario.json cannot be read"):
        read_record(tmp_path)
    (tmp_path / "scenario.json").write_text(json.dumps({"schema_version": 99}), encoding="utf-8")
    with pytest.raises(RecordError, match=r"has schema version 99; this Tonnage reads version 1$"):
        read_record(tmp_path)


def test_rows_are_readable_at_once_and_only_kept_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of two agents thin out evenly for each, and the journal can be read before it is closed."""
    monkeypatch.setattr("sim.record.STEPS_COUNT_MAX", 10)
    recorder = Recorder(tmp_path)
    for index in range(40):
        recorder.step(done(index, agent="w/0"))
        recorder.step(done(index, agent="w/1"))
    steps = recorder.tables["steps"]
    lines = (tmp_path / "journal.jsonl").read_text(encoding="utf-8").splitlines()
    recorder.abandon()

    assert {"w/0", "w/1"} == set(steps["agent"])
    assert len(steps["index"]) < len(lines) < 80


@pytest.mark.parametrize("name", ["scenario.json", "journal.jsonl"])
def test_place_that_cannot_be_written_is_told(tmp_path: Path, name: str) -> None:
    """What the disk refuses is one line that fits however the place was chosen."""
    (tmp_path / (f".{name}.part" if name.endswith("json") else name)).mkdir()

    with pytest.raises(RecordError, match=r"cannot be written \(.*name another place with --record or TONNAGE_HOME"):
        simulate(load("memory-oom").story, profile=load_profile(None), directory=tmp_path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
@pytest.mark.parametrize("name", ["journal.jsonl", ".provenance.json.part", "steps.parquet", ".summary.json.part"])
def test_disk_that_fills_up_during_a_run_is_told(tmp_path: Path, name: str) -> None:
    """Wherever space runs out, it is one line with the place, and what was written before stays."""
    (tmp_path / name).symlink_to("/dev/full")

    with pytest.raises(RecordError, match=r"cannot be written \(.*No space left on device\)"):
        simulate(load("memory-oom").story, profile=load_profile(None), directory=tmp_path)

    assert (tmp_path / "scenario.json").exists()


def test_damaged_record_is_told(tmp_path: Path) -> None:
    """JSON of the wrong shape is a damaged record, not a bug."""
    (tmp_path / "scenario.json").write_text('{"schema_version": 1, "story": {"name": 1}}', encoding="utf-8")
    (tmp_path / "journal.jsonl").write_text('{"row": "window"}', encoding="utf-8")

    for read in (recall, story_of):
        with pytest.raises(RecordError, match=r"is damaged \("):
            read(tmp_path)
