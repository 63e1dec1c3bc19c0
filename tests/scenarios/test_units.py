"""Sizes, durations, numbers and fractions read as Docker and Compose read them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scenarios import units
from scenarios.errors import BadValueError

SIZES = {
    "512m": 536_870_912,
    "512M": 536_870_912,
    "512mb": 536_870_912,
    "512MiB": 536_870_912,
    "1.5g": 1_610_612_736,
    "1 g": 1_073_741_824,
    "64k": 65_536,
    "1t": 1_099_511_627_776,
    "1p": 1_125_899_906_842_624,
    "100b": 100,
    "1000": 1000,
    1000: 1000,
    1e6: 1_000_000,
    # Docker cuts what is left of a byte.
    "0.1k": 102,
}

DURATIONS = {
    "1m30s": 90.0,
    "200ms": 0.2,
    "5s": 5.0,
    "1h": 3600.0,
    "2d": 172_800.0,
    "1.5h": 5400.0,
    ".5s": 0.5,
    "1h2m3.5s": 3723.5,
    "250us": 0.00025,
    "250µs": 0.00025,
    "250μs": 0.00025,
    "3ns": 3e-9,
    "30": 30.0,
    30: 30.0,
    0.25: 0.25,
}


@pytest.mark.parametrize(("text", "size_bytes"), SIZES.items())
def test_sizes_are_binary_whatever_the_spelling(text: object, size_bytes: int) -> None:
    """All of m, M, mb and MiB are 1,048,576 bytes, as in docker/go-units, and a plain number is bytes."""
    assert size_bytes == units.read_size(text)


@pytest.mark.parametrize(
    "value",
    ["", "m", "12q", "-5m", "1,5g", "5 0m", "0x10", "512mm", "1_000", "٣m", -1, 1.5, "1.5", True, None, [1], "9" * 50],
)
def test_what_is_no_size_is_refused(value: object) -> None:
    """Text, negative and partial bytes, other scripts' digits and endless digits are no sizes."""
    with pytest.raises(BadValueError) as caught:
        units.read_size(value)

    assert "it must be a size: a number with b, k, m, g or t behind it; write for example 512m" == str(caught.value)


@pytest.mark.parametrize(("text", "duration_s"), DURATIONS.items())
def test_durations_are_gos(text: object, duration_s: float) -> None:
    """Numbers with units add up, and a plain number is seconds."""
    assert duration_s == units.read_duration(text)


@pytest.mark.parametrize("value", ["", "s", "5x", "-5s", "5s5", "5 s", "1e3s", -1, True, None, [1], "1s" * 30])
def test_what_is_no_duration_is_refused(value: object) -> None:
    """Missing numbers or units, spaces and negative times are no durations."""
    with pytest.raises(BadValueError, match="it must be a duration: numbers with ms, s, m, h or d behind them"):
        units.read_duration(value)


def test_a_clock_time_is_answered_with_the_duration_it_looks_like() -> None:
    """`1:30` is a sexagesimal number to old YAML and a minute and a half to a reader, so it is refused."""
    with pytest.raises(BadValueError) as caught:
        units.read_duration("1:30")

    assert "1m30s" == caught.value.example


@pytest.mark.parametrize(("value", "number"), [(2, 2.0), ("0.5", 0.5), (" 3 ", 3.0), ("1e3", 1000.0), (-1.5, -1.5)])
def test_numbers_may_stand_in_quotes(value: object, number: float) -> None:
    """Compose takes `cpus: "0.5"`, so text that is a number is one."""
    assert number == units.read_number(value)


@pytest.mark.parametrize("value", ["", "x", "1_000", "0x1f", ".inf", "nan", "1:30", True, None, {}, "1" * 41])
def test_what_is_no_number_is_refused(value: object) -> None:
    """Underscores, hexadecimal, infinities and words are no numbers here."""
    with pytest.raises(BadValueError, match=r"it must be a number; write for example 2"):
        units.read_number(value)


@pytest.mark.parametrize("value", [math.inf, math.nan, 10**400, "1e999"])
def test_numbers_are_finite(value: object) -> None:
    """What overflows a float is refused, not turned into infinity."""
    with pytest.raises(BadValueError, match="it must be a number, and finite"):
        units.read_number(value)


