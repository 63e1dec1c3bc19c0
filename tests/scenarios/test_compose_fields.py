"""Compose's own forms of values: what each means, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from scenarios import compose_fields as compose
from scenarios.errors import BadValueError
from scenarios.story import Mount, RestartPolicy, Tmpfs

if TYPE_CHECKING:
    from collections.abc import Callable

MIB = 1024**2

READ: list[tuple[Callable[[object], object], object, object]] = [
    (compose.read_restart, "no", RestartPolicy("no", 0)),
    (compose.read_restart, "always", RestartPolicy("always", 0)),
    (compose.read_restart, "unless-stopped", RestartPolicy("unless-stopped", 0)),
    (compose.read_restart, "on-failure", RestartPolicy("on-failure", 0)),
    (compose.read_restart, "on-failure:3", RestartPolicy("on-failure", 3)),
    (compose.read_image, "registry.local:5000/a/b:1.0@sha256:00", "registry.local:5000/a/b:1.0@sha256:00"),
    (compose.read_command, "sh -c 'sleep 5'", ("sh", "-c", "sleep 5")),
    (compose.read_command, ["sh", "-c", "sleep 5", 7], ("sh", "-c", "sleep 5", "7")),
    (compose.read_probe, "pg_isready -q", ("CMD-SHELL", "pg_isready -q")),
    (compose.read_probe, ["CMD", "true"], ("CMD", "true")),
    (compose.read_probe, ["NONE"], ("NONE",)),
    (compose.read_environment, {"A": "b", "C": 1.5}, (("A", "b"), ("C", "1.5"))),
    (compose.read_environment, ["A=b", "C="], (("A", "b"), ("C", ""))),
    (compose.read_volumes, ["/a:/b", "data:/c:ro", "/:/d:rw"], None),
    (compose.read_tmpfs, "/run", (Tmpfs("/run", None),)),
    (compose.read_tmpfs, ["/a:size=64m", "/b:size=4096"], (Tmpfs("/a", 64 * MIB), Tmpfs("/b", 4096))),
    (compose.read_tmpfs, [], ()),
    (compose.read_user, 1000, "1000"),
    (compose.read_user, "me:staff", "me:staff"),
    (compose.read_capabilities, ["net_admin", "CAP_SYS_NICE"], ("NET_ADMIN", "SYS_NICE")),
]
MOUNTS = (Mount("/a", "/b", read_only=False), Mount("data", "/c", read_only=True), Mount("/", "/d", read_only=False))

REFUSED: list[tuple[Callable[[object], object], object, tuple[str | int, ...]]] = [
    *((compose.read_restart, value, ()) for value in (False, "never", "always:3", "on-failure:", "on-failure:-1")),
    *((compose.read_image, value, ()) for value in (7, "", "a b", "-x", "a" * 300)),
    *((compose.read_command, value, ()) for value in ("", "a 'b", "a\0b", "x" * 20_000, 7)),
    (compose.read_command, [], ()),
    (compose.read_command, ["a", True], (1,)),
    (compose.read_command, ["a"] * 2000, ()),
    *((compose.read_probe, value, ()) for value in (["CMD"], ["curl", "x"], 5)),
    (compose.read_probe, [], ()),
    (compose.read_environment, 7, ()),
    (compose.read_environment, ["A=1", "A=2"], ()),
    (compose.read_environment, {"A": True}, ("A",)),
    (compose.read_environment, {"1": "x"}, ("1",)),
    (compose.read_environment, ["A=1", "B"], (1,)),
    (compose.read_environment, ["=1"], (0,)),
    (compose.read_volumes, "/a:/b", ()),
    (compose.read_volumes, {"a": "/b"}, ()),
    *(
        (compose.read_volumes, [value], (0,))
        for value in ("/a", "./a:/b", "a:/b", "/a:b", "/a:/b:z", "/a:/b:ro:x", "/a/../b:/c", "/a:/", "/a://b", 7)
    ),
    *((compose.read_tmpfs, value, ()) for value in ("/", "run", "/a/", "/a/../b", "//a", 7, ["/a", "/a:size=1m"])),
    *((compose.read_tmpfs, f"/a:{options}", ()) for options in ("mode=1777", "size=1m,mode=700", "size=1m,size=2m")),
    *((compose.read_tmpfs, f"/a:size={size}", ()) for size in ("0", "4095", "50%", "", "2000t")),
    (compose.read_tmpfs, ["/a", "b"], (1,)),
    *((compose.read_user, value, ()) for value in (True, -1, "a b", "a:b:c", "")),
    (compose.read_capabilities, "NET_ADMIN", ()),
    (compose.read_capabilities, ["NET_ADMIN", "1"], (1,)),
]


@pytest.mark.parametrize(("read", "value", "meaning"), READ, ids=range(len(READ)))
def test_a_value_means_what_compose_means(read: Callable[[object], object], value: object, meaning: object) -> None:
    """Every form of a value becomes the one that the story holds."""
    assert (MOUNTS if meaning is None else meaning) == read(value)


@pytest.mark.parametrize(("read", "value", "at"), REFUSED, ids=range(len(REFUSED)))
def test_a_value_of_no_form_is_refused(
    read: Callable[[object], object], value: object, at: tuple[str | int, ...]
) -> None:
    """And the place inside the value that is at fault is named."""
    with pytest.raises(BadValueError) as caught:
        read(value)

    assert at == caught.value.at
    assert caught.value.must
