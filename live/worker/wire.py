"""The wire: JSON lines between the driver and the worker.

Every write is at most `PIPE_BUF` bytes long, which the kernel never mixes with another process's write.
So the supervisor and all agents share one stdout without a lock and without passing each other's lines on.
"""

from __future__ import annotations

import os
from _json import encode_basestring_ascii, make_scanner

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

LINE_BYTES_MAX = 4 * 1024 * 1024
WRITE_BYTES_MAX = 4096  # PIPE_BUF of Linux: writes up to it are atomic on a pipe.
READ_BYTES_MAX = 65536  # What a pipe holds by default.
TEXT_CHARACTERS_MAX = 500


class WireError(ValueError):
    """A line is not what the protocol says; the text tells what is wrong."""


class _Grammar:
    """The settings the interpreter's JSON scanner asks for: plain JSON."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = float


# The scanner behind `json.loads`, without the package, whose decoder loads `re`.
_scan = make_scanner(_Grammar)  # type: ignore[arg-type]  # Any object with these attributes will do.


def scan(text: str, start: int) -> tuple[Any, int]:
    """One JSON value of `text` from `start` on, and where it ends."""
    try:
        return _scan(text, start)
    except StopIteration:
        msg = f"no JSON value at character {start}"
        raise WireError(msg) from None
    except (ValueError, RecursionError, SystemError):
        # Without the json package the scanner of Python 3.11 has no words for its complaint: hence SystemError.
        msg = f"bad JSON somewhere after character {start}"
        raise WireError(msg) from None


def decode(line: bytes) -> dict[str, Any]:
    """The JSON object in a line."""
    try:
        text = line.decode().strip()
    except UnicodeDecodeError as error:
        msg = f"not UTF-8: {error}"
        raise WireError(msg) from None
    value, end = scan(text, 0)
    if end != len(text):
        msg = f"something follows the JSON value at character {end}"
        raise WireError(msg)
    if not isinstance(value, dict):
        msg = "a line must be a JSON object"
        raise WireError(msg)
    return value


def quote(text: str) -> str:
    """A string as JSON, cut to `TEXT_CHARACTERS_MAX`, so that a line around it fits one write."""
    return encode_basestring_ascii(text[:TEXT_CHARACTERS_MAX])


def error_line(text: str, program: int | None = None) -> bytes:
    """The line that says what was wrong with a line of the driver's; with `program`, that program has ended."""
    identity = "" if program is None else f'"id":{program},'
    return f'{{"is":"error",{identity}"text":{quote(text)}}}\n'.encode()


def pieces(rows: bytes, room: int) -> Iterator[bytes]:
    """`[..],[..],[..]` cut between rows into parts of at most `room` bytes."""
    start = 0
    while len(rows) - start > room:
        cut = rows.rindex(b"],[", start, start + room) + 1
        yield rows[start:cut]
        start = cut + 1
    yield rows[start:]


def steps_lines(agent: str, rows: bytes) -> Iterator[tuple[bytes, int]]:
    """The lines that report finished steps, each short enough for one write, and how much of `rows` each holds."""
    head = f'{{"is":"steps","agent":{quote(agent)},"rows":['.encode()
    for piece in pieces(rows, WRITE_BYTES_MAX - len(head) - len(b"]}\n")):
        yield head + piece + b"]}\n", len(piece)


class LineReader:
    """Lines out of a file descriptor, whatever pieces they come in.

    Blank lines are left out. A line above `LINE_BYTES_MAX` is not kept and comes as an empty one.
    """

    __slots__ = ("_fd", "_parts", "_size")

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._parts: list[bytes] = []
        self._size = 0

    def read(self) -> list[bytes] | None:
        """The lines that one read completes; None at the end of the stream."""
        data = os.read(self._fd, READ_BYTES_MAX)
        if not data:
            return None
        *ended, rest = data.split(b"\n")
        lines = []
        for part in ended:
            self._keep(part)
            if self._size:
                lines.append(b"".join(self._parts))
            self._parts.clear()
            self._size = 0
        self._keep(rest)
        return lines

    def _keep(self, part: bytes) -> None:
        self._size += len(part)
        if self._size > LINE_BYTES_MAX:
            self._parts.clear()
        elif part:
            self._parts.append(part)
