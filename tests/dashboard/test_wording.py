"""Names and numbers as people read them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from dashboard import wording
from scenarios.metric_names import METRICS


@pytest.mark.parametrize(
    ("value", "metric", "text"),
    [
        (0.0532, "step_latency_s_mean", "53.2 ms"),
        (0.000_42, "lag_s_p99", "420 µs"),
        (4.1, "ready_s", "4.10 s"),
        (725.0, "makespan_s", "12 min 5 s"),
        (7800.0, "makespan_s", "2 h 10 min"),
        (0.0, "recovery_s", "0 s"),
        (536_870_912, "memory_bytes_max", "512 MiB"),
        (2_247_000_000, "memory_bytes_mean", "2.09 GiB"),
        (300, "network_bytes", "300 B"),
        (0.554, "throttled_period_ratio", "55.4 %"),
        (0.000_42, "steal_ratio", "0.042 %"),
        (1.0, "completion_ratio", "100 %"),
        (19.72, "steps_per_s", "19.7 /s"),
        (0.41, "cpu_cores_mean", "0.41 cores"),
        (1.0, "cpu_cores_mean", "1 core"),
        (28.0, "oom_kill_count", "28"),
        (1284.0, "provider_429_count", "1,284"),
        (60.0, "debt_tokens_max", "60 tokens"),
        (69.75, "cost_usd", "$69.75"),
        (7.5, "widgets", "7.50 pieces"),
        (None, "steps_per_s", "–"),
    ],
)
def test_a_quantity_has_its_unit(value: float | None, metric: str, text: str) -> None:
    """A value is written in the unit that its metric's name ends in, to about three figures."""
    assert text == wording.quantity(value, metric, "pieces")


@pytest.mark.parametrize("metric", METRICS)
def test_every_metric_of_the_language_has_a_name_in_words(metric: str) -> None:
    """No metric that a story may name is shown by its identifier."""
    words = wording.metric_words(metric)

    assert "_" not in words
    assert words[0].isupper()


@pytest.mark.parametrize("metric", METRICS)
def test_the_unit_in_a_metrics_name_is_the_languages(metric: str) -> None:
    """What is read off the name is what the scenario language says."""
    unit = {"per_s": "1/s"}.get(wording.unit_of(metric), wording.unit_of(metric))

    assert METRICS[metric].unit == unit


def test_an_unknown_metric_is_taken_apart() -> None:
    """A metric of a later version still reads as words."""
    assert wording.metric_words("queue_wait_s_p95") == "Queue wait, 95th percentile"


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (timedelta(seconds=45), "45 s"),
        (timedelta(minutes=3), "3 min"),
        (timedelta(hours=5), "5 h"),
        (timedelta(days=9), "9 days"),
        (timedelta(seconds=-1), "0 s"),
    ],
)
def test_a_time_span_is_told_in_one_unit(duration: timedelta, text: str) -> None:
    """How long ago something was needs no more than one unit."""
    assert text == wording.elapsed_words(duration)


def test_a_moment_is_a_date_in_utc() -> None:
    """Wherever a record was made, its date is told in UTC."""
    assert wording.moment_words("2026-11-21T15:05:09+01:00") == "21 Nov 2026, 14:05 UTC"


def test_a_moment_that_cannot_be_read_is_said_so() -> None:
    """A broken date is no reason to fail."""
    assert wording.moment_words("yesterday") == "at an unknown time"


@pytest.mark.parametrize("verdict", ["agrees", "does not agree", "equivalent", "different", "undecided"])
def test_a_verdict_has_a_sign_of_its_own(verdict: str) -> None:
    """Colour is never the only sign: the word and a mark stand there too."""
    sign, _, words = wording.verdict_words(verdict).partition(" ")

    assert verdict == words
    assert sign in "✓✗⊘◇"


def test_a_difference_shows_its_direction() -> None:
    """More and less are told by a sign."""
    assert [wording.signed_percent(0.026), wording.signed_percent(-0.146)] == ["+2.6 %", "−14.6 %"]


@pytest.mark.parametrize(
    ("commit", "words"),
    [("e5823a2c8622ae6e", "e5823a2c"), ("e5823a2c8622-dirty", "e5823a2c with changes"), ("", "–"), (None, "–")],
)
def test_a_commit_is_short_and_says_whether_files_differed(commit: str | None, words: str) -> None:
    """Enough to find it by; code that differed from it is no commit's."""
    assert words == wording.commit_words(commit)
