"""The types of a container's keys that Compose writes in forms of their own: `on-failure:3`, `/scratch:size=50m`.

Each reader takes what YAML gave, in any of Compose's forms that are taken here, and returns what the story holds, or
raises `BadValueError`. The JSON Schema beside each type is what an editor may know of it.
"""

from __future__ import annotations

import posixpath
import re
import shlex
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, cast

from pydantic import PlainValidator, WithJsonSchema

from scenarios import units
from scenarios.errors import BadValueError
from scenarios.story import Mount, RestartPolicy, Tmpfs

if TYPE_CHECKING:
    from collections.abc import Callable

Condition = Literal["no", "on-failure", "always", "unless-stopped"]
Item = TypeVar("Item")

# The kernel's page: a smaller tmpfs is rounded up to one, and a size of 0 would mean no limit.
TMPFS_BYTES_MIN = 4096
# A longer command, environment or list of mounts is a slip.
ITEMS_COUNT_MAX = 1000
# Docker's way to say that there is no health check, whatever the image brings.
NO_PROBE = ("NONE",)
TEXT_LENGTH_MAX = 10_000
PATH_LENGTH_MAX = 255

_RESTART = re.compile(r"(no|always|unless-stopped|on-failure)(?::([0-9]{1,5}))?")
_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@-]{0,254}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,254}")
_VOLUME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{1,254}")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,63})?")
_CAPABILITY = re.compile(r"(?:CAP_)?([A-Z][A-Z_]{1,40})")


def read_restart(value: object) -> RestartPolicy:
    """Read a restart policy; only `on-failure` takes a number of restarts behind it."""
    found = _RESTART.fullmatch(value) if isinstance(value, str) else None
    if found is None or (found[2] is not None and found[1] != "on-failure"):
        raise BadValueError("no, always, unless-stopped, on-failure, or on-failure:N", "on-failure:3")
    return RestartPolicy(cast("Condition", found[1]), int(found[2] or 0))


def read_image(value: object) -> str:
    """Read the name of an image, with or without registry, tag and digest."""
    if not isinstance(value, str) or not _IMAGE.fullmatch(value):
        raise BadValueError("the name of an image", "redis:7")
    return value


def read_command(value: object) -> tuple[str, ...]:
    """Read a command: a list of words, or one text that is split as a shell would."""
    words = _split(value) if isinstance(value, str) else _words(value)
    if not words:
        raise BadValueError("at least one word", "redis-server --save ''")
    return words


def read_probe(value: object) -> tuple[str, ...]:
    """Read a health check's command in Docker's full form, whose first word is CMD, CMD-SHELL or NONE."""
    words = ("CMD-SHELL", _text(value)) if isinstance(value, str) else _words(value)
    least = {"CMD": 2, "CMD-SHELL": 2, "NONE": 1}.get(words[0] if words else "", ITEMS_COUNT_MAX + 1)
    if len(words) < least:
        raise BadValueError("a command as text, or a list that begins with CMD or CMD-SHELL", "[CMD, redis-cli, ping]")
    return words


def _split(text: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(_text(text)))
    except ValueError:
        raise BadValueError("a command whose quotes are closed", "sh -c 'sleep 5'") from None


def _text(value: object) -> str:
    """Read a word that a program is given; a number is one as written."""
    text = str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else "\0"
    if "\0" in text or len(text) > TEXT_LENGTH_MAX:
        raise BadValueError(f"text of at most {TEXT_LENGTH_MAX:,} letters, in quotes where it is true or false")
    return text


def _each(read: Callable[[object], Item], value: object, must: str) -> tuple[Item, ...]:
    """Read every item of a list, and say of a refused one which it is."""
    if not isinstance(value, list) or len(value) > ITEMS_COUNT_MAX:
        raise BadValueError(must)
    items = []
    for index, item in enumerate(value):
        try:
            items.append(read(item))
        except BadValueError as error:
            raise BadValueError(error.must, error.example, (index, *error.at)) from None
    return tuple(items)


def _words(value: object) -> tuple[str, ...]:
    return _each(_text, value, f"a command, as text or as a list of up to {ITEMS_COUNT_MAX:,} words")


def read_environment(value: object) -> tuple[tuple[str, str], ...]:
    """Read variables with their values: a mapping, or a list of NAME=VALUE."""
    if isinstance(value, dict):
        pairs = tuple(_variable(name, name, item) for name, item in value.items())
    else:
        pairs = _each(_assignment, value, "a mapping of names to values, or a list of NAME=VALUE")
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names) or len(names) > ITEMS_COUNT_MAX:
        raise BadValueError(f"up to {ITEMS_COUNT_MAX:,} variables, each given once")
    return pairs


def _assignment(value: object) -> tuple[str, str]:
    name, equals, text = value.partition("=") if isinstance(value, str) else ("", "", "")
    if not equals:
        raise BadValueError("NAME=VALUE: values are never taken from the environment of Tonnage", "LOG_LEVEL=info")
    return _variable(None, name, text)


def _variable(at: str | None, name: str, value: object) -> tuple[str, str]:
    place = () if at is None else (at,)
    if not _VARIABLE.fullmatch(name):
        raise BadValueError("under a name of letters, digits, _, . and -, no digit first", at=place)
    try:
        return name, _text(value)
    except BadValueError as error:
        raise BadValueError(error.must, error.example, place) from None


