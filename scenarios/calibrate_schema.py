"""What to calibrate: the rate that is turned, the band that is aimed at, and the rule in between.

The defaults are the figures of the agent-ecology document: five minutes at each rate, 70 to 80 % of the CPU limit, a
fifth off above 85 %, a quarter more below 50 %, and less than 90 % of the memory limit.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, PlainValidator, WithJsonSchema, model_validator

from scenarios import units
from scenarios.entry import Entry
from scenarios.errors import BadValueError
from scenarios.fields import Duration, Name, durations, integers, numbers

# In a shorter window the CPU counters of a container show the quota periods more than the load.
WINDOW_S_MIN = 1.0
ROUNDS_COUNT_MAX = 100
# Smaller steps than a hundredth could not be told from rounding, larger ones than tenfold are no steps.
STEP_DOWN_RATIO_MIN, STEP_DOWN_RATIO_MAX = 0.1, 0.99
STEP_UP_RATIO_MIN, STEP_UP_RATIO_MAX = 1.01, 10.0


def read_part(value: object) -> float:
    """Read a part of a limit, above nothing and up to all of it: `70%`, or 0.7."""
    must = "a part of the limit, above 0% and up to 100%"
    is_percent = isinstance(value, str) and value.strip().endswith("%")
    number = units.read_number(str(value).strip()[:-1].rstrip() if is_percent else value, must, "70%")
    part = number / 100 if is_percent else number
    if not 0 < part <= 1:
        raise BadValueError(must, "70%")
    return part


def read_band(value: object) -> tuple[float, float]:
    """Read the two edges of a band, the lower one first."""
    must = "a list of two parts of the limit, the lower one first"
    if not isinstance(value, list) or len(value) != 2:
        raise BadValueError(must, "[70%, 80%]")
    low, high = (_part_at(index, item) for index, item in enumerate(value))
    if low >= high:
        raise BadValueError(must, "[70%, 80%]")
    return low, high


def _part_at(index: int, item: object) -> float:
    try:
        return read_part(item)
    except BadValueError as error:
        raise BadValueError(error.must, error.example, (index,)) from None


def show_part(part: float) -> str:
    """Write a part of a limit as a user would: `70%`."""
    return f"{100 * part:.6g}%"


_PART = {"type": ["number", "string"], "examples": ["70%"]}
_NUMBER = {"type": ["number", "string"]}
_WHOLE = {"type": ["integer", "string"]}

Part = Annotated[float, PlainValidator(read_part), WithJsonSchema(_PART)]
Band = Annotated[
    tuple[float, float],
    PlainValidator(read_band),
    WithJsonSchema({"type": "array", "items": _PART, "minItems": 2, "maxItems": 2}),
]
StepDown = Annotated[
    float, PlainValidator(numbers(STEP_DOWN_RATIO_MIN, STEP_DOWN_RATIO_MAX, "0.8")), WithJsonSchema(_NUMBER)
]
StepUp = Annotated[
    float, PlainValidator(numbers(STEP_UP_RATIO_MIN, STEP_UP_RATIO_MAX, "1.25")), WithJsonSchema(_NUMBER)
]
TryWindow = Annotated[
    float,
    PlainValidator(durations(WINDOW_S_MIN)),
    WithJsonSchema({"type": ["string", "number"], "examples": ["5m", "15s"]}),
]
RoundsCount = Annotated[int, PlainValidator(integers(1, ROUNDS_COUNT_MAX, "12")), WithJsonSchema(_WHOLE)]
ConfirmCount = Annotated[int, PlainValidator(integers(1, 10, "2")), WithJsonSchema(_WHOLE)]


class Reduce(Entry):
    """When the rate is reduced, and by what."""

    above: Part = Field(default=0.85, description="Part of the CPU limit above which it is; default 85%.")
    by: StepDown = Field(default=0.8, description="Factor the rate is multiplied by; default 0.8.")


class Raise(Entry):
    """When the rate is raised, and by what."""

    below: Part = Field(default=0.5, description="Part of the CPU limit below which it is; default 50%.")
    by: StepUp = Field(default=1.25, description="Factor the rate is multiplied by; default 1.25.")


class Calibrate(Entry):
    """Turn the rate of a token bucket until the CPU of a container lies in a band."""

    turn: Name = Field(description="Which of rate_limits is turned: a token bucket.", examples=["llm"])
    watch: Name = Field(description="Which container's CPU is to lie in the band.", examples=["agents"])
    window: TryWindow = Field(default=300.0, description="How long each rate is tried; 1s or more, default 5m.")
    settle: Duration = Field(default=0.0, description="The start of each window, which is not judged; default 0s.")
    band: Band = Field(default=(0.7, 0.8), description="Where the CPU is to lie, as parts of the limit: [70%, 80%].")
    reduce: Reduce = Field(default_factory=Reduce, description="The step down: {above: 85%, by: 0.8}.")
    raise_: Raise = Field(alias="raise", default_factory=Raise, description="The step up: {below: 50%, by: 1.25}.")
    memory_below: Part = Field(default=0.9, description="Part of the memory limit that must do; default 90%.")
    rule: Literal["as_written", "damped"] = Field(
        default="as_written",
        description="as_written: steps of fixed size beyond the two bounds. damped: steps in proportion, outside the "
        "band, that cannot oscillate.",
    )
    rounds: RoundsCount = Field(default=12, description="At most so many windows; default 12.")
    confirm: ConfirmCount = Field(
        default=2, description="So many windows in a row must say the same before it is final; default 2."
    )

    @model_validator(mode="after")
    def _band_between_the_bounds(self) -> Self:
        low, high = self.band
        if self.raise_.below > low:
            shown = show_part(low)
            raise BadValueError(f"at most the lower edge of the band, {shown}", shown, at=("raise", "below"))
        if self.reduce.above < high:
            shown = show_part(high)
            raise BadValueError(f"at least the upper edge of the band, {shown}", shown, at=("reduce", "above"))
        return self

    @model_validator(mode="after")
    def _something_left_to_judge(self) -> Self:
        if self.window - self.settle < WINDOW_S_MIN:
            least, window = units.show_duration(WINDOW_S_MIN), units.show_duration(self.window)
            raise BadValueError(f"at least {least} shorter than the window, {window}", "0s", at=("settle",))
        return self
