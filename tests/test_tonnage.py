"""The front door: exit codes, one line for what went wrong, one JSON object where asked, nothing loaded early."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import tonnage
from sim.record import read_record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

ROOT = Path(__file__).parents[1]
NO_ENGINE = {"DOCKER_HOST": "unix:///nonexistent"}

# One second of one agent: the least that is a run.
SMALL = """\
purpose: The smallest story that is one.
duration: 1s
hosts: {local: {cpus: 2, memory: 4g}}
containers: {agents: {cpus: 0.5, mem_limit: 64m, memswap_limit: 64m}}
agents: {worker: {think: 50ms, steps: [{compute: 5ms}]}}
goals: {busy: {metric: steps_per_s, min: 1}}
"""

COMMANDS = (
    *("check", "run", "validate", "compare", "calibrate", "capacity"),
    *("agreement", "library", "measure-host", "doctor", "dashboard"),
)


@pytest.fixture(name="small")
def _small(tmp_path: Path) -> str:
    """The path of a small sound scenario."""
    path = tmp_path / "small.yaml"
    path.write_text(SMALL, encoding="utf-8")
    return str(path)


def _process(*arguments: str, more: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run the front door in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "tonnage", *arguments],
        cwd=ROOT,
        env={**os.environ, **(more or {})},
        capture_output=True,
        text=True,
        check=False,
    )


def _python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run some Python in a process of its own."""
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


# Fine, and not.


