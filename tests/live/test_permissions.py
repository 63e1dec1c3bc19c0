"""What a story asks of a real engine beyond our own worker, and how it is refused without permission."""

from __future__ import annotations

import dataclasses

import pytest

from live.errors import UnfitStory
from live.permissions import PERMISSIONS, Ask, needed, refuse_unpermitted
from scenarios import story as told
from scenarios.story import Foreign, Mount
from sim.worlds import ALLOWABLE

PLAIN = Foreign("busybox:1")
EVERYTHING = Foreign("tool:2", mounts=(Mount("data", "/data", read_only=True),), privileged=True)


def story(*foreign: Foreign | None) -> told.Story:
    """A story of such containers, called c0, c1, ..."""
    host = told.Host("h", 2, 1 << 32, 0, 0, None)
    boxes = tuple(
        told.Container(f"c{number}", "h", 1.0, 1 << 28, 1 << 28, 1024, None, 100, 2.0, foreign=program)
        for number, program in enumerate(foreign)
    )
    scale = told.LiveScale(1, 1, 1)
    return told.Story("s", "p", "s", 1, 60.0, 0.5, (host,), boxes, (), (), (), (), (), scale, live_able=True)


def refusal(asking: told.Story, *allowed: str) -> str:
    """What is said to a story that is not allowed what it asks for."""
    with pytest.raises(UnfitStory) as raised:
        refuse_unpermitted(asking, frozenset(allowed))
    return str(raised.value)


def asks(program: Foreign, permission: str) -> list[str]:
    """What one container asks for, of one permission."""
    found = needed(story(program))
    return [ask.what for known in PERMISSIONS if known == permission for ask in found.get(known, ())]


def test_our_own_worker_needs_none() -> None:
    """A story without foreign containers runs without any permission."""
    assert {} == needed(story(None, None))
    refuse_unpermitted(story(None, None), frozenset())


def test_each_container_is_named_with_what_it_asks_for() -> None:
    """The answer says by permission which container asks for what."""
    found = needed(story(None, PLAIN, EVERYTHING))

    assert ["images", "mounts", "privileges"] == list(found)
    assert [Ask("c1", "the image busybox:1"), Ask("c2", "the image tool:2")] == found["images"]
    assert [Ask("c2", "the mount of data at /data, read-only")] == found["mounts"]
    assert ["c2"] == [ask.container for ask in found["privileges"]]


def test_the_words_of_the_flag_are_known() -> None:
    """The command line knows exactly the permissions that are asked for."""
    assert ALLOWABLE == set(PERMISSIONS)


def test_the_refusal_is_one_line_with_the_cure() -> None:
    """Container, what it asks for, and the flag that permits all that is missing, on one line; bad input, exit 2."""
    text = refusal(story(None, EVERYTHING))

    assert "s cannot run on a Docker engine: container c1 asks for the image tool:2 (and 2 more such things)" in text
    assert "`--allow images,mounts,privileges`" in text
    assert "\n" not in text
    assert 2 == UnfitStory.exit_code


def test_what_is_allowed_is_not_complained_of() -> None:
    """Only what is missing is told, and the flag keeps what was allowed already."""
    text = refusal(story(EVERYTHING), "images", "privileges")

    assert "asks for the mount of data at /data, read-only, which takes permission" in text
    assert "`--allow images,mounts,privileges`" in text
    assert "`--allow images,mounts`" in refusal(story(dataclasses.replace(EVERYTHING, privileged=False)), "images")


def test_a_story_with_all_permissions_runs() -> None:
    """Nothing is said where everything asked for is allowed, and more than is asked for harms nobody."""
    refuse_unpermitted(story(EVERYTHING), frozenset({"images", "mounts", "privileges"}))
    refuse_unpermitted(story(PLAIN), frozenset({"images", "mounts"}))


@pytest.mark.parametrize("source", ["/var/run/docker.sock", "/run/podman/podman.sock", "/run", "/var/run/", "/run//."])
@pytest.mark.parametrize("read_only", [True, False])
def test_an_engines_socket_is_called_what_it_is(source: str, *, read_only: bool) -> None:
    """Whoever has the socket has the host, read-only mount or not."""
    (what,) = asks(Foreign("x", mounts=(Mount(source, "/in", read_only),)), "mounts")

    assert f"the mount of {source} at /in: an engine's socket, which is root on the host" == what


@pytest.mark.parametrize(("read_only", "reach"), [(True, "reading"), (False, "changing")])
@pytest.mark.parametrize("source", ["/", "//", "/usr/..", "/."])
def test_the_hosts_root_is_called_what_it_is(source: str, reach: str, *, read_only: bool) -> None:
    """However it is spelt, / is all of the host's files."""
    (what,) = asks(Foreign("x", mounts=(Mount(source, "/host", read_only),)), "mounts")

    assert f"the mount of / at /host: all of the host's files, for {reach}" == what


def test_an_ordinary_mount_says_how_it_is_used() -> None:
    """A directory or a volume is named with its access."""
    (what,) = asks(Foreign("x", mounts=(Mount("/srv/data", "/data", read_only=False),)), "mounts")

    assert "the mount of /srv/data at /data, for writing" == what


@pytest.mark.parametrize(
    ("program", "words"),
    [
        (Foreign("x", privileged=True), "privileged mode: every capability and every device of the host"),
        (Foreign("x", capabilities=("NET_ADMIN", "SYS_PTRACE")), "the capabilities NET_ADMIN, SYS_PTRACE"),
        (Foreign("x", writable=True), "a writable root file system"),
        (Foreign("x", user="root"), "the user root, which is root in the container"),
        (Foreign("x", user="0:100"), "the user 0:100, which is root in the container"),
        (Foreign("x", user="00"), "the user 00, which is root in the container"),
        (Foreign("x", user="root:1000"), "the user root:1000, which is root in the container"),
        (Foreign("x", user="nobody"), "the user nobody, which is what the image says it is, root too"),
        (Foreign("x", user=":100"), "the user :100, which is what the image says it is"),
        (Foreign("x", user="1000:wheel"), "the user 1000:wheel, which is what the image says it is"),
        (Foreign("x", user="+0"), "the user +0, which is what the image says it is"),
    ],
)
def test_each_privilege_has_its_words(program: Foreign, words: str) -> None:
    """Each thing that loosens the hardening takes the permission, and is named."""
    (what,) = asks(program, "privileges")

    assert words in what


@pytest.mark.parametrize("user", [None, "1000", "1000:0", "0100", "100"])
def test_an_ordinary_user_is_no_privilege(user: str | None) -> None:
    """A number other than 0 is the same user in every image, and as harmless as ours."""
    assert [] == asks(Foreign("x", user=user), "privileges")
