"""The worker's words: lines, programs, the ledger, and a driver that does not read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from live.worker import outlet, program, wire
from live.worker.ledger import ROWS_BYTES_MAX, Ledger
from live.worker.outlet import DriverGone, Outlet
from live.worker.wire import LineReader, WireError

if TYPE_CHECKING:
    from collections.abc import Iterator

SUBMIT = {"do": "submit", "id": 7, "agent": "w/0", "process": "own", "until": 60.0, "steps": [[3, 1.5, 0.0, []]]}


@pytest.fixture(name="pipe")
def _pipe() -> Iterator[tuple[int, int]]:
    """A pipe's two ends: what is read and what is written."""
    ends = os.pipe()
    yield ends
    for end in ends:
        try:
            os.close(end)
        except OSError:
            # The test has closed it.
            continue


def line(**changes: object) -> bytes:
    """A submit line with some fields changed."""
    return json.dumps(SUBMIT | changes, separators=(",", ":")).encode()


def fill(out: Outlet) -> None:
    """Say things that nobody reads until one has to wait."""
    while not out.waiting:
        out.say(b"x" * 4095 + b"\n")


class TestLines:
    """Lines out of a pipe."""

    def test_pieces_make_a_line(self, pipe: tuple[int, int]) -> None:
        """A line is given out once its end has come, however many reads that takes."""
        source, sink = pipe
        reader = LineReader(source)
        os.write(sink, b"on")
        first = reader.read()
        os.write(sink, b"e\ntwo\n\nthr")
        second = reader.read()
        os.write(sink, b"ee\n")

        assert [[], [b"one", b"two"], [b"three"]] == [first, second, reader.read()]

    def test_a_line_too_long_is_an_empty_one(self, pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
        """A line above the bound is not kept, and the one after it is whole."""
        source, sink = pipe
        monkeypatch.setattr(wire, "LINE_BYTES_MAX", 10)
        reader = LineReader(source)
        os.write(sink, b"0123456")
        reader.read()
        os.write(sink, b"789abcdef\nnext\n")

        assert reader.read() == [b"", b"next"]

    def test_the_end_of_the_stream(self, pipe: tuple[int, int]) -> None:
        """A closed pipe reads as None."""
        source, sink = pipe
        os.close(sink)

        assert LineReader(source).read() is None


class TestDecoding:
    """JSON without the json package."""

    @given(
        st.dictionaries(st.text(), st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text())
    )
    def test_it_reads_what_json_writes(self, value: dict[str, Any]) -> None:
        """Any object comes out as it went in."""
        assert value == wire.decode(json.dumps(value).encode())

    @pytest.mark.parametrize(
        ("text", "complaint"),
        [
            (b"", "no JSON value"),
            (b"{", "bad JSON"),
            (b'{"do":', "no JSON value"),
            (b"[1]", "must be a JSON object"),
            (b"{} {}", "something follows"),
            (b"\xff{}", "not UTF-8"),
            (b'{"a":' + b"[" * 100_000, "bad JSON"),
        ],
    )
    def test_it_complains_in_one_way(self, text: bytes, complaint: str) -> None:
        """Whatever is wrong with a line, it is a `WireError`."""
        with pytest.raises(WireError, match=complaint):
            wire.decode(text)

    def test_an_error_line_fits_one_write(self) -> None:
        """However long the text is, and whatever is in it."""
        told = wire.error_line("\u20ac" * 100_000, 5)

        assert len(told) <= wire.WRITE_BYTES_MAX
        assert json.loads(told)["id"] == 5


class TestSteps:
    """Lines of finished steps."""

    @given(st.integers(1, 500), st.text(min_size=1, max_size=program.NAME_CHARACTERS_MAX))
    def test_all_rows_get_out_in_order(self, count: int, agent: str) -> None:
        """Rows are cut into lines that each fit one write; nothing is lost, doubled or moved."""
        rows = b",".join(b"[%d,%.6f,1.000000,0.100000,0.100000,0.000000]" % (index, index) for index in range(count))
        told = list(wire.steps_lines(agent, rows))

        assert all(len(line) <= wire.WRITE_BYTES_MAX for line, _ in told)
        assert len(rows) == sum(size for _, size in told) + len(told) - 1
        assert {agent} == {json.loads(line)["agent"] for line, _ in told}
        assert list(range(count)) == [row[0] for line, _ in told for row in json.loads(line)["rows"]]


class TestPrograms:
    """A submit line."""

    def test_the_head_is_read_without_the_steps(self) -> None:
        """The supervisor learns whose program it is and its first step, and leaves the steps as text."""
        text = line()
        head, start = program.split(text)

        assert {key: value for key, value in SUBMIT.items() if key != "steps"} == head
        assert text[start:] == b"[[3,1.5,0.0,[]]]}"
        assert program.first_index(text, start) == 3

    def test_steps_are_decoded_one_at_a_time(self) -> None:
        """A broken step does no harm before its turn."""
        steps = program.steps("[[0,null,0.5,[]], [1,null,oops")

        assert next(steps) == [0, None, 0.5, []]
        with pytest.raises(WireError):
            next(steps)

    def test_a_program_may_be_empty(self) -> None:
        """No steps is a program that has finished."""
        text = line(steps=[])
        _, start = program.split(text)

        assert list(program.steps(text[start:].decode())) == []
        assert program.first_index(text, start) == 0

    @pytest.mark.parametrize(
        ("changes", "complaint"),
        [
            ({"id": "x"}, "numbers as id and until"),
            ({"until": None}, "numbers as id and until"),
            ({"agent": ""}, "an agent's name"),
            ({"agent": "a" * 201}, "an agent's name"),
            ({"process": "other"}, "own or main, not 'other'"),
            ({"steps": None}, "must end with"),
            ({"and": "more"}, "must end with"),
        ],
    )
    def test_a_submit_nobody_could_run_is_refused(self, changes: dict[str, Any], complaint: str) -> None:
        """The complaint names the field."""
        with pytest.raises(WireError, match=complaint):
            program.split(line(**changes))


class TestLedger:
    """What outlives an agent."""

    def test_rows_stay_until_they_are_told(self) -> None:
        """Rows told are struck out from the front; with the last one the room is free again."""
        ledger = Ledger()
        for row in (b"[1]", b"[2]", b"[33]"):
            ledger.add(row)
        told = [ledger.rows()]
        ledger.told(len(b"[1],[2]"))
        told.append(ledger.rows())
        ledger.told(len(b"[33]"))
        told.append(ledger.rows())
        ledger.add(b"[4]")
        told.append(ledger.rows())
        ledger.close()

        assert [b"[1],[2],[33]", b"[33]", b"", b"[4]"] == told

    def test_a_full_ledger_says_so(self) -> None:
        """A row without room is refused, and what was there stays."""
        ledger = Ledger()
        kept = b"x" * (ROWS_BYTES_MAX - 2)
        assert ledger.add(kept)

        assert not ledger.add(b"[2]")
        assert ledger.rows() == kept
        ledger.close()

    def test_another_process_sees_it(self) -> None:
        """What a forked process wrote is there after its death."""
        ledger = Ledger()
        pid = os.fork()
        if pid == 0:
            ledger.begin()
            ledger.step = 41
            ledger.add(b"[40]")
            os._exit(0)
        os.waitpid(pid, 0)

        assert (ledger.serial, ledger.step, ledger.rows()) == (1, 41, b"[40]")
        ledger.close()


class TestOutlet:
    """A driver that does not read."""

    def test_samples_are_dropped_and_outcomes_are_not(self, pipe: tuple[int, int]) -> None:
        """While the pipe is full, outcomes queue; samples do up to a bound, then they are counted and gone."""
        source, sink = pipe
        outlet.unblock(sink)
        out = Outlet(sink)
        fill(out)
        queued = [out.say_sample(b"sample\n") for _ in range(outlet.QUEUED_SAMPLES_MAX + 5)]
        out.say(b"outcome\n")
        assert queued.count(False) == out.samples_dropped == 5

        told = b""
        while out.waiting:
            told += os.read(source, 65536)
            out.flush()
        told += os.read(source, 65536)

        assert [b"sample"] * outlet.QUEUED_SAMPLES_MAX + [b"outcome"] == told.split()[-outlet.QUEUED_SAMPLES_MAX - 1 :]
        assert out.say_sample(b"again\n")

    def test_enough_queued_is_full(self, pipe: tuple[int, int]) -> None:
        """The supervisor is told when to take no more orders."""
        _, sink = pipe
        outlet.unblock(sink)
        out = Outlet(sink)
        fill(out)
        for _ in range(outlet.QUEUED_LINES_MAX - 1):
            assert not out.full
            out.say(b"outcome\n")

        assert out.full

    def test_a_driver_that_is_gone_is_noticed(self, pipe: tuple[int, int]) -> None:
        """Writing to nobody ends the worker, in the supervisor and in an agent."""
        source, sink = pipe
        os.close(source)

        with pytest.raises(DriverGone):
            Outlet(sink).say(b"line\n")
        with pytest.raises(DriverGone):
            outlet.write_whole(sink, b"line\n")


KILLS = """
import os, signal, sys
from live.worker.roster import Roster
kills = 0
roster = Roster(lambda: kills)
line = b'{"do":"submit","id":1,"agent":"w/0","process":"own","until":60.0,"steps":[[0,null,0.0,[["sleep",60.0]]]]}'
head = {"id": 1, "agent": "w/0", "process": "own"}
for kills in (2, 2):
    child = roster.submit(head, line, line.index(b"[["), 0.0)
    os.kill(child.pid, signal.SIGKILL)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    for said in roster.bury(1.0):
        if b'"killed","agent"' in said:
            sys.stdout.buffer.write(said)
"""


def test_a_kill_of_the_crew_explains_no_later_death() -> None:
    """Two processes of one agent die for memory; whoever kills the next agent is not the OOM killer."""
    told = subprocess.run([sys.executable, "-c", KILLS], capture_output=True, check=True, text=True).stdout

    assert [json.loads(line)["cause"] for line in told.splitlines()] == ["oom", "killed"]


def test_every_sample_asked_for_is_answered() -> None:
    """However many questions a driver asks before it reads, none of the answers is dropped."""
    questions_count = 1_500
    command = [sys.executable, "-m", "live.worker"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as worker:
        assert worker.stdin is not None
        assert worker.stdout is not None
        worker.stdin.write(b"".join(b'{"do":"sample","id":%d}\n' % number for number in range(questions_count)))
        worker.stdin.flush()
        time.sleep(1.0)
        lines = (json.loads(worker.stdout.readline()) for _ in range(questions_count + 1))
        answered = [message["id"] for message in lines if message["is"] == "sample"]
        worker.stdin.close()

    assert answered == list(range(questions_count))