def test_sound_runs_end_with_0(small: str, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A run whose goals are met ends with 0, prints its metrics on stdout, and keeps one record at home."""
    code = tonnage.run(["run", small])

    said = capsys.readouterr()
    assert 0 == code
    assert said.out.startswith("small simulated: 1 agent")
    assert "simulating small\n" == said.err
    assert 1 == len(list((home / "runs").glob("*-small/summary.json")))


def test_a_missed_goal_ends_with_1(small: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A run that misses a goal is an answer, not a failure of the command: its record is kept all the same."""
    code = tonnage.run(["run", small, "--set", "goals.busy.min=1000"])

    said = capsys.readouterr()
    assert 1 == code
    assert "MISSED  busy" in said.out
    assert "record: " in said.out


def test_without_arguments_the_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever types the bare name sees every command, and nothing went wrong."""
    code = tonnage.run([])

    said = capsys.readouterr()
    assert (0, "") == (code, said.err)
    assert [] == [name for name in COMMANDS if f"\n  {name} " not in said.out]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Help needs no scenario, no engine and no browser."""
    assert 0 == tonnage.run([command, "--help"])
    assert f"Usage: tonnage {command} " in capsys.readouterr().out


# Bad input.

LIBRARY_RUN = ["run", "cpu-quota-bursts"]
BAD_REQUESTS: dict[str, tuple[list[str], str]] = {
    "an unknown command": (["sail"], "sail"),
    "an unknown option": ([*LIBRARY_RUN, "--fast"], "--fast"),
    "no scenario": (["run"], "scenario"),
    "a seed that is no number": ([*LIBRARY_RUN, "--seed", "x"], "--seed"),
    "a seed below zero": ([*LIBRARY_RUN, "--seed", "-1"], "--seed"),
    "no repeats": (["validate", "cpu-quota-bursts", "--repeats", "0"], "--repeats"),
    "a missing file": (["run", "nosuch.yaml"], "nosuch.yaml"),
    "a missing story": (["run", "cpu-quota-burst"], "did you mean cpu-quota-bursts?"),
    "a folder": (["run", str(ROOT)], "is a directory"),
    "a --set without a value": ([*LIBRARY_RUN, "--set", "seed"], "--set seed"),
    "a --set of a bad value": ([*LIBRARY_RUN, "--set", "agents.worker.count=0"], "agents.worker.count is 0"),
    "a --set of an unknown agent": ([*LIBRARY_RUN, "--set", "agents.wroker.count=1"], "agents.worker"),
    "a --set of a reserved key": ([*LIBRARY_RUN, "--set", "pools=1"], "reserved"),
    "an unknown world": ([*LIBRARY_RUN, "--on", "mars"], "sim, docker"),
    "no record": (["compare", "nosuch-a", "nosuch-b"], "nosuch-a"),
}
BAD_FILES: dict[str, tuple[bytes, str]] = {
    "not YAML": (b"purpose: [1\nduration: }", "broken.yaml:2: is not valid YAML"),
    "an unknown key": (SMALL.replace("mem_limit", "memlimit").encode(), "did you mean mem_limit?"),
    "a reserved key": (f"{SMALL}pools: {{a: 1}}\n".encode(), "broken.yaml:7: pools is reserved"),
    "a wrong unit": (SMALL.replace("mem_limit: 64m", "mem_limit: 64q").encode(), "broken.yaml:4: containers.agents"),
    "a missing reference": (SMALL.replace("{think", "{container: other, think").encode(), "agents.worker.container"),
    "not UTF-8": (b"purpose: \xff\xfe\n", "is not UTF-8"),
    "nothing": (b"", "is empty"),
    "itself without end": (b"purpose: &a [*a]\n", "broken.yaml:1: "),
}


def _assert_one_line(code: int, capsys: pytest.CaptureFixture[str], part: str) -> None:
    """Bad input: exit code 2, nothing on stdout, one line that says what is wrong."""
    said = capsys.readouterr()

    assert (2, "") == (code, said.out)
    assert said.err.startswith("tonnage: ")
    assert 1 == said.err.count("\n")
    assert part in said.err


@pytest.mark.parametrize("what", BAD_REQUESTS)
def test_a_bad_request_is_one_line_and_writes_nothing(
    what: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever is wrong with a command line is told in one line that names it, and nothing is left behind."""
    arguments, part = BAD_REQUESTS[what]

    _assert_one_line(tonnage.run(arguments), capsys, part)
    assert not home.exists()


@pytest.mark.parametrize("what", BAD_FILES)
def test_a_bad_file_is_one_line_and_writes_nothing(
    what: str, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever is wrong with a scenario is told in one line with its place, and nothing is left behind."""
    content, part = BAD_FILES[what]
    path = tmp_path / "broken.yaml"
    path.write_bytes(content)

    _assert_one_line(tonnage.run(["run", str(path)]), capsys, part)
    assert not home.exists()


def test_a_record_is_never_written_over(small: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A directory that holds a record already is refused, and the record stays as it was."""
    record = tmp_path / "record"
    tonnage.run(["run", small, "--record", str(record)])
    before = {path.name: path.read_bytes() for path in record.iterdir()}
    capsys.readouterr()
    code = tonnage.run(["run", small, "--record", str(record), "--json"])

    said = capsys.readouterr()
    assert (2, "") == (code, said.out)
    assert "holds a record already" in said.err.splitlines()[-1]
    assert before == {path.name: path.read_bytes() for path in record.iterdir()}


def test_check_tells_every_problem_of_every_file(
    small: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each problem is a line of its own; sound files beside broken ones are told to be fine."""
    path = tmp_path / "broken.yaml"
    path.write_text(SMALL.replace("1s", "1x").replace("0.5", "-1"), encoding="utf-8")
    code = tonnage.run(["check", small, str(path), "nosuch"])

    said = capsys.readouterr()
    places = [line.split(": ")[0].rpartition("/")[2] for line in said.err.splitlines()]
    assert 2 == code
    assert ["broken.yaml:2", "broken.yaml:4", "nosuch"] == places
    assert said.out.startswith(f"{small}: fine")


# The world is missing.


@pytest.mark.parametrize("arguments", [["run", "--on", "docker"], ["validate"]], ids=lambda words: words[0])
def test_without_an_engine_a_live_command_ends_with_3(arguments: list[str], small: str, home: Path) -> None:
    """Where no engine answers, the last line says where it was looked for and how to get one; nothing is written."""
    ended = _process(*arguments, small, more=NO_ENGINE)
    last = ended.stderr.splitlines()[-1]

    assert (3, "") == (ended.returncode, ended.stdout)
    assert "Traceback" not in ended.stderr
    assert last.startswith("tonnage: no Docker engine answers at unix:///nonexistent")
    assert "DOCKER_HOST" in last
    assert [] == list(home.rglob("*"))


def test_without_an_engine_nothing_is_measured(home: Path) -> None:
    """A host profile is made from real containers or not at all."""
    ended = _process("measure-host", more=NO_ENGINE)

    assert (3, "") == (ended.returncode, ended.stdout)
    assert 1 == ended.stderr.count("\n")
    assert not (home / "host-profile.json").exists()


def test_without_an_engine_the_doctor_says_so(home: Path) -> None:
    """The doctor has findings all the same: what is missing, and the cure; looking changes nothing."""
    ended = _process("doctor", "--json", more=NO_ENGINE)
    found = json.loads(ended.stdout)

    assert (3, "") == (ended.returncode, ended.stderr)
    assert "doctor" == found["kind"]
    assert ("engine", "error") == (found["findings"][0]["kind"], found["findings"][0]["severity"])
    assert "DOCKER_HOST" in found["findings"][0]["remedy"]
    assert not home.exists()


# Bugs and interruptions.


def test_a_bug_ends_with_70_and_says_whose_it_is(
    small: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What nobody expected keeps its traceback for the report, and its last line says that it is not the user's."""

    def broken(_terms: object) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(tonnage, "WORLDS", {"sim": broken})
    code = tonnage.run(["run", small])

    said = capsys.readouterr()
    assert (70, "") == (code, said.out)
    assert said.err.startswith("Traceback")
    assert "tonnage: this is a bug of Tonnage, not of yours: ZeroDivisionError('by zero')" == said.err.splitlines()[-1]


@pytest.fixture(name="long_run")
def _long_run(small: str, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A simulation under way that would take minutes, and where its record grows."""
    record = tmp_path / "record"
    command = [sys.executable, "-m", "tonnage", "run", small, "--set", "duration=10d", "--record", str(record)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        try:
            _wait_until(lambda: b'"row":"step"' in _bytes(record / "journal.jsonl"))
            yield process, record
        finally:
            process.kill()


def _bytes(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


def _wait_until(holds: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 15.0
    while not holds():
        assert time.monotonic() < deadline_s, "it did not happen in 15 s"
        time.sleep(0.05)


@pytest.mark.usefixtures("heeded_signals")
def test_an_interruption_ends_with_130_and_leaves_a_readable_record(
    long_run: tuple[subprocess.Popen[str], Path],
) -> None:
    """Ctrl-C is told in one line, and what was recorded so far can be read: a run that did not end."""
    process, directory = long_run
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=15)
    record = read_record(directory)

    assert 130 == process.returncode
    assert ["simulating small", "tonnage: interrupted; a run that had begun left its record"] == said.splitlines()
    assert not record.ended
    assert record.steps["index"]


def test_a_kill_leaves_a_readable_record(long_run: tuple[subprocess.Popen[str], Path]) -> None:
    """Even where nothing could be said, the rows written so far are a record of a run that did not end."""
    process, directory = long_run
    process.kill()
    process.wait(timeout=15)
    record = read_record(directory)

    assert not record.ended
    assert record.window is not None
    assert record.samples["at_s"]


# JSON: one object on stdout.

METRIC = {"name", "container", "kind", "unit", "value"}
GOAL = {"name", "metric", "container", "value", "unit", "bound", "met"}
STORY = {"name", "path", "purpose", "source", "live_able"}
COMPARED = {
    *("name", "container", "kind", "unit", "live", "live_low", "live_high", "sim", "sim_low", "sim_high"),
    *("error_ratio", "difference_low", "difference_high", "verdict"),
}
COMPARISON = {
    *("kind", "scenario", "metrics", "median_error_ratio", "p90_error_ratio", "equivalent_ratio", "different_count"),
    *("comparable", "verdict"),
}


def _json(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """The one JSON object on stdout."""
    data = json.loads(capsys.readouterr().out)
    assert isinstance(data, dict)
    return data


def _assert_comparison(told: dict[str, Any], kind: str) -> None:
    """A comparison has every key that is promised, and each metric has every figure."""
    assert set() == COMPARISON - set(told)
    assert kind == told["kind"]
    assert told["metrics"]
    assert [] == [row for row in told["metrics"] if COMPARED - set(row)]
    assert {"physics", "shared"} >= {row["kind"] for row in told["metrics"]}
    assert {"equivalent", "different", "undecided"} >= {row["verdict"] for row in told["metrics"]}


def test_run_as_json(small: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A run is its world, its metrics, its goals and where its record lies."""
    code = tonnage.run(["run", small, "--json"])
    told = _json(capsys)

    assert (0, "run", "small", "sim") == (code, told["kind"], told["scenario"], told["world"])
    assert told["metrics"]
    assert [METRIC] * len(told["metrics"]) == [set(metric) for metric in told["metrics"]]
    assert [GOAL] == [set(goal) for goal in told["goals"]]
    assert read_record(Path(told["record"])).ended


def test_check_as_json(small: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Problems and warnings are two lists; broken input is exit code 2 and still one object."""
    fine = (tonnage.run(["check", "cpu-quota-bursts", "--json"]), _json(capsys))
    broken = (tonnage.run(["check", small, "nosuch", "--json"]), _json(capsys))

    assert {"kind", "scenario", "problems", "warnings"} == set(fine[1]) == set(broken[1])
    assert (0, "check", "cpu-quota-bursts", []) == (fine[0], fine[1]["kind"], fine[1]["scenario"], fine[1]["problems"])
    assert 1 == len(fine[1]["warnings"])
    assert (2, 1) == (broken[0], len(broken[1]["problems"]))


def test_library_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    """Every story that ships has a name, a file, a purpose, a source, and a word on whether it can run live."""
    code = tonnage.run(["library", "--json"])
    told = _json(capsys)

    assert (0, "library") == (code, told["kind"])
    assert {"agent-ecology", "cpu-quota-bursts", "memory-oom"} <= {story["name"] for story in told["stories"]}
    assert [] == [story for story in told["stories"] if STORY != set(story)]
    assert all(Path(story["path"]).is_file() for story in told["stories"])


def test_compare_as_json(small: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two records of one story are compared metric by metric; with one run each nothing can be decided."""
    records = [str(tmp_path / name) for name in ("first", "second")]
    for record in records:
        tonnage.run(["run", small, "--record", record])
    capsys.readouterr()
    code = tonnage.run(["compare", *records, "--json"])
    told = _json(capsys)

    _assert_comparison(told, "comparison")
    assert (1, "small", 1, 1) == (code, told["scenario"], told["live_count"], told["simulated_count"])
    assert {"undecided"} == {row["verdict"] for row in told["metrics"]}
    assert 0.0 == told["median_error_ratio"]


@pytest.mark.docker
@pytest.mark.timeout(180)
def test_validate_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    """Both worlds in short: every promised key, records of both beside the comparison, and a verdict."""
    arguments = ["validate", "cpu-quota-bursts", "--repeats", "1", "--replications", "2", "--set", "duration=5s"]
    code = tonnage.run([*arguments, "--json"])
    told = _json(capsys)

    _assert_comparison(told, "validation")
    assert {"agrees": 0}.get(told["verdict"], 1) == code
    assert {"other_load_cores", "metrics", "median_error_ratio"} <= set(told["load_given"])
    assert {"lag_s_p99", "other_load_cores", "steal_ratio", "harness_cores", "pace"} == set(told["harness"])
    assert "fluid_quota" in {control["name"] for control in told["negative_controls"]}
    assert read_record(Path(told["live_runs"][0])).provenance["world"] == "docker"
    assert {"comparison.json", "bands.json", "sim-1"} <= {path.name for path in Path(told["record"]).iterdir()}


@pytest.mark.docker
@pytest.mark.timeout(60)
def test_doctor_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    """Each finding has a kind, a severity, a text and a remedy, which is empty where none is needed."""
    code = tonnage.run(["doctor", "--json"])
    told = _json(capsys)

    assert "doctor" == told["kind"]
    assert [] == [found for found in told["findings"] if set(found) != {"kind", "severity", "text", "remedy"}]
    assert {"engine", "leftovers", "profile"} <= {found["kind"] for found in told["findings"]}
    assert code == int(any(found["severity"] == "error" for found in told["findings"]))


# What is loaded.

HEAVY = ("scipy", "pandas", "pyarrow", "docker", "streamlit", "plotly", "pydantic")
LOADED = """
import sys, tonnage
code = tonnage.run(["--help"])
print(*sorted(name for name in sys.modules if name.partition(".")[0] in sys.argv[1:]), file=sys.stderr)
sys.exit(code)
"""

# A package that a finder refuses to find is as good as not installed.
WITHOUT = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"docker", "psutil", "requests", "streamlit", "plotly", "pandas"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())
import tonnage
sys.exit(tonnage.run(sys.argv[1:]))
"""


def test_help_loads_nothing_heavy() -> None:
    """Help must be there at once; what takes long to import is imported by the command that needs it."""
    ended = _python(LOADED, *HEAVY)

    assert (0, "\n") == (ended.returncode, ended.stderr)


def test_the_test_of_what_is_loaded_can_tell() -> None:
    """What is loaded for help does show in the list."""
    assert "typer" in _python(LOADED, "typer").stderr.split()


@pytest.mark.parametrize("arguments", [["run"], ["check"], ["library"], ["--help"]], ids=lambda words: words[0])
def test_simulating_works_without_engine_and_browser_packages(arguments: list[str], small: str) -> None:
    """An install without the extras simulates, checks and lists."""
    files = [small] if arguments[0] in {"run", "check"} else []
    ended = _python(WITHOUT, *arguments, *files)

    assert 0 == ended.returncode, ended.stderr
    assert ended.stdout


@pytest.mark.parametrize("arguments", [["run", "--on", "docker"], ["validate"]], ids=lambda words: words[0])
def test_a_missing_extra_is_one_line_with_the_cure(arguments: list[str], small: str) -> None:
    """Live commands without the extra say which package is missing and what brings it."""
    ended = _python(WITHOUT, *arguments, small)

    assert (3, "") == (ended.returncode, ended.stdout)
    assert "Traceback" not in ended.stderr
    assert "pip install 'tonnage[live]'" in ended.stderr.splitlines()[-1]