def read_volumes(value: object) -> tuple[Mount, ...]:
    """Read mounts in Compose's short form."""
    return _each(_mount, value, "a list of SOURCE:TARGET, with or without :ro behind it")


def _mount(value: object) -> Mount:
    parts = value.split(":") if isinstance(value, str) else []
    if not 2 <= len(parts) <= 3 or parts[2:] not in ([], ["ro"], ["rw"]):
        raise BadValueError("SOURCE:TARGET, with or without :ro behind it", "/srv/models:/models:ro")
    source = parts[0]
    if not _VOLUME.fullmatch(source) and not (source == "/" or _is_path(source)):
        raise BadValueError("from a full path of the host or a volume's name", "/srv/models:/models:ro")
    if not _is_path(parts[1]):
        raise BadValueError("to a full path in the container", "/srv/models:/models:ro")
    return Mount(source, parts[1], parts[2:] == ["ro"])


def _is_path(text: str) -> bool:
    """Whether it is a full path below the root, in its shortest form."""
    shortest = text.startswith("/") and text != "/" and posixpath.normpath(text) == text
    return shortest and text[1] != "/" and text.isprintable() and len(text) <= PATH_LENGTH_MAX


def read_tmpfs(value: object) -> tuple[Tmpfs, ...]:
    """Read one tmpfs or a list of them."""
    found = (_tmpfs(value),) if isinstance(value, str) else _each(_tmpfs, value, "PATH:size=SIZE, or a list of such")
    paths = [one.path for one in found]
    if len(set(paths)) < len(paths):
        raise BadValueError("at another path each")
    return found


def _tmpfs(value: object) -> Tmpfs:
    path, _, options = value.partition(":") if isinstance(value, str) else ("", "", "")
    if not _is_path(path):
        raise BadValueError("a full path in the container, with or without a size", "/scratch:size=50m")
    sizes = [option.removeprefix("size=") for option in options.split(",") if option]
    others = [option for option in options.split(",") if option and not option.startswith("size=")]
    if others or len(sizes) > 1:
        must = "a path with one option at most, its size: the other options stay as the engine has them"
        raise BadValueError(must, f"{path}:size=50m")
    return Tmpfs(path, _tmpfs_size(path, sizes[0]) if sizes else None)


def _tmpfs_size(path: str, text: str) -> int:
    try:
        size_bytes = units.read_size(text)
    except BadValueError:
        size_bytes = 0
    if not TMPFS_BYTES_MIN <= size_bytes <= 1024**5:
        raise BadValueError("of a size from 4k, a page of memory, to 1024t", f"{path}:size=50m")
    return size_bytes


def read_user(value: object) -> str:
    """Read a user, and a group behind a colon, by name or number."""
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    if not _USER.fullmatch(text):
        raise BadValueError("a user, and a group if need be, by name or number", '"1000:1000"')
    return text


def read_capabilities(value: object) -> tuple[str, ...]:
    """Read the names of kernel capabilities, as Docker takes them: with or without CAP_ in front."""
    return _each(_capability, value, "a list of kernel capabilities such as NET_ADMIN")


def _capability(value: object) -> str:
    found = _CAPABILITY.fullmatch(value.upper()) if isinstance(value, str) else None
    if found is None:
        raise BadValueError("the name of a kernel capability", "NET_ADMIN")
    return found[1]


# The types themselves.

_TEXTS: dict[str, Any] = {"type": "array", "items": {"type": ["string", "number"]}}
_COMMAND: dict[str, Any] = {"anyOf": [{"type": "string"}, _TEXTS]}
_MANY_TEXTS: dict[str, Any] = {"type": "array", "items": {"type": "string"}}
_ENVIRONMENT: dict[str, Any] = {
    "anyOf": [{"type": "object", "additionalProperties": {"type": ["string", "number"]}}, _MANY_TEXTS]
}
_TMPFS: dict[str, Any] = {"anyOf": [{"type": "string"}, _MANY_TEXTS], "examples": ["/scratch:size=50m"]}
_POLICY: dict[str, Any] = {
    "type": "string",
    "pattern": f"^{_RESTART.pattern}$",
    "examples": ["no", "always", "unless-stopped", "on-failure", "on-failure:3"],
}

Restart = Annotated[RestartPolicy, PlainValidator(read_restart), WithJsonSchema(_POLICY)]
Image = Annotated[str, PlainValidator(read_image), WithJsonSchema({"type": "string", "examples": ["redis:7"]})]
Command = Annotated[tuple[str, ...], PlainValidator(read_command), WithJsonSchema(_COMMAND)]
Probe = Annotated[tuple[str, ...], PlainValidator(read_probe), WithJsonSchema(_COMMAND)]
Environment = Annotated[tuple[tuple[str, str], ...], PlainValidator(read_environment), WithJsonSchema(_ENVIRONMENT)]
Volumes = Annotated[tuple[Mount, ...], PlainValidator(read_volumes), WithJsonSchema(_MANY_TEXTS)]
TmpfsMounts = Annotated[tuple[Tmpfs, ...], PlainValidator(read_tmpfs), WithJsonSchema(_TMPFS)]
User = Annotated[str, PlainValidator(read_user), WithJsonSchema({"type": ["string", "integer"]})]
Capabilities = Annotated[tuple[str, ...], PlainValidator(read_capabilities), WithJsonSchema(_MANY_TEXTS)]
