"""The way to the engine: what is said where it goes away, and that nothing stays open."""

from __future__ import annotations

from typing import TYPE_CHECKING

import docker
import pytest
import requests

from live.engine import answering, connect
from live.errors import EngineBusy, EngineMissing, EngineRefused

if TYPE_CHECKING:
    from live.errors import LiveError


@pytest.mark.parametrize(
    "problem", [requests.ConnectionError("reset"), docker.errors.APIError("reset"), OSError("reset")]
)
def test_an_engine_that_goes_away_is_a_refusal(problem: Exception) -> None:
    """Whatever the SDK raises, what was wanted and what came back are told in one line."""
    told = "the engine could not say what is on it: reset; `tonnage doctor`"

    with pytest.raises(EngineRefused, match=told), answering("say what is on it"):
        raise problem


@pytest.mark.parametrize("problem", [EngineBusy("run 1"), EngineRefused("start", "no")])
def test_what_is_told_already_is_left_alone(problem: LiveError) -> None:
    """Our own errors go through as they are."""
    with pytest.raises(type(problem)) as raised, answering("say what is on it"):
        raise problem

    assert raised.value is problem


def test_a_client_that_gets_no_answer_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its connections do not stay open."""
    closed: list[str] = []

    class Mute:
        """A client whose engine does not answer."""

        def ping(self) -> None:
            """Fail as the SDK does."""
            raise requests.ConnectionError("refused")

        def close(self) -> None:
            """Note it."""
            closed.append("closed")

    monkeypatch.setattr(docker, "from_env", lambda **_: Mute())

    with pytest.raises(EngineMissing, match="refused"):
        connect()

    assert closed == ["closed"]