def test_a_leading_zero_is_refused_with_the_plain_number() -> None:
    """`0777` is octal to some tools and decimal to others, so neither is guessed."""
    with pytest.raises(BadValueError) as caught:
        units.read_number("0777")

    assert "it must be a number without a leading zero, which some tools read as octal; write for example 777" == str(
        caught.value
    )


@pytest.mark.parametrize(("value", "number"), [(7, 7), (7.0, 7), ("7", 7), (2**63 - 1, 2**63 - 1)])
def test_whole_numbers_keep_every_digit(value: object, number: int) -> None:
    """A seed of 63 bits survives, although a float has only 53."""
    assert number == units.read_integer(value)


def test_half_a_whole_number_is_refused() -> None:
    """2.5 agents cannot be counted."""
    with pytest.raises(BadValueError, match="it must be a whole number"):
        units.read_integer(2.5)


@pytest.mark.parametrize(("value", "ratio"), [("1/16", 0.0625), ("1 / 4", 0.25), ("0.1", 0.1), (1, 1.0), ("3/3", 1.0)])
def test_ratios_are_fractions_or_numbers(value: object, ratio: float) -> None:
    """`1/16` says what 0.0625 means."""
    assert ratio == units.read_ratio(value)


@pytest.mark.parametrize("value", [0, "0/1", "1/0", "2/1", 1.5, -0.5, "x", "1/16/2", None, True, "9" * 12 + "/1"])
def test_a_ratio_only_shrinks(value: object) -> None:
    """Zero, more than one, and no fraction at all are refused."""
    with pytest.raises(BadValueError) as caught:
        units.read_ratio(value)

    assert "it must be a fraction above 0 and up to 1; write for example 1/16" == str(caught.value)


@given(st.integers(0, 2**50))
def test_a_shown_size_reads_back_to_four_digits(size_bytes: int) -> None:
    """What a complaint shows of a size can be pasted into the file and is nearly the same size."""
    assert units.read_size(units.show_size(size_bytes)) == pytest.approx(size_bytes, rel=6e-4, abs=1)


@given(st.floats(1e-9, 30 * 86_400))
def test_a_shown_duration_reads_back(duration_s: float) -> None:
    """What a complaint shows of a duration can be pasted into the file and is nearly the same duration."""
    assert units.read_duration(units.show_duration(duration_s)) == pytest.approx(duration_s, rel=5e-3)


@given(st.integers(0, 2**20), st.sampled_from("kmgt"), st.sampled_from(["", "b", "ib", "B", "iB"]))
def test_every_spelling_of_a_size_is_the_same(count: int, letter: str, rest: str) -> None:
    """Case and the letters behind the factor change nothing."""
    plain = units.read_size(f"{count}{letter}")

    assert plain == units.read_size(f"{count}{letter.upper()}{rest}")


# Listed here, because Hypothesis needs seconds to work out all of Unicode on a machine that never ran it.
LETTERS = "0123456789.+-eE_/ :bkmgtphsdnuµx\n\0٣é😀"


@given(
    st.text(LETTERS, max_size=60) | st.integers() | st.floats() | st.booleans() | st.none() | st.lists(st.integers())
)
def test_readers_return_or_refuse(value: object) -> None:
    """Whatever stands in the file, a reader gives a sound number or BadValueError, never anything else."""
    for read in (units.read_size, units.read_duration, units.read_number, units.read_integer, units.read_ratio):
        try:
            number = read(value)
        except BadValueError:
            continue

        assert math.isfinite(number)
        assert number >= 0 or read in {units.read_number, units.read_integer}


@pytest.mark.parametrize(
    ("duration_s", "text"),
    [
        (0, "0s"),
        (0.2, "200ms"),
        (90, "1m30s"),
        (1_036_800, "12d"),
        (0.00005, "50us"),
        (59.9996, "59.9996s"),
        (3600, "1h"),
    ],
)
def test_durations_are_shown_as_a_user_writes_them(duration_s: float, text: str) -> None:
    """The largest fitting units come first and needless ones are left out."""
    assert units.read_duration(text) == pytest.approx(duration_s)
    assert len(units.show_duration(duration_s)) <= len(text)
