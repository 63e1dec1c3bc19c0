"""Laws as they are read, and what is known of them without drawing."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scenarios.errors import BadValueError
from scenarios.fields import durations, sizes
from scenarios.law_reader import LawReader
from scenarios.laws import law_max, law_mean, law_scaled
from scenarios.story import Law

read = LawReader(durations(0), "200ms")

READ = [
    ("20ms", Law("constant", (0.02,))),
    ({"constant": "20ms"}, Law("constant", (0.02,))),
    ({"uniform": ["1s", 2]}, Law("uniform", (1.0, 2.0))),
    ({"exponential": "20ms"}, Law("exponential", (0.02,))),
    ({"lognormal": {"mean": "4s", "cv": 0.5}}, Law("lognormal", (4.0, 0.5))),
    ({"gamma": {"mean": "4s", "cv": "0.5"}}, Law("gamma", (4.0, 0.5))),
    ({"empirical": ["1s", "3s", "2s"]}, Law("empirical", (1.0, 3.0, 2.0))),
]

REFUSED = [
    ([1, 2], "it must be one value or a law; write for example {empirical: [200ms, 200ms]}", ()),
    (
        {"exponental": "1s"},
        (
            "it must be one value, or one law out of constant, uniform, exponential, lognormal, gamma, empirical; "
            "write for example {exponential: 200ms}"
        ),
        ("exponental",),
    ),
    (
        {"uniform": [1, 2], "gamma": 1},
        (
            "it must be one value, or one law out of constant, uniform, exponential, lognormal, gamma, empirical; "
            "write for example {uniform: [200ms, 200ms]}"
        ),
        (),
    ),
    (
        {"trace": "a.csv"},
        (
            "it must be another law, because trace is reserved for a coming version of Tonnage; "
            "write for example {exponential: 200ms}"
        ),
        (),
    ),
    ({"uniform": [1]}, "it must be two values, the lower first; write for example [200ms, 200ms]", ("uniform",)),
    ({"uniform": ["2s", "1s"]}, "it must be two values, the lower first; write for example [1s, 2s]", ("uniform",)),
    (
        {"uniform": ["2s", "x"]},
        "it must be a duration: numbers with ms, s, m, h or d behind them; write for example 1m30s",
        ("uniform", 1),
    ),
    ({"exponential": 0}, "it must be above 0; write for example 200ms", ("exponential",)),
    (
        {"lognormal": "4s"},
        "it must be a mapping of mean and cv (standard deviation over mean); write for example {mean: 200ms, cv: 0.5}",
        ("lognormal",),
    ),
    ({"gamma": {"mean": 0, "cv": 1}}, "it must be above 0; write for example 200ms", ("gamma", "mean")),
    ({"gamma": {"mean": 1, "cv": 0}}, "it must be a number from 0.001 to 20; write for example 0.5", ("gamma", "cv")),
    (
        {"empirical": []},
        "it must be a list of 1 to 10,000 values; write for example [200ms, 200ms]",
        ("empirical",),
    ),
]


@pytest.mark.parametrize(("value", "law"), READ)
def test_every_kind_of_law_is_read(value: object, law: Law) -> None:
    """A bare value is a constant, everything else is named, and units become seconds."""
    assert law == read(value)


@pytest.mark.parametrize(("value", "text", "at"), REFUSED)
def test_a_wrong_law_says_what_and_where(value: object, text: str, at: tuple[str | int, ...]) -> None:
    """The complaint names the part at fault and shows a law that works."""
    with pytest.raises(BadValueError) as caught:
        read(value)

    assert (text, at) == (str(caught.value), caught.value.at)


def test_the_items_of_a_law_have_the_fields_unit() -> None:
    """The same text is minutes in a duration and MiB in a size."""
    assert Law("uniform", (60.0, 120.0)) == read({"uniform": ["1m", "2m"]})
    assert Law("uniform", (1048576.0, 2097152.0)) == LawReader(sizes(0), "1m")({"uniform": ["1m", "2m"]})


@pytest.mark.parametrize(
    ("law", "mean", "most"),
    [
        (Law("constant", (2.0,)), 2.0, 2.0),
        (Law("uniform", (1.0, 3.0)), 2.0, 3.0),
        (Law("exponential", (2.0,)), 2.0, math.inf),
        (Law("lognormal", (2.0, 0.5)), 2.0, math.inf),
        (Law("gamma", (2.0, 0.5)), 2.0, math.inf),
        (Law("empirical", (1.0, 1.0, 4.0)), 2.0, 4.0),
    ],
)
def test_mean_and_largest_value(law: Law, mean: float, most: float) -> None:
    """Laws with a tail have no largest value."""
    assert (mean, most) == (law_mean(law), law_max(law))


LAWS = st.one_of(
    st.builds(Law, st.sampled_from(["constant", "exponential"]), st.tuples(st.floats(0.001, 1e6))),
    st.builds(Law, st.sampled_from(["lognormal", "gamma"]), st.tuples(st.floats(0.001, 1e6), st.floats(0.01, 5))),
    st.builds(Law, st.just("empirical"), st.lists(st.floats(0, 1e6), min_size=1, max_size=5).map(tuple)),
)


@given(LAWS, st.floats(0.001, 1000))
def test_scaling_a_law_scales_its_mean_and_keeps_its_shape(law: Law, factor: float) -> None:
    """Mean and largest value grow by the factor; the coefficient of variation, which has no unit, stays."""
    scaled = law_scaled(law, factor)

    assert law_mean(scaled) == pytest.approx(law_mean(law) * factor)
    assert law_max(scaled) == pytest.approx(law_max(law) * factor)
    assert law.kind == scaled.kind
    if law.kind in {"lognormal", "gamma"}:
        assert law.numbers[1] == scaled.numbers[1]
