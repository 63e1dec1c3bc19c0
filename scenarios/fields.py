"""The types of a scenario's fields: text as a user writes it in, base units out.

Each reader takes what YAML gave and returns seconds, bytes, cores or counts, or raises `BadValueError`.
The JSON Schema beside each type is what an editor may know of it; the reader is stricter.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import PlainValidator, WithJsonSchema
from typing_extensions import TypeAliasType

from scenarios import units
from scenarios.errors import BadValueError
from scenarios.law_reader import KINDS, LawReader
from scenarios.metric_names import METRICS
from scenarios.story import Law
from scenarios.wording import closest

if TYPE_CHECKING:
    from collections.abc import Callable

DAY_S = 86_400.0
DURATION_S_MAX = 30 * DAY_S
SIZE_BYTES_MAX = 1024**5
# Docker refuses a lower memory limit, because the container could not even start.
MEM_LIMIT_BYTES_MIN = 6 * units.MIB
MEMSWAP_UNLIMITED = -1
# 128 and the number of SIGKILL.
SIGKILL_EXIT_CODE = 137
CPUS_MIN, CPUS_MAX = 0.01, 4096.0
AGENTS_COUNT_MAX = 100_000
# More of anything is a slip, or a machine writing scenarios for nobody to read.
NAMES_COUNT_MAX = 10_000
TOKENS_MAX = 1e9

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$"
_CPUSET_PART = re.compile(r"([0-9]{1,4})(?:-([0-9]{1,4}))?")


def _bounded(number: float, low: float, high: float, show: Callable[[float], str], why: str = "") -> None:
    if number < low:
        raise BadValueError(f"{show(low)} or more{why}")
    if number > high:
        raise BadValueError(f"{show(high)} or less")


def numbers(low: float, high: float, example: str) -> Callable[[object], float]:
    """Make a reader of numbers from `low` to `high`."""

    def read(value: object) -> float:
        number = units.read_number(
            value, f"a number from {units.show_number(low)} to {units.show_number(high)}", example
        )
        _bounded(number, low, high, units.show_number)
        return number

    return read


def integers(low: int, high: int, example: str) -> Callable[[object], int]:
    """Make a reader of whole numbers from `low` to `high`."""

    def read(value: object) -> int:
        must = f"a whole number from {units.show_number(low)} to {units.show_number(high)}"
        number = units.read_integer(value, must, example)
        _bounded(number, low, high, units.show_number)
        return number

    return read


def durations(low_s: float, high_s: float = DURATION_S_MAX) -> Callable[[object], float]:
    """Make a reader of durations from `low_s` to `high_s` seconds."""

    def read(value: object) -> float:
        duration_s = units.read_duration(value)
        _bounded(duration_s, low_s, high_s, units.show_duration)
        return duration_s

    return read


def sizes(low_bytes: int, why: str = "") -> Callable[[object], int]:
    """Make a reader of sizes from `low_bytes` up."""

    def read(value: object) -> int:
        size_bytes = units.read_size(value)
        if isinstance(value, int) and size_bytes < low_bytes:
            raise BadValueError(
                f"{units.show_size(low_bytes)} or more{why}, and a plain number is bytes", f"{value or 64}m"
            )
        _bounded(size_bytes, low_bytes, SIZE_BYTES_MAX, units.show_size, why)
        return size_bytes

    return read


def read_name(value: object) -> str:
    """Read the name of a host, container, agent and so on."""
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not re.fullmatch(NAME_PATTERN, text):
        raise BadValueError("a name: up to 63 letters, digits, - and _, a letter or digit first", "coder-1")
    return text


def read_text(value: object) -> str:
    """Read one line of text; line breaks of a folded YAML text become spaces."""
    text = " ".join(str(value).split()) if isinstance(value, str | int | float) else ""
    if not 1 <= len(text) <= 500:
        raise BadValueError("a sentence of 1 to 500 letters")
    return text


def read_memswap(value: object) -> int:
    """Read memory plus swap as Docker counts it; -1 is swap without end."""
    if isinstance(value, int | str) and str(value) == "-1":
        return MEMSWAP_UNLIMITED
    return sizes(MEM_LIMIT_BYTES_MIN, ", or -1 for swap without end")(value)


def read_flag(value: object) -> bool:
    """Read true or false; YAML 1.1's other words for them (yes, on, no, off) are not taken."""
    if not isinstance(value, bool):
        raise BadValueError("true or false", "true")
    return value


