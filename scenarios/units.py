"""Sizes, durations, numbers and fractions as Docker and Compose write them.

Sizes follow docker/go-units `RAMInBytes`: factors of 1,024 whatever the spelling (`512m`, `512MB` and `512MiB` are
all 536,870,912 bytes), a plain number is bytes. Durations follow Go's `time.ParseDuration`, as Compose uses it, plus
`d` for days; a plain number is seconds. Every reader raises `BadValueError` for what it refuses.
"""

from __future__ import annotations

import math
import re
from fractions import Fraction

from scenarios.errors import BadValueError

# Longer texts are nobody's number, and Python needs quadratic time to read them.
TEXT_LENGTH_MAX = 40

KIB = 1024
MIB = 1024**2
GIB = 1024**3

_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([kmgtp]?)(?:i?b)?", re.IGNORECASE)
_SIZE_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}

_DURATION_PART = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h|d)")
_DURATION_S = {
    "ns": Fraction(1, 10**9),
    "us": Fraction(1, 10**6),
    "µs": Fraction(1, 10**6),  # The micro sign, U+00B5.
    "μs": Fraction(1, 10**6),  # The Greek letter mu, U+03BC; Go takes both.
    "ms": Fraction(1, 10**3),
    "s": Fraction(1),
    "m": Fraction(60),
    "h": Fraction(3600),
    "d": Fraction(86400),
}

_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
_FRACTION = re.compile(r"([0-9]{1,9}) ?/ ?([0-9]{1,9})")

SIZE = "a size: a number with b, k, m, g or t behind it"
DURATION = "a duration: numbers with ms, s, m, h or d behind them"


def read_number(value: object, must: str = "a number", example: str = "2") -> float:
    """Read a finite number from a number or from text that is one (Compose's `cpus: "0.5"`)."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise BadValueError(must, example)
    if isinstance(value, str):
        value = _number_in(value, must, example)
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise BadValueError(f"{must}, and finite", example)
    return number


def _number_in(text: str, must: str, example: str) -> float:
    text = text.strip()
    if len(text) > TEXT_LENGTH_MAX or not _NUMBER.fullmatch(text):
        raise BadValueError(must, example)
    digits = text.lstrip("+-")
    if len(digits) > 1 and digits[0] == "0" and digits[1].isdigit():
        plain = digits.lstrip("0") or "0"
        raise BadValueError(f"{must} without a leading zero, which some tools read as octal", plain)
    return float(text)


def read_integer(value: object, must: str = "a whole number", example: str = "2") -> int:
    """Read a whole number; 2.0 is one, 2.5 is not."""
    number = read_number(value, must, example)
    if not number.is_integer():
        raise BadValueError(must, example)
    # An int beyond 2**53 would lose digits on its way through a float.
    return value if isinstance(value, int) else int(number)


def read_size(value: object) -> int:
    """Read a size in bytes."""
    if isinstance(value, str) and not _NUMBER.fullmatch(value):
        found = _SIZE.fullmatch(value.strip()) if len(value) <= TEXT_LENGTH_MAX else None
        if found is None:
            raise BadValueError(SIZE, "512m")
        return int(Fraction(found[1]) * KIB ** _SIZE_POWERS[found[2].lower()])
    number = read_number(value, SIZE, "512m")
    if number < 0 or not number.is_integer():
        raise BadValueError(SIZE, "512m")
    return int(number)


def read_duration(value: object) -> float:
    """Read a duration in seconds."""
    if isinstance(value, str) and not _NUMBER.fullmatch(value):
        return float(_duration_in(value.strip()))
    number = read_number(value, DURATION, "30s")
    if number < 0:
        raise BadValueError(DURATION, "30s")
    return number


def _duration_in(text: str) -> Fraction:
    parts = list(_DURATION_PART.finditer(text)) if len(text) <= TEXT_LENGTH_MAX else []
    if not parts or "".join(part[0] for part in parts) != text:
        clock = re.fullmatch(r"([0-9]{1,2}):([0-5][0-9])", text)
        raise BadValueError(DURATION, f"{int(clock[1])}m{int(clock[2])}s" if clock else "1m30s")
    return sum((Fraction(part[1]) * _DURATION_S[part[2]] for part in parts), Fraction(0))


def read_ratio(value: object) -> float:
    """Read a ratio above 0 and up to 1, written as a fraction (`1/16`) or as a number."""
    must = "a fraction above 0 and up to 1"
    found = _FRACTION.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is not None:
        number = int(found[1]) / int(found[2]) if int(found[2]) else 0.0
    else:
        number = read_number(value, must, "1/16")
    if not 0 < number <= 1:
        raise BadValueError(must, "1/16")
    return number


def show_size(size_bytes: float) -> str:
    """Write a size as a user would, to four digits: `512m`, `1.5g`, `126.5m`."""
    for letter in "tgmk":
        factor = KIB ** _SIZE_POWERS[letter]
        if size_bytes >= factor:
            return f"{_plain(float(f'{size_bytes / factor:.4g}'))}{letter}"
    return f"{_plain(size_bytes)}b"


def show_duration(duration_s: float) -> str:
    """Write a duration as a user would: `200ms`, `1m30s`, `12d`."""
    for unit, unit_s in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if duration_s >= unit_s and duration_s < 60:
            return f"{_plain(duration_s / unit_s)}{unit}"
    if duration_s < 60:
        return f"{_plain(duration_s * 1e9)}ns" if duration_s else "0s"
    text, rest_s = "", round(duration_s, 3)
    for unit, unit_s in (("d", 86400), ("h", 3600), ("m", 60)):
        count, rest_s = divmod(rest_s, unit_s)
        text += f"{int(count)}{unit}" if count else ""
    return text + (f"{_plain(rest_s)}s" if rest_s >= 0.0005 else "")


def show_number(number: float) -> str:
    """Write a number without a needless `.0`, with commas from 10,000 on."""
    return f"{number:,.0f}" if abs(number) >= 10_000 else _plain(number)


def _plain(number: float) -> str:
    text = f"{number:.3f}".rstrip("0").rstrip(".")
    return text if text not in {"0", "-0"} or not number else f"{number:.3g}"
