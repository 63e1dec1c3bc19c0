"""A program as it comes over the wire, its steps decoded one at a time.

A thousand steps are 60 KB as text and a megabyte as Python lists, which would count against the container's
memory, so the text is kept and each step is decoded when its turn comes.
"""

from __future__ import annotations

from .wire import WireError, decode, scan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

_STEPS = b'"steps":'
NAME_CHARACTERS_MAX = 200


def split(line: bytes) -> tuple[dict[str, Any], int]:
    """A submit line's fields but its steps, and where the list of steps begins in the line.

    "steps" must be the last key, so that a long list need not be decoded to know whose it is.
    """
    at = line.find(_STEPS)
    if at < 0:
        msg = 'a submit needs "steps" as its last key'
        raise WireError(msg)
    head = decode(line[:at].rstrip(b" ,") + b"}")
    _check(head)
    start = line.find(b"[", at)
    if start < 0 or line[-24:].replace(b" ", b"")[-2:] != b"]}":
        msg = 'a submit must end with "steps":[...]}'
        raise WireError(msg)
    return head, start


def _check(head: dict[str, Any]) -> None:
    """Complain of a field that an agent could not live with."""
    number, name, process, until_s = (head.get(key) for key in ("id", "agent", "process", "until"))
    if not isinstance(number, int) or not isinstance(until_s, int | float):
        msg = f"a submit needs numbers as id and until, not {number!r} and {until_s!r}"
        raise WireError(msg)
    if not isinstance(name, str) or not 0 < len(name) <= NAME_CHARACTERS_MAX:
        msg = f"a submit needs an agent's name of 1 to {NAME_CHARACTERS_MAX} characters, not {name!r}"
        raise WireError(msg)
    if process not in {"own", "main"}:
        msg = f"a submit's process is own or main, not {process!r}"
        raise WireError(msg)


def first_index(line: bytes, start: int) -> int:
    """The index of the first step, read without decoding the step; 0 if there is none."""
    digits = line[start : start + 40].replace(b"[", b"").replace(b" ", b"").split(b",")[0]
    return int(digits) if digits.isdigit() else 0


def steps(text: str) -> Iterator[list[Any]]:
    """The steps of the list that `text` begins with, decoded as they are asked for."""
    at = 1
    while True:
        while text[at : at + 1] in (" ", ","):
            at += 1
        if text[at : at + 1] == "]":
            return
        step, at = scan(text, at)
        yield step
