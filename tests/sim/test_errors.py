"""Errors of the simulated layer: one line each, and alive after SimPy's re-creation."""

from __future__ import annotations

import pytest

from sim.errors import ProfileError, RecordError, RequestError, SimError

ERRORS = (
    (ProfileError("p.json", "lacks tick_s"), "p.json lacks tick_s; measure this host anew with `tonnage measure-host`"),
    (RecordError("runs/1", "holds a record already"), "runs/1: holds a record already"),
    (RequestError("--on mars is not a world"), "--on mars is not a world"),
)


@pytest.mark.parametrize(("error", "text"), ERRORS)
def test_text_and_re_creation(error: SimError, text: str) -> None:
    """The full text is as written, and `type(e)(*e.args)` gives an equal error."""
    again = type(error)(*error.args)

    assert text == str(error) == str(again)
    assert vars(error) == vars(again)


def test_every_class_is_tested() -> None:
    """A new error class must come with its text above."""
    assert set(SimError.__subclasses__()) == {type(error) for error, _text in ERRORS}