def read_cpuset(value: object) -> tuple[int, ...]:
    """Read core numbers as Docker writes them: `0-3,5`."""
    cores: set[int] = set()
    for part in str(value).split(","):
        found = _CPUSET_PART.fullmatch(part.strip())
        low, high = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
        if low > high or high >= CPUS_MAX or isinstance(value, bool):
            raise BadValueError("core numbers and ranges of them, with commas between", "0-3,5")
        cores.update(range(low, high + 1))
    return tuple(sorted(cores))


def read_exit_code(value: object) -> int:
    """Read the exit code of a crash; 0 is no crash, and 137 is how the engine says that it was SIGKILL."""
    code = integers(1, 255, "1")(value)
    if code == SIGKILL_EXIT_CODE:
        raise BadValueError("another exit code than that of a kill, or a `kill` instead", "1")
    return code


def read_metric(value: object) -> str:
    """Read the name of a metric."""
    if not isinstance(value, str) or value not in METRICS:
        raise BadValueError("the name of a metric", closest(str(value), METRICS) or "steps_per_s")
    return value


# JSON Schema of the scalars, for editors.

Json = dict[str, Any]

_NUMBER: Json = {"type": ["number", "string"]}
_WHOLE: Json = {"type": ["integer", "string"]}
_SIZE: Json = {"type": ["string", "integer"], "examples": ["512m", "1.5g"]}
_DURATION: Json = {"type": ["string", "number"], "examples": ["200ms", "1m30s"]}
_NAME: Json = {"type": "string", "pattern": NAME_PATTERN}


def _law(item: Json) -> Json:
    """JSON Schema of a law over values of schema `item`."""
    spread = {"type": "object", "properties": {"mean": item, "cv": _NUMBER}, "required": ["mean", "cv"]}
    bodies: dict[str, Json] = {
        "constant": item,
        "uniform": {"type": "array", "items": item, "minItems": 2, "maxItems": 2},
        "exponential": item,
        "lognormal": spread | {"additionalProperties": False},
        "gamma": spread | {"additionalProperties": False},
        "empirical": {"type": "array", "items": item, "minItems": 1},
    }
    kinds = {kind: bodies[kind] for kind in KINDS}
    law = {"type": "object", "properties": kinds, "additionalProperties": False, "minProperties": 1, "maxProperties": 1}
    return {"anyOf": [item, law]}


# The types themselves.

Name = Annotated[str, PlainValidator(read_name), WithJsonSchema(_NAME)]
Text = Annotated[str, PlainValidator(read_text), WithJsonSchema({"type": "string", "minLength": 1})]
Flag = Annotated[bool, PlainValidator(read_flag), WithJsonSchema({"type": "boolean"})]
MetricName = Annotated[str, PlainValidator(read_metric), WithJsonSchema({"enum": sorted(METRICS)})]

Seed = Annotated[int, PlainValidator(integers(0, 2**63 - 1, "1")), WithJsonSchema(_WHOLE)]
AgentsCount = Annotated[int, PlainValidator(integers(1, AGENTS_COUNT_MAX, "5")), WithJsonSchema(_WHOLE)]
ThreadsCount = Annotated[int, PlainValidator(integers(1, 1024, "1")), WithJsonSchema(_WHOLE)]
ProbesCount = Annotated[int, PlainValidator(integers(1, 1000, "3")), WithJsonSchema(_WHOLE)]
RetriesCount = Annotated[int, PlainValidator(integers(0, 100, "5")), WithJsonSchema(_WHOLE)]
PidsCount = Annotated[int, PlainValidator(integers(1, 4_194_304, "512")), WithJsonSchema(_WHOLE)]
HostCores = Annotated[int, PlainValidator(integers(1, int(CPUS_MAX), "4")), WithJsonSchema(_WHOLE)]
Shares = Annotated[int, PlainValidator(integers(2, 262_144, "1024")), WithJsonSchema(_WHOLE)]

