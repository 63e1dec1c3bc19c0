"""What a story may do on a real engine only where its user allowed it: other images, mounts, privileges.

Our own worker is hardened always. A program of the user's own can do what our worker cannot, and a story may come
from somebody else; so each kind of it has a word of its own in `--allow`.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from live.errors import UnfitStory

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from scenarios.story import Container, Foreign, Mount, Story

Permission = Literal["images", "mounts", "privileges"]

# The order in which they are asked for: an image is what the others are about.
PERMISSIONS: tuple[Permission, ...] = ("images", "mounts", "privileges")

# Where engines listen; whoever reaches one can start any container on the host.
SOCKET_NAMES = frozenset({"docker.sock", "podman.sock", "containerd.sock"})
SOCKET_DIRECTORIES = frozenset({"/var/run", "/run", "/run/podman", "/var/run/podman", "/run/containerd"})

# A user whom no image can turn into another: a number that is not 0, alone or with a group that is a number. Digits are
# never looked up by name in the passwd of the image, and anything else always is.
ORDINARY_USER = re.compile(r"0*[1-9][0-9]*(:[0-9]+)?")


@dataclass(frozen=True, slots=True)
class Ask:
    """One thing that a container asks for; `what` completes "it asks for ..."."""

    container: str
    what: str


def needed(story: Story) -> dict[Permission, list[Ask]]:
    """What the story's containers ask for beyond our own worker, by the permission it takes."""
    found: dict[Permission, list[Ask]] = {}
    for container in story.containers:
        for permission, what in _asks(container):
            found.setdefault(permission, []).append(Ask(container.name, what))
    return {permission: found[permission] for permission in PERMISSIONS if permission in found}


def refuse_unpermitted(story: Story, allowed: Collection[str]) -> None:
    """`UnfitStory` where the story needs a permission that it does not have, with the flag that gives it."""
    asked = needed(story)
    missing = [permission for permission in asked if permission not in allowed]
    if not missing:
        return
    first, *others = [ask for permission in missing for ask in asked[permission]]
    more = f" (and {len(others)} more such things)" if others else ""
    flag = ",".join(permission for permission in PERMISSIONS if permission in allowed or permission in missing)
    raise UnfitStory(
        story.name,
        f"container {first.container} asks for {first.what}{more}, which takes permission: `--allow {flag}` gives it",
    )


def _asks(container: Container) -> Iterator[tuple[Permission, str]]:
    foreign = container.foreign
    if foreign is None:
        return
    yield "images", f"the image {foreign.image}"
    for mount in foreign.mounts:
        yield "mounts", _mount_words(mount)
    for what in _privileges(foreign):
        yield "privileges", what


def _mount_words(mount: Mount) -> str:
    source = posixpath.normpath(mount.source)
    # POSIX keeps two leading slashes apart from one; no kernel we run on does.
    if source in {"/", "//"}:
        reach = "reading" if mount.read_only else "changing"
        return f"the mount of / at {mount.target}: all of the host's files, for {reach}"
    if _holds_a_socket(source):
        # Read-only or not: a socket on a read-only mount still takes connections.
        return f"the mount of {mount.source} at {mount.target}: an engine's socket, which is root on the host"
    access = "read-only" if mount.read_only else "for writing"
    return f"the mount of {mount.source} at {mount.target}, {access}"


def _holds_a_socket(source: str) -> bool:
    return posixpath.basename(source) in SOCKET_NAMES or source in SOCKET_DIRECTORIES


def _privileges(foreign: Foreign) -> Iterator[str]:
    if foreign.privileged:
        yield "privileged mode: every capability and every device of the host, which is root on it"
    if foreign.capabilities:
        yield f"the capabilities {', '.join(foreign.capabilities)}"
    if foreign.user is not None and not ORDINARY_USER.fullmatch(foreign.user):
        yield f"the user {foreign.user}, {_who(foreign.user)}"
    if foreign.writable:
        yield "a writable root file system"


def _who(user: str) -> str:
    """Whom a user, written as `name` or `uid` with an optional `:group`, may turn out to be."""
    uid = user.partition(":")[0]
    # 00 is 0 to the engine.
    if uid == "root" or (uid and not uid.strip("0")):
        return "which is root in the container"
    return "which is what the image says it is, root too; numbers like 1000:1000 are always themselves"