Cores = Annotated[float, PlainValidator(numbers(CPUS_MIN, CPUS_MAX, "0.5")), WithJsonSchema(_NUMBER)]
Share = Annotated[float, PlainValidator(numbers(0, 1, "0.1")), WithJsonSchema(_NUMBER)]
Jitter = Annotated[float, PlainValidator(numbers(0, 1, "0.1")), WithJsonSchema(_NUMBER)]
Ratio = Annotated[float, PlainValidator(units.read_ratio), WithJsonSchema(_NUMBER | {"examples": ["1/16"]})]
Tokens = Annotated[float, PlainValidator(numbers(0.001, TOKENS_MAX, "100")), WithJsonSchema(_NUMBER)]
Level = Annotated[float, PlainValidator(numbers(-TOKENS_MAX, TOKENS_MAX, "100")), WithJsonSchema(_NUMBER)]
UsdPrice = Annotated[float, PlainValidator(numbers(0, 1e6, "3")), WithJsonSchema(_NUMBER)]
ExitCode = Annotated[int, PlainValidator(read_exit_code), WithJsonSchema(_WHOLE)]
Cpuset = Annotated[
    tuple[int, ...], PlainValidator(read_cpuset), WithJsonSchema({"type": ["string", "integer"], "examples": ["0-3,5"]})
]

RunDuration = Annotated[float, PlainValidator(durations(0.1)), WithJsonSchema(_DURATION)]
SampleInterval = Annotated[float, PlainValidator(durations(0.1, 3600)), WithJsonSchema(_DURATION)]
Duration = Annotated[float, PlainValidator(durations(0)), WithJsonSchema(_DURATION)]
Window = Annotated[float, PlainValidator(durations(0.001)), WithJsonSchema(_DURATION)]
# A span that something takes, or that lies between two things: never nothing.
Span = Annotated[float, PlainValidator(durations(0.001)), WithJsonSchema(_DURATION)]
# A container that hangs is told so once, and takes no longer order.
HangSpan = Annotated[float, PlainValidator(durations(0.001, DAY_S)), WithJsonSchema(_DURATION)]

Size = Annotated[int, PlainValidator(sizes(0)), WithJsonSchema(_SIZE)]
SomeMemory = Annotated[int, PlainValidator(sizes(units.KIB)), WithJsonSchema(_SIZE)]
HostMemory = Annotated[int, PlainValidator(sizes(16 * units.MIB)), WithJsonSchema(_SIZE)]
MemLimit = Annotated[int, PlainValidator(sizes(MEM_LIMIT_BYTES_MIN, ", as Docker demands")), WithJsonSchema(_SIZE)]
MemSwapLimit = Annotated[int, PlainValidator(read_memswap), WithJsonSchema(_SIZE)]

# Aliases by name, so that the JSON Schema says each law once.
DurationLaw = TypeAliasType(
    "DurationLaw", Annotated[Law, PlainValidator(LawReader(durations(0), "200ms")), WithJsonSchema(_law(_DURATION))]
)
SizeLaw = TypeAliasType(
    "SizeLaw", Annotated[Law, PlainValidator(LawReader(sizes(0), "200m")), WithJsonSchema(_law(_SIZE))]
)
TokensLaw = TypeAliasType(
    "TokensLaw",
    Annotated[Law, PlainValidator(LawReader(numbers(0, TOKENS_MAX, "60"), "60")), WithJsonSchema(_law(_NUMBER))],
)
